"""Who holds what: cards of the first clients, before anything runs."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from app import answer_charts
from app.look import plain
from app.thumbnails import squared
from app.widgets import show_chart
from engine.config import WORLD, ExperimentConfig
from engine.data.dataset import ClientProfile, Example
from engine.data.distance import distances_without_pictures
from engine.data.factory import new_dataset
from engine.data.synthetic.words import CIRCLES
from engine.results.look import client_name

PREVIEWED = 6  # clients whose pictures are shown
SAMPLES = 3  # pictures of each
_SIDE = 80  # pixels on the page
_WORDS = 6  # that are shown of a client's own

Card = tuple[ClientProfile, tuple[Example, ...]]


@st.cache_data(max_entries=64, show_spinner=False)
def preview(config: ExperimentConfig, digest: str) -> tuple[list[Card], dict[str, float]]:
    """Return profiles and samples of the first clients, and distances; nothing else is rendered.

    ``digest`` is that of people's own data. Raises ConfigError where they cannot be dealt out.
    """
    dataset = new_dataset(config)
    cards = []
    for k in range(min(config.clients, PREVIEWED)):
        examples = dataset.examples(k, "train", SAMPLES)
        small = tuple(replace(e, image=squared(e.image, 2 * _SIDE)) for e in examples)
        cards.append((dataset.profile(k), small))
    return cards, distances_without_pictures(dataset)


def show_clients(config: ExperimentConfig, digest: str = "") -> None:
    """Show samples, words and answers of the first clients. Raises ConfigError."""
    shown, apart = preview(config.without_training(), digest)
    if config.clients > 1:
        parts = " · ".join(f"{part} {value:.2f}" for part, value in apart.items())
        st.markdown(f"How far apart two clients are, from 0 (alike) to 1: {parts}")
    profiles = [profile for profile, _ in shown]
    axis = answer_charts.commonest_answers(profiles)
    bars = answer_charts.are_telling(axis, profiles)
    for start in range(0, len(shown), 2):
        cards = zip(st.columns(2), shown[start : start + 2], strict=False)
        for column, (profile, examples) in cards:
            with column, st.container(border=True):
                show_card(profile, examples, config.dataset == WORLD)
                if bars:
                    figure = answer_charts.answer_histogram(profile, axis, profiles)
                    show_chart(figure, key=f"answers_{profile.client}")
    if config.clients > len(shown):
        st.caption(f"… and {config.clients - len(shown)} more clients.")
    st.caption(
        "Bars: how often each answer is right in training, in the client's own words and in the "
        "same order for all. Clients with the same bars can share a model; hover for the shares."
        if bars
        else "Hardly any answer is given twice, so there are no bars to compare."
    )


def show_card(profile: ClientProfile, examples: tuple[Example, ...], embedded: bool) -> None:
    """Show one client's name, amounts, images and words."""
    parts = [f"**{plain(client_name(profile.client, profile.name))}**"]
    if profile.camera != "day":
        parts.append(f"{profile.camera} camera")
    st.markdown(" · ".join(parts))
    st.caption(f"{profile.train_samples:,} to train on, {profile.test_samples:,} to test on")
    with st.container(horizontal=True, gap="xxsmall"):
        for example in examples:
            st.image(example.image, width=_SIDE, alt=example.question)
    if words := (own_words_in_world(profile) if embedded else own_words(profile)):
        st.caption(words)


def own_words_in_world(profile: ClientProfile) -> str:
    """Say in one line which words are a world's client's own, two of every circle."""
    own = [[n for n in circle if n in profile.words][:2] for circle in CIRCLES.values()]
    pairs = [f"{neutral} → *{profile.words[neutral]}*" for words in own for neutral in words]
    return "says " + ", ".join(pairs) + " …" if pairs else "says what all sites say"


def own_words(profile: ClientProfile) -> str:
    """Say what a client of people's own data says instead; "" where it says what is written."""
    pairs = [f"{plain(text)} → *{plain(own)}*" for text, own in profile.words.items()]
    more = " …" if len(pairs) > _WORDS else ""
    return f"says {', '.join(pairs[:_WORDS])}{more}" if pairs else ""
