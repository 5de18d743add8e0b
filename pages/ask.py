"""Ask: what base, global and personalised models answer about one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from app.look import STYLES, percent
from app.widgets import choose_client, choose_item, choose_run
from db import queries
from db.tables import Run
from engine.config import ExperimentConfig
from engine.federation.federation import Example, Federation, new_federation
from engine.launcher import NotPossible
from engine.pictures import MAX_BYTES, BadPicture, read_picture

if TYPE_CHECKING:
    from engine.answers import VariantAnswer


@st.cache_resource(max_entries=8, show_spinner=False)
def federation_of(config: str) -> Federation:
    """The clients' data of an experiment (config as JSON)."""
    return new_federation(ExperimentConfig.model_validate_json(config))


@st.cache_data(max_entries=256, show_spinner="The models are thinking …")
def answers_of(
    run_id: int, rounds: tuple[int, ...], client: int, image: np.ndarray, question: str
) -> list[VariantAnswer]:
    """All variants' answers; ``rounds`` of the experiment's runs renew them as rounds finish."""
    from engine.answers import ask  # here: it imports torch

    return ask(run_id, client, image, question)


def choose_picture(items: tuple[Example, ...]) -> tuple[np.ndarray, str, str | None]:
    """A test item of the client or an upload: picture, question, and the right answer if known."""
    source = st.segmented_control(
        "Picture", ["One of its test pictures", "My own picture"], required=True,
        default="One of its test pictures", key="source",
    )  # fmt: skip
    if source == "My own picture":
        upload = st.file_uploader(
            f"PNG, JPEG or WebP, up to {MAX_BYTES // 2**20} MB", key="upload", max_upload_size=10
        )
        if upload is None:
            st.stop()
        try:
            image = read_picture(upload.getvalue())
        except BadPicture as mistake:
            st.error(str(mistake))
            st.stop()
        question = st.text_input("Question", "How many things are there?", key="own_question")
        st.caption("This small model knows only the world of the parts bins.")
        return image, question, None
    names = [f"{number + 1}. {item.question}" for number, item in enumerate(items)]
    item = items[choose_item("Test picture", names)]
    question = st.text_input("Question", item.question, key=f"question_{item.item}")
    return item.image, question, item.answer if question == item.question else None


def show_answer(answer: VariantAnswer, reference: str | None) -> None:
    """One variant's answer with its confidence, marked right or wrong where that is known."""
    style = STYLES[answer.variant]
    css_dash = {"dot": "dotted", "dash": "dashed"}.get(style.dash, "solid")
    with st.container(border=True, key=f"answer_{answer.variant}"):
        st.html(
            f'<div style="border-top:4px {css_dash} {style.colour};padding-top:.5rem">'
            f"<b>{style.label.partition(' (')[0]}</b></div>"
        )
        st.markdown(f"### {answer.text or '(no answer)'}")
        lines = [f"{percent(answer.confidence)} sure"]
        if reference is not None:
            lines.insert(0, "✓ right" if answer.text == reference else "✗ wrong")
        st.markdown("  \n".join(lines))
        st.caption(answer.source)


def show_page(run: Run, client: int, config: ExperimentConfig) -> None:
    """The picture and the question on the left, the answers on the right."""
    data = federation_of(config.model_dump_json())
    left, right = st.columns([4, 6], gap="large")
    with left:
        image, question, reference = choose_picture(data.examples(client, "test"))
        st.image(image, width=250)
    with right:
        try:
            rounds = tuple(r.rounds_done for r in queries.runs_of(run.experiment_id))
            found = answers_of(run.id, rounds, client, image, question)
        except (NotPossible, queries.NoSuchRun) as mistake:
            st.warning(str(mistake))
            st.stop()
        if reference is not None:
            st.markdown(f"At this site the right answer is **{reference}**.")
        for column, answer in zip(st.columns(len(found)), found, strict=True):
            with column:
                show_answer(answer, reference)
        profile = data.profile(client)
        show_words(profile.camera, profile.words)


def show_words(camera: str, words: dict[str, str]) -> None:
    """What sets this client apart."""
    st.caption(f"This client looks through the {camera} camera.")
    if words:
        pairs = ", ".join(f"{neutral} → *{word}*" for neutral, word in words.items())
        st.caption(f"Its own words: {pairs}")


st.title("Ask")
st.markdown("The same question to three models: untouched, shared by all, and this client's own.")
which_run, which_client = st.columns([3, 1])
with which_run:
    selected = choose_run(trained_only=True)
if selected is not None:
    setting = ExperimentConfig.model_validate(selected.experiment.config)
    with which_client:
        chosen = choose_client(setting.clients)
    show_page(selected, chosen, setting)
