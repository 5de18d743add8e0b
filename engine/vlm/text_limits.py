"""Texts that a model can read and write, known before anything starts. No torch here."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from tokenizers import Tokenizer

from engine.config import ConfigError, ExperimentConfig
from engine.vlm.checkpoint_files.sources import folder_of
from engine.vlm.resolved import ResolvedModel

_TOKENIZER = "tokenizer.json"


class TextLimits:
    """A config's questions and answers against what its model reads as text, and how much of it."""

    def __init__(self, config: ExperimentConfig, model: ResolvedModel) -> None:
        self.markers = model.markers
        self.question_tokens = question_tokens(config, model)
        self.answer_tokens = config.data.answer_tokens
        self._tokenizer = _tokenizer(folder_of(config.model), model.digest)

    def question_problem(self, question: str) -> str:
        """Return why a question cannot be asked, in a few words; "" where it can."""
        asked = self.markers.removed_from(question)
        if question.strip() and not asked.strip():
            return "the question holds nothing but what the model reads as control"
        if self.question_tokens is None or len(asked.encode()) <= self.question_tokens:
            return ""
        tokens = self.tokens(asked)
        if tokens <= self.question_tokens:
            return ""
        return (
            f"the question is too long: {tokens} tokens, and the model reads "
            f"{self.question_tokens} beside the picture"
        )

    def answer_problem(self, answer: str) -> str:
        """Return why an answer cannot be learnt, in a few words; "" where it can."""
        marker = self.markers.first_in(answer)
        return (
            f"the answer holds {marker.strip()}, which the model reads as control" if marker else ""
        )

    def is_cut(self, answer: str) -> bool:
        """Tell whether an answer is longer than ``data.answer_tokens``, with its end token."""
        room = self.answer_tokens - 1
        return len(answer.encode()) > room and self.tokens(answer) > room

    def tokens(self, text: str) -> int:
        """Return the tokens of a text; at most so many where the tokenizer is no single file."""
        if self._tokenizer is None:
            return len(text.encode())
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)


def question_tokens(config: ExperimentConfig, model: ResolvedModel) -> int | None:
    """Return the tokens that a question may have; None where the model sets no limit."""
    if not model.positions:
        return None
    answer = config.data.answer_tokens if model.causal else 0
    return model.positions - model.frame_tokens - answer


def check_lengths(config: ExperimentConfig, model: ResolvedModel) -> None:
    """Raise ConfigError where ``data.answer_tokens`` is more than the model has positions for."""
    if not model.positions:
        return
    taken = model.frame_tokens + 1 if model.causal else 0  # a question of one token
    most = model.positions - taken
    if config.data.answer_tokens > most:
        beside = f", {taken} of them taken by picture and question" if taken else ""
        raise ConfigError(
            f"data.answer_tokens: {config.model} has {model.positions} positions{beside}; "
            f"allowed: 1 to {max(most, 1)}"
        )


@lru_cache(maxsize=4)
def _tokenizer(folder: Path | None, digest: str) -> Tokenizer | None:
    """Load a folder's fast tokenizer; ``digest`` stands for the state of its files."""
    if folder is None or not (folder / _TOKENIZER).is_file():
        return None
    tokenizer = Tokenizer.from_file(str(folder / _TOKENIZER))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
