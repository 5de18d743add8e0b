"""Figures of which answers are how common."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import plotly.graph_objects as go

from engine.data.dataset import ClientProfile
from engine.data.user.rows import shorten

MOST_ANSWERS = 10
BAR = "#56B4E9"


def commonest_answers(profiles: Sequence[ClientProfile], most: int = 18) -> list[str]:
    """Return the answers that these clients meet most, in order of the alphabet."""
    totals: dict[str, float] = defaultdict(float)
    for profile in profiles:
        for answer, count in profile.answers.items():
            totals[answer] += count / profile.train_samples
    return sorted(sorted(totals, key=totals.__getitem__, reverse=True)[:most])


def are_telling(answers: Sequence[str], profiles: Sequence[ClientProfile]) -> bool:
    """Tell if these answers are common enough to compare clients by: a tenth of all samples."""
    met = sum(profile.answers.get(answer, 0) for profile in profiles for answer in answers)
    return met > len(answers) and met * 10 >= sum(profile.train_samples for profile in profiles)


def answer_counts(counts: Counter[str]) -> go.Figure:
    """Draw the commonest answers of a whole data set as bars, the commonest on top."""
    common = counts.most_common(MOST_ANSWERS)
    share = [count / counts.total() for _, count in common]
    figure = go.Figure()
    figure.add_bar(
        x=[count for _, count in common],
        y=[answer for answer, _ in common],
        orientation="h",
        customdata=share,
        marker={"color": BAR, "line": {"width": 0}},
        hovertemplate="%{x:,} times, %{customdata:.0%}<extra></extra>",
    )
    return figure.update_layout(
        height=50 + 20 * len(common),
        margin={"l": 0, "r": 0, "t": 4, "b": 0},
        bargap=0.25,
        xaxis={"tickformat": ",d", "nticks": 6},
        yaxis={
            "type": "category",
            "autorange": "reversed",
            "tickvals": [answer for answer, _ in common],
            "ticktext": [f"{shorten(answer, 40)} " for answer, _ in common],
        },
    )


def answer_histogram(
    profile: ClientProfile, answers: Sequence[str], beside: Sequence[ClientProfile]
) -> go.Figure:
    """Draw one client's bars: the share of each of these answers among its training samples.

    All clients ``beside`` it get the same vertical axis.
    """
    shares = [profile.answers.get(answer, 0) / profile.train_samples for answer in answers]
    top = max(p.answers.get(answer, 0) / p.train_samples for p in beside for answer in answers)
    figure = go.Figure()
    figure.add_bar(
        x=list(answers),
        y=shares,
        marker={"color": BAR, "line": {"width": 0}},
        customdata=[shorten(answer, 70) for answer in answers],
        hovertemplate="%{customdata}: %{y:.0%}<extra></extra>",
    )
    labels = [shorten(answer, 12) for answer in answers]
    told_apart = len(set(labels)) == len(labels)  # sentences often start alike
    figure.update_layout(
        height=130,
        margin={"l": 0, "r": 0, "t": 4, "b": 0},
        bargap=0.2,
        xaxis={
            "tickangle": -60,
            "tickfont": {"size": 11},
            "type": "category",
            "tickvals": list(answers),
            "ticktext": labels,
            "showticklabels": told_apart,
        },
        yaxis={"tickformat": ".0%", "range": [0, top], "nticks": 3},
    )
    return figure
