"""Set up: choose an experiment and see at once who will hold what."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from app import look, stage
from app.client_preview import show_clients
from app.costs import name_of, show_costs, show_summary
from app.data_form import Chosen, choose_data
from app.data_preview import show_collection, usable
from app.form import Form
from app.kinds import meanings_for
from app.method_form import client_ranks, strategy_options
from app.model_facts import show_model
from app.model_form import choose_model, model_settings
from app.opening import Opening, follow, link_to, open_preset, open_values, opening
from app.sweep_form import ask_sweep
from app.widgets import start_experiment
from engine.config import (
    BUNDLED,
    SITES,
    WORLD,
    ConfigError,
    ExperimentConfig,
    known_keys,
    read_yaml,
)
from engine.data.user.collection import Collection
from engine.jobs import queue
from engine.jobs.validate import MOST_CLIENTS, check_feasible
from engine.presets import PRESETS
from engine.strategies import STRATEGIES
from engine.strategies.base import GROUPS

RANKS = (1, 2, 4, 8, 16, 32, 64)
SAMPLES = (16, 32, 64, 128, 256, 512, 1024)
HELP = {
    "runtime": "Where the clients work; the numbers stay the same. local: in the worker, all of a "
    "round together, the fastest on one machine. ray: each in a process of its own, as many at "
    "once as cores and memory allow, also on a Ray cluster. superlink: each behind a Flower "
    "SuperNode, here or on machines of their own (docs/deploy.md).",
    "privacy.clip": "Differential privacy of the factors that a client sends: their change is "
    "clipped to this norm, and noise is added. The Live page shows the ε that is spent. Figures "
    "such as losses and accuracies are not protected.",
    "privacy.max_epsilon": "A run ends before the round that would spend more than this.",
    "robust": "The mean weighs clients by their samples, and a single one that sends garbage can "
    "spoil it. The median, the trimmed mean and multi-Krum bear with some such clients.",
}
ELSEWHERE = ("dataset", "data", "model")  # where data and model are chosen


def read_form(start: Opening) -> tuple[Form, Chosen]:
    """Draw the form; returns it with the values of an ExperimentConfig, and the data chosen."""
    st.selectbox(
        "Start from",
        PRESETS,
        index=None,
        format_func=lambda key: PRESETS[key]["name"],
        placeholder="a file",
        key="preset",
        on_change=preset_chosen,
    )
    form = Form(start.values | {key: dict(value) for key, value in start.values.items()
                                if isinstance(value, dict)}, start.mark)  # fmt: skip
    # Drawn in another order than they stand in: the data decide what can be asked for.
    main = st.container()
    behind = st.container(key=f"{stage.HIDDEN}_form")
    of_data, more = behind.container(), behind.expander("All settings")
    with of_data:
        linked = form["dataset"]
        chosen = choose_data(form, more)
        form.values |= {"dataset": chosen.dataset, "data": {**form["data"], **chosen.data}}
        form["model"] = choose_model()
    with main:
        what_and_who(form, chosen, linked)
        which_ways(form)
    with more:
        strategy_options(form)
        client_ranks(form)
        ask_sweep(form)
        model_settings(form)
        everything_else(form)
    return form, chosen


def preset_chosen() -> None:
    """Start the form anew at the preset that was chosen."""
    if name := st.session_state["preset"]:
        open_preset(name)


def what_and_who(form: Form, chosen: Chosen, linked: str) -> None:
    """Ask for name, amounts, and how clients differ; ``linked``: the data that the start is for."""
    meanings = meanings_for(chosen.dataset, chosen.collection)
    others = chosen.dataset not in (WORLD, linked)  # than those that the start is for
    natural = others and "natural" in meanings
    # What a field starts with is part of its key, so that another start brings its own values.
    of_data = form.at(f"{form.mark}:{chosen.dataset}") if others else form
    if others:
        form["name"] = (chosen.title or "My data")[:80]
    of_kind = of_data.at(of_data.mark + ":natural" * natural)
    if natural:
        form["heterogeneity"] = {"kind": "natural", "level": 1.0}
    of_kind.slide("heterogeneity.level", 0.05, help="0: all alike (iid). 1: nothing in common.")
    of_kind.pick("heterogeneity.kind", list(meanings), lambda key: meanings[key][0])
    kind = form["heterogeneity.kind"]
    st.caption(meanings[kind][1])
    form.slide_over("samples_per_client", SAMPLES)
    st.caption("With few, a client alone cannot learn what it needs; with many it can.")
    if natural and kind == "natural" and chosen.collection is not None:
        form["clients"] = min(len(chosen.collection.clients), MOST_CLIENTS)
        of_data = of_kind
    left, right = st.columns(2)
    with left:
        of_data.number("clients")
    with right:
        form.number("rounds")
    of_data.text("name", max_chars=80)


def which_ways(form: Form) -> None:
    """Ask for the strategies, in groups, and say what each that is chosen does."""
    groups = {
        group: {
            key: (f"{name_of(key)} :small[:gray[{key}]]", rule.idea)
            for key, rule in STRATEGIES.items()
            if rule.group() == group
        }
        for group in GROUPS
    }
    with st.container(key=f"{stage.HIDDEN}_ways"):
        form.tick_many("strategies", groups)
    for key in form["strategies"]:
        st.caption(f"**{name_of(key)}.** {STRATEGIES[key].idea}")


def everything_else(form: Form) -> None:
    """Ask for every key of a config that has no field yet, a section per table."""
    options = {key for key in STRATEGIES if STRATEGIES[key].options_model}
    hidden = {key for key in known_keys() if key.partition(".")[0] in {*ELSEWHERE, *options}}
    hidden |= {"lora.client_ranks"}  # of some strategies (client_ranks)
    left = [key for key in known_keys() if key not in form.asked and key not in hidden]
    for table in dict.fromkeys(key.rpartition(".")[0] for key in left):
        section(form, table, [key for key in left if key.rpartition(".")[0] == table])


def section(form: Form, table: str, keys: Iterable[str]) -> None:
    """Ask for the keys of a table in two columns."""
    st.markdown(f"**{table.capitalize() or 'Training'}**")
    columns = st.columns(2)
    for number, key in enumerate(keys):
        with columns[number % 2]:
            if key == "lora.rank":
                form.slide_over(key, RANKS)
            else:
                form.ask(key, **({"help": HELP[key]} if key in HELP else {}))


def show_data(values: dict[str, Any], rows: Collection) -> None:
    """Show people's own data: the rows that the model can take, once one is chosen."""
    with suppress(ConfigError):  # which is told of below
        rows = usable(ExperimentConfig.parse(values).without_training(), rows.digest)
    st.subheader("The data")
    show_collection(rows)


