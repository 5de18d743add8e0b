"""How well a model answers: loss and exact match, and the answers themselves."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from engine.vlm.model import IGNORED, Encoded, Vlm

_BATCH = 96
_ANSWER_TOKENS = 12


@dataclass(frozen=True)
class Score:
    """Mean loss per answer token and share of answers that are right, over ``samples`` items."""

    loss: float
    accuracy: float
    samples: int


@dataclass(frozen=True)
class Answer:
    """A generated answer; confidence is the probability that the model gives it, token by token."""

    text: str
    confidence: float


@torch.inference_mode()
def score(vlm: Vlm, samples: Encoded) -> Score:
    """Loss and exact match of greedy answers.

    An answer is right when every token of the reference is the likeliest one after the tokens
    before it: just then greedy generation writes the reference. So one forward pass is enough.
    """
    loss = torch.zeros((), device=vlm.device)
    right = torch.zeros((), device=vlm.device)
    tokens = 0
    for batch in _chunks(samples):
        logits = vlm.model(**batch.inputs(), labels=batch.labels).logits
        kept = batch.labels != IGNORED
        loss += F.cross_entropy(
            logits.flatten(0, 1), batch.labels.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        hits = logits.argmax(-1) == batch.labels
        if vlm.model.generation_config.forced_bos_token_id is not None:
            hits[:, 0] = True  # generation is made to start with it
        right += (hits | ~kept).all(-1).sum()
        tokens += int(kept.sum())
    n = len(samples)
    return Score(loss.item() / tokens, right.item() / n, n)


@torch.inference_mode()
def answer(vlm: Vlm, samples: Encoded) -> list[Answer]:
    """Greedy answers to all samples, in order."""
    found: list[Answer] = []
    for batch in _chunks(samples):
        out = vlm.model.generate(
            **batch.inputs(),
            max_new_tokens=_ANSWER_TOKENS,
            do_sample=False,
            num_beams=1,
            output_scores=True,
            return_dict_in_generate=True,
        )
        steps = torch.stack(out.scores, 1).log_softmax(-1)  # (n, new tokens, vocabulary)
        new = out.sequences[:, -steps.shape[1] :]
        log_p = steps.gather(-1, new.unsqueeze(-1)).squeeze(-1)
        pad = vlm.processor.tokenizer.pad_token_id
        confidence = log_p.masked_fill(new == pad, 0).sum(-1).exp()
        texts = vlm.processor.batch_decode(new, skip_special_tokens=True)
        found += [
            Answer(text.strip(), p) for text, p in zip(texts, confidence.tolist(), strict=True)
        ]
    return found


def _chunks(samples: Encoded) -> list[Encoded]:
    return [samples.take(slice(i, i + _BATCH)) for i in range(0, len(samples), _BATCH)]
