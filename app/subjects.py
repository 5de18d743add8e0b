"""Images to ask about: a client's test item, a scene that is made on the spot, an upload."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import streamlit as st

from app.look import KEYS
from app.scene_form import make_scene
from app.widgets import choose_item, linked
from db.tables import Run
from engine.answering.client import Picture
from engine.answering.wire import MOST_CLIENTS
from engine.config import BUNDLED, SITES, WORLD, ExperimentConfig
from engine.data.dataset import Example, FederatedDataset, Item
from engine.data.factory import new_dataset
from engine.data.pictures import KINDS, MAX_BYTES, BadPicture, read_picture
from engine.data.user.rows import shorten
from engine.results.disagreement import filters

SOURCES = {"test": "Its test pictures", "scene": "A scene you make", "own": "A picture of yours"}


@dataclass
class Subject:
    """An image with a question that suits it; ``accepted``: its right answers by client.

    ``file``: what is sent to the models, the file itself where somebody uploaded it.
    """

    image: np.ndarray
    file: Picture
    question: str
    accepted: dict[int, tuple[str, ...]] = field(default_factory=dict)


@st.cache_resource(max_entries=8, show_spinner=False)
def dataset_of(config: str) -> FederatedDataset:
    """Keep the clients' data of an experiment (config as JSON)."""
    return new_dataset(ExperimentConfig.model_validate_json(config))


@st.cache_data(max_entries=64, show_spinner=False)
def example_of(config: str, client: int, number: int) -> Example:
    """Read a test item of a client with its image. Raises ConfigError where that has gone."""
    return dataset_of(config).example(client, "test", number)


def choose_subject(run: Run, config: ExperimentConfig, client: int) -> Subject:
    """Ask for an image. Raises ConfigError where the data have gone."""
    sources = [name for name in SOURCES if name != "scene" or config.dataset == WORLD]
    if config.dataset == SITES:  # its test pictures stay with it
        sources = ["own"]
    where, which = st.columns([4, 5], gap="large")
    with where:
        source = linked(
            "source", sources, sources[0],
            lambda key: st.segmented_control(
                "Picture", sources, required=True, format_func=SOURCES.__getitem__, key=key,
                wrap=True,
            ),
        )  # fmt: skip
    if source == "own":
        with which:
            return _uploaded(config)
    if source == "scene":
        scene = make_scene(config, client)
        accepted = {k: scene.accepted_by(config, k) for k in clients_asked(config, client)}
        return Subject(scene.image, scene.image, scene.question, accepted)
    with which:
        chosen = _choose_filter(run, config, client)
    return _test_item(config, client, chosen)


def clients_asked(config: ExperimentConfig, client: int) -> tuple[int, ...]:
    """Return the clients that are asked at once: the first ones and the chosen one."""
    return tuple(sorted({*range(min(config.clients, MOST_CLIENTS - 1)), client}))


def _choose_filter(run: Run, config: ExperimentConfig, client: int) -> frozenset[str]:
    """Ask for a choice of test items by what personalising did; return those of this client."""
    items = frozenset(item.item for item in _items(config, client))
    choices = filters(run, client, items)
    usual = "fixed" if choices["fixed"].items and "item" not in st.query_params else "all"
    chosen = choices[
        linked(
            "filter", tuple(choices), usual,
            lambda key: st.segmented_control(
                "What personalising did", choices, required=True, key=key, wrap=True,
                format_func=lambda name: f"{choices[name].name} · {len(choices[name].items)}",
                help="\n".join(f"- *{choice.name}*: {choice.told}" for choice in choices.values()),
            ),
        )
    ]  # fmt: skip
    if not chosen.items:
        st.caption(f"Client {client} has no question of this kind: all of its are here.")
    return chosen.items or items


def _items(config: ExperimentConfig, client: int) -> list[Item]:
    return dataset_of(config.model_dump_json()).items(client, "test")


def _test_item(config: ExperimentConfig, client: int, chosen: frozenset[str]) -> Subject:
    """Ask for one of the chosen test items of a client."""
    names = {
        number: f"{number + 1}. {shorten(item.question)}"
        for number, item in enumerate(_items(config, client))
        if item.item in chosen
    }
    with st.container(horizontal=True, vertical_alignment="bottom"):
        number = choose_item("Test picture", names, next(iter(names)), client)
        for label, key, step in (("← Previous", "previous", -1), ("Next →", "next", 1)):
            arguments = (list(names), step)
            st.button(label, key=key, shortcut=KEYS[key], on_click=_go_on, args=arguments)
    values = config.model_dump_json()
    example, dataset = example_of(values, client, number), dataset_of(values)
    accepted = {
        k: dataset.accepted_by(k, client, "test", number) for k in clients_asked(config, client)
    }
    return Subject(example.image, example.image, example.question, accepted)


def _go_on(numbers: list[int], step: int) -> None:
    """Go on to the next of these items; after the last comes the first."""
    now = st.session_state.get("choose_item")
    place = numbers.index(now) if now in numbers else -step
    st.session_state["choose_item"] = numbers[(place + step) % len(numbers)]


def _uploaded(config: ExperimentConfig) -> Subject:
    """Ask for an upload; the page ends here until there is one."""
    upload = st.file_uploader(
        f"{KINDS}, up to {MAX_BYTES // 2**20} MB", key="upload", max_upload_size=10
    )
    if upload is None:
        st.stop()
    try:
        image = read_picture(upload.getvalue())
    except BadPicture as mistake:
        st.error(str(mistake))
        st.stop()
    embedded = (config.model, config.dataset) == (BUNDLED, WORLD)
    if embedded:
        st.caption("This small model knows only the world of the parts bins.")
    usual = "How many things are there?" if embedded else "What is in the picture?"
    return Subject(image, upload.getvalue(), usual)
