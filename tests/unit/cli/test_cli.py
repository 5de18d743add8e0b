import json
import os
import subprocess
import sys

import pytest

from db import reads
from engine.cli import main
from engine.config import ExperimentConfig
from engine.paths import ROOT


def call(capsys, *arguments: str) -> tuple[int, str, str]:
    """Run the command line in this process; returns exit status, stdout and stderr."""
    sys.argv = ["engine", *arguments]
    with pytest.raises(SystemExit) as ended:
        main.main()
    out, err = capsys.readouterr()
    return ended.value.code or 0, out, err


@pytest.fixture(scope="module")
def no_picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "note.png"
    path.write_text("not a picture")
    return str(path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--set", "clients=0"], "clients: "),
        (["run", "--set", "heterogeneity.kind=foo"], "'concept'"),
        (["submit", "--set", "rounds=-1"], "rounds: "),
        (["run", "--preset", "nope"], "quickstart"),
        (["run", "--config", "nowhere.yaml"], "nowhere.yaml"),
        (["run", "--preset", "tiny", "--config", "x.yaml"], "exclude"),
        (["run", "--runtime", "moon"], "runtime: "),
        (["run", "--frobnicate"], "frobnicate"),
        (["frobnicate"], "frobnicate"),
        (["show", "99"], "no run 99"),
        (["clone", "99"], "no run 99"),
        (["tradeoff", "99"], "no run 99"),
        (["export", "99", "nowhere"], "no run 99"),
        (["tables", "99", "nowhere"], "no experiment 99"),
        (["bench", "methods", "--kinds", "moon"], "heterogeneity.kind: "),
        (["bench", "methods", "--report", "--levels", "0"], "--report writes the whole"),
        (["bench", "methods", "--report", "--seeds", "1"], "--seeds 2 or more"),
        (["run", "--set", "lora.client_ranks=8,99"], "lora.client_ranks: "),
        (["run", "--set", "privacy.noise=1"], "privacy.noise: needs privacy.clip"),
        (["show", "first"], "first"),
        (["stop", "99"], "no run 99"),
        (["resume", "99"], "no run 99"),
        (["predict", "99", "--client", "0", "--variant", "base"], "no run 99"),
        (["predict", "1", "--client", "0", "--variant", "best"], "base, global, personal"),
        (["ask", "1", "--client", "0", "--image", "no.png", "--question", "?"], "no.png"),
    ],
)
def test_a_mistake_gives_one_line_and_status_2(capsys, arguments, words):
    status, out, err = call(capsys, *arguments)
    assert status == 2 and out == ""
    assert words in err and err.count("\n") == 1 and err.startswith("error: ")


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("FEDVLM_DATABASE_URL", "nonsense", "allowed: sqlite:"),
        ("FEDVLM_DATABASE_URL", "oracle://host/x", "oracle"),
        ("FEDVLM_DATABASE_URL", "moon://host/x", "moon"),
        ("FEDVLM_DATABASE_URL", "sqlite:////no/such/folder/x.db", "cannot be opened"),
        ("FEDVLM_DATABASE_URL", f"sqlite:///{__file__}", "not a database"),
        ("FEDVLM_HOME", __file__, "cannot be a folder"),
        ("FEDVLM_HOME", f"{__file__}/below", "cannot be a folder"),
    ],
)
def test_an_environment_that_cannot_be_had_is_one_line_too(
    capsys, monkeypatch, variable, value, words
):
    monkeypatch.setenv(variable, value)
    status, out, err = call(capsys, "runs")
    assert (status, out) == (2, "")
    assert err.startswith(f"error: {variable}: ") and words in err and err.count("\n") == 1


def test_a_home_may_be_called_as_one_likes(capsys, monkeypatch, tmp_path):
    odd = tmp_path / "what? 100% #1"
    monkeypatch.setenv("FEDVLM_HOME", str(odd))
    assert call(capsys, "runs")[0] == 0
    assert (odd / "fedvlm.db").is_file()


