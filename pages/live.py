"""Live: the rounds of an experiment as they happen, all its ways in one picture."""

from collections.abc import Sequence
from html import escape
from itertools import count
from statistics import mean

import streamlit as st

from app import stage, story
from app.experiments import choose_experiment, state_of
from app.history import History, histories_of
from app.live_details import show_details
from app.look import STATUS_WORDS, capital, ink, plain
from app.take_along import show_downloads
from app.verdict import Verdict, sentence, show_verdict, verdict_on
from app.widgets import ASK, SWEEP, button, client_names, show_chart, tell_trouble, title_with
from db import reads, sweeps
from db.progress import Progress, progress
from db.tables import ALIVE, RESUMABLE, Run
from engine.config import ExperimentConfig
from engine.fl.privacy import budget_in_words
from engine.jobs import queue
from engine.results import charts, client_charts
from engine.results.look import STYLES, duration, measured, name_of, percent, size, style_of
from engine.results.way_charts import Way, ways_over_rounds

MOST_FIGURES = 4  # of ways, above the charts
EVENTS = 12
TENDED = 5  # seconds after which it is looked whether a worker is gone
DIAGRAM = 460  # pixels


def show_state(runs: Sequence[Run], now: Progress, config: ExperimentConfig) -> None:
    """Say in a line what the experiment does, and how long it will take, above its progress."""
    state = state_of(runs)
    rounds = max(run.rounds for run in runs)
    done = min((run.rounds_done for run in runs if run.status in ALIVE), default=rounds)
    words = STATUS_WORDS[state]
    if state == "running":
        words += f", round {min(done + 1, rounds)} of {rounds}"
        words += ", then it pauses" if is_held(runs) else ""
    elif state == "paused":
        words = f"paused after round {done} of {rounds}"
    if state in ALIVE and now.seconds_left is not None:
        words += f", about {duration(now.seconds_left)} to go"
    st.progress(min(now.share, 1.0), text=f"**{capital(words)}**")
    for run in runs:
        if run.status == "failed":
            reason = plain(run.error or "", 500)
            st.error(f"{name_of(run.strategy)} has **failed**. Reason: {reason}")
        elif run.status == "interrupted":
            st.warning(
                f"{name_of(run.strategy)} was **interrupted**: its worker is gone. Its "
                f"{run.rounds_done} finished rounds are kept; Resume goes on from there."
            )
        elif run.status == "running" and not run.rounds_done:  # it may be fetching its model
            st.caption(plain(reads.events(run.id, limit=1)[0].text, 200))
            break
    if limited := budget_in_words(config):
        st.caption(f"{capital(limited)}.")


def show_figures(runs: Sequence[Run], summaries: Sequence[reads.Summary]) -> None:
    """Show right answers by way, and what was sent, in one row, compact on a phone."""
    cells = []
    reached = [row for row in summaries if row.personal_accuracy is not None]
    for row in reached[:MOST_FIGURES]:
        style = STYLES[style_of(row.strategy)]
        alone = sum(style_of(other.strategy) == style_of(row.strategy)
                    for other in reached) == 1  # fmt: skip
        label = style.label.partition(" (")[0] if alone else name_of(row.strategy)
        cells.append((label, percent(row.personal_accuracy), style.colour))
    cells.append(("Sent in all", size(sum(row.bytes_up for row in summaries)), "transparent"))
    st.html(
        '<div style="display:flex;flex-wrap:wrap;gap:.4rem 1.6rem">'
        + "".join(
            f'<div style="border-left:4px solid {colour};padding-left:.5rem">'
            f'<div style="font-size:.85em">{escape(label)}</div>'
            f'<div style="font-size:1.5em;font-weight:600;line-height:1.2">{value}</div></div>'
            for label, value, colour in cells
        )
        + "</div>"
    )


def show_buttons(runs: Sequence[Run], experiment: int) -> None:
    """Offer what fits the state: pause, one round, go on, stop, resume; then what comes after."""
    state = state_of(runs)
    with st.container(horizontal=True, vertical_alignment="center", key="controls"):
        if state in ALIVE:
            if is_held(runs):
                button("One round", "step", lambda: queue.step(experiment), primary=True)
                button("Go on", "go on", lambda: queue.go_on(experiment))
            else:
                button("Pause after this round", "pause", lambda: queue.pause(experiment))
            if not all(run.stop_requested for run in runs if run.status in ALIVE):
                button("Stop", "stop", lambda: queue.stop_all(experiment))
            else:
                st.markdown("Stopping …")
        ended = [run.id for run in runs if run.status in RESUMABLE]
        if ended and state not in ALIVE:
            button("Resume", "resume", lambda: [queue.resume(run) for run in ended])
        trained = [run for run in runs if run.rounds_done]
        if trained:
            usual = next((run for run in trained if run.strategy == "plora"), trained[-1])
            st.page_link(ASK, label="Ask its models →", query_params={"run": str(usual.id)})
        if (sweep := sweeps.sweep_of(experiment)) is not None:
            st.page_link(SWEEP, label="See its sweep →", query_params={"sweep": str(sweep)})


