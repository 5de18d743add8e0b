"""Sweep: own accuracy over what was swept, a line per strategy with its band over repeats."""

from collections.abc import Callable, Sequence
from itertools import count

import plotly.graph_objects as go
import streamlit as st

from app.look import STATUS_WORDS, capital, plain
from app.opening import link_to
from app.sweeps import PAUSED, choose_sweep, experiments_done, state_of_sweep
from app.take_along import show_sweep_report
from app.widgets import LIVE, SETUP, button, linked, show_chart, tell_trouble, title_with
from db import reads, sweeps
from db.sweeps import PointRun
from db.tables import ALIVE, RESUMABLE
from engine.config import ExperimentConfig
from engine.config.sweep import shown
from engine.jobs import queue
from engine.jobs import sweeps as sweeping
from engine.results import sweep_charts
from engine.results.look import duration, measured, name_of
from engine.results.sweep import SweepResult, sweep_result
from engine.results.sweep_words import label, title_of, who_is_better

TENDED = 5  # seconds after which it is looked whether a worker is gone
PANELS = 3  # beside each other
MOST_LINKS = 64  # values whose experiments are listed


def show_state(sweep: int, runs: Sequence[PointRun], is_paused: bool) -> None:
    """Say in a line what the sweep does, and how long it will take, above its progress."""
    state, now = state_of_sweep(runs, is_paused=is_paused), sweeps.progress(sweep)
    done, points = experiments_done(runs)
    words = PAUSED if state == "paused" else STATUS_WORDS[state]
    words += f", {done} of {points} experiments"
    if state == "running" and is_paused:
        words += ", pauses after this one"
    reused = sum(run.reused for run in runs)
    if reused:
        words += f"; {reused} of {len(runs)} runs were stored already"
    if state in ALIVE and now.seconds_left is not None:
        words += f"; about {duration(now.seconds_left)} to go"
    share = now.share if state in ALIVE else done / max(points, 1)
    st.progress(min(share, 1.0), text=f"**{capital(words)}**")
    failed = [run for run in runs if run.status == "failed"]
    if failed:
        reason = plain(str(reads.run(failed[0].run).error), 300)
        many = "1 run has" if len(failed) == 1 else f"{len(failed)} runs have"
        st.error(f"{many} **failed**, the first for this reason: {reason}")


def show_buttons(sweep: int, runs: Sequence[PointRun], is_paused: bool) -> None:
    """Offer what fits the state: pause, go on, stop, resume."""
    alive = [run for run in runs if run.status in ALIVE and not run.reused]
    ended = [run for run in runs if run.status in RESUMABLE and not run.reused]
    with st.container(horizontal=True, vertical_alignment="center", key="controls"):
        if alive and is_paused:
            button("Go on", "go on", lambda: sweeping.resume(sweep))
        elif alive:
            button("Pause after this experiment", "pause", lambda: sweeping.pause(sweep))
        if alive and not all(run.stop_requested for run in alive):
            button("Stop", "stop", lambda: sweeping.stop(sweep))
        elif alive:
            st.markdown("Stopping …")
        elif ended:
            button("Resume", "resume", lambda: sweeping.resume(sweep))
        if any(run.status == "done" for run in runs):
            show_sweep_report(sweep)
        st.page_link(SETUP, label="Set it up again →", query_params=link_to(config))


def show_panels(
    name: str,
    result: SweepResult,
    draw: Callable[[SweepResult], go.Figure],
    told: str,
    say: Callable[[SweepResult], Sequence[str]] = lambda panel: (),
) -> None:
    """Draw a figure for each value of the second key; a press on a dot opens its experiment.

    ``say`` gives the sentences below it.
    """
    panels = result.panels()
    columns = st.columns(min(len(panels), PANELS), gap="large")
    for number, (values, panel) in enumerate(panels):
        key = f"{name}_{result.sweep}_{number}"
        with columns[number % PANELS]:
            for second, value in values.items():
                st.markdown(f"{title_of(second)}: {plain(shown(value))}")
            show_chart(
                draw(panel),
                key=key,
                alt=f"{told} {label(values)}".strip(),
                on_select="rerun",
                selection_mode="points",
            )
            for sentence in say(panel):
                st.caption(plain(sentence, 400))
        open_pressed(key)


