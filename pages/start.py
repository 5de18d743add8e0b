"""Start: what this is, one button, and a finished example."""

import numpy as np
import streamlit as st

from app import charts
from app.disagreement import disagreements, most_telling
from app.look import percent
from app.story import ALT, diagram
from app.widgets import ASK, LIVE, SETUP, figure, start_experiment
from db import reads
from db.tables import Prediction
from engine.config import ExperimentConfig
from engine.data.factory import new_dataset
from engine.jobs import queue
from engine.presets import preset

SIDE = 120  # pixels of an image on the page


@st.cache_data(max_entries=4, show_spinner=False)
def telling_items(plora: int) -> list[tuple[np.ndarray, str, str, dict[str, str]]]:
    """Find each client's most telling item: image, question, both answers, link to it on Ask.

    Kept: it renders the clients' images anew, and a finished example does not change.
    """
    run = reads.run(plora)
    config = ExperimentConfig.parse(run.experiment.config)
    dataset = new_dataset(config)
    items = []
    for client in range(config.clients):
        if best := most_telling(disagreements(run, client)):
            numbers = [item.item for item in dataset.items(client, "test")]
            number = numbers.index(best.item)
            example = dataset.example(client, "test", number)
            text = f"global: {marked(best.shared)}  \npersonal: {marked(best.own)}"
            url = {"run": str(plora), "client": str(client), "item": str(number)}
            items.append((example.image, example.question, text, url))
    return items


def marked(prediction: Prediction) -> str:
    """Write an answer with the sign that says right or wrong."""
    return f"{'✓' if prediction.correct else '✗'} {prediction.answer}"


WAYS = {"Alone": "local", "Global (FedIT)": "fedit", "Personalised (pLoRA)": "plora"}

st.title("FedVLM Lab")
st.markdown(
    "##### Several sites teach one model to see and answer together. No picture leaves its site, "
    "and each site keeps a small part of the model for itself."
)

left, right = st.columns([5, 4], gap="large", vertical_alignment="center")
with left:
    ink = "#ECE9E2" if st.context.theme.type == "dark" else "#23211E"
    st.image(diagram(ink), width=600, alt=ALT)
with right:
    st.markdown(
        "Four sites watch their parts bins. Each has its own camera and its **own words**: what "
        "one calls a *drum*, another calls a *crate*. **Alone**, a site has too few pictures to "
        "learn which part is cracked or dented. One shared model (*global*) is torn between them. "
        "With **personalised LoRA** (pLoRA) the sites share one half of what they learn, B, and "
        "keep the other half, A."
    )
    quickstart = ExperimentConfig.parse(preset("quickstart"))
    queue.prepare(quickstart)  # the worker warms up while people read
    if st.button("Run the quickstart", type="primary", key="run_quickstart"):
        start_experiment(quickstart)
    st.caption("4 clients, 8 rounds, three ways: alone, one for all, personalised. Half a minute.")
    st.page_link(SETUP, label="Set up an experiment of your own →")

bundled = next((run for run in reads.runs() if run.experiment.bundled), None)
if bundled is not None:
    st.divider()
    st.subheader("A finished example")
    st.caption(
        f"{bundled.experiment.name}: a real run of the quickstart, one seed. It came with the lab."
    )
    siblings = reads.runs_of(bundled.experiment_id)
    summaries = {run.strategy: reads.summary(run.id) for run in siblings}
    chart, figures = st.columns([5, 4], gap="large")
    with chart:
        st.markdown("**Right answers on each client's own test pictures, mean over clients**")
        lines = charts.variant_lines(
            [(run, reads.mean_scores(run.id)) for run in siblings], "accuracy"
        )
        st.plotly_chart(
            charts.over_rounds(lines, bundled.rounds, accuracy=True), key="example_chart"
        )
        st.caption(
            "Look for the gaps: red over green is what federating gains, red over blue what "
            "personalising does."
        )
    with figures:
        with st.container(horizontal=True, gap="large"):
            figure("Base", percent(summaries["plora"].base_accuracy))
            for label, strategy in WAYS.items():
                if strategy in summaries:
                    figure(label, percent(summaries[strategy].personal_accuracy))
        st.markdown("**Where the two disagree**, one question of each site:")
        with st.container(horizontal=True):
            for image, question, text, link in telling_items(summaries["plora"].run):
                with st.container(width=SIDE, gap="xsmall"):
                    st.image(image, width=SIDE, alt=question)
                    st.caption(f"{question}  \n{text}")
                    st.page_link(ASK, label="Ask →", query_params=link)
        url = {"run": str(summaries["plora"].run)}
        st.page_link(LIVE, label="See how its rounds went →", query_params=url)
