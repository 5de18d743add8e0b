"""A finished run as a folder that works without the lab: PEFT adapters, config and metrics."""

from __future__ import annotations

import csv
import shutil
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path

from transformers import AutoModelForImageTextToText

from db import reads
from db.tables import Run
from engine.config import BUNDLED
from engine.data.dataset import FederatedDataset
from engine.data.vocabulary import words_of
from engine.fl.client import Client
from engine.fl.context import context_of
from engine.fl.resolved import Resolved
from engine.jobs.queue import NotPossible
from engine.jobs.stored import run_config
from engine.paths import BUNDLED_MODEL
from engine.results.adapters import write_adapter
from engine.results.ask import usable_run
from engine.results.folders import new_folder
from engine.results.newest import at_newest
from engine.strategies import STRATEGIES
from engine.vlm.checkpoint_files.sources import source_of
from engine.vlm.model import Vlm
from engine.vlm.processors import load_processor
from engine.vlm.vocabulary import extend


def export(run_id: int, folder: Path, *, moves: bool = False) -> None:
    """Write ``clients/<k>/``, ``global/``, ``config.yaml``, ``metrics.csv`` and ``README.md``.

    ``clients/<k>/`` is the model that client k uses; ``global/`` is there where the strategy has a
    global model. A folder that ``moves`` names its own files from inside. Raises NoSuchRun, and
    NotPossible where there is nothing to export or the folder holds something already.
    """
    run = usable_run(run_id, 0)
    rule = STRATEGIES[run.strategy]
    if not rule.variants:
        raise NotPossible(f"run {run_id} ({run.strategy}) has trained nothing to export")
    new_folder(folder)
    stored = run_config(run)
    config, context = stored.config, context_of(stored.config, stored.resolved)
    clients = [Client(stored, k) for k in range(config.clients)]
    variant = rule.deployed_variant()
    shared, deployed = at_newest(
        stored, lambda sent, last: (sent, [c.factors(variant, sent, last) for c in clients])
    )
    base = _write_base(folder, context.dataset, moves)
    for k, factors in enumerate(deployed):
        write_adapter(folder / "clients" / str(k), factors, config, context.vlm.layers, base)
    if "global" in rule.variants:
        factors = context.initial | shared
        write_adapter(folder / "global", factors, config, context.vlm.layers, base)
    (folder / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
    _write_metrics(folder / "metrics.csv", run_id)
    named = "model" if config.model == BUNDLED else base
    readme = _readme(run, context.vlm, named) + _account(stored.resolved)
    (folder / "README.md").write_text(readme, encoding="utf-8")


def zipped(run_id: int) -> bytes:
    """Return what ``export`` writes as a zip file. Raises NoSuchRun, NotPossible."""
    buffer = BytesIO()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(buffer, "w") as archive:
        export(run_id, Path(folder), moves=True)
        for path in sorted(Path(folder).rglob("*")):
            archive.write(path, Path(f"run-{run_id}") / path.relative_to(folder))
    return buffer.getvalue()


def _write_base(folder: Path, dataset: FederatedDataset, moves: bool) -> str:
    """Return what adapters name as their base; the bundled model goes along: it is nowhere else."""
    model_name = dataset.config.model
    if model_name != BUNDLED:
        return source_of(model_name)
    target, words = folder / "model", words_of(dataset)
    shutil.copytree(BUNDLED_MODEL, target)
    if words:  # it has learnt the names of things in the data
        model = AutoModelForImageTextToText.from_pretrained(BUNDLED_MODEL)
        processor = load_processor(str(BUNDLED_MODEL))
        extend(model, processor, words)
        model.save_pretrained(target)
        processor.save_pretrained(target)
    return target.name if moves else str(target.resolve())


def _write_metrics(path: Path, run_id: int) -> None:
    rows = reads.round_client_rows(run_id)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _account(resolved: Resolved | None) -> str:
    """Say what of the data was used, as on Set up, for people's own data."""
    if resolved is None or not resolved.account:
        return ""
    return "\n".join(["", "## The data", "", *(f"- {line}" for line in resolved.account), ""])


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
