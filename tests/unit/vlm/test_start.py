"""Starting from an exported adapter, and what an export of that gives."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from db import reads
from engine.config import ConfigError, ExperimentConfig
from engine.fl.context import context_of
from engine.jobs.validate import validate
from engine.results import ask
from engine.results.export import export
from engine.vlm.imported_adapter import read_adapter
from tests.helpers.outside import answers_outside
from tests.helpers.runs import run


def config(tiny: ExperimentConfig, **values: object) -> ExperimentConfig:
    usual = {"local_steps": 8, "samples_per_client": 32, "batch_size": 16, "strategies": ["fedit"]}
    return ExperimentConfig.parse({**tiny.model_dump(), **usual, **values})


@pytest.fixture(scope="module")
def once(tiny, module_home):
    [first] = run(config(tiny))
    export(first.run, module_home / "first")
    return first, module_home / "first"


@pytest.fixture
def exported(once, tmp_path):
    """A run and a copy of its export, to be spoilt."""
    first, folder = once
    return first, shutil.copytree(folder, tmp_path / "first")


def test_the_base_of_a_run_is_the_model_it_started_from(exported, tiny, tmp_path):
    first, folder = exported
    lora = {"rank": 2, "alpha": 4, "targets": ["q_proj", "fc1"]}
    wanted = config(tiny, start=str(folder / "global"), lora=lora, strategies=["fedit", "fedex"])
    plain, exact = run(wanted)
    before = [row["answer"] for row in ask.predict(first.run, 0, "global")]
    assert [row["answer"] for row in ask.predict(plain.run, 0, "base")] == before
    assert plain.base_accuracy == pytest.approx(first.global_accuracy)
    folders = [tmp_path / f"run-{summary.run}" for summary in (plain, exact)]
    for summary, out in zip((plain, exact), folders, strict=True):
        export(summary.run, out)
    # Its export does what both adapters do together.
    outside = answers_outside([(out / "clients" / "0", wanted, 0) for out in folders], tmp_path)
    for summary, answers in zip((plain, exact), outside, strict=True):
        assert answers == [row["answer"] for row in ask.predict(summary.run, 0, "global")]
        assert answers != before
    config_file = folders[-1] / "global" / "adapter_config.json"
    assert json.loads(config_file.read_text())["r"] > 8


def test_a_run_keeps_its_own_copy(exported, tiny):
    _, folder = exported
    validated, _ = validate(config(tiny, start=str(folder / "clients" / "0")))
    weights = folder / "clients" / "0" / "adapter_model.safetensors"
    kept = read_adapter(validated.start).factors()
    weights.unlink()
    assert kept and all(torch.equal(a, b) for a, b in zip(
        kept.values(), read_adapter(validated.start).factors().values(), strict=True))  # fmt: skip
    assert context_of(validated).vlm.factors


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: (f / "adapter_config.json").unlink(), "no adapter_config.json"),
        (lambda f: (f / "adapter_model.safetensors").unlink(), "only safetensors"),
        (lambda f: (f / "adapter_config.json").write_text("{"), "cannot be read"),
        (lambda f: (f / "adapter_model.safetensors").write_bytes(b"none"), "cannot be read"),
        (lambda f: change(f, use_dora=True), "only plain LoRA"),
        (lambda f: change(f, rank_pattern={"q_proj": 2}), "only plain LoRA"),
    ],
)
def test_what_is_no_plain_adapter_is_refused_in_one_sentence(exported, tiny, spoil, words):
    _, folder = exported
    spoil(folder / "global")
    with pytest.raises(ConfigError, match=f"start: .*{words}"):
        validate(config(tiny, start=str(folder / "global")))


def change(folder, **values) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def test_a_whole_export_is_answered_with_the_adapters_in_it(exported, tiny):
    _, folder = exported
    with pytest.raises(ConfigError, match=r"there are adapters in clients/0, clients/1, global"):
        validate(config(tiny, start=str(folder)))


def test_an_adapter_of_another_model_is_refused(exported, tiny):
    from safetensors.torch import load_file, save_file

    _, folder = exported
    file = folder / "global" / "adapter_model.safetensors"
    save_file({name.replace("fc1", "up_proj"): t for name, t in load_file(file).items()}, file)
    with pytest.raises(ConfigError, match="for another model: here is no layer"):
        validate(config(tiny, start=str(folder / "global")))


def test_import_on_the_command_line_queues_the_exported_experiment(exported, capsys, started):
    from engine.cli.main import app

    _, folder = exported
    app(["import", str(folder / "clients" / "1"), "--set", "rounds=1", "--json"],
        standalone_mode=False)  # fmt: skip
    queued = json.loads(capsys.readouterr().out.splitlines()[-1])
    config = reads.run(queued["runs"][0]).experiment.config
    assert config["rounds"] == 1 and config["samples_per_client"] == 32
    assert read_adapter(config["start"]).factors() and started == ["worker"]
