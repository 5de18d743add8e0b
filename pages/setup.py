"""Set up: choose an experiment and see at once who will hold what."""

from typing import Any

import streamlit as st

from app import charts
from app.look import size
from app.widgets import start_experiment
from engine import launcher
from engine.config import PRESETS, ConfigError, ExperimentConfig, field, preset
from engine.federation.distance import distances_without_pictures
from engine.federation.federation import ClientProfile, Example, new_federation
from engine.federation.heterogeneity import MEANINGS
from engine.federation.words import CIRCLES
from engine.sizes import adapter_size
from engine.strategies import STRATEGIES

PREVIEWED = 6  # clients whose pictures are shown
SAMPLES = 3  # pictures of each
PRIVACY = (
    "Differential privacy of the factors that a client sends: their change is clipped to this "
    "norm, and noise is added. The Live page shows the ε that is spent. Figures such as losses and "
    "accuracies are not protected."
)


@st.cache_data(max_entries=64, show_spinner=False)
def preview(
    config: ExperimentConfig,
) -> tuple[list[tuple[ClientProfile, tuple[Example, ...]]], dict[str, float]]:
    """Profiles and sample pictures of the first clients, and distances; nothing else is painted."""
    federation = new_federation(config)
    shown = range(min(config.clients, PREVIEWED))
    clients = [(federation.profile(k), federation.examples(k, "train", SAMPLES)) for k in shown]
    return clients, distances_without_pictures(federation)


def number(key: str, base: dict[str, Any], start_from: str, **options: Any) -> Any:
    """A number input whose label, limits and start come from the config's definition."""
    found = field(key)
    options |= {"value": found.value_in(base), "key": f"{key}:{start_from}"}
    return st.number_input(found.title, found.low, found.high, **options)