def is_held(runs: Sequence[Run]) -> bool:
    """Tell whether somebody has asked the experiment to pause, or it is paused."""
    return runs[0].experiment.round_limit is not None


def choose_way(histories: Sequence[History]) -> History:
    """Ask which way is shown client by client; kept in the URL as ``?way=``."""
    by_key = {history.run.strategy: history for history in histories}
    usual = "plora" if "plora" in by_key else next(iter(by_key))
    linked, key = st.query_params.get("way", ""), f"way_{histories[0].run.experiment_id}"
    start = st.session_state.setdefault(f"first_{key}", linked if linked in by_key else usual)
    chosen = st.segmented_control(
        "Way", list(by_key), default=start, format_func=name_of, required=True, key=key
    )
    st.query_params["way"] = chosen
    return by_key[chosen]


def show_exchange(shown: History, config: ExperimentConfig) -> None:
    """Draw what travels and what stays, with the bytes of the last round."""
    strategy, traffic = shown.run.strategy, reads.last_traffic(shown.run.id)
    labels = story.Labels(
        up=f"↑ {size(traffic.bytes_up)}" if traffic else "",
        down=f"↓ {size(traffic.bytes_down)}" if traffic else "",
        clients=[f"client {k}" for k in range(config.clients)],
    )
    st.image(story.diagram(strategy, ink(), labels), width=DIAGRAM, alt=story.told(strategy))
    letters = story.travelling(strategy)
    if traffic and letters:
        st.caption(
            f"Round {traffic.round}: {traffic.clients} clients sent {size(traffic.bytes_up)} "
            f"({letters}) and were sent {size(traffic.bytes_down)}, counted in the messages. "
            "No picture and no question left a client."
        )
    elif not letters:
        st.caption(story.told(strategy))


def show_charts(
    histories: Sequence[History], config: ExperimentConfig, judged: Verdict | None
) -> None:
    """Show all ways in one figure; then one way client by client, and what travelled."""
    left, right = st.columns([6, 5], gap="large")
    measure = measured(config)
    with left:
        st.markdown(f"**{measure} on the clients' own test sets, by way**")
        figure = ways_over_rounds([Way(h.run, h.means, h.clients) for h in histories])
        show_chart(figure, key="ways", alt="Right answers by round, a line per way.")
        st.caption("Lines: mean over clients. Shade: from the worst client to the best.")
    with right:
        shown = choose_way(histories)
        show_exchange(shown, config)
    with left:
        show_clients(shown)
    with right:
        show_events(histories)
    if judged:
        show_verdict(judged)
    if not stage.is_on():
        show_details(histories, shown, config)


def show_clients(shown: History) -> None:
    """Show how every client does after every round."""
    st.markdown(f"**Every client after every round, {name_of(shown.run.strategy)}**")
    if not shown.clients:
        st.caption("The first column comes with the first scores.")
        return
    names = client_names(shown.run)
    show_chart(
        client_charts.heat_map(shown.run, shown.clients, names),
        key="heat_map",
        alt="Right answers by client and round.",
    )
    st.caption("Light is right. A row that stays dark is a client that is left behind.")


def show_events(histories: Sequence[History]) -> None:
    """Say what happened, newest first: what was noted, and every round in words."""
    st.markdown("**What happened**")
    several = len(histories) > 1
    told = [
        (event.at, f"{name_of(strategy) + ': ' if several else ''}{plain(event.text, 300)}")
        for strategy, event in reads.events_of(histories[0].run.experiment_id, EVENTS)
    ]
    for history in histories:
        means = dict(charts.by_round(history.clients))
        whose = f"{name_of(history.run.strategy)}: " if several else ""
        for row in history.rounds[-EVENTS:]:
            reached = f", {percent(mean(means[row.round]))} right" if row.round in means else ""
            took = duration(row.seconds)
            told.append((row.finished_at, f"{whose}round {row.round} done in {took}{reached}."))
    told.sort(key=lambda entry: entry[0], reverse=True)
    st.caption("  \n".join(f"{at:%H:%M:%S} UTC · {text}" for at, text in told[:EVENTS]))


queue.tend()
experiment = title_with("Live", 6, choose_experiment)
seen = reads.stamp(experiment)
histories = histories_of(reads.runs_of(experiment))
runs = [history.run for history in histories]
config = ExperimentConfig.parse(runs[0].experiment.config)
summaries = reads.summaries(runs)
beats = count(1)
refresh = 1.0 if any(run.status in ALIVE for run in runs) else None


@st.fragment(run_every=refresh)
def follow() -> None:
    """Draw what changes by the second; where there is more, draw the whole page anew.

    So a second costs a few rows, however long the runs are, and charts stand still between rounds.
    """
    if next(beats) % TENDED == 0:
        queue.tend()
    if reads.stamp(experiment) != seen:
        st.rerun()
    show_state(runs, progress(experiment), config)
    tell_trouble()
    show_figures(runs, summaries)
    show_buttons(runs, experiment)


follow()
judged = None if refresh else verdict_on(experiment)
if judged:
    st.markdown(sentence(judged))
show_charts(histories, config, judged)
if not refresh and any(run.rounds_done for run in runs):
    st.markdown("**To take along**")
    show_downloads(experiment)
