"""A finished run as a folder that works without the lab: PEFT adapters, config and metrics."""

from __future__ import annotations

import csv
import shutil
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from db import queries
from engine.config import BUNDLED
from engine.launcher import NotPossible
from engine.paths import BUNDLED_MODEL
from engine.strategies import STRATEGIES
from engine.vlm.sources import source_of
from engine.vlm.start import Start, read_start

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
    base = _write_base(folder, bench.vlm, config)
    models = {"global": bench.initial | shared} if "global" in rule.variants else {}
    for k in range(config.clients):
        factors = Site(stored, k).factors(rule.used_variant(), shared, run.rounds_done)
        write_adapter(folder / "clients" / str(k), factors, config, bench.vlm.layers, base)
    for name, factors in models.items():
        write_adapter(folder / name, factors, config, bench.vlm.layers, base)
    (folder / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
    _write_metrics(folder / "metrics.csv", run_id)
    (folder / "README.md").write_text(
        _readme(run, bench.vlm, "model" if config.model == BUNDLED else base), encoding="utf-8"
    )


def zipped(run_id: int) -> bytes:
    """What ``export`` writes, as a zip file. Raises NoSuchRun, NotPossible."""
    buffer = BytesIO()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(buffer, "w") as archive:
        export(run_id, Path(folder))
        for path in sorted(Path(folder).rglob("*")):
            archive.write(path, Path(f"run-{run_id}") / path.relative_to(folder))
    return buffer.getvalue()


def _write_base(folder: Path, vlm: Vlm, config: ExperimentConfig) -> str:
    """What adapters name as their base; the bundled model, which is nowhere else, goes along."""
    if config.model != BUNDLED:
        return source_of(config.model)
    from transformers import AutoModelForImageTextToText

    from engine.vlm.processors import load_processor
    from engine.vlm.vocabulary import extend, words_of

    target, words = folder / "model", words_of(config)
    shutil.copytree(BUNDLED_MODEL, target)
    if words:  # it has learnt the names of things in the data
        model = AutoModelForImageTextToText.from_pretrained(BUNDLED_MODEL)
        processor = load_processor(str(BUNDLED_MODEL))
        extend(model, processor, words)
        model.save_pretrained(target)
        processor.save_pretrained(target)
    return str(target.resolve())


def write_adapter(
    folder: Path, factors: Factors, config: ExperimentConfig, layers: str, base: str
) -> None:
    """Write factors of ``layers`` (a pattern) as a folder that ``PeftModel.from_pretrained`` loads.

    Offsets of the frozen weights, and the adapter that training started from, become part of it, at
    the rank that this takes.
    """
    from peft import LoraConfig
    from safetensors.torch import save_file

    from engine.vlm.factors import OFFSET, axis_of, factor_of

    alpha = config.lora.alpha
    if any(factor_of(name) == OFFSET for name in factors):
        factors, alpha = merged(factors, config.lora.scale), None
    if config.start:
        scale = config.lora.scale if alpha else 1.0
        factors, alpha = with_start(factors, scale, read_start(config.start)), None
    name, value = next(iter(factors.items()))
    rank = value.shape[axis_of(name)]
    own = {name.rpartition(".")[0] for name in factors}
    LoraConfig(
        r=rank,
        lora_alpha=alpha or rank,
        target_modules=sorted(own) if config.start else layers,
        base_model_name_or_path=base,
        inference_mode=True,
    ).save_pretrained(folder)
    save_file(
        {f"base_model.model.{name}.weight": value.contiguous() for name, value in factors.items()},
        folder / "adapter_model.safetensors",
        metadata={"format": "pt"},
    )


def with_start(factors: Factors, scale: float, start: Start) -> Factors:
    """One adapter of scale 1 that does what factors and the one they started from do together."""
    import torch

    from engine.vlm.factors import A, B

    parts = ((factors, scale), (start.factors(), start.scale))
    ranks = [next(len(v) for n, v in own.items() if n.endswith(A)) for own, _ in parts]
    found: Factors = {}
    for layer in sorted({name.rpartition(".")[0] for own, _ in parts for name in own}):
        a, b = f"{layer}.{A}", f"{layer}.{B}"
        like = next(own for own, _ in parts if a in own)
        rows, columns = [], []
        for (own, s), rank in zip(parts, ranks, strict=True):
            rows.append(own.get(a, torch.zeros(rank, like[a].shape[1])))
            columns.append(s * own[b] if b in own else torch.zeros(like[b].shape[0], rank))
        found |= {a: torch.cat(rows), b: torch.cat(columns, 1)}
    return found


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
