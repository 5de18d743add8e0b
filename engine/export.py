"""A finished run as a folder that works without the lab: PEFT adapters, config and metrics."""

from __future__ import annotations

import csv
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from db import queries
from engine.launcher import NotPossible
from engine.strategies import STRATEGIES
from engine.vlm.sources import source_of

if TYPE_CHECKING:
    from db.tables import Run
    from engine.config import ExperimentConfig
    from engine.strategies.base import Arrays
    from engine.vlm.model import Vlm
    from engine.vlm.stacked import Factors

_SMALL = 1e-6  # of the largest singular value: rounding, not a direction


def export(run_id: int, folder: Path) -> None:
    """Write ``clients/<k>/``, ``global/``, ``config.yaml``, ``metrics.csv`` and ``README.md``.

    ``clients/<k>/`` is the model that client k uses; ``global/`` is there where the strategy has a
    global model. Raises NoSuchRun, and NotPossible where there is nothing to export or the folder
    holds something already.
    """
    from engine import checkpoints
    from engine.answers import run_config, usable_run
    from engine.flower.site import Site
    from engine.workbench import workbench

    run = usable_run(run_id, 0)
    rule = STRATEGIES[run.strategy]
    if not rule.variants:
        raise NotPossible(f"run {run_id} ({run.strategy}) has trained nothing to export")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise NotPossible(f"{folder} is not empty; name a new folder")
    stored = run_config(run)
    config, shared = stored.config, checkpoints.read_shared(stored.folder, run.rounds_done)
    bench = workbench(config)
    for k in range(config.clients):
        factors = Site(stored, k).factors(rule.used_variant(), shared, run.rounds_done)
        write_adapter(folder / "clients" / str(k), factors, config, bench.vlm.layers)
    if "global" in rule.variants:
        write_adapter(folder / "global", bench.initial | shared, config, bench.vlm.layers)
    (folder / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
    _write_metrics(folder / "metrics.csv", run_id)
    (folder / "README.md").write_text(
        _readme(run, bench.vlm, source_of(config.model)), encoding="utf-8"
    )


def zipped(run_id: int) -> bytes:
    """What ``export`` writes, as a zip file. Raises NoSuchRun, NotPossible."""
    buffer = BytesIO()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(buffer, "w") as archive:
        export(run_id, Path(folder))
        for path in sorted(Path(folder).rglob("*")):
            archive.write(path, Path(f"run-{run_id}") / path.relative_to(folder))
    return buffer.getvalue()


def write_adapter(folder: Path, factors: Factors, config: ExperimentConfig, layers: str) -> None:
    """Write factors of ``layers`` (a pattern) as a folder that ``PeftModel.from_pretrained`` loads.

    Offsets of the frozen weights become part of the adapter, at the rank that this takes.
    """
    from peft import LoraConfig
    from safetensors.torch import save_file

    from engine.vlm.factors import OFFSET, axis_of, factor_of

    shifted = any(factor_of(name) == OFFSET for name in factors)
    if shifted:
        factors = merged(factors, config.lora.scale)
    name, value = next(iter(factors.items()))
    rank = value.shape[axis_of(name)]
    folder.mkdir(parents=True)
    LoraConfig(
        r=rank,
        lora_alpha=rank if shifted else config.lora.alpha,
        target_modules=layers,
        base_model_name_or_path=source_of(config.model),
        inference_mode=True,
    ).save_pretrained(folder)
    save_file(
        {f"base_model.model.{name}.weight": value.contiguous() for name, value in factors.items()},
        folder / "adapter_model.safetensors",
        metadata={"format": "pt"},
    )


def merged(factors: Factors, scale: float) -> Factors:
    """One adapter of scale 1 for what factors and offsets add together, by singular values."""
    import torch

    from engine.vlm.factors import A, B, effective, padded

    parts: dict[str, Arrays] = {}
    for layer, whole in effective({n: v.numpy() for n, v in factors.items()}, scale).items():
        u, s, vt = np.linalg.svd(whole, full_matrices=False)
        kept = max(1, int((s > _SMALL * s[0]).sum()))
        parts[layer] = {f"{layer}.{A}": vt[:kept], f"{layer}.{B}": u[:, :kept] * s[:kept]}
    rank = max(len(part[f"{layer}.{A}"]) for layer, part in parts.items())
    found = {name: value for part in parts.values() for name, value in padded(part, rank).items()}
    return {name: torch.from_numpy(value).float() for name, value in found.items()}


def _write_metrics(path: Path, run_id: int) -> None:
    rows = queries.round_client_rows(run_id)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _readme(run: Run, vlm: Vlm, base: str) -> str:
    rule = STRATEGIES[run.strategy]
    prompt = vlm.prompter.prompt("How many things are there?")
    answer = "[:, inputs['input_ids'].shape[1] :]" if vlm.causal else ""
    has_global = (
        "`global/` is the server's model."
        if "global" in rule.variants
        else "There is no `global/`: with this strategy no model is common to all clients."
    )
    return f"""# Run {run.id}: {rule.title}

`clients/<k>/` is the model that client k uses. {has_global} All are plain PEFT adapters of the base
model that `adapter_config.json` names. `config.yaml` runs the experiment again
(`python -m engine run --config config.yaml`), `metrics.csv` has every round and client.

```python
from peft import PeftModel
from PIL import Image
from transformers import AutoModelForImageTextToText as Base, AutoProcessor

base, picture = "{base}", Image.open("picture.png").convert("RGB")
processor = AutoProcessor.from_pretrained(base)
model = PeftModel.from_pretrained(Base.from_pretrained(base), "clients/0").eval()
inputs = processor(text=[{prompt!r}], images=[picture], return_tensors="pt")
tokens = model.generate(**inputs, num_beams=1, do_sample=False){answer}
print(processor.tokenizer.batch_decode(tokens, skip_special_tokens=True)[0])
```
"""
