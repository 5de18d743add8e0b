"""A scene of the embedded world that a visitor makes by a few controls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.widgets import linked
from engine.config import ExperimentConfig
from engine.data.synthetic.cameras import CAMERAS
from engine.data.synthetic.faults import CONDITIONS, FINE
from engine.data.synthetic.heterogeneity import camera_of, words_of
from engine.data.synthetic.made import MOST_OTHERS, MadeScene
from engine.data.synthetic.questions import PLACES
from engine.data.synthetic.scenes import COLOUR_NAMES, KINDS
from engine.data.synthetic.words import say


@dataclass(frozen=True)
class AskedScene:
    """A scene's picture as a camera shows it, a question, and its answer in neutral words."""

    image: np.ndarray
    question: str
    answer: str

    def accepted_by(self, config: ExperimentConfig, client: int) -> tuple[str, ...]:
        """Return what is right at a client."""
        return (say(self.answer, words_of(config, client)),)


def make_scene(config: ExperimentConfig, client: int) -> AskedScene:
    """Ask for a thing, its place, what is around it, the camera, and what to ask about it."""
    own_camera, strength = camera_of(config, client)
    cells = iter(st.columns(7))
    kind = _select(next(cells), "kind", "Kind", KINDS, "ring")
    colour = _select(next(cells), "colour", "Colour", COLOUR_NAMES, "teal")
    place = _select(next(cells), "place", "Place", PLACES, "middle centre")
    condition = _select(next(cells), "condition", "Condition", CONDITIONS, FINE)
    with next(cells):
        others = linked(
            "others", range(MOST_OTHERS + 1), 2,
            lambda key: st.slider("Other things", 0, MOST_OTHERS, key=key),
        )  # fmt: skip
    camera = _select(next(cells), "camera", "Camera", tuple(CAMERAS), own_camera)
    scene = MadeScene(kind, colour, place, others, condition)
    questions = {question.family: question for question in scene.questions()}
    asked = questions[_select(next(cells), "about", "Ask about its", tuple(questions), "kind")]
    through = strength if camera == own_camera and strength else 1.0
    return AskedScene(scene.picture(camera, through), asked.text, asked.answer)


def _select(
    cell: DeltaGenerator, what: str, label: str, options: tuple[str, ...], usual: str
) -> str:
    return linked(what, options, usual, lambda key: cell.selectbox(label, options, key=key))
