"""Ask: the answers of all variants, and of all clients, about one image."""

from __future__ import annotations

import numpy as np
import streamlit as st

from app import stage
from app.answers import show_answers, show_clients, show_references, show_words, spotlight
from app.subjects import Subject, choose_subject, clients_asked, dataset_of
from app.thumbnails import shrunk
from app.widgets import (
    address_of_view,
    choose_client,
    choose_run,
    client_names,
    linked_text,
    linked_toggle,
)
from db import reads
from db.tables import Run
from engine.answering import client as answering
from engine.answering.client import NoAnswer, Picture
from engine.config import SITES, ConfigError, ExperimentConfig
from engine.metrics import metric_of
from engine.results.disagreement import telling_client
from engine.results.variants import ClientAnswer, VariantAnswer

SIDE, ON_STAGE = 320, 440  # pixels of the image's longer side on the page
Rounds = tuple[int, ...]  # of the experiment's runs: answers are new when one has finished


@st.cache_data(max_entries=256, show_spinner="The models are thinking …")
def answers_of(
    run_id: int, rounds: Rounds, client: int, image: Picture, question: str
) -> list[VariantAnswer]:
    """Ask all variants. Raises NoAnswer."""
    return answering.ask(run_id, client, image, question)


@st.cache_data(max_entries=256, show_spinner="All clients are thinking …")
def answers_of_clients(
    run_id: int, rounds: Rounds, clients: tuple[int, ...], image: Picture, question: str
) -> list[ClientAnswer]:
    """Ask every client's own model. Raises NoAnswer."""
    return answering.ask_clients(run_id, clients, image, question)


@st.cache_data(max_entries=256, show_spinner="Watching where they look …")
def looks_of(
    run_id: int, rounds: Rounds, client: int, image: Picture, question: str
) -> dict[str, np.ndarray]:
    """Ask where every variant looks. Raises NoAnswer."""
    return answering.where_looked(run_id, client, image, question)


def show_page(run: Run, client: int, config: ExperimentConfig) -> None:
    """Show image and question on the left, the answers on the right, all clients below."""
    subject = choose_subject(run, config, client)
    left, right = st.columns([4, 7], gap="large")
    with left:
        question = linked_text("question", "Question", subject.question)
        height, width = subject.image.shape[:2]
        side = ON_STAGE if stage.is_on() else SIDE
        shown = max(1, side * width // max(height, width))
        st.image(shrunk(subject.image, 2 * side), width=shown, alt=question)
    if question != subject.question:
        subject.accepted = {}
    with right:
        all_clients, looking = show_controls(subject)
        show_variants(run, client, config, subject, question, looking)
    if all_clients:
        show_all(run, client, config, subject, question)


def show_controls(subject: Subject) -> tuple[bool, bool]:
    """Ask if all clients are to answer, and if it is shown where they looked; offer the link."""
    with st.container(horizontal=True, vertical_alignment="center"):
        all_clients = linked_toggle("all", "All clients", "Every client's own model, below.")
        looking = linked_toggle(
            "looked", "Where they looked", "Bright: the part that the model attends to."
        )
        with st.popover("Link to this view", key="link"):
            st.code(address_of_view(), language=None, wrap_lines=True)
            if subject.file is not subject.image:
                st.caption("A picture of your own stays here: no link can bring it along.")
    return all_clients, looking


def show_variants(
    run: Run, client: int, config: ExperimentConfig, subject: Subject, question: str, looking: bool
) -> None:
    """Show the right answer, those of the variants, and what sets the client apart."""
    about = (run.id, rounds_of(run), client, subject.file, question)
    answers, grids = answers_of(*about), looks_of(*about) if looking else {}
    if looking and not grids:
        st.caption("This model has no attention on the picture that could be shown.")
    references = subject.accepted.get(client)
    if references:
        show_references(references)
    looked = {variant: spotlight(subject.image, grid) for variant, grid in grids.items()}
    show_answers(answers, references, metric_of(config.data.metric), looked)
    st.caption(f"The question went to client {client}, and only the answers came back.")
    if config.dataset != SITES:
        profile = dataset_of(config.model_dump_json()).profile(client)
        show_words(profile.camera, profile.words)


def show_all(
    run: Run, client: int, config: ExperimentConfig, subject: Subject, question: str
) -> None:
    """Show what every client's own model answers."""
    clients = clients_asked(config, client)
    answers = answers_of_clients(run.id, rounds_of(run), clients, subject.file, question)
    st.subheader("All clients, the same picture")
    show_clients(answers, client_names(run), subject.accepted, client)
    words = "Each is judged by its own words. " if subject.accepted else ""
    more = config.clients - len(clients)
    st.caption(words + (f"… and {more:,} more clients." if more else ""))


def rounds_of(run: Run) -> Rounds:
    """Return how far the runs of an experiment are."""
    return tuple(sibling.rounds_done for sibling in reads.runs_of(run.experiment_id))


st.title("Ask")
st.markdown("The same question to models that learnt alone, together, and each for its own site.")
which_run, which_client = st.columns([3, 1])
with which_run:
    selected = choose_run(trained_only=True)
if selected is not None:
    config = ExperimentConfig.parse(selected.experiment.config)
    usual = 0 if "client" in st.query_params else telling_client(selected, config.clients)
    with which_client:
        chosen = choose_client(config.clients, client_names(selected), usual)
    try:
        show_page(selected, chosen, config)
    except (NoAnswer, reads.NoSuchRun) as mistake:
        st.warning(str(mistake))
    except ConfigError as mistake:  # the data or the model are no longer where they were
        st.error(str(mistake))
