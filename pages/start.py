"""Start: the story in one picture, presets to run, and a finished example."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from app import stage, story
from app.costs import time_of
from app.experiments import state_in_words, ways
from app.look import ink, plain
from app.sweeps import over_what
from app.sweeps import state_in_words as sweep_in_words
from app.take_along import show_upload
from app.verdict import sentence, verdict_on
from app.widgets import ASK, LIVE, SETUP, SWEEP, show_chart, start_experiment
from db import reads, sweeps
from db.tables import Prediction, Run, Sweep
from engine.config import ConfigError, ExperimentConfig
from engine.data.factory import new_dataset
from engine.jobs import queue
from engine.presets import preset
from engine.results import charts
from engine.results.disagreement import Disagreement, disagreements, most_telling
from engine.results.look import STYLES, percent

STORY = {
    "local": "Each site learns from its own pictures only. Often they are too few.",
    "fedit": "The sites average all that they learn. One shared model is torn where they disagree.",
    "plora": "The sites share one half, B, and each keeps the other, A, for what is its own.",
}
WAYS = {"local": "Alone", "fedit": "One for all", "plora": "Personalised"}
CARDS = {
    "quickstart": (
        "Sites that disagree",
        "Four sites, each with its own camera and its own words. One model cannot please them all.",
    ),
    "alike": (
        "Everyone alike",
        "The same four sites without a difference: nothing to personalise, all to share.",
    ),
    "scarce": (
        "Few pictures each",
        "The same with eight sites and a quarter of the pictures: too few to learn much alone.",
    ),
    "digits": (
        "Real handwriting",
        "Digits written by hand, eight sites; half of the words are passed round.",
    ),
}
RECENT = 5
SIDE = 220  # pixels of the image on the page


@st.cache_data(max_entries=4, show_spinner=False)
def telling_item(plora: int) -> tuple[np.ndarray, str, Disagreement, dict[str, str]] | None:
    """Find the most telling item of a finished run: image, question, answers, link to it on Ask.

    Kept: it renders a client's images anew, and a finished example does not change.
    """
    run = reads.run(plora)
    config = ExperimentConfig.parse(run.experiment.config)
    candidates = (d for client in range(config.clients) for d in disagreements(run, client))
    best = most_telling(candidates)
    if best is None:
        return None
    dataset = new_dataset(config)
    number = [item.item for item in dataset.items(best.client, "test")].index(best.item)
    example = dataset.example(best.client, "test", number)
    link = {"run": str(plora), "client": str(best.client), "item": str(number)}
    return example.image, example.question, best, link


def show_story(accuracies: dict[str, float]) -> None:
    """Show the three ways side by side: what travels, a line, and what the example reached."""
    for column, (strategy, line) in zip(st.columns(3, gap="large"), STORY.items(), strict=True):
        with column:
            st.image(story.diagram(strategy, ink()), width="stretch", alt=story.told(strategy))
            reached = (
                f" {percent(accuracies[strategy])} right in the example below."
                if strategy in accuracies
                else ""
            )
            st.markdown(f"**{WAYS[strategy]}.** {line}{reached}")


def show_card(name: str) -> None:
    """Show a preset: what it shows, how long it takes here, and a button that runs it."""
    title, line = CARDS[name]
    config = ExperimentConfig.parse(preset(name))
    with st.container(border=True, height="stretch", key=f"card_{name}"):
        st.markdown(f"**{title}**")
        st.markdown(line)
        st.caption(f"{config.clients} sites, {config.rounds} rounds, {time_of(config)}.")
        with st.container(horizontal=True, vertical_alignment="center"):
            usual = name == "quickstart"
            label = "Run the quickstart" if usual else "Run"
            if st.button(label, type="primary" if usual else "secondary", key=f"run_{name}"):
                try:
                    start_experiment(config)
                except ConfigError as mistake:
                    st.error(str(mistake))
            st.page_link(SETUP, label="Change it →", query_params={"preset": name})


def show_example(runs: Sequence[Run]) -> None:
    """Show the finished example: verdict, rounds, and one picture on which the models disagree."""
    st.subheader("A finished example")
    name = runs[0].experiment.name
    st.caption(f"{plain(name)}: a real run of the quickstart, one seed. It came with the lab.")
    if judged := verdict_on(runs[0].experiment_id):
        st.markdown(sentence(judged))
    chart, picture = st.columns([5, 4], gap="large")
    with chart:
        st.markdown("**Right answers on each client's own test pictures, mean over clients**")
        lines = charts.variant_lines([(run, reads.mean_scores(run.id)) for run in runs], "accuracy")
        figure = charts.over_rounds(lines, runs[0].rounds, accuracy=True)
        show_chart(figure, key="example_chart", alt="Right answers by round, a line per way.")
        st.caption("Look for the gap between the lines: what learning together gains, and what "
                   "personalising does.")  # fmt: skip
        link = {"run": str(runs[0].id)}
        st.page_link(LIVE, label="See how its rounds went →", query_params=link)
    plora = next((run for run in runs if run.strategy == "plora"), runs[-1])
    if telling := telling_item(plora.id):
        with picture:
            show_disagreement(*telling)


def show_disagreement(
    image: np.ndarray, question: str, item: Disagreement, link: dict[str, str]
) -> None:
    """Show one picture, the question, and what two models say to it."""
    st.markdown("**One picture on which they disagree**")
    left, right = st.columns([1, 1], gap="medium")
    left.image(image, width=SIDE, alt=question)
    with right:
        st.markdown(f"Client {item.client} asks: *{plain(question)}*")
        st.markdown(
            f"{STYLES['global'].label}: **{marked(item.shared)}**  \n"
            f"{STYLES['personal'].label}: **{marked(item.own)}**"
        )
        st.page_link(ASK, label="Ask them yourself →", query_params=link)


def marked(prediction: Prediction) -> str:
    """Write an answer with the sign that says right or wrong."""
    return f"{'✓' if prediction.correct else '✗'} {plain(prediction.answer)}"


def show_recent() -> None:
    """Show the newest experiments and sweeps with their state, and links to them."""
    queue.tend()
    newest = [*reads.latest_experiments(RECENT), *sweeps.sweeps(RECENT)]
    newest.sort(key=lambda stored: stored.created_at, reverse=True)
    recent = [stored for stored in newest if isinstance(stored, Sweep) or stored.runs]
    if recent:
        st.subheader("Recent experiments")
    for stored in recent[:RECENT]:
        with st.container(horizontal=True, vertical_alignment="center"):
            if isinstance(stored, Sweep):
                label, link = f"Sweep {stored.id} · {plain(stored.name)}", {"sweep": str(stored.id)}
                st.page_link(SWEEP, label=label, query_params=link)
                st.caption(f"{over_what(stored)} · {sweep_in_words(stored)}")
                continue
            link = {"run": str(stored.runs[0].id)}
            st.page_link(LIVE, label=f"{stored.id} · {plain(stored.name)}", query_params=link)
            st.caption(f"{ways(stored.runs)} · {state_in_words(stored.runs)}")


st.title("FedVLM Lab")
st.markdown(
    "##### Several sites teach one model to see and answer together. No picture leaves its site."
)
example = reads.bundled_runs()
reached = {summary.strategy: summary.personal_accuracy for summary in reads.summaries(example)}
show_story({strategy: share for strategy, share in reached.items() if share is not None})
queue.prepare(ExperimentConfig.parse(preset("quickstart")))  # warms up while people read
for column, name in zip(st.columns(len(CARDS)), CARDS, strict=True):
    with column:
        show_card(name)
with st.container(horizontal=True, vertical_alignment="center"):
    st.page_link(SETUP, label="Set up an experiment of your own →")
    show_upload()
show_recent()
if example:
    show_example(example)
on = stage.is_on()
st.page_link(
    "../pages/start.py",
    label="Leave the stage" if on else "On a projector: stage mode, with large letters →",
    query_params={"stage": "0" if on else "1"},
)
