"""Set up: choose an experiment and see at once who will hold what."""

from contextlib import suppress
from typing import Any

import streamlit as st

from app.client_preview import show_clients
from app.data_form import Chosen, choose_data
from app.data_preview import show_collection, usable
from app.form import Form
from app.kinds import meanings_for
from app.look import size
from app.method_form import client_ranks, strategy_options
from app.model_facts import show_model
from app.model_form import choose_model, model_settings
from app.widgets import start_experiment
from engine.config import BUNDLED, WORLD, ConfigError, ExperimentConfig
from engine.data.user.collection import Collection
from engine.fl.traffic import traffic_of
from engine.jobs import queue
from engine.jobs.validate import MOST_CLIENTS
from engine.presets import PRESETS, preset
from engine.strategies import STRATEGIES
from engine.strategies.base import GROUPS
from engine.vlm.resolved import resolve_model

RANKS = (1, 2, 4, 8, 16, 32, 64)
SAMPLES = (16, 32, 64, 128, 256, 512, 1024)
PRIVACY = (
    "Differential privacy of the factors that a client sends: their change is clipped to this "
    "norm, and noise is added. The Live page shows the ε that is spent. Figures such as losses and "
    "accuracies are not protected."
)


def read_form() -> tuple[dict[str, Any], Chosen]:
    """Draw the form; returns the values of an ExperimentConfig, and the data they are about."""
    of_the_world = [key for key, values in PRESETS.items() if "dataset" not in values]
    start_from = st.selectbox(
        "Start from", of_the_world, format_func=lambda key: PRESETS[key]["name"], key="preset"
    )
    form = Form(ExperimentConfig.parse(preset(start_from)).model_dump(), start_from)
    # Drawn in another order than they stand in: the data decide what can be asked for.
    of_data, main, more = st.container(), st.container(), st.expander("More settings")
    with of_data:
        chosen = choose_data(more)
        form.values |= {"dataset": chosen.dataset, "data": chosen.data, "model": choose_model()}
    with main:
        what_and_who(form, chosen)
        how_to_train(form)
    with more:
        st.markdown("**Training**")
        rarer(form)
        options = form["strategies"], form.values, start_from
        form.values |= strategy_options(*options)
        form["lora.client_ranks"] = client_ranks(*options)
        model_settings(form)
    return form.values, chosen


def what_and_who(form: Form, chosen: Chosen) -> None:
    """Ask for name, amounts, and how clients differ."""
    meanings = meanings_for(chosen.dataset, chosen.collection)
    natural = chosen.dataset != WORLD and "natural" in meanings
    # What a field starts with is part of its key, so that another start brings its own values.
    of_data = form if chosen.dataset == WORLD else form.at(f"{form.mark}:{chosen.dataset}")
    if chosen.dataset != WORLD:
        form["name"] = (chosen.title or "My data")[:80]
    of_data.text("name", max_chars=80)
    of_kind = of_data.at(of_data.mark + ":natural" * natural)
    if natural:
        form["heterogeneity"] = {"kind": "natural", "level": 1.0}
    amounts = st.container()  # above, but its start depends on what is below
    of_kind.pick("heterogeneity.kind", list(meanings), lambda key: meanings[key][0])
    kind = form["heterogeneity.kind"]
    st.caption(meanings[kind][1])
    of_kind.slide("heterogeneity.level", 0.05, help="0: all alike (iid). 1: nothing in common.")
    form.slide_over("samples_per_client", sorted({*SAMPLES, form["samples_per_client"]}))
    st.caption("With few, a client alone cannot learn what it needs; with many it can.")
    if kind == "natural" and chosen.collection is not None:
        form["clients"] = min(len(chosen.collection.clients), MOST_CLIENTS)
        of_data = of_kind
    with amounts:
        left, right = st.columns(2)
        with left:
            of_data.number("clients")
        with right:
            form.number("rounds")


def how_to_train(form: Form) -> None:
    """Ask for the adapter's rank, and the strategies."""
    form.slide_over("lora.rank", RANKS)
    groups = sorted(STRATEGIES, key=lambda key: GROUPS.index(STRATEGIES[key].group()))
    form.pick_many("strategies", groups, help="One run each, on the same clients and data.")
    for key in form["strategies"]:
        rule = STRATEGIES[key]
        st.caption(f"{rule.group()} · **{rule.title}.** {rule.idea}")


def rarer(form: Form) -> None:
    """Ask for what most people leave as it is."""
    left, right = st.columns(2)
    with left:
        form.number("local_steps")
        form.number("participation", step=0.1)
        form.number("dropout", step=0.1)
        form.number("seed")
    with right:
        form.number("batch_size")
        form.number("learning_rate", step=0.0005, format="%.4f")
        form.number("lora.alpha", step=1.0)
        form.number("privacy.clip", step=0.1, help=PRIVACY)
        form.number("privacy.noise", step=0.1)
        form.number("fault_share", step=0.1)


def show_costs(config: ExperimentConfig) -> None:
    """Show trainable parameters and traffic of each chosen strategy."""
    model = resolve_model(config)
    traffic = {key: traffic_of(key, config, model) for key in config.strategies}
    st.dataframe(
        [
            {
                "strategy": key,
                "a client trains": f"{traffic[key].trainable:,} parameters",
                "a client sends per round": size(traffic[key].bytes_up),
                "all send per round": size(traffic[key].bytes_up * config.clients_per_round),
            }
            for key in config.strategies
        ],
        hide_index=True,
    )


def show_data(values: dict[str, Any], rows: Collection) -> None:
    """Show people's own data: the rows that the model can take, once one is chosen."""
    with suppress(ConfigError):  # which is told of below
        rows = usable(ExperimentConfig.parse(values).without_training(), rows.digest)
    st.subheader("The data")
    show_collection(rows)


def show_result(values: dict[str, Any], chosen: Chosen) -> ExperimentConfig | None:
    """Show the form's experiment; returns None, after a sentence, where it cannot be run."""
    if not chosen.usable:
        st.info("A preview comes here as soon as there are data to look at.")
        return None
    if chosen.collection is not None:
        show_data(values, chosen.collection)
    if not values["model"]:
        st.info("Name the model: a folder on this machine, or its id on the hub.")
        return None
    digest = chosen.collection.digest if chosen.collection else ""
    try:
        config = ExperimentConfig.parse(values)
        if config.model != BUNDLED:
            show_model(config)
        st.subheader("Who holds what")
        show_clients(config, digest)
        st.subheader("What it costs")
        show_costs(config)
    except ConfigError as mistake:
        st.error(str(mistake))
        return None
    return config


head, action = st.columns([5, 1], vertical_alignment="bottom")
head.title("Set up an experiment")
form, result = st.columns([4, 6], gap="large")
with form:
    values, chosen = read_form()
with result:
    trouble = st.container()  # on top, where somebody who pressed Run looks
    config = show_result(values, chosen)
    if config is None:
        st.stop()
    if (config.model, config.start) == (BUNDLED, ""):  # others are not checked yet, or large
        queue.prepare(config)  # the worker warms up while the form is filled in
    with action:
        pressed = st.button("Run", type="primary", key="run", width="stretch")
    with st.expander("The same on the command line"):
        st.code("python -m engine run --config experiment.yaml", language="bash")
        st.download_button("experiment.yaml", config.to_yaml(), "experiment.yaml")
        st.code(config.to_yaml(), language="yaml")
if pressed:
    try:
        with trouble, st.spinner("Checking whether it can run …"):
            start_experiment(config)
    except ConfigError as mistake:
        trouble.error(str(mistake))
