"""Set up: choose an experiment and see at once who will hold what."""

from typing import Any

import streamlit as st

from app.client_preview import show_clients
from app.data_form import Chosen, choose_data
from app.data_preview import show_collection
from app.fields import number
from app.kinds import meanings_for
from app.look import size
from app.method_form import client_ranks, strategy_options
from app.model_facts import show_model
from app.model_form import choose_model, model_settings
from app.widgets import start_experiment
from engine.config import BUNDLED, WORLD, ConfigError, ExperimentConfig
from engine.fl.traffic import traffic_of
from engine.jobs import queue
from engine.jobs.resolve import MOST_CLIENTS
from engine.presets import PRESETS, preset
from engine.strategies import STRATEGIES
from engine.vlm.resolved import resolve_model

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
    base = ExperimentConfig.parse(preset(start_from)).model_dump()
    # Drawn in another order than they stand in: the data decide what can be asked for.
    of_data, main, more = st.container(), st.container(), st.expander("More settings")
    with of_data:
        chosen = choose_data(more)
        model = choose_model()
    with main:
        values = what_and_who(base, chosen, start_from)
        values |= how_to_train(base, start_from)
    with more:
        st.markdown("**Training**")
        values |= rarer(base, start_from)
        values |= strategy_options(values["strategies"], base, start_from)
        ranks = client_ranks(values["strategies"], base, start_from)
        of_model = model_settings(base)
    lora = {"rank": values.pop("rank"), "alpha": values.pop("alpha"), "client_ranks": ranks}
    of_model["lora"] = {**base["lora"], **lora, **of_model["lora"]}
    about = {"dataset": chosen.dataset, "data": chosen.data, "model": model}
    return {**base, **values, **of_model, **about}, chosen


def what_and_who(base: dict[str, Any], chosen: Chosen, start_from: str) -> dict[str, Any]:
    """Name, amounts, and how clients differ."""
    meanings = meanings_for(chosen.dataset, chosen.collection)
    natural = chosen.dataset != WORLD and "natural" in meanings
    # What a field starts with is part of its key, so that another start brings its own values.
    mark = start_from if chosen.dataset == WORLD else f"{start_from}:{chosen.dataset}"
    title = base["name"] if chosen.dataset == WORLD else chosen.title or "My data"
    name = st.text_input("Name", title[:80], max_chars=80, key=f"name:{mark}")
    mark += ":natural" * natural
    amounts = st.container()  # above, but its start depends on what is below
    kind = st.segmented_control(
        "What differs between clients",
        list(meanings),
        default="natural" if natural else base["heterogeneity"]["kind"],
        required=True,
        format_func=lambda key: meanings[key][0],
        key=f"heterogeneity.kind:{mark}",
    )
    st.caption(meanings[kind][1])
    level = st.slider(
        "How much they differ",
        0.0,
        1.0,
        1.0 if natural else base["heterogeneity"]["level"],
        0.05,
        key=f"heterogeneity.level:{mark}",
        help="0: all alike (iid). 1: nothing in common.",
    )
    start, of_clients = base["clients"], mark.removesuffix(":natural")
    if natural and kind == "natural":
        start, of_clients = min(len(chosen.collection.clients), MOST_CLIENTS), mark
    with amounts:
        one, two = st.columns(2)
        with one:
            clients = number("clients", base, of_clients, value=start)
        with two:
            rounds = number("rounds", base, start_from)
    difference = {"kind": kind, "level": level}
    return {"name": name, "clients": clients, "rounds": rounds, "heterogeneity": difference}


def how_to_train(base: dict[str, Any], start_from: str) -> dict[str, Any]:
    """The adapter's rank, and the strategies."""
    rank = st.select_slider(
        "LoRA rank", [1, 2, 4, 8, 16, 32, 64], base["lora"]["rank"], key=f"lora.rank:{start_from}"
    )
    strategies = st.pills(
        "Strategies, one run each",
        list(STRATEGIES),
        selection_mode="multi",
        default=base["strategies"],
        key=f"strategies:{start_from}",
    )
    for key in strategies:
        st.caption(f"**{STRATEGIES[key].title}.** {STRATEGIES[key].idea}")
    return {"rank": rank, "strategies": strategies}


def rarer(base: dict[str, Any], start_from: str) -> dict[str, Any]:
    """What most people leave as it is."""
    one, two = st.columns(2)
    with one:
        samples = number("samples_per_client", base, start_from, step=8)
        steps = number("local_steps", base, start_from)
        participation = number("participation", base, start_from, step=0.1)
        dropout = number("dropout", base, start_from, step=0.1)
        seed = number("seed", base, start_from)
    with two:
        batch = number("batch_size", base, start_from)
        rate = number("learning_rate", base, start_from, step=0.0005, format="%.4f")
        alpha = number("lora.alpha", base, start_from, step=1.0)
        clip = number("privacy.clip", base, start_from, step=0.1, help=PRIVACY)
        noise = number("privacy.noise", base, start_from, step=0.1)
    return {
        "samples_per_client": samples,
        "local_steps": steps,
        "participation": participation,
        "dropout": dropout,
        "seed": seed,
        "batch_size": batch,
        "learning_rate": rate,
        "alpha": alpha,
        "privacy": {**base["privacy"], "clip": clip, "noise": noise},
    }


def show_costs(config: ExperimentConfig) -> None:
    """Trainable parameters and traffic of each chosen strategy."""
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


def show_result(values: dict[str, Any], chosen: Chosen) -> ExperimentConfig | None:
    """What the form amounts to; None, after a sentence, where it cannot be run."""
    if not chosen.usable:
        st.info("A preview comes here as soon as there are data to look at.")
        return None
    if chosen.collection is not None:
        st.subheader("The data")
        show_collection(chosen.collection)
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
