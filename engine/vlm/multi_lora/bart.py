"""Florence-2's language model, a BART, written out for many adapters at once.

It does what the modules of transformers do with the adapters of ``stacked.active``, in fewer passes
over memory, which is what training a cohort on a CPU costs: padding is left out, and layers that
read the same rows read them together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers.models.bart.modeling_bart import BartAttention, shift_tokens_right

from engine.adapters.factors import A, B
from engine.vlm.encoded import IGNORE_INDEX, EncodedBatch
from engine.vlm.multi_lora.packing import Packing, Reach, attend
from engine.vlm.multi_lora.projection import project

if TYPE_CHECKING:
    from engine.vlm.model import Vlm
    from engine.vlm.multi_lora.stacked import StackedAdapters


def supports_fused(vlm: Vlm, stacked: StackedAdapters) -> bool:
    """Tell whether ``FusedBart`` can stand for the model: a Florence-2, fully adapted, on a CPU."""
    if vlm.model.config.model_type != "florence2" or vlm.device != "cpu" or vlm.checkpointing:
        return False
    modules = vlm.model.model.language_model.named_modules()
    linear = {module for name, module in modules if name.endswith(vlm.family.linear)}
    return linear <= set(stacked.layers.values())


class FusedBart:
    """The language model of a Florence-2 with some adapters.

    Rows are packed: x is (adapters, tokens, width), the tokens of an adapter's rows one behind the
    other.
    """

    def __init__(self, vlm: Vlm, stacked: StackedAdapters) -> None:
        self._model = vlm.model
        self._text = vlm.model.config.text_config
        self._stacked = stacked
        self._names = {layer: name for name, layer in stacked.layers.items()}

    def answer_logits(self, batch: EncodedBatch) -> torch.Tensor:
        """Logits (n, answer tokens, vocabulary) of the references' tokens, in float32.

        The rows of the batch are in equal consecutive shares, one for each adapter. Where a label
        is IGNORED, the logits mean nothing.
        """
        shares = len(self._stacked)
        prompts = Packing(batch.attention_mask.bool(), shares, self._text.encoder_attention_heads)
        answers = Packing(batch.labels != IGNORE_INDEX, shares, self._text.decoder_attention_heads)
        x = self._decode(batch, answers, self._encode(batch, prompts), prompts)
        return self._model.lm_head(answers.unpack(x)).float()

    def _encode(self, batch: EncodedBatch, prompts: Packing) -> torch.Tensor:
        encoder = self._model.model.language_model.encoder
        ids = prompts.pack(batch.input_ids)
        images = (ids == self._model.config.image_token_id).unsqueeze(-1)
        x = encoder.embed_tokens(ids).masked_scatter(images, batch.features)
        x = self._start(encoder, prompts, x)
        for layer in encoder.layers:
            x = self._attend_own(layer.self_attn, x, prompts, prompts.hidden)
            x = self._feed_forward(layer, layer.self_attn_layer_norm(x))
        return x

    def _decode(
        self, batch: EncodedBatch, answers: Packing, read: torch.Tensor, prompts: Packing
    ) -> torch.Tensor:
        decoder = self._model.model.language_model.decoder
        crossing = [layer.encoder_attn for layer in decoder.layers]
        both = [layer for one in crossing for layer in (one.k_proj, one.v_proj)]
        found = self._project(read, both)  # each layer's keys, then its values
        before = shift_tokens_right(
            batch.labels, self._text.pad_token_id, self._text.decoder_start_token_id
        )
        x = self._start(decoder, answers, decoder.embed_tokens(answers.pack(before)))
        later = torch.full((answers.tokens, answers.tokens), torch.finfo(x.dtype).min).triu_(1)
        later = later.expand(len(answers.hidden), -1, -1)
        for layer, k, v in zip(decoder.layers, found[::2], found[1::2], strict=True):
            x = self._attend_own(layer.self_attn, x, answers, later)
            x = layer.self_attn_layer_norm(x)
            cross = layer.encoder_attn
            (q,) = self._project(x, [cross.q_proj])
            seen = attend(q, k, v, Reach(answers, prompts, prompts.hidden, cross.scaling))
            (x,) = self._project(seen, [cross.out_proj], residual=x)
            x = self._feed_forward(layer, layer.encoder_attn_layer_norm(x))
        return x

    def _start(self, part: nn.Module, packing: Packing, x: torch.Tensor) -> torch.Tensor:
        places = part.embed_positions(packing.place, position_ids=packing.place).squeeze(0)
        return part.layernorm_embedding(x + places)

    def _attend_own(
        self, attention: BartAttention, x: torch.Tensor, packing: Packing, hidden: torch.Tensor
    ) -> torch.Tensor:
        layers = [attention.q_proj, attention.k_proj, attention.v_proj]
        q, k, v = self._project(x, layers)
        seen = attend(q, k, v, Reach(packing, packing, hidden, attention.scaling))
        return self._project(seen, [attention.out_proj], residual=x)[0]

    def _feed_forward(self, layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
        (inner,) = self._project(x, [layer.fc1])
        (out,) = self._project(layer.activation_fn(inner), [layer.fc2], residual=x)
        return layer.final_layer_norm(out)

    def _project(
        self, x: torch.Tensor, layers: list[nn.Module], residual: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        factors = self._stacked.factors()
        names = [self._names[layer] for layer in layers]
        a = [factors[f"{name}.{A}"] for name in names]
        b = [factors[f"{name}.{B}"] for name in names]
        bases = [layer.base_layer for layer in layers]
        return project(x, bases, a, b, self._stacked.scales, residual)