def read_form() -> dict[str, Any]:
    """Draw the form; returns the values of an ExperimentConfig."""
    start_from = st.selectbox(
        "Start from", list(PRESETS), format_func=lambda key: PRESETS[key]["name"], key="preset"
    )
    base = ExperimentConfig.parse(preset(start_from)).model_dump()
    # The starting point is part of every key, so that a new one brings its own values.
    with st.container():
        name = st.text_input("Name", base["name"], max_chars=80, key=f"name:{start_from}")
        one, two = st.columns(2)
        with one:
            clients = number("clients", base, start_from)
        with two:
            rounds = number("rounds", base, start_from)
        kind = st.segmented_control(
            "What differs between clients",
            list(MEANINGS),
            default=base["heterogeneity"]["kind"],
            required=True,
            format_func=lambda key: MEANINGS[key][0],
            key=f"heterogeneity.kind:{start_from}",
        )
        st.caption(MEANINGS[kind][1])
        level = st.slider(
            "How much they differ",
            0.0,
            1.0,
            base["heterogeneity"]["level"],
            0.05,
            key=f"heterogeneity.level:{start_from}",
            help="0: all alike (iid). 1: nothing in common.",
        )
        rank = st.select_slider(
            "LoRA rank",
            [1, 2, 4, 8, 16, 32, 64],
            base["lora"]["rank"],
            key=f"lora.rank:{start_from}",
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
        with st.expander("More settings"):
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
            options = strategy_options(strategies, base, start_from)
            ranks = client_ranks(strategies, base, start_from)
    return {
        **base,
        "name": name,
        "clients": clients,
        "rounds": rounds,
        "heterogeneity": {"kind": kind, "level": level},
        "lora": {**base["lora"], "rank": rank, "alpha": alpha, "client_ranks": ranks},
        "strategies": strategies,
        "samples_per_client": samples,
        "local_steps": steps,
        "participation": participation,
        "dropout": dropout,
        "privacy": {**base["privacy"], "clip": clip, "noise": noise},
        "seed": seed,
        "batch_size": batch,
        "learning_rate": rate,
        **options,
    }


def strategy_options(
    strategies: list[str], base: dict[str, Any], start_from: str
) -> dict[str, dict[str, Any]]:
    """The options of the chosen strategies that have some."""
    options: dict[str, dict[str, Any]] = {}
    if "fedprox" in strategies:
        options["fedprox"] = {"mu": number("fedprox.mu", base, start_from, step=0.05)}
    if "ditto" in strategies:
        options["ditto"] = {"lam": number("ditto.lam", base, start_from, step=0.05)}
    if "plora" in strategies:
        start = st.radio(
            "pLoRA: where a client's A starts in a round",
            ["persistent", "reset"],
            format_func={
                "persistent": "where it ended the round before",
                "reset": "at the common A₀",
            }.__getitem__,
            key=f"plora.start:{start_from}",
        )
        options["plora"] = {"start": start}
    return options


def client_ranks(strategies: list[str], base: dict[str, Any], start_from: str) -> list[str]:
    """The clients' own ranks, where a chosen strategy can use them."""
    if not any(STRATEGIES[key].mixed_ranks for key in strategies):
        return base["lora"]["client_ranks"]
    text = st.text_input(
        "Clients' ranks, in turn (HetLoRA, FlexLoRA, FLoRA)",
        ", ".join(map(str, base["lora"]["client_ranks"])),
        placeholder="for example 8, 4, 2; empty: all the same",
        key=f"lora.client_ranks:{start_from}",
    )
    return [part.strip() for part in text.split(",") if part.strip()]


def show_costs(config: ExperimentConfig) -> None:
    """Trainable parameters and traffic of each chosen strategy."""
    adapter = adapter_size(config)
    st.dataframe(
        [
            {
                "strategy": key,
                "a client trains": f"{adapter.trainable(key):,} parameters",
                "a client sends per round": size(adapter.bytes_up(key)),
                "all send per round": size(adapter.bytes_up(key) * config.clients_per_round),
            }
            for key in config.strategies
        ],
        hide_index=True,
    )


def show_clients(config: ExperimentConfig) -> None:
    """Sample pictures, words and answers of the first clients."""
    shown, apart = preview(config.model_copy(update={"name": "-", "strategies": ("local",)}))
    if config.clients > 1:
        parts = " · ".join(f"{part} {value:.2f}" for part, value in apart.items())
        st.markdown(f"How far apart two sites are, from 0 (alike) to 1: {parts}")
    profiles = [profile for profile, _ in shown]
    axis = charts.commonest_answers(profiles)
    for start in range(0, len(shown), 2):
        cards = zip(st.columns(2), shown[start : start + 2], strict=False)
        for column, (profile, examples) in cards:
            with column, st.container(border=True):
                st.markdown(
                    f"**Client {profile.client}** · {profile.camera} camera · "
                    f"{profile.train_samples} samples"
                )
                with st.container(horizontal=True, gap="xxsmall"):
                    for example in examples:
                        st.image(example.image, width=80, alt=example.question)
                st.caption(words_of(profile))
                figure = charts.answer_histogram(profile, axis, profiles)
                st.plotly_chart(figure, key=f"answers_{profile.client}")
    if config.clients > len(shown):
        st.caption(f"… and {config.clients - len(shown)} more clients.")
    st.caption(
        "Bars: how often each answer is right in training, in the site's own words and in the same "
        "order for all. Sites with the same bars can share a model; hover for the shares."
    )


def words_of(profile: ClientProfile) -> str:
    """The words in which a client differs from the others, some of every circle, in one line."""
    moved = [[n for n in circle if n in profile.words][:2] for circle in CIRCLES.values()]
    pairs = [f"{neutral} → *{profile.words[neutral]}*" for some in moved for neutral in some]
    return "says " + ", ".join(pairs) + " …" if pairs else "says what all sites say"


head, action = st.columns([5, 1], vertical_alignment="bottom")
head.title("Set up an experiment")
form, result = st.columns([4, 6], gap="large")
with form:
    values = read_form()
with result:
    try:
        config = ExperimentConfig.parse(values)
    except ConfigError as mistake:
        st.error(str(mistake))
        st.stop()
    launcher.prepare(config)  # the worker warms up while the form is filled in
    st.subheader("Who holds what")
    show_clients(config)
    st.subheader("What it costs")
    show_costs(config)
    with action:
        if st.button("Run", type="primary", key="run", width="stretch"):
            start_experiment(config)
    with st.expander("The same on the command line"):
        st.code("python -m engine run --config experiment.yaml", language="bash")
        st.download_button("experiment.yaml", config.to_yaml(), "experiment.yaml")
        st.code(config.to_yaml(), language="yaml")
