"""The form of Set up: a link to it, a YAML file, every key, what it costs."""

import pytest
from streamlit.testing.v1 import AppTest

from app.costs import seconds_of
from app.opening import link_to
from db import reads
from engine.config import ExperimentConfig, known_keys
from engine.presets import PRESETS, preset
from engine.strategies import STRATEGIES
from tests.helpers.runs import run
from tests.pages.test_pages import open_page, text_of


def newest() -> ExperimentConfig:
    return ExperimentConfig.parse(reads.runs()[0].experiment.config)


def keys_of(app: AppTest) -> set[str]:
    """Return the keys of a config that have a field, by the marks of an unchanged start."""
    kinds = ("number_input", "text_input", "selectbox", "checkbox", "slider", "select_slider")
    widgets = [widget for kind in (*kinds, "segmented_control") for widget in app.get(kind)]
    return {str(widget.key).removesuffix(":quickstart") for widget in widgets}


def test_every_key_of_a_config_has_a_field():
    app = open_page("setup")
    for key in STRATEGIES:
        app.checkbox(key=f"strategies.{key}:quickstart").set_value(True)
    app.run()
    assert not app.exception
    fields = keys_of(app)
    ways = {f"strategies.{key}" for key in STRATEGIES}
    of_data = {"dataset", "model", *(key for key in known_keys() if key.startswith("data."))}
    assert ways <= fields and {"data.source", "model.source"} <= fields
    missing = set(known_keys()) - fields - of_data - {"strategies"}
    assert not missing


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_link_names_what_differs_from_its_preset(name):
    config = ExperimentConfig.parse(preset(name))
    assert link_to(config, name) == {"preset": name}
    changed = config.model_copy(update={"clients": 5, "strategies": ("fedsa", "local")})
    assert link_to(changed, name) == {
        "preset": name, "clients": "5", "strategies": "fedsa,local",
    }  # fmt: skip


def test_a_link_opens_the_form_as_it_was(started):
    app = open_page("setup")
    app.slider(key="heterogeneity.level:quickstart").set_value(0.35)
    app.checkbox(key="strategies.ditto:quickstart").set_value(True)
    app.text_input(key="lora.targets:quickstart").set_value("q_proj, v_proj")
    app.number_input(key="privacy.clip:quickstart").set_value(2.0)
    app.selectbox(key="device:quickstart").set_value("cpu").run()
    link = {key: app.query_params[key] for key in app.query_params}
    link = {key: value[0] if isinstance(value, list) else value for key, value in link.items()}
    assert link["preset"] == "quickstart" and link["heterogeneity.level"] == "0.35"
    other = open_page("setup", **link)
    assert not other.exception and not other.error
    other.button(key="run").click().run()
    config = newest()
    assert config.heterogeneity.level == 0.35 and "ditto" in config.strategies
    assert config.lora.targets == ("q_proj", "v_proj") and config.privacy.clip == 2
    assert config.device == "cpu"


def test_a_link_with_a_mistake_says_so_and_opens_its_preset():
    app = open_page("setup", preset="alike", clients="5000")
    assert "clients" in app.error[0].value and "1000" in app.error[0].value
    assert app.slider(key="heterogeneity.level:alike").value == 0.0 and not app.exception
    app = open_page("setup", colour="red")
    assert "there is no such key" in app.error[0].value and not app.exception


def test_a_yaml_file_fills_the_form(started):
    app = open_page("setup")
    text = ExperimentConfig(name="from a file", clients=3, rounds=2, seed=7).to_yaml()
    app.file_uploader(key="yaml").upload("e.yaml", text.encode(), "application/yaml").run()
    assert not app.exception and not app.error
    app.button(key="run").click().run()
    assert (newest().name, newest().clients, newest().seed) == ("from a file", 3, 7)


def test_a_file_that_is_no_config_is_told_in_a_sentence():
    app = open_page("setup")
    app.file_uploader(key="yaml").upload("e.yaml", b"clients: many", "application/yaml").run()
    assert "clients" in app.error[0].value and not app.exception


def test_a_mistake_is_told_below_its_field():
    app = open_page("setup")
    app.text_input(key="lora.targets:quickstart").set_value("q proj").run()
    assert ":red[Layers:" in text_of(app) and not app.exception


def test_the_time_is_that_of_a_stored_run_of_like_work(tiny):
    run(tiny)
    taken = [sum(row.seconds for row in reads.rounds(run.id)) for run in reads.runs()[:2]]
    seconds, here = seconds_of(tiny)
    assert here and min(taken) * 0.999 <= seconds <= max(taken) * 1.001
    double, _ = seconds_of(tiny.model_copy(update={"rounds": 2 * tiny.rounds}))
    assert double == pytest.approx(2 * seconds)
    assert seconds_of(tiny.model_copy(update={"model": "somebody/else"})) == (None, False)


def test_the_digits_come_along_and_are_previewed(started):
    app = open_page("setup", preset="digits")
    assert not app.exception and not app.error
    assert app.selectbox(key="data.source").value == "digits"
    assert "zero" in text_of(app) and "Client 5" in text_of(app)
    app.button(key="run").click().run()
    assert newest().dataset == "digits" and newest().clients == 8