def test_a_run_can_be_cloned_with_changes(capsys, started):
    _, out, _ = call(capsys, "submit", "--preset", "tiny", "--set", "seed=4", "--json")
    run_id = json.loads(out)["runs"][1]
    status, out, err = call(capsys, "clone", str(run_id), "--set", "rounds=3", "--json")
    assert (status, err) == (0, "")
    [clone] = json.loads(out)["runs"]
    one, other = (reads.run(number) for number in (run_id, clone))
    assert (other.strategy, other.rounds, other.status) == (one.strategy, 3, "queued")
    assert other.experiment.config == {
        **one.experiment.config,
        "strategies": [one.strategy],
        "rounds": 3,
    }


def test_an_upload_that_is_no_picture(capsys, no_picture):
    status, _, err = call(
        capsys, "ask", "1", "--client", "0", "--image", no_picture, "--question", "?"
    )
    assert status == 2 and "not a picture" in err and err.count("\n") == 1


def test_run_show_predict_ask_through_the_command_line(capsys, tmp_path, tiny):
    file = tmp_path / "tiny.yaml"
    file.write_text(tiny.to_yaml())
    status, out, _ = call(capsys, "run", "--config", str(file), "--set", "seed=4", "--json")
    assert status == 0
    last = json.loads(out.splitlines()[-1])
    assert set(last) == {"experiment", "runs"}
    contract = (
        "run strategy status rounds base_accuracy global_accuracy personal_accuracy "
        "worst_client_accuracy pooled_accuracy bytes_up bytes_down trainable_parameters "
        "wall_seconds train_seconds peak_rss_mb"
    )
    assert [set(run) for run in last["runs"]] == [set(contract.split())] * 2
    plora = str(last["runs"][1]["run"])

    _, out, _ = call(capsys, "show", plora, "--json")
    rows = json.loads(out)["rows"]
    assert [(r["round"], r["client"]) for r in rows] == [(r, k) for r in range(3) for k in (0, 1)]

    _, out, _ = call(capsys, "predict", plora, "--client", "0", "--variant", "personal", "--json")
    predictions = json.loads(out)["predictions"]
    assert len(predictions) == 48
    fields = {"item", "question", "reference", "answer", "score", "correct", "confidence"}
    assert set(predictions[0]) == fields

    from PIL import Image

    from engine.data.synthetic.world import SyntheticDataset

    config = ExperimentConfig.parse({**tiny.model_dump(), "seed": 4})
    item = SyntheticDataset(config).examples(0, "test")[0]
    picture = tmp_path / "item.png"
    Image.fromarray(item.image).save(picture)
    arguments = ("--image", str(picture), "--question", item.question, "--json")
    _, out, _ = call(capsys, "ask", plora, "--client", "0", *arguments)
    answers = json.loads(out)
    assert list(answers) == ["base", "global", "personal"]
    assert answers["personal"]["text"] == predictions[0]["answer"]

    _, out, _ = call(capsys, "runs", "--json")
    assert [run["run"] for run in json.loads(out)["runs"]] == [2, 1]


def test_a_failed_run_gives_status_1(capsys, monkeypatch):
    from engine.fl.flower import client_app

    def fail(*_):
        raise MemoryError("no room")

    monkeypatch.setattr(client_app, "train_cohorts", fail)
    status, out, _ = call(capsys, "run", "--preset", "tiny", "--set", "strategies=fedit", "--json")
    assert status == 1
    assert json.loads(out.splitlines()[-1])["runs"][0]["status"] == "failed"


def test_submit_queues_and_starts_a_worker(capsys, started):
    status, out, _ = call(capsys, "submit", "--preset", "tiny", "--json")
    assert status == 0 and json.loads(out) == {"experiment": 1, "runs": [1, 2]}
    assert started == ["worker"]


def test_the_module_runs_from_a_shell_without_a_traceback(home):
    environment = {**os.environ, "FEDVLM_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-m", "engine", "run", "--set", "clients=0"],
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "clients" in done.stderr
