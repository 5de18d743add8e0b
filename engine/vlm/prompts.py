"""From a picture, a question and an answer to tokens, for every family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from transformers.processing_utils import ProcessorMixin

from engine.config import ConfigError
from engine.vlm.encoded import IGNORE_INDEX, padded
from engine.vlm.families import Family
from engine.vlm.markers import Markers


@dataclass(frozen=True)
class Prompter:
    """Prompts and labels for one checkpoint.

    ``causal``: the answer follows the prompt, in the same sequence; ``answer_tokens``: the length
    at which answers are cut, their end token included.
    """

    processor: ProcessorMixin
    family: Family
    eos_token_id: int
    causal: bool
    answer_tokens: int

    def prompt(self, question: str) -> str:
        """Return what the model is asked, in the checkpoint's chat template where it has one.

        What the model would read as control is taken out of the question.
        """
        question = self.markers.removed_from(question)
        if self._template:
            content = [{"type": "image"}, {"type": "text", "text": question}]
            return self.processor.tokenizer.apply_chat_template(
                [{"role": "user", "content": content}],
                chat_template=self._template,
                add_generation_prompt=True,
                tokenize=False,
            )
        return self.family.prompt.format(question=question)

    @cached_property
    def markers(self) -> Markers:
        """Texts that the tokenizer or the processor reads as control."""
        return markers_of(self.processor, self.family)

    def inputs(
        self, images: Sequence[np.ndarray], questions: Sequence[str]
    ) -> list[dict[str, torch.Tensor]]:
        """Return what the processor makes of pictures (height, width, 3) uint8 and questions.

        Each alone, or together where all pictures get the same size: that saves a second per
        client.
        """
        prompts = [self.prompt(question) for question in questions]
        if self.causal:
            pairs = zip(prompts, images, strict=True)
            return [self._process(text=[p], images=[i]) for p, i in pairs]
        batch = self._process(text=prompts, images=list(images), padding=True)
        rows = range(len(prompts))
        return [{name: value[n : n + 1] for name, value in batch.items()} for n in rows]

    def labels(self, answers: Sequence[str]) -> torch.Tensor:
        """Return answers as tokens (n, answer tokens), each with its end, padded with IGNORE_INDEX.

        Answers that are longer than ``answer_tokens`` are cut.
        """
        tokenizer, longest = self.processor.tokenizer, self.answer_tokens
        if not self.causal:  # the tokenizer adds start and end
            ids = tokenizer(list(answers), truncation=True, max_length=longest)["input_ids"]
        else:
            space = "" if self.prompt("")[-1:].isspace() else " "
            texts = [space + answer for answer in answers]
            ids = tokenizer(texts, add_special_tokens=False)["input_ids"]
            ids = [[*row[: longest - 1], self.eos_token_id] for row in ids]
        return torch.cat(padded([torch.tensor([row]) for row in ids], IGNORE_INDEX))

    @cached_property
    def _template(self) -> str | None:
        return chat_template_of(self.processor)

    def _process(self, **inputs: Any) -> dict[str, torch.Tensor]:
        # Without the format a picture of 1 or 3 rows is taken for one with its colours first.
        return dict(
            self.processor(**inputs, input_data_format="channels_last", return_tensors="pt")
        )


def chat_template_of(processor: ProcessorMixin) -> str | None:
    """Return the processor's chat template, or its tokenizer's; of several, the ``default`` one.

    Raises ConfigError when several are named, and none of them ``default``.
    """
    for part in (processor, processor.tokenizer):
        template = getattr(part, "chat_template", None)
        if isinstance(template, dict) and template and "default" not in template:
            raise ConfigError(
                f"model: of its chat templates ({', '.join(sorted(template))}) none is called "
                "default"
            )
        template = template.get("default") if isinstance(template, dict) else template
        if template:
            return template
    return None


def markers_of(processor: ProcessorMixin, family: Family) -> Markers:
    """Return what a processor, its tokenizer and a family's answers read as control."""
    tokenizer = processor.tokenizer
    special = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    special |= {str(token) for token in tokenizer.all_special_tokens}
    own = {value for name, value in vars(processor).items() if name.endswith("_token")}
    tasks = getattr(processor, "task_prompts_without_inputs", {})
    control = special | {str(token) for token in own if token} | set(tasks)
    return Markers(tuple(sorted(control)), tuple(sorted(tasks)), family.ends)