def show_result(form: Form, chosen: Chosen) -> ExperimentConfig | None:
    """Show the form's experiment; returns None, after a sentence, where it cannot be run."""
    if not chosen.usable:
        st.info("A preview comes here as soon as there are data to look at.")
        return None
    if chosen.collection is not None:
        show_data(form.values, chosen.collection)
    if not form["model"]:
        st.info("Name the model: a folder on this machine, or its id on the hub.")
        return None
    digest = chosen.collection.digest if chosen.collection else ""
    try:
        config = ExperimentConfig.parse(form.values)
        check_feasible(config)
        if config.model != BUNDLED:
            show_model(config)
        show_summary(config)
        st.subheader("Who holds what")
        if config.dataset == SITES:
            st.info(
                "Pictures and questions stay with the sites. When the run begins, each says how "
                "many it has and what is left out, in numbers: *Live* shows it."
            )
        else:
            show_clients(config, digest)
        st.subheader("What it costs")
        show_costs(config)
    except ConfigError as mistake:
        form.tell(mistake)
        st.error(str(mistake))
        return None
    return config


def share(config: ExperimentConfig, start: Opening) -> None:
    """Offer the experiment as a link, as a command and as a file."""
    with (
        st.container(key=f"{stage.HIDDEN}_share"),
        st.expander("Share it: link, command line, YAML"),
    ):
        page = (st.context.url or "").partition("?")[0]
        st.caption("A link that opens this form as it is, here or on another machine:")
        st.code(f"{page}?{urlencode(link_to(config, start.preset))}", language=None)
        st.code("python -m engine run --config experiment.yaml", language="bash")
        st.download_button(
            "Download experiment.yaml", config.to_yaml(), "experiment.yaml", on_click="ignore"
        )
        st.code(config.to_yaml(), language="yaml")


def take_file() -> None:
    """Ask for a YAML file at which the form then starts anew."""
    with st.container(key=f"{stage.HIDDEN}_file"), st.expander("Open a YAML file"):
        st.file_uploader("experiment.yaml", key="yaml", max_upload_size=1, on_change=file_given)


def file_given() -> None:
    """Start the form anew at the file that was given, or say what is wrong with it."""
    if upload := st.session_state["yaml"]:
        try:
            open_values(read_yaml(upload.getvalue().decode("utf-8", "replace")))
        except ConfigError as mistake:
            opening().mistake = str(mistake)


start = opening()
head, action = st.columns([5, 1], vertical_alignment="bottom")
head.title("Set up an experiment")
if start.mistake:
    st.error(start.mistake)
    start.mistake = ""  # told
left, right = st.columns([4, 6], gap="large")
with left:
    form, chosen = read_form(start)
    take_file()
with right:
    trouble = st.container()  # on top, where somebody who pressed Run looks
    config = show_result(form, chosen)
    if config is None:
        st.stop()
    follow(config)
    if (config.model, config.start) == (BUNDLED, ""):  # others are not checked yet, or large
        # The worker warms up while the form is filled in.
        queue.prepare(config.points()[0].config)
    with action:
        pressed = st.button(
            "Run", type="primary", key="run", width="stretch", shortcut=look.KEYS["run"]
        )
    share(config, start)
if pressed:
    try:
        with trouble, st.spinner("Checking whether it can run …"):
            start_experiment(config)
    except ConfigError as mistake:
        trouble.error(str(mistake))
