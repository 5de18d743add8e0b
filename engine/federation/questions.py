"""Questions about scenes, five families, each from two templates, with answers in neutral words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.federation.scenes import COLOUR_NAMES, COLUMNS, KINDS, MAX_OBJECTS, ROWS, Scenes

PLACES = tuple(f"{row} {column}" for row in ROWS for column in COLUMNS)
NUMBERS = ("zero", "one", "two", "three", "four")
TEMPLATES = {
    "presence": ("Is there a {colour} {kind}?", "Can you see a {colour} {kind}?"),
    "colour": ("What colour is the {kind}?", "Which colour has the {kind}?"),
    "kind": ("What is the {colour} thing?", "Which thing is {colour}?"),
    "count": ("How many {plural} are there?", "Count the {plural}."),
    "position": ("Where is the {colour} {kind}?", "In which place is the {colour} {kind}?"),
}
FAMILIES = tuple(TEMPLATES)


@dataclass(frozen=True)
class Question:
    """A question on one scene; ``answer`` is in neutral words."""

    family: str
    text: str
    answer: str


def plural(kind: str) -> str:
    """The plural that templates use, for example ``boxes``."""
    return kind + ("es" if kind.endswith("x") else "s")


def ask(scenes: Scenes, generator: np.random.Generator) -> list[Question]:
    """One question per scene; families are drawn evenly among those that the scene allows."""
    return [_ask_one(scenes, row, generator) for row in range(len(scenes))]


def _ask_one(scenes: Scenes, row: int, generator: np.random.Generator) -> Question:
    n = int(scenes.count[row])
    things = [
        (KINDS[scenes.kind[row, i]], COLOUR_NAMES[scenes.colour[row, i]], int(scenes.cell[row, i]))
        for i in range(n)
    ]
    kinds = [kind for kind, _, _ in things]
    colours = [colour for _, colour, _ in things]
    pairs = [thing[:2] for thing in things]
    lone_kind = [t for t in things if kinds.count(t[0]) == 1]
    lone_colour = [t for t in things if colours.count(t[1]) == 1]
    lone_pair = [t for t in things if pairs.count(t[:2]) == 1]

    possible = ["presence", "count"]
    possible += ["colour"] * bool(lone_kind) + ["kind"] * bool(lone_colour)
    possible += ["position"] * bool(lone_pair)
    family = possible[generator.integers(len(possible))]
    pick = int(generator.integers(1 << 30))
    words: dict[str, str] = {}
    if family == "presence":
        words, answer = _presence(pairs, generator)
    elif family == "colour":
        kind, answer, _ = lone_kind[pick % len(lone_kind)]
        words = {"kind": kind}
    elif family == "kind":
        answer, colour, _ = lone_colour[pick % len(lone_colour)]
        words = {"colour": colour}
    elif family == "position":
        kind, colour, cell = lone_pair[pick % len(lone_pair)]
        words, answer = {"colour": colour, "kind": kind}, PLACES[cell]
    else:
        words, answer = _count(kinds, generator)
    template = TEMPLATES[family][generator.integers(2)]
    return Question(family, template.format(**words), answer)


def _presence(
    pairs: list[tuple[str, str]], generator: np.random.Generator
) -> tuple[dict[str, str], str]:
    """Half the time something that is there; else something that is not."""
    kind, colour = pairs[generator.integers(len(pairs))]
    if generator.random() < 0.5:
        return {"kind": kind, "colour": colour}, "yes"
    while (kind, colour) in pairs:
        kind = KINDS[generator.integers(len(KINDS))]
        colour = COLOUR_NAMES[generator.integers(len(COLOUR_NAMES))]
    return {"kind": kind, "colour": colour}, "no"


def _count(kinds: list[str], generator: np.random.Generator) -> tuple[dict[str, str], str]:
    """Half the time all things; else one kind, mostly one that is there."""
    if generator.random() < 0.5:
        return {"plural": "things"}, NUMBERS[len(kinds)]
    candidates = [*kinds, KINDS[generator.integers(len(KINDS))]]
    kind = candidates[generator.integers(len(candidates))]
    return {"plural": plural(kind)}, NUMBERS[kinds.count(kind)]


def neutral_answers() -> list[str]:
    """Every answer there can be, in neutral words."""
    return ["yes", "no", *COLOUR_NAMES, *KINDS, *NUMBERS[: MAX_OBJECTS + 1], *PLACES]
