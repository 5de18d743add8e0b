"""One loaded vision-language model with its LoRA adapter."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from transformers import GenerationConfig, PreTrainedModel
from transformers.processing_utils import ProcessorMixin

from engine.adapters.adapter import Adapter
from engine.config import Lora
from engine.system.load import meter
from engine.system.machine import keep_freed_memory
from engine.vlm.checkpointing import checkpoint_layers
from engine.vlm.encoded import IGNORE_INDEX, EncodedBatch, padded
from engine.vlm.families import clean, family_of
from engine.vlm.limits import SMALL_MODEL, MicroBatch
from engine.vlm.lora import Factors, attach_lora, lora_layers
from engine.vlm.prompts import Prompter
from engine.vlm.vision_cache import Pixels, VisionCache

# All that generation takes from a checkpoint's own config.
_ANSWER_TOKENS = ("bos_token_id", "decoder_start_token_id", "eos_token_id", "forced_bos_token_id")
_TEXT = ("input_ids", "attention_mask", "image_grid_thw")
# On a CPU a small model gains nothing from more threads on so few rows, and beside another busy
# process they cost most there (benchmarks/threads.py).
_ONE_THREAD_BELOW = 16  # rows


class Vlm:
    """A frozen model, its processor, and the LoRA factors by name (``….q_proj.lora_A``).

    ``answer_tokens`` is the length at which answers are cut, trained and generated ones;
    ``rows_per_pass`` and ``rows_tested`` are how many rows may be trained and tested in one pass,
    for want of memory.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        processor: ProcessorMixin,
        lora: Lora,
        device: str,
        answer_tokens: int = 12,
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.model.to(torch.device(device))
        self.processor = processor
        self.device = device
        self.checkpointing = False
        self.set_micro_batch(MicroBatch())
        self.family = family_of(model.config.model_type)
        self.is_small = model.num_parameters() < SMALL_MODEL
        if self.is_small and device == "cpu":
            keep_freed_memory()
        self.tunes_vision = lora.vision
        self.layers, self.factors = attach_lora(self.model, lora, self.family)
        self.causal = not model.config.is_encoder_decoder
        eos = int(_eos_token_ids(model)[0])
        self.prompter = Prompter(processor, self.family, eos, self.causal, answer_tokens)
        self.pad = processor.tokenizer.pad_token_id
        self.pad = eos if self.pad is None else self.pad
        self._chunk = 1 if self.causal else 32
        self._takes = set(inspect.signature(model.forward).parameters)
        self.vision = VisionCache(model.model, self._read)
        self.vision.features([self._read(np.zeros((32, 32, 3), np.uint8))])

    def set_micro_batch(self, micro_batch: MicroBatch) -> None:
        """Train and test from now on in passes of at most so many rows."""
        self.rows_per_pass, self.rows_tested = micro_batch.train, micro_batch.eval
        if micro_batch.checkpointing != self.checkpointing:
            self.checkpointing = micro_batch.checkpointing
            checkpoint_layers(self.model, self.checkpointing)

    def encode(
        self,
        images: Sequence[np.ndarray],
        questions: Sequence[str],
        answers: Sequence[str],
        features: Sequence[torch.Tensor] | None = None,
    ) -> EncodedBatch:
        """Turn pictures (height, width, 3) uint8, questions and answers into tensors, on the CPU.

        ``features``: what ``look_at`` has made of the pictures, where that is known.
        """
        seen: list[torch.Tensor] = []
        texts: list[dict[str, torch.Tensor]] = []
        for start in range(0, len(images), self._chunk):  # preprocessed pictures are large
            rows = slice(start, start + self._chunk)
            inputs = self.prompter.inputs(images[rows], questions[rows])
            if features is not None:
                seen += features[rows]
            elif self.tunes_vision:
                seen += [torch.zeros(0, 0)] * len(inputs)
            else:
                seen += self.vision.features([self._pixels(row) for row in inputs])
            texts += [{name: row[name] for name in _TEXT if name in row} for row in inputs]
        none = torch.zeros(1, 0, dtype=torch.long)
        return EncodedBatch(
            torch.cat(padded([text["input_ids"] for text in texts], left=self.causal)),
            torch.cat(padded([text["attention_mask"] for text in texts], left=self.causal)),
            self.prompter.labels(answers),
            torch.cat(padded([features.unsqueeze(0) for features in seen])),
            torch.tensor([len(features) for features in seen]),
            torch.cat([text.get("image_grid_thw", none) for text in texts]),
            tuple(images) if self.tunes_vision else (),
            self.causal,
        )

    def look_at(self, images: Sequence[np.ndarray]) -> Iterator[torch.Tensor]:
        """Yield the vision tower's features (image tokens, width) of pictures, on the CPU."""
        for start in range(0, len(images), self._chunk):
            chunk = images[start : start + self._chunk]
            inputs = self.prompter.inputs(chunk, ["?"] * len(chunk))
            yield from self.vision.features([self._pixels(row) for row in inputs])

    def answer_logits(self, batch: EncodedBatch) -> torch.Tensor:
        """Logits (n, answer tokens, vocabulary) of every token of the references, in float32.

        Each is what the model expects after the prompt and the tokens before it.
        """
        batch = batch.to(self.device)
        if not self.causal:
            with self.vision.showing(batch):
                return self.model(**self.inputs(batch), labels=batch.labels).logits.float()
        kept = batch.labels != IGNORE_INDEX
        ids = batch.labels.masked_fill(~kept, self.pad)
        whole = replace(
            batch,
            input_ids=torch.cat([batch.input_ids, ids], 1),
            attention_mask=torch.cat([batch.attention_mask, kept.long()], 1),
        )
        inputs = self.inputs(whole, answered=ids.shape[1])
        with self.vision.showing(batch):
            out = self.model(**inputs, use_cache=False, logits_to_keep=ids.shape[1] + 1)
        return out.logits[:, :-1].float()

    def generate(self, batch: EncodedBatch) -> tuple[list[str], torch.Tensor]:
        """Write greedy answers; with the probability (n,) that the model gives each, end included.

        What a checkpoint's generation config adds, such as a penalty for repetition, is left out:
        answers are what scoring by the reference's tokens (fl/evaluation.py) speaks of.
        """
        batch = batch.to(self.device)
        with self.vision.showing(batch), _plain_generation(self.model):
            out = self.model.generate(
                **self.inputs(batch),
                max_new_tokens=self.prompter.answer_tokens,
                do_sample=False,
                num_beams=1,
                pad_token_id=self.pad,
                output_scores=True,
                return_dict_in_generate=True,
            )
        steps = torch.stack(out.scores, 1).float().log_softmax(-1)  # (n, new tokens, vocabulary)
        new = out.sequences[:, -steps.shape[1] :]
        log_p = steps.gather(-1, new.unsqueeze(-1)).squeeze(-1)
        ends = torch.isin(new, _eos_token_ids(self.model).to(new.device)).int()
        confidence = log_p.masked_fill(ends.cumsum(-1) > ends, 0).sum(-1).exp()
        return self.texts(new), confidence

    def texts(self, tokens: torch.Tensor) -> list[str]:
        """Return answers (n, tokens) as people read them."""
        written = self.processor.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [clean(text, self.family) for text in written]

    def inputs(self, batch: EncodedBatch, answered: int = 0) -> dict[str, torch.Tensor]:
        """Return the model's arguments for sequences that end with so many answer tokens.

        Its pictures are those of the batch that ``vision`` shows.
        """
        inputs = {
            "input_ids": batch.input_ids,
            "attention_mask": batch.attention_mask,
            "pixel_values": batch.features,  # they say that there are pictures; see VisionCache
        }
        if batch.image_grid_thw.shape[1]:
            inputs["image_grid_thw"] = batch.image_grid_thw
        if "mm_token_type_ids" in self._takes:
            image = self.model.config.image_token_id
            inputs["mm_token_type_ids"] = torch.eq(batch.input_ids, image).int()
        elif answered:  # as generation counts them: padding on the left has no position
            positions = batch.attention_mask.cumsum(-1) - 1 + self.family.prefix
            inputs["position_ids"] = positions.clamp(min=0)
        if self.family.prefix:
            inputs["token_type_ids"] = torch.zeros_like(batch.input_ids)
            inputs["token_type_ids"][:, batch.input_ids.shape[1] - answered :] = 1
        return inputs

    def _read(self, image: np.ndarray) -> Pixels:
        return self._pixels(self.prompter.inputs([image], ["?"])[0])

    def _pixels(self, inputs: dict[str, torch.Tensor]) -> Pixels:
        pixels = self.vision.pixels(inputs)
        return {name: value.to(self.device) for name, value in pixels.items()}

    def set_threads(self, rows: int) -> None:
        """Give torch the threads that pay for a pass over so many rows; called before each.

        No more than others leave cores to, now: a run feels what starts and ends beside it.
        """
        alone = self.is_small and self.device == "cpu" and rows < _ONE_THREAD_BELOW
        torch.set_num_threads(1 if alone else meter.free_cores())

    def load_factors(self, factors: dict[str, torch.Tensor]) -> None:
        """Copy LoRA factors into the model, in place; shapes must fit. Offsets are left out."""
        with torch.no_grad():
            for name in factors.keys() & self.factors.keys():
                self.factors[name].copy_(factors[name])

    @contextmanager
    def adapter_scale(self, weight: float) -> Iterator[None]:
        """Inside, what the adapter adds to the model counts ``weight`` times."""
        layers = lora_layers(self.model).values()
        before = [dict(layer.scaling) for layer in layers]
        for layer in layers:
            layer.scale_layer(weight)
        try:
            yield
        finally:
            for layer, scaling in zip(layers, before, strict=True):
                layer.scaling = scaling

    def read_factors(self, names: Iterable[str]) -> Factors:
        """Return copies of some of the LoRA factors, on the CPU."""
        return Adapter({name: self.factors[name].detach().cpu().clone() for name in names})


@contextmanager
def _plain_generation(model: PreTrainedModel) -> Iterator[None]:
    """Inside, nothing but the tokens that begin and end an answer is taken from the checkpoint."""
    own = model.generation_config
    model.generation_config = GenerationConfig(
        **{name: getattr(own, name, None) for name in _ANSWER_TOKENS}
    )
    try:
        yield
    finally:
        model.generation_config = own


def _eos_token_ids(model: PreTrainedModel) -> torch.Tensor:
    """Return the tokens at which the model stops to generate, the usual one first."""
    end = model.generation_config.eos_token_id
    if end is None:
        end = model.config.get_text_config().eos_token_id
    return torch.tensor(end if isinstance(end, list) else [end])
