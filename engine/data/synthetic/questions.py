"""Questions about scenes, nine families, each from several templates, with neutral answers.

A tenth, *condition*, asks what is wrong with a part. The bundled model sees the answer but has
never been asked: that is the skill which clients learn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from engine.data.synthetic.faults import CONDITIONS, FINE
from engine.data.synthetic.scenes import (
    COLOUR_NAMES,
    COLUMNS,
    KINDS,
    MATERIALS,
    ROWS,
    SIZES,
    Scenes,
)

PLACES = tuple(f"{row} {column}" for row in ROWS for column in COLUMNS)
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six")
SIDES = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}
TEMPLATES = {
    "presence": (
        "Is there a {colour} {kind}?",
        "Can you see a {colour} {kind}?",
        "Does the bin hold a {colour} {kind}?",
    ),
    "colour": ("What colour is the {kind}?", "Which colour has the {kind}?"),
    "kind": ("What is the {colour} thing?", "Which thing is {colour}?"),
    "material": ("Is the {colour} {kind} matt or shiny?", "Which finish has the {colour} {kind}?"),
    "count": ("How many {things} are there?", "Count the {things}."),
    "position": ("Where is the {colour} {kind}?", "In which place is the {colour} {kind}?"),
    "relation": (
        "What is {side} the {colour} {kind}?",
        "Which thing stands {side} the {colour} {kind}?",
    ),
    "comparison": (
        "Which is bigger, the {one} or the {other}?",
        "Are there more {one} or more {other} things?",
    ),
    "description": ("Describe the thing at the {place}.", "What stands at the {place}?"),
}
FAMILIES = tuple(TEMPLATES)
CONDITION = "condition"
TEMPLATES[CONDITION] = (
    "What is wrong with the thing at the {place}?",
    "In which condition is the thing at the {place}?",
)
_Words = dict[str, str]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Question:
    """A question on one scene; ``answer`` is in neutral words.

    ``topic`` is the answer's class, as label skew sees it: the answer itself, or, of a description,
    the kind that it names.
    """

    family: str
    text: str
    answer: str
    topic: str


@dataclass(frozen=True)
class _Thing:
    kind: str
    colour: str
    material: str
    size: int
    cell: int
    condition: str


def plural(kind: str) -> str:
    """Return the plural that templates use, for example ``boxes``."""
    return kind + ("es" if kind[-1] in "xs" else "s")


def topics() -> list[str]:
    """Return every class of answers, in neutral words."""
    return ["yes", "no", *COLOUR_NAMES, *KINDS, *MATERIALS, *NUMBERS, *PLACES, *CONDITIONS]


def ask(
    scenes: Scenes, generator: np.random.Generator, families: np.ndarray | None = None
) -> list[Question]:
    """Ask one question per scene; families are drawn evenly among those that the scene allows.

    ``families`` (n,) holds a number in FAMILIES per scene, len(FAMILIES) for *condition*, or -1:
    that family comes where the scene allows it. *Condition* comes only where it is asked for.
    """
    numbers = [-1] * len(scenes) if families is None else families.tolist()
    return [_ask_one(_things(scenes, i), number, generator) for i, number in enumerate(numbers)]


def _things(scenes: Scenes, row: int) -> list[_Thing]:
    values = [scenes.kind, scenes.colour, scenes.material, scenes.size, scenes.cell]
    values.append(scenes.condition)
    columns = (field[row, : scenes.count[row]].tolist() for field in values)
    return [
        _Thing(KINDS[k], COLOUR_NAMES[c], MATERIALS[m], s, cell, CONDITIONS[f])
        for k, c, m, s, cell, f in zip(*columns, strict=True)
    ]


def _ask_one(things: list[_Thing], first: int, generator: np.random.Generator) -> Question:
    order = generator.permutation(len(FAMILIES)).tolist()
    if first >= 0:
        order.insert(0, first)
    families = ((*FAMILIES, CONDITION)[number] for number in order)
    made = ((family, _MAKERS[family](things, generator)) for family in families)
    family, (words, answer, template) = next((f, m) for f, m in made if m is not None)
    if template is None:
        template = int(generator.integers(len(TEMPLATES[family])))
    text = TEMPLATES[family][template].format(**words)
    topic = answer
    if family == "description":
        topic = answer.split()[-1]
    elif family == CONDITION:
        topic = answer.split()[0]
    return Question(family, text, answer, topic)


# A maker returns the words of the template, the answer, and which template (None: any); or None
# where the scene does not allow the question. Presence, count and description are always possible.
_Made = tuple[_Words, str, int | None] | None


def _pick(items: Sequence[_T], generator: np.random.Generator) -> _T:
    return items[int(generator.integers(len(items)))]


def _alone(things: list[_Thing], *names: str) -> list[_Thing]:
    """Return the things that no other one equals in these attributes."""
    seen = Counter(tuple(getattr(t, name) for name in names) for t in things)
    return [t for t in things if seen[tuple(getattr(t, name) for name in names)] == 1]


def _presence(things: list[_Thing], generator: np.random.Generator) -> _Made:
    """Ask half the time for something that is there, else for a pair that is not.

    The pair is often of a kind and a colour that are there, so that neither of them alone tells.
    """
    there = {(t.kind, t.colour) for t in things}
    if generator.random() < 0.5:
        thing = _pick(things, generator)
        return {"kind": thing.kind, "colour": thing.colour}, "yes", None
    kinds, colours = ({getattr(t, name) for t in things} for name in ("kind", "colour"))
    crossed = sorted({(k, c) for k in kinds for c in colours} - there)
    if crossed and generator.random() < 0.5:
        kind, colour = _pick(crossed, generator)
    else:
        kind, colour = _pick(KINDS, generator), _pick(COLOUR_NAMES, generator)
        while (kind, colour) in there:
            kind, colour = _pick(KINDS, generator), _pick(COLOUR_NAMES, generator)
    return {"kind": kind, "colour": colour}, "no", None


def _colour(things: list[_Thing], generator: np.random.Generator) -> _Made:
    if not (lone := _alone(things, "kind")):
        return None
    thing = _pick(lone, generator)
    return {"kind": thing.kind}, thing.colour, None


def _kind(things: list[_Thing], generator: np.random.Generator) -> _Made:
    if not (lone := _alone(things, "colour")):
        return None
    thing = _pick(lone, generator)
    return {"colour": thing.colour}, thing.kind, None


def _material(things: list[_Thing], generator: np.random.Generator) -> _Made:
    if not (lone := _alone(things, "kind", "colour")):
        return None
    thing = _pick(lone, generator)
    return {"colour": thing.colour, "kind": thing.kind}, thing.material, None


def _position(things: list[_Thing], generator: np.random.Generator) -> _Made:
    if not (lone := _alone(things, "kind", "colour")):
        return None
    thing = _pick(lone, generator)
    return {"colour": thing.colour, "kind": thing.kind}, PLACES[thing.cell], None


def _count(things: list[_Thing], generator: np.random.Generator) -> _Made:
    """Count all things a third of the time; else those of a kind or colour, evenly by count."""
    if generator.random() < 1 / 3:
        return {"things": "things"}, NUMBERS[len(things)], None
    kinds, colours = (Counter(getattr(t, name) for t in things) for name in ("kind", "colour"))
    by_count: dict[int, list[str]] = {}
    for names, seen, say in ((KINDS, kinds, plural), (COLOUR_NAMES, colours, "{} things".format)):
        for name in names:
            by_count.setdefault(seen[name], []).append(say(name))
    counts = sorted(by_count)
    odds = np.array([0.5 if count == 0 else count for count in counts], float)
    count = counts[generator.choice(len(counts), p=odds / odds.sum())]
    return {"things": _pick(by_count[count], generator)}, NUMBERS[count], None


def _relation(things: list[_Thing], generator: np.random.Generator) -> _Made:
    """Ask for the only thing on one side of another; two would be ambiguous."""
    pairs = []
    for thing in _alone(things, "kind", "colour"):
        for side, (dx, dy) in SIDES.items():
            beside = [t for t in things if _steps(thing, t, dx, dy) > 0]
            if len(beside) == 1:
                pairs.append((thing, side, beside[0].kind))
    if not pairs:
        return None
    thing, side, answer = _pick(pairs, generator)
    return {"side": side, "colour": thing.colour, "kind": thing.kind}, answer, None


def _steps(a: _Thing, b: _Thing, dx: int, dy: int) -> int:
    """Count the columns (dx) or rows (dy) that b stands on that side of a."""
    return (b.cell % 3 - a.cell % 3) * dx + (b.cell // 3 - a.cell // 3) * dy


def _comparison(things: list[_Thing], generator: np.random.Generator) -> _Made:
    """Ask for the bigger of two things, or the more frequent of two colours."""
    lone = _alone(things, "kind")
    sized = [(a.kind, b.kind) for a in lone for b in lone if a.size > b.size]
    seen = Counter(t.colour for t in things)
    frequent = [(a, b) for a in seen for b in seen if seen[a] > seen[b]]
    possible = [(0, sized)] * bool(sized) + [(1, frequent)] * bool(frequent)
    if not possible:
        return None
    template, pairs = _pick(possible, generator)
    more, less = _pick(pairs, generator)
    first, second = (more, less) if generator.random() < 0.5 else (less, more)
    return {"one": first, "other": second}, more, template


def _description(things: list[_Thing], generator: np.random.Generator) -> _Made:
    thing = _pick(things, generator)
    answer = f"{SIZES[thing.size]} {thing.material} {thing.colour} {thing.kind}"
    return {"place": PLACES[thing.cell]}, answer, None


def _condition(things: list[_Thing], generator: np.random.Generator) -> _Made:
    """Ask what is where, and how it fares; most are fine, and are asked for less often."""
    conditions = sorted({thing.condition for thing in things})
    odds = np.array([0.4 if condition == FINE else 1.0 for condition in conditions])
    condition = conditions[generator.choice(len(conditions), p=odds / odds.sum())]
    thing = _pick([thing for thing in things if thing.condition == condition], generator)
    return {"place": PLACES[thing.cell]}, f"{condition} {thing.kind}", None


_MAKERS = {
    "presence": _presence,
    "colour": _colour,
    "kind": _kind,
    "material": _material,
    "count": _count,
    "position": _position,
    "relation": _relation,
    "comparison": _comparison,
    "description": _description,
    CONDITION: _condition,
}
