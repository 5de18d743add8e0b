"""The quickstart as files that a program outside the lab can read: for the reference benchmark."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.config import ExperimentConfig
from engine.data.dataset import Example
from engine.data.synthetic.world import SyntheticDataset
from engine.fl import checkpoints
from engine.fl.context import context_of
from engine.fl.training import batches
from engine.paths import BUNDLED_MODEL
from engine.system.machine import cores
from engine.system.seeding import rng
from engine.vlm.families import FAMILIES, LANGUAGE, layers_of, target_layers


def write_setting(config: ExperimentConfig, folder: Path) -> None:
    """Write the clients' pictures and questions, the common start and the order of the batches."""
    dataset = SyntheticDataset(config)
    order: dict[str, np.ndarray] = {}
    _write_set(folder / "0-pooled.npz", dataset.pooled_test())
    for k in range(config.clients):
        for split in ("train", "test"):
            _write_set(folder / f"{k}-{split}.npz", dataset.render(k, split))
        n = len(dataset.items(k, "train"))
        for round_ in range(1, config.rounds + 1):
            generator = rng(config.drawn_from, "batches", round_, k)
            drawn = batches(n, config.local_steps, config.batch_size, generator)
            order[f"{round_}-{k}"] = np.stack([rows.numpy() for rows in drawn])
    np.savez(folder / "order.npz", allow_pickle=True, **order)
    checkpoints.write(folder / "initial.safetensors", context_of(config).initial)
    setting = {
        "model": str(BUNDLED_MODEL),
        "rank": config.lora.rank,
        "alpha": config.lora.alpha,
        "targets": layers_of(LANGUAGE, target_layers(config.lora, FAMILIES["florence2"])),
        "strategies": config.strategies,
        "clients": config.clients,
        "rounds": config.rounds,
        "learning_rate": config.learning_rate,
        "cores": cores(),
    }
    (folder / "setting.json").write_text(json.dumps(setting), encoding="utf-8")


def _write_set(path: Path, examples: Sequence[Example]) -> None:
    np.savez(
        path,
        images=np.stack([example.image for example in examples]),
        questions=np.array([example.question for example in examples]),
        answers=np.array([example.answer for example in examples]),
    )
