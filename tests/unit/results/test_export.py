"""What leaves the lab works without it: only torch, transformers, peft and Pillow."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import zipfile

import pytest
from PIL import Image

from db import reads
from engine.config import ExperimentConfig
from engine.fl.context import context_of
from engine.jobs.queue import NotPossible
from engine.paths import BUNDLED_MODEL
from engine.results import ask
from engine.results.export import export, zipped
from tests.helpers.outside import answers_outside
from tests.helpers.runs import run


@pytest.mark.parametrize(
    "keys",
    [("plora", "fedex", "hetlora"), pytest.param(("fedit", "feddpa"), marks=pytest.mark.slow)],
)
def test_exported_adapters_answer_as_the_lab_does(keys, tiny, tmp_path):
    values = {"local_steps": 12, "samples_per_client": 64, "batch_size": 16, "strategies": keys}
    values |= {"lora": {"client_ranks": [8, 3]}}
    config = ExperimentConfig.parse({**tiny.model_dump(), **values})
    runs = [summary.run for summary in run(config)]
    for key, run_id in zip(keys, runs, strict=True):
        export(run_id, tmp_path / key)
    outside = answers_outside([(tmp_path / key / "clients/1", config, 1) for key in keys], tmp_path)
    base = [row["answer"] for row in ask.predict(runs[0], 1, "base")]
    for key, run_id, answers in zip(keys, runs, outside, strict=True):
        variant = "personal" if key in ("plora", "feddpa") else "global"
        assert answers == [row["answer"] for row in ask.predict(run_id, 1, variant)], key
        assert answers != base, "an untrained adapter would prove nothing"


@pytest.fixture(scope="module")
def exported(tiny, module_home):
    """A run of plora and one of fedsa, and where the first one is exported."""
    plora, fedsa = run(tiny.model_copy(update={"strategies": ("plora", "fedsa")}))
    export(plora.run, module_home / "out")
    return plora, fedsa, module_home / "out"


def test_the_folder_holds_all_that_is_needed(exported, tiny):
    plora, fedsa, out = exported
    assert {path.name for path in (out / "clients").iterdir()} == {"0", "1"}
    adapter = json.loads((out / "global" / "adapter_config.json").read_text())
    assert (adapter["r"], adapter["lora_alpha"], adapter["peft_type"]) == (8, 16.0, "LORA")
    assert adapter["base_model_name_or_path"] == str(out.resolve() / "model")
    weights = (out / "model" / "model.safetensors").read_bytes()
    assert weights == (BUNDLED_MODEL / "model.safetensors").read_bytes()
    with (out / "metrics.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(reads.round_client_rows(plora.run))
    assert ExperimentConfig.parse(tiny.model_dump()).to_yaml()[:4] == "name"
    assert "PeftModel.from_pretrained" in (out / "README.md").read_text()
    with zipfile.ZipFile(io.BytesIO(zipped(fedsa.run))) as archive:
        names = archive.namelist()
        assert f"run-{fedsa.run}/clients/1/adapter_model.safetensors" in names
        assert not any("/global/" in name for name in names)
        assert b"There is no `global/`" in archive.read(f"run-{fedsa.run}/README.md")


def test_the_script_in_its_readme_runs(exported, tiny):
    plora, _, out = exported
    script = re.search(r"```python\n(.+?)```", (out / "README.md").read_text(), re.DOTALL).group(1)
    example = context_of(tiny).dataset.examples(0, "test")[0]
    Image.fromarray(example.image).save(out / "picture.png")
    done = subprocess.run([sys.executable, "-c", script], cwd=out, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = ask.ask(plora.run, 0, example.image, "How many things are there?")
    assert done.stdout.strip() == found[-1].text


def test_what_cannot_be_exported_is_refused(tiny, tmp_path):
    [zero, local] = run(tiny.model_copy(update={"strategies": ("zero-shot", "local")}))
    with pytest.raises(NotPossible, match="trained nothing"):
        export(zero.run, tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine.txt").write_text("precious")
    with pytest.raises(NotPossible, match="not empty"):
        export(local.run, tmp_path / "b")
    with pytest.raises(NotPossible, match="cannot be a folder"):
        export(local.run, tmp_path / "b" / "mine.txt" / "below")
