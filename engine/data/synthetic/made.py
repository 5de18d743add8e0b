"""A scene that somebody makes on the spot: one thing as they want it, others around it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from engine.data.synthetic.cameras import look_through
from engine.data.synthetic.faults import CONDITIONS, FINE
from engine.data.synthetic.questions import CONDITION, NUMBERS, PLACES, TEMPLATES, Question
from engine.data.synthetic.scenes import (
    COLOUR_NAMES,
    KINDS,
    MATERIALS,
    MAX_OBJECTS,
    SIZES,
    Scenes,
    render,
    sample_scenes,
)
from engine.system.seeding import rng

MOST_OTHERS = MAX_OBJECTS - 1
_MATERIAL, _SIZE = "shiny", "large"
_TURN = 0.6  # direction of a fault, in radians


@dataclass(frozen=True)
class MadeScene:
    """A large shiny thing with so many others, which share neither its kind nor its colour.

    The others are in fine condition.
    """

    kind: str
    colour: str
    place: str
    others: int = 0
    condition: str = FINE

    def picture(self, camera: str = "day", strength: float = 1.0) -> np.ndarray:
        """Render it as a camera shows it, (height, width, 3) uint8; the same every time."""
        clean = render(self._scenes())
        return look_through(camera, clean, strength, rng(0, "made", "camera"))[0]

    def questions(self) -> list[Question]:
        """Return what can be asked about the thing, with right answers in neutral words."""
        colour, kind, place = self.colour, self.kind, self.place
        described = f"{_SIZE} {_MATERIAL} {colour} {kind}"
        asked = {
            "kind": ({"colour": colour}, kind),
            "colour": ({"kind": kind}, colour),
            "position": ({"colour": colour, "kind": kind}, place),
            "count": ({"things": "things"}, NUMBERS[1 + self.others]),
            CONDITION: ({"place": place}, f"{self.condition} {kind}"),
            "description": ({"place": place}, described),
        }
        return [
            Question(family, TEMPLATES[family][0].format(**words), answer, answer)
            for family, (words, answer) in asked.items()
        ]

    def _scenes(self) -> Scenes:
        generator = rng(0, "made", self.others)
        scenes = sample_scenes(1, generator)
        kind, colour = KINDS.index(self.kind), COLOUR_NAMES.index(self.colour)
        cell = PLACES.index(self.place)
        free = generator.permutation([other for other in range(9) if other != cell])
        cells = np.array([[cell, *free[:MOST_OTHERS]]])
        kinds = (kind + generator.integers(1, len(KINDS), scenes.kind.shape)) % len(KINDS)
        colours = colour + generator.integers(1, len(COLOUR_NAMES), scenes.colour.shape)
        scenes = replace(
            scenes,
            count=np.array([1 + self.others]),
            cell=cells,
            x=0.2 + 0.3 * (cells % 3),
            y=0.19 + 0.3 * (cells // 3),
            kind=kinds,
            colour=colours % len(COLOUR_NAMES),
            condition=np.full_like(scenes.condition, CONDITIONS.index(FINE)),
            turn=np.full_like(scenes.turn, _TURN),
            light=np.array([0.85]),
            sun=np.array([-0.6]),
        )
        scenes.kind[0, 0], scenes.colour[0, 0] = kind, colour
        scenes.condition[0, 0] = CONDITIONS.index(self.condition)
        scenes.material[0, 0] = MATERIALS.index(_MATERIAL)
        scenes.size[0, 0] = SIZES.index(_SIZE)
        return scenes
