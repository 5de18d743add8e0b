"""The parts that every report is made of; page.py makes HTML of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import plotly.graph_objects as go

from engine.results.report.examples import Examples
from engine.results.report.tables import Table
from engine.results.verdict_words import Sentence


@dataclass(frozen=True)
class Chart:
    """A figure with its title and a line that says what to look for; ``key`` is its own."""

    key: str
    title: str
    caption: str
    figure: go.Figure


@dataclass(frozen=True)
class Figure:
    """A way's right answers, in the colour of its lines."""

    label: str
    value: str
    colour: str


@dataclass(frozen=True)
class Section:
    """A part under a title of its own, of whatever it has."""

    title: str
    said: str = ""
    charts: list[Chart] = field(default_factory=list)
    table: Table | None = None
    examples: Examples | None = None


@dataclass(frozen=True)
class Contents:
    """A report: what stands on top, its sections, and how to run it again.

    ``what`` is "experiment 3" or "sweep 2"; ``sentence`` the verdict, ``notes`` what it rests on.
    """

    what: str
    name: str
    made_at: str
    sentence: Sentence
    notes: list[str]
    figures: list[Figure]
    charts: list[Chart]
    sections: list[Section]
    command: str
    yaml: str
    origin: Table
