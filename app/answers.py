"""Answers as pages show them: a card for each variant, all clients at once, where each looked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

import numpy as np
import streamlit as st
from PIL import Image

from app.judging import verdict
from app.look import plain
from app.thumbnails import shrunk
from engine.metrics import Metric, is_right
from engine.results.look import STYLES, certainty, client_name
from engine.results.variants import ClientAnswer, VariantAnswer

_LONG = 40  # letters of an answer that is written small
_DIMMED = 0.25  # light that is left where a model does not look
_LOOKED = 168  # pixels on the page
_CARD = "border:1px solid color-mix(in srgb,currentColor 22%,transparent);border-radius:6px"
_DASHES = {"dot": "dotted", "dash": "dashed"}


def show_answers(
    answers: Sequence[VariantAnswer],
    references: tuple[str, ...] | None,
    metric: Metric,
    looked: Mapping[str, np.ndarray],
) -> None:
    """Show a card for each variant, at most three in a row; ``looked`` are pictures."""
    width = len(answers) if len(answers) < 4 else 2
    for start in range(0, len(answers), width):
        row = answers[start : start + width]
        for column, answer in zip(st.columns(width), row, strict=False):
            with column:
                _show_card(answer, references, metric, looked.get(answer.variant))


def _show_card(
    answer: VariantAnswer,
    references: tuple[str, ...] | None,
    metric: Metric,
    looked: np.ndarray | None,
) -> None:
    style = STYLES[answer.variant]
    line = _DASHES.get(style.dash, "solid")
    text = answer.text or "(no answer)"
    letters = "1.4rem" if len(text) <= _LONG else "1rem"
    with st.container(border=True, height="stretch", key=f"answer_{answer.variant}"):
        st.html(
            f'<div style="border-top:4px {line} {style.colour};padding-top:.5rem">'
            f"<b>{style.label.partition(' (')[0]}</b></div>"
            f'<div style="font-size:{letters};font-weight:600;line-height:1.35;margin-top:.5rem;'
            f'max-height:16rem;overflow:auto;overflow-wrap:anywhere">{escape(text)}</div>'
        )
        lines = verdict(answer.text, references, metric) if references else []
        st.markdown("  \n".join([*lines, certainty(answer.confidence)]))
        if looked is not None:
            st.image(looked, width=_LOOKED, alt=f"Where the {answer.variant} model looked")
        st.caption(answer.source)


def spotlight(image: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Dim an image (height, width, 3) uint8 where a model does not look; ``grid`` sums to 1."""
    image = shrunk(image, 2 * _LOOKED)
    height, width = image.shape[:2]
    share = Image.fromarray((grid / grid.max()).astype(np.float32))
    light = np.asarray(share.resize((width, height), Image.Resampling.BICUBIC)).clip(0, 1)
    return (image * (_DIMMED + (1 - _DIMMED) * light[..., None])).astype(np.uint8)


def show_references(references: tuple[str, ...]) -> None:
    """Show the right answer, and what also counts as right."""
    first, *rest = dict.fromkeys(references)
    st.markdown(f"The right answer at this site: **{plain(first, 1000)}**")
    if rest:
        st.caption(f"Also right: {', '.join(map(plain, rest))}")


def show_clients(
    answers: Sequence[ClientAnswer],
    names: Mapping[int, str],
    accepted: Mapping[int, tuple[str, ...]],
    marked: int,
) -> None:
    """Show what each client's own model answers; ``accepted``: the right answers where known.

    The client ``marked`` stands out: it is the one that the page is about.
    """
    _show_cells(
        _cell(
            client_name(answer.client, names.get(answer.client, "")),
            answer,
            accepted.get(answer.client),
            is_marked=answer.client == marked,
        )
        for answer in answers
    )


def show_cards(
    answers: Iterable[tuple[str, ClientAnswer]], accepted: tuple[str, ...] | None
) -> None:
    """Show answers to one question, each under a title; ``accepted``: what counts as right."""
    _show_cells(_cell(title, answer, accepted) for title, answer in answers)


def _show_cells(cells: Iterable[str]) -> None:
    st.html(
        '<ul style="list-style:none;padding:0;margin:0;display:grid;gap:.6rem;'
        f'grid-template-columns:repeat(auto-fill,minmax(9rem,1fr))">{"".join(cells)}</ul>'
    )


def _cell(
    title: str,
    answer: ClientAnswer,
    accepted: tuple[str, ...] | None,
    *,
    is_marked: bool = False,
) -> str:
    judged = ""
    if accepted:
        right = is_right(answer.text, accepted)
        judged = "✓ right" if right else f"✗ wrong (right: {escape(accepted[0])})"
    line = f"outline:2px solid {STYLES['personal'].colour};" if is_marked else ""
    return (
        f'<li style="{_CARD};{line}padding:.6rem .75rem">'
        f'<div style="font-size:.9rem">{escape(title)}</div>'
        '<div style="font-size:1.15rem;font-weight:600;overflow-wrap:anywhere">'
        f"{escape(answer.text or '(no answer)')}</div>"
        f'<div style="font-size:.9rem">{judged}</div>'
        f'<div style="font-size:.9rem">{certainty(answer.confidence)}</div></li>'
    )


def show_words(camera: str, words: dict[str, str]) -> None:
    """Show what sets a client apart."""
    if camera != "day":
        st.caption(f"This client looks through the {camera} camera.")
    if words:
        pairs = ", ".join(f"{plain(text)} → *{plain(own)}*" for text, own in words.items())
        st.caption(f"Its own words: {pairs}")
