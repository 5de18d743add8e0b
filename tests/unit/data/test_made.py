"""Scenes that somebody makes on the spot."""

import numpy as np
import pytest

from engine.data.synthetic.made import MOST_OTHERS, MadeScene
from engine.data.synthetic.questions import _things


@pytest.mark.parametrize("others", range(MOST_OTHERS + 1))
def test_a_made_scene_holds_the_thing_alone_of_its_kind_and_colour(others):
    made = MadeScene("ring", "blue", "middle centre", others)
    first, *rest = _things(made._scenes(), 0)
    assert (first.kind, first.colour, first.cell) == ("ring", "blue", 4)
    assert len(rest) == others and len({thing.cell for thing in (first, *rest)}) == 1 + others
    assert all(thing.kind != "ring" and thing.colour != "blue" for thing in rest)
    answers = {question.family: question.answer for question in made.questions()}
    assert {thing.condition for thing in (first, *rest)} == {"fine"}
    assert (
        answers["condition"] == "fine ring"
        and answers["kind"] == "ring"
        and answers["position"] == "middle centre"
    )


def test_a_control_changes_the_picture_and_nothing_else_does():
    made = MadeScene("ring", "blue", "middle centre", 2)
    day = made.picture()
    assert day.shape == (112, 112, 3) and np.array_equal(day, made.picture())
    changes = [
        {"kind": "box"},
        {"colour": "red"},
        {"place": "top left"},
        {"others": 3},
        {"condition": "rusty"},
    ]
    for change in changes:
        assert not np.array_equal(day, MadeScene(**{**vars(made), **change}).picture())
    assert not np.array_equal(day, made.picture("night"))