def open_pressed(chart: str) -> None:
    """Go to the experiment whose dot was pressed."""
    pressed = st.session_state.get(chart)
    for point in pressed["selection"]["points"] if pressed else []:
        if experiment := point.get("customdata"):
            st.switch_page(LIVE, query_params={"experiment": str(experiment)})


def show_accuracies(result: SweepResult) -> None:
    """Show own accuracy over the swept key, a line per strategy."""
    over = f", over “{title_of(result.axes[0].key)}”" if result.axes else ""
    st.markdown(f"**{measured(config)} on the clients' own test sets{over}**")
    show_panels("accuracies", result, sweep_charts.accuracies, "Right answers by strategy.")
    several = len(result.seeds) > 1
    means = "Lines: mean over clients and draws. " if several else "Lines: mean over clients. "
    band = "Shade: 95 % interval over the draws, a small dot each. " if several else ""
    st.caption(f"{means}{band}Press a dot to open its experiment.")


def show_differences(result: SweepResult) -> None:
    """Show by how much one strategy is better than others in the same draws."""
    gaps = result.gaps
    if not gaps:
        return
    compared = list(dict.fromkeys(ours for ours, _ in gaps))
    usual = "plora" if "plora" in compared else compared[-1]
    st.markdown("**By how much it is better, in points, in the same draws**")
    ours = linked(
        "way", tuple(compared), usual,
        lambda key: st.segmented_control(
            "Way", compared, format_func=name_of, required=True, key=key, wrap=True
        ),
    )  # fmt: skip
    others = [theirs for better, theirs in gaps if better == ours]
    show_panels(
        "differences",
        result,
        lambda panel: sweep_charts.differences(panel, ours, result),
        f"By how much {name_of(ours)} is better.",
        lambda panel: [who_is_better(panel.gaps[ours, theirs]) for theirs in others],
    )


def show_experiments(result: SweepResult, runs: Sequence[PointRun]) -> None:
    """Link to the experiment of every draw at every value."""
    with st.expander("Open any of its experiments"):
        for place, values in enumerate(result.values[:MOST_LINKS]):
            cells = [line[place] for line in result.lines.values()]
            draws = {(draw.seed, draw.experiment): draw for cell in cells for draw in cell.draws}
            with st.container(horizontal=True, vertical_alignment="center"):
                if values:
                    st.markdown(f"**{plain(label(values))}**")
                for seed, experiment in sorted(draws):
                    states = {run.status for run in runs if run.experiment == experiment}
                    state = "" if states == {"done"} else " …"
                    link = {"experiment": str(experiment)}
                    st.page_link(LIVE, label=f"seed {seed}{state}", query_params=link)
        if len(result.values) > MOST_LINKS:
            st.caption(f"… and {len(result.values) - MOST_LINKS} more values.")


queue.tend()
sweep = title_with("Sweep", 6, choose_sweep)
config = ExperimentConfig.parse(sweeps.sweep(sweep).config)
result = sweep_result(sweep)
runs = sweeps.runs(sweep)
seen = sweeps.stamp(sweep)
beats = count(1)


@st.fragment(run_every=1.0 if any(run.status in ALIVE for run in runs) else None)
def follow() -> None:
    """Draw what changes by the second; where a run has ended, draw the whole page anew."""
    if next(beats) % TENDED == 0:
        queue.tend()
    if sweeps.stamp(sweep) != seen:
        st.rerun()
    now, is_paused = sweeps.runs(sweep), sweeps.is_paused(sweep)
    show_state(sweep, now, is_paused)
    tell_trouble()
    show_buttons(sweep, now, is_paused)


follow()
show_accuracies(result)
show_differences(result)
show_experiments(result, runs)
