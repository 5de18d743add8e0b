"""Faults that end a run, told in a sentence for people."""

from __future__ import annotations

import math


class RunFailed(RuntimeError):
    """A reason for which a run ends; its text is shown as it is."""


class NotANumber(RunFailed):
    """A loss or a mean of factors is infinite or not a number."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}; a lower learning_rate, lora.alpha, privacy.clip or privacy.noise may help"
        )


def require_number(value: float, what: str, round_: int) -> None:
    """Raise NotANumber unless a value after a round is finite."""
    if not math.isfinite(value):
        raise NotANumber(f"{what} is not a number after round {round_}")
