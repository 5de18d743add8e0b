"""A process that knows torch, transformers, peft and Pillow, and nothing of the lab."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from engine.config import ExperimentConfig
from engine.fl.context import context_of

SCRIPT = """
import json, sys
from peft import PeftModel
from PIL import Image
from transformers import AutoModelForImageTextToText as Base, AutoProcessor

answers = []
for adapter, asked in json.load(open("asked.json")):
    base = json.load(open(f"{adapter}/adapter_config.json"))["base_model_name_or_path"]
    processor = AutoProcessor.from_pretrained(base)
    model = PeftModel.from_pretrained(Base.from_pretrained(base), adapter).eval()
    together = len(asked) if model.config.is_encoder_decoder else 1
    texts = []
    for start in range(0, len(asked), together):
        prompts, pictures = zip(*asked[start : start + together])
        images = [Image.open(picture).convert("RGB") for picture in pictures]
        inputs = processor(text=prompts, images=images, padding=True, return_tensors="pt")
        inputs.pop("labels", None)
        new = model.generate(**inputs, max_new_tokens=12, do_sample=False, num_beams=1)
        if not model.config.is_encoder_decoder:
            new = new[:, inputs["input_ids"].shape[1] :]
        texts += processor.tokenizer.batch_decode(new, skip_special_tokens=True)
    answers.append([text.strip() for text in texts])
assert "engine" not in sys.modules
print(json.dumps(answers))
"""


def answers_outside(
    adapters: Sequence[tuple[Path, ExperimentConfig, int]], folder: Path
) -> list[list[str]]:
    """What exported adapters answer to the test questions of a config's client, adapter by adapter.

    ``folder`` is where the process runs, and where it finds pictures.
    """
    jobs = []
    for adapter, config, client in adapters:
        context, asked = context_of(config), []
        for example in context.dataset.examples(client, "test"):
            picture = folder / f"{client}-{example.item}.png"
            Image.fromarray(example.image).save(picture)
            asked.append((context.vlm.prompter.prompt(example.question), str(picture)))
        jobs.append((str(adapter), asked))
    (folder / "asked.json").write_text(json.dumps(jobs))
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
