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
from tests.helpers.runs import run

OUTSIDE = """
import json, sys
from peft import PeftModel
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

base, adapter, questions = sys.argv[1:]
asked = json.load(open(questions))
processor = AutoProcessor.from_pretrained(base)
model = PeftModel.from_pretrained(AutoModelForImageTextToText.from_pretrained(base), adapter).eval()
inputs = processor(
    text=[a["question"] for a in asked],
    images=[Image.open(a["image"]).convert("RGB") for a in asked],
    padding=True,
    return_tensors="pt",
)
out = model.generate(**inputs, max_new_tokens=12, do_sample=False, num_beams=1)
print(json.dumps([text.strip() for text in processor.batch_decode(out, skip_special_tokens=True)]))
assert "engine" not in sys.modules
"""


def answers_outside(adapter, tmp_path, config, client: int) -> list[str]:
    asked = []
    for example in context_of(config).dataset.examples(client, "test"):
        path = tmp_path / f"{example.item}.png"
        Image.fromarray(example.image).save(path)
        asked.append({"question": example.question, "image": str(path)})
    questions, script = tmp_path / "questions.json", tmp_path / "outside.py"
    questions.write_text(json.dumps(asked))
    script.write_text(OUTSIDE)
    base = json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"]
    command = [sys.executable, str(script), base, str(adapter), str(questions)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("key", ["plora", "fedit", "fedex", "feddpa", "hetlora"])
def test_an_exported_adapter_answers_as_the_lab_does(key, tiny, tmp_path):
    values = {"local_steps": 12, "samples_per_client": 64, "batch_size": 16, "strategies": [key]}
    values |= {"lora": {"client_ranks": [8, 3]}, "data": {"test_samples": 104}}
    config = ExperimentConfig.parse({**tiny.model_dump(), **values})
    [summary] = run(config)
    export(summary.run, tmp_path / "out")
    variant = "personal" if key in ("plora", "feddpa") else "global"
    found = answers_outside(tmp_path / "out" / "clients" / "1", tmp_path, config, 1)
    inside = [row["answer"] for row in ask.predict(summary.run, 1, variant)]
    assert found == inside
    base = [row["answer"] for row in ask.predict(summary.run, 1, "base")]
    assert found != base, "an untrained adapter would prove nothing"


def test_the_folder_holds_all_that_is_needed(tiny, tmp_path):
    plora, fedsa = run(tiny.model_copy(update={"strategies": ("plora", "fedsa")}))
    out = tmp_path / "out"
    export(plora.run, out)
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


def test_the_script_in_its_readme_runs(tiny, tmp_path):
    [plora] = run(tiny.model_copy(update={"strategies": ("plora",), "rounds": 1}))
    out = tmp_path / "out"
    export(plora.run, out)
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
