"""Ask: the answers of base, global and personalised models about one image."""

from __future__ import annotations

from html import escape

import numpy as np
import streamlit as st

from app.disagreement import telling_client, telling_item
from app.judging import verdict
from app.look import STYLES, certainty, plain
from app.thumbnails import shrunk
from app.widgets import choose_client, choose_item, choose_run, client_names
from db import reads
from db.tables import Run
from engine.answering import client as answering
from engine.answering.client import NoAnswer
from engine.config import BUNDLED, WORLD, ConfigError, ExperimentConfig
from engine.data.dataset import Example, FederatedDataset
from engine.data.factory import new_dataset
from engine.data.pictures import KINDS, MAX_BYTES, BadPicture, read_picture
from engine.data.user.rows import shorten
from engine.metrics import Metric, metric_of
from engine.results.variants import VariantAnswer

SIDE = 320  # pixels of the image's longer side on the page
LONG_QUESTION = 60  # letters that fit into one line
LONG_ANSWER = 40


@st.cache_resource(max_entries=8, show_spinner=False)
def dataset_of(config: str) -> FederatedDataset:
    """Keep the clients' data of an experiment (config as JSON)."""
    return new_dataset(ExperimentConfig.model_validate_json(config))


@st.cache_data(max_entries=256, show_spinner="The models are thinking …")
def answers_of(
    run_id: int, rounds: tuple[int, ...], number: int, image: np.ndarray, question: str
) -> list[VariantAnswer]:
    """Ask all variants; ``rounds`` of the experiment's runs renew the answers as rounds finish."""
    return answering.ask(run_id, number, image, question)


@st.cache_data(max_entries=64, show_spinner=False)
def example_of(config: str, client: int, number: int) -> Example:
    """Read a test item of a client with its image. Raises ConfigError where that has gone."""
    return dataset_of(config).example(client, "test", number)


def choose_image(
    run: Run, config: ExperimentConfig, client: int
) -> tuple[np.ndarray, str, tuple[str, ...] | None]:
    """Ask for a test item or an upload: image, question, and right answers if known."""
    source = st.segmented_control(
        "Picture", ["One of its test pictures", "My own picture"], required=True,
        default="One of its test pictures", key="source",
    )  # fmt: skip
    if source == "My own picture":
        return *own_image(config), None
    values = config.model_dump_json()
    items = dataset_of(values).items(client, "test")
    names = [f"{number + 1}. {shorten(item.question)}" for number, item in enumerate(items)]
    usual = telling_item(run, client, [item.item for item in items])
    example = example_of(values, client, choose_item("Test picture", names, usual, client))
    written = st.text_area if len(example.question) > LONG_QUESTION else st.text_input
    question = written("Question", example.question, key=f"question_{client}_{example.item}")
    return example.image, question, example.accepted if question == example.question else None


def own_image(config: ExperimentConfig) -> tuple[np.ndarray, str]:
    """Ask for an upload, and a question about it."""
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
    usual = "How many things are there?" if embedded else "What is in the picture?"
    question = st.text_input("Question", usual, key="own_question")
    if embedded:
        st.caption("This small model knows only the world of the parts bins.")
    return image, question


def show_answer(answer: VariantAnswer, references: tuple[str, ...] | None, metric: Metric) -> None:
    """Show a variant's answer with its confidence, marked right or wrong where that is known."""
    style = STYLES[answer.variant]
    css_dash = {"dot": "dotted", "dash": "dashed"}.get(style.dash, "solid")
    text = answer.text or "(no answer)"
    letters = "1.4rem" if len(text) <= LONG_ANSWER else "1rem"
    with st.container(border=True, height="stretch", key=f"answer_{answer.variant}"):
        st.html(
            f'<div style="border-top:4px {css_dash} {style.colour};padding-top:.5rem">'
            f"<b>{style.label.partition(' (')[0]}</b></div>"
            f'<div style="font-size:{letters};font-weight:600;line-height:1.35;margin-top:.75rem;'
            f'max-height:16rem;overflow:auto;overflow-wrap:anywhere">{escape(text)}</div>'
        )
        lines = verdict(answer.text, references, metric) if references else []
        st.markdown("  \n".join([*lines, certainty(answer.confidence)]))
        st.caption(answer.source)


def show_page(run: Run, client: int, config: ExperimentConfig) -> None:
    """Show image and question on the left, the answers on the right."""
    left, right = st.columns([4, 6], gap="large")
    with left:
        image, question, references = choose_image(run, config, client)
        height, width = image.shape[:2]
        st.image(shrunk(image, 2 * SIDE), width=max(1, SIDE * width // max(height, width)))
    with right:
        rounds = tuple(r.rounds_done for r in reads.runs_of(run.experiment_id))
        answers = answers_of(run.id, rounds, client, image, question)
        if references:
            show_references(references)
        for column, answer in zip(st.columns(len(answers)), answers, strict=True):
            with column:
                show_answer(answer, references, metric_of(config.data.metric))
        profile = dataset_of(config.model_dump_json()).profile(client)
        show_words(profile.camera, profile.words)


def show_references(references: tuple[str, ...]) -> None:
    """Show the right answer, and what also counts as right."""
    first, *rest = dict.fromkeys(references)
    st.markdown(f"The right answer at this site: **{plain(first, 1000)}**")
    if rest:
        st.caption(f"Also right: {', '.join(map(plain, rest))}")


def show_words(camera: str, words: dict[str, str]) -> None:
    """Show what sets this client apart."""
    if camera != "day":
        st.caption(f"This client looks through the {camera} camera.")
    if words:
        pairs = ", ".join(f"{plain(text)} → *{plain(own)}*" for text, own in words.items())
        st.caption(f"Its own words: {pairs}")


st.title("Ask")
st.markdown("The same question to three models: untouched, shared by all, and this client's own.")
which_run, which_client = st.columns([3, 1])
with which_run:
    selected = choose_run(trained_only=True)
if selected is not None:
    config = ExperimentConfig.parse(selected.experiment.config)
    with which_client:
        chosen = choose_client(
            config.clients, client_names(selected), telling_client(selected, config.clients)
        )
    try:
        show_page(selected, chosen, config)
    except (NoAnswer, reads.NoSuchRun) as mistake:
        st.warning(str(mistake))
    except ConfigError as mistake:  # the data or the model are no longer where they were
        st.error(str(mistake))
