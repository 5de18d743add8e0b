"""From a picture, a question and an answer to tokens, for every family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers.processing_utils import ProcessorMixin

from engine.vlm.encoded import IGNORE_INDEX, padded
from engine.vlm.families import Family


@dataclass(frozen=True)
class Prompter:
    """Writes prompts and labels for one checkpoint."""

    processor: ProcessorMixin
    family: Family
    end: int  # the token that ends an answer
    causal: bool  # whether the answer follows the prompt, in the same sequence
    longest: int  # tokens of an answer

    def prompt(self, question: str) -> str:
        """What the model is asked, in the checkpoint's chat template where it has one."""
        if template := getattr(self.processor, "chat_template", None):
            asked = [{"type": "image"}, {"type": "text", "text": question}]
            return self.processor.tokenizer.apply_chat_template(
                [{"role": "user", "content": asked}],
                chat_template=template,
                add_generation_prompt=True,
                tokenize=False,
            )
        return self.family.prompt.format(question=question)

    def inputs(
        self, images: Sequence[np.ndarray], questions: Sequence[str]
    ) -> list[dict[str, torch.Tensor]]:
        """What the processor makes of pictures (height, width, 3) uint8 and questions, each alone.

        Together only where all pictures get the same size: that saves a second per client.
        """
        prompts = [self.prompt(question) for question in questions]
        if self.causal:
            pairs = zip(prompts, images, strict=True)
            return [self._read(text=[p], images=[i]) for p, i in pairs]
        whole = self._read(text=prompts, images=list(images), padding=True)
        rows = range(len(prompts))
        return [{name: value[n : n + 1] for name, value in whole.items()} for n in rows]

    def _read(self, **inputs: Any) -> dict[str, torch.Tensor]:
        return dict(self.processor(**inputs, return_tensors="pt"))

    def labels(self, answers: Sequence[str]) -> torch.Tensor:
        """Answers as tokens (n, answer tokens), each with its end; IGNORED where none is."""
        tokenizer = self.processor.tokenizer
        if not self.causal:  # the tokenizer adds start and end
            ids = tokenizer(list(answers), truncation=True, max_length=self.longest)["input_ids"]
        else:
            space = "" if self.prompt("")[-1:].isspace() else " "
            texts = [space + answer for answer in answers]
            ids = tokenizer(texts, add_special_tokens=False)["input_ids"]
            ids = [[*row[: self.longest - 1], self.end] for row in ids]
        return torch.cat(padded([torch.tensor([row]) for row in ids], IGNORE_INDEX))
