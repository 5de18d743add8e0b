"""The account of the data: how many rows are used, what is left out, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with the data: what, how often, and the first example by name."""

    kind: str
    count: int
    first: str
    left_out: bool = True  # else the rows are used as they are

    def __str__(self) -> str:
        return f"{self.kind} ({self.count:,}; first: {self.first})"


class Problems:
    """Counts problems by kind while data are read."""

    def __init__(self, known: Iterable[Problem] = ()) -> None:
        self._by_kind = {problem.kind: problem for problem in known}

    def add(self, kind: str, example: str, count: int = 1, *, left_out: bool = True) -> None:
        """Count a problem; the first example of a kind is the one that is kept."""
        before = self._by_kind.get(kind, Problem(kind, 0, example, left_out))
        self._by_kind[kind] = Problem(kind, before.count + count, before.first, before.left_out)

    def counted(self) -> tuple[Problem, ...]:
        """Return all problems, the commonest first."""
        return tuple(sorted(self._by_kind.values(), key=lambda problem: -problem.count))


@dataclass(frozen=True)
class Account:
    """The account of a data set: how many rows are used, what was left out and why.

    Set up, the command line, a run's events and its export show this one.
    """

    used: int
    problems: tuple[Problem, ...] = ()  # the commonest first

    @property
    def left_out(self) -> int:
        """Return how many rows are not used."""
        return sum(problem.count for problem in self.problems if problem.left_out)

    @property
    def read(self) -> int:
        """Return how many rows there were."""
        return self.used + self.left_out

    def noting(self, problem: Problem | None) -> Account:
        """Return the account with one more problem, if there is one."""
        return replace(self, problems=(*self.problems, problem)) if problem else self

    def lines(self) -> list[str]:
        """Return the account in lines; one line where nothing is wrong, none without rows."""
        if not self.read:  # as of the embedded world: all are drawn
            return []
        all_of = f"{self.used:,} of {self.read:,}" if self.left_out else f"all {self.used:,}"
        parts = [f"data: {all_of} rows are used"]
        parts += [f"left out: {problem}" for problem in self.problems if problem.left_out]
        parts += [f"noted: {problem}" for problem in self.problems if not problem.left_out]
        return parts
