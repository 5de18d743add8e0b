"""What docs/extending.md shows works from outside the tree; what cannot be loaded is a sentence."""

import json
import os
import re
import subprocess
import sys

import pytest

from engine.paths import ROOT
from engine.plugins import PluginError, Registry
from engine.strategies import STRATEGIES
from engine.strategies.__main__ import README, with_table

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
LISTED = """
import json
from engine.config import ExperimentConfig, known_keys
from engine.data.synthetic.cameras import CAMERAS, look_through
from engine.data.user.known import KNOWN, fill
from engine.vlm.families import family_of
import numpy as np
config = ExperimentConfig(data={"metric": "starts_alike"}, damped={"step": 0.25})
white = np.full((1, 2, 2, 3), 200, np.uint8)
print(json.dumps({
    "keys": [key for key in known_keys() if "damped" in key],
    "step": config.rule("damped").options.step,
    "dusk": int(look_through("dusk", white, 1.0, np.random.default_rng(0)).max()),
    "family": family_of("my_vl").title,
    "columns": [fill("me/my-data", config.data).image, KNOWN["me/my-data"].answer],
    "cameras": list(CAMERAS)[-2:],
}))
"""


def engine(*arguments: str, plugins: str, cwd=ROOT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "FEDVLM_PLUGINS": plugins, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd)


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    """A file with all that the page shows."""
    path = tmp_path_factory.mktemp("outside") / "mine.py"
    path.write_text("\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)), "utf-8")
    return path


def test_a_strategy_from_outside_runs_to_the_end_with_an_option_of_its_own(plugin):
    command = re.search(r"python -m engine (run .*)", PAGE)[1].split()
    assert "damped.step=0.25" in command
    done = engine("-m", "engine", *command, "--json", plugins=str(plugin))
    assert done.returncode == 0, done.stderr
    [run] = json.loads(done.stdout.splitlines()[-1])["runs"]
    assert (run["strategy"], run["status"], run["rounds"]) == ("damped", "done", 2)
    shown = engine(
        "-m", "engine", "predict", str(run["run"]), "--client", "0", "--variant", "base", plugins=""
    )
    assert shown.returncode == 2, "a run of what is not known here any more"
    assert "strategy 'damped' is not known here" in shown.stderr and "Traceback" not in shown.stderr


def test_all_five_kinds_are_known_where_the_lab_looks_for_them(plugin):
    done = engine("-c", LISTED, plugins=plugin.name, cwd=plugin.parent)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "keys": ["damped.step"],
        "step": 0.25,
        "dusk": 80,
        "family": "My VL",
        "columns": ["photo", "label"],
        "cameras": ["grain", "dusk"],
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "there is no such file"),
        ("import nothing_of_that_name", "No module named"),
        ("def broken(:", "SyntaxError"),
        ("from engine.strategies.base import STRATEGIES as S; S['fedit'] = 1", "already"),
        ("from engine.metrics import METRICS as M; M['a b'] = 1", "no name for a metric"),
    ],
)
def test_what_cannot_be_loaded_is_one_sentence(tmp_path, text, reason):
    path = tmp_path / "mine.py"
    if text is not None:
        path.write_text(text, "utf-8")
    done = engine("-m", "engine", "runs", plugins=str(path))
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.startswith(f"error: FEDVLM_PLUGINS: {path} cannot be loaded (") and reason in line


def test_options_cannot_take_a_key_that_a_config_has(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from engine.strategies.base import STRATEGIES, Options, Strategy\n"
        "STRATEGIES['seed'] = type('Seed', (Strategy,), {'options_model': Options})\n",
        "utf-8",
    )
    done = engine("-m", "engine", "runs", plugins=str(path))
    assert done.returncode == 2 and "'seed' has options, but a config has that key" in done.stderr


def test_a_registry_keeps_its_order_and_knows_what_it_lacks():
    registry = Registry("thing")
    registry.register("b")(len)
    registry["a"] = abs
    assert list(registry.items()) == [("b", len), ("a", abs)]
    with pytest.raises(PluginError, match="thing 'c' is not known here"):
        registry["c"]
    assert registry.get("c") is None


def test_readmes_table_is_that_of_the_registry():
    text = README.read_text(encoding="utf-8")
    assert all(f"| `{key}` |" in text for key in STRATEGIES)
    assert with_table(text) == text, "run: python -m engine.strategies"


def test_the_config_needs_neither_torch_nor_flower():
    code = (
        "import sys, engine.config as c; assert 'fedit' in c.ExperimentConfig().strategies;"
        "assert not {'torch', 'flwr', 'pandas', 'streamlit', 'sqlalchemy'} & set(sys.modules)"
    )
    done = engine("-c", code, plugins="")
    assert done.returncode == 0, done.stderr
