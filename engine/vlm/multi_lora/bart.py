"""Florence-2's language model, a BART, written out for many adapters at once.

It does what the modules of transformers do with the adapters of ``stacked.active``, in fewer passes
over memory, which is what training a cohort on a CPU costs: padding is left out, and layers that
read the same rows read them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import nn
from transformers.models.bart.modeling_bart import (
    BartAttention,
    BartDecoder,
    BartDecoderLayer,
    BartEncoder,
    BartEncoderLayer,
    shift_tokens_right,
)

from engine.vlm.encoded import IGNORE_INDEX, EncodedBatch
from engine.vlm.model import Vlm
from engine.vlm.multi_lora.packing import Packing, Reach, attend
from engine.vlm.multi_lora.projection import multi_lora_linear
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
        self._model: Any = vlm.model
        self._encoder: BartEncoder = self._model.model.language_model.encoder
        self._decoder: BartDecoder = self._model.model.language_model.decoder
        self._text = self._model.config.text_config
        self._stacked = stacked
        self._names: dict[nn.Module, str] = {layer: name for name, layer in stacked.layers.items()}

    def answer_logits(self, batch: EncodedBatch) -> torch.Tensor:
        """Return logits (n, answer tokens, vocabulary) of the references' tokens, in float32.

        The rows of the batch are in equal consecutive shares, one for each adapter. Where a label
        is IGNORE_INDEX, the logits mean nothing.
        """
        shares = len(self._stacked)
        prompts = Packing(batch.attention_mask.bool(), shares, self._text.encoder_attention_heads)
        answers = Packing(batch.labels != IGNORE_INDEX, shares, self._text.decoder_attention_heads)
        x = self._decode(batch, answers, self._encode(batch, prompts), prompts)
        return self._model.lm_head(answers.unpack(x)).float()

    def _encode(self, batch: EncodedBatch, prompts: Packing) -> torch.Tensor:
        ids = prompts.pack(batch.input_ids)
        images = (ids == self._model.config.image_token_id).unsqueeze(-1)
        x = self._encoder.embed_tokens(ids).masked_scatter(images, batch.features)
        x = self._embed(self._encoder, prompts, x)
        for module in self._encoder.layers:
            layer = cast(BartEncoderLayer, module)
            x = self._attend_own(layer.self_attn, x, prompts, prompts.attn_bias)
            x = self._feed_forward(layer, layer.self_attn_layer_norm(x))
        return x

    def _decode(
        self,
        batch: EncodedBatch,
        answers: Packing,
        encoder_hidden_states: torch.Tensor,
        prompts: Packing,
    ) -> torch.Tensor:
        layers = [cast(BartDecoderLayer, module) for module in self._decoder.layers]
        readers = [p for layer in layers for p in _key_and_value(layer.encoder_attn)]
        keys_and_values = self._linear(encoder_hidden_states, readers)
        before = shift_tokens_right(
            batch.labels, self._text.pad_token_id, self._text.decoder_start_token_id
        )
        x = self._embed(self._decoder, answers, self._decoder.embed_tokens(answers.pack(before)))
        shape = (answers.tokens, answers.tokens)
        causal_mask = torch.full(shape, torch.finfo(x.dtype).min).triu_(1)
        causal_mask = causal_mask.expand(len(answers.attn_bias), -1, -1)
        pairs = zip(layers, keys_and_values[::2], keys_and_values[1::2], strict=True)
        for layer, k, v in pairs:
            x = self._attend_own(layer.self_attn, x, answers, causal_mask)
            x = layer.self_attn_layer_norm(x)
            cross_attn = layer.encoder_attn
            (q,) = self._linear(x, [cross_attn.q_proj])
            reach = Reach(answers, prompts, prompts.attn_bias, cross_attn.scaling)
            context = attend(q, k, v, reach)
            (x,) = self._linear(context, [cross_attn.out_proj], residual=x)
            x = self._feed_forward(layer, layer.encoder_attn_layer_norm(x))
        return x

    def _embed(
        self, part: BartEncoder | BartDecoder, packing: Packing, x: torch.Tensor
    ) -> torch.Tensor:
        ids = packing.position_ids
        positions = part.embed_positions(ids, position_ids=ids).squeeze(0)
        return part.layernorm_embedding(x + positions)

    def _attend_own(
        self, attention: BartAttention, x: torch.Tensor, packing: Packing, attn_bias: torch.Tensor
    ) -> torch.Tensor:
        q, k, v = self._linear(x, [attention.q_proj, attention.k_proj, attention.v_proj])
        context = attend(q, k, v, Reach(packing, packing, attn_bias, attention.scaling))
        return self._linear(context, [attention.out_proj], residual=x)[0]

    def _feed_forward(
        self, layer: BartEncoderLayer | BartDecoderLayer, x: torch.Tensor
    ) -> torch.Tensor:
        (inner,) = self._linear(x, [layer.fc1])
        (out,) = self._linear(layer.activation_fn(inner), [layer.fc2], residual=x)
        return layer.final_layer_norm(out)

    def _linear(
        self, x: torch.Tensor, layers: Sequence[nn.Module], residual: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        factors = self._stacked.factors
        names = [self._names[layer] for layer in layers]
        return multi_lora_linear(
            x,
            [self._stacked.bases[name] for name in names],
            [factors.a(name) for name in names],
            [factors.b(name) for name in names],
            self._stacked.scales,
            residual,
        )


def _key_and_value(attention: BartAttention) -> tuple[nn.Module, nn.Module]:
    return attention.k_proj, attention.v_proj
