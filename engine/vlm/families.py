"""What differs between families of vision-language models, in one table; no torch here.

A checkpoint's ``model_type`` finds its family. Others get defaults: LoRA on every linear layer of
what is called the language model, and the checkpoint's own chat template.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.adapters.adapter import ALL_LINEAR
from engine.plugins import Registry

if TYPE_CHECKING:  # plugins import this file before there is a config
    from engine.config import Lora

# What transformers calls the parts of a model.
LANGUAGE = ("language_model", "text_model")
VISION = ("vision_tower", "visual", "vision_model")
_LLAMA = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_QWEN = "<|im_start|>user <image>\n{question}<|im_end|><|im_start|>assistant\n"
_BART = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")


@dataclass(frozen=True)
class Family:
    """How one family is prompted and where its adapters sit.

    ``linear``: names of the linear layers of the language model (empty: found by looking).
    ``prompt``: what is asked where the checkpoint has no chat template. ``ends``: text after which
    an answer is over, in case the model goes on. ``prefix``: prompt tokens see each other both ways
    (token type 0), answer tokens (1) only what is before them; positions count from 1.
    """

    title: str
    linear: tuple[str, ...] = ()
    prompt: str = "<image>\n{question}\n"
    ends: tuple[str, ...] = ()
    prefix: bool = False


FAMILIES: Registry[Family] = Registry("model family")
FAMILIES |= {
    "florence2": Family("Florence-2", _BART, "{question}"),
    "smolvlm": Family("SmolVLM", _LLAMA, "User:<image>{question}<end_of_utterance>\nAssistant:",
                      ("<end_of_utterance>", "\nUser:")),
    "idefics3": Family("Idefics3", _LLAMA, "User:<image>{question}<end_of_utterance>\nAssistant:",
                       ("<end_of_utterance>", "\nUser:")),
    "llava": Family("LLaVA", _LLAMA, "USER: <image>\n{question} ASSISTANT:", ("USER:",)),
    "llava_onevision": Family("LLaVA-OneVision", _LLAMA,
                              _QWEN, ("<|im_end|>",)),
    "paligemma": Family("PaliGemma", _LLAMA, "<image>answer en {question}", prefix=True),
    "qwen2_vl": Family("Qwen2-VL", _LLAMA, ends=("<|im_end|>",)),
    "qwen2_5_vl": Family("Qwen2.5-VL", _LLAMA, ends=("<|im_end|>",)),
    "qwen3_vl": Family("Qwen3-VL", _LLAMA, ends=("<|im_end|>",)),
}  # fmt: skip
OTHER = Family("another family")


def family_of(model_type: str) -> Family:
    """Return the family of a checkpoint's ``model_type``, or the defaults."""
    return FAMILIES.get(model_type, OTHER)


def target_layers(lora: Lora, family: Family) -> tuple[str, ...]:
    """Names of the linear layers that carry an adapter; () where only the model itself can tell."""
    return family.linear if ALL_LINEAR in lora.targets else lora.targets


def layers_of(part: Sequence[str], names: Sequence[str]) -> str:
    """Return a regular expression for layers of these names in LANGUAGE or VISION."""
    return rf"(.*\.)?({'|'.join(part)})\..*\.({'|'.join(names)})"


def clean(text: str, family: Family) -> str:
    """Return a generated answer without what comes after its end."""
    for end in family.ends:
        text = text.partition(end)[0]
    return text.strip()
