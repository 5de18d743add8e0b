"""Other people's pictures and models go the same way as the lab's own, from the form to answers."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from db import reads
from engine.config import ConfigError, ExperimentConfig
from engine.data.cache import EncodedSets
from engine.fl import context as context_module
from engine.jobs import queue
from engine.jobs.queue import NotPossible
from engine.jobs.stored import run_config
from engine.jobs.validate import validate
from engine.jobs.worker import execute, registered
from engine.results import ask
from engine.results.analyze import complete, cross_matrix
from engine.results.export import export
from engine.vlm.vision_cache import VisionCache
from tests.helpers.outside import answers_outside
from tests.helpers.runs import run

COLOURS = {"crimson": (200, 20, 40), "olive": (120, 130, 20), "azure": (30, 120, 230)}
SITES = ("north", "south")


def made(folder: Path, rows: int = 72, tests: int = 0) -> Path:
    """Squares on grey; what one site calls crimson, the other calls olive.

    The last ``tests`` rows are said to be for testing, where there are any.
    """
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    with (folder / "metadata.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["file_name", "question", "answer", "client", "split"])
        table.writeheader()
        for n in range(rows):
            site = SITES[n % 2]
            colour = list(COLOURS)[int(draw.integers(3))]
            image = np.full((48, 64, 3), 128, np.uint8)
            x, y = draw.integers(0, 30, 2)
            image[y : y + 18, x : x + 30] = COLOURS[colour]
            Image.fromarray(image).save(folder / f"{n}.png")
            swapped = {"crimson": "olive", "olive": "crimson"}
            answer = swapped.get(colour, colour) if site == "south" else colour
            asked = {"question": "What colour has the square?", "answer": answer, "client": site}
            asked["split"] = ("test" if n >= rows - tests else "train") if tests else ""
            table.writerow({"file_name": f"{n}.png", **asked})
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return made(tmp_path_factory.mktemp("data") / "squares")


def config(folder: Path, **values: object) -> ExperimentConfig:
    usual = {"rounds": 2, "local_steps": 4, "batch_size": 8, "strategies": ["plora"]}
    return ExperimentConfig.parse({"dataset": f"folder:{folder}", **usual, **values})


def test_the_bundled_model_learns_what_others_brought(folder):
    [plora] = run(config(folder, rounds=4, local_steps=25, batch_size=16))
    assert plora.status == "done"
    assert plora.base_accuracy < 0.2
    assert plora.personal_accuracy > 0.7 > plora.base_accuracy
    experiment = reads.run(plora.run).experiment
    assert experiment.config["clients"] == 2 and experiment.config["data"]["metric"] == "exact"
    assert [client.name for client in reads.clients(experiment.id)] == list(SITES)
    rows = ask.predict(plora.run, 1, "personal")
    assert {row["reference"] for row in rows} <= set(COLOURS)
    assert np.mean([row["score"] for row in rows]) == np.mean([row["correct"] for row in rows])
    stored = {p.item: p.answer for p in reads.predictions(plora.run, 1) if p.variant == "personal"}
    assert {row["item"]: row["answer"] for row in rows} == stored
    matrix = complete(cross_matrix(plora.run)).accuracy
    assert matrix[0][0] > matrix[0][1], "sites that disagree about words serve each other badly"


@pytest.mark.parametrize("family", ["smolvlm", "llava", "paligemma", "qwen2_vl"])
def test_other_models_run_from_a_config_to_answers(family, folder, checkpoint):
    wanted = config(folder, model=checkpoint(family), learning_rate=1e-2, local_steps=6)
    [found] = run(wanted)
    assert found.status == "done", reads.run(found.run).error
    rows = [row for row in reads.evaluations(found.run) if row.scope == "own"]
    losses = [row.loss for row in sorted(rows, key=lambda r: r.round) if row.variant == "personal"]
    assert losses[-1] < losses[0]
    image = np.full((50, 30, 3), 90, np.uint8)
    asked = ask.ask(found.run, 0, image, "What colour has the square?")
    assert [answer.variant for answer in asked] == ["base", "global", "personal"]
    assert {p.variant for p in reads.predictions(found.run, 0)} == {"base", "global", "personal"}


@pytest.fixture
def looked(monkeypatch) -> list[int]:
    """How many pictures go through a tower at once, call by call."""
    looked: list[int] = []
    plain = VisionCache.features
    monkeypatch.setattr(
        VisionCache, "features", lambda self, p: looked.append(len(p)) or plain(self, p)
    )
    return looked


def test_a_picture_is_looked_at_once_whoever_holds_it(folder, checkpoint, looked):
    model = checkpoint("smolvlm")

    def encode_all(**values: object) -> int:
        wanted, _ = validate(config(folder, model=model, **values))
        context = context_module.context_of(wanted)
        looked.clear()
        for k in range(wanted.clients):
            context.sets.get(k, "train"), context.sets.get(k, "test")
        return sum(looked)

    assert encode_all() == 72
    assert encode_all(heterogeneity={"kind": "label", "level": 0.7}, clients=3, seed=5) == 0
    assert encode_all(heterogeneity={"kind": "domain", "level": 0.7}, clients=3) > 0


def test_own_pictures_go_through_a_small_tower_together(folder, looked):
    context = context_module.context_of(*validate(config(folder)))
    looked.clear()
    found = context.sets.get(0, "train")
    assert len(looked) == 1 and looked[0] > 1
    examples = context.dataset.examples(0, "train")
    for example, features in zip(examples, found.features, strict=True):
        [alone] = context.vlm.look_at([example.image])
        torch.testing.assert_close(features, alone, rtol=1e-4, atol=1e-5)


def test_features_on_disk_are_those_of_the_pictures(folder, checkpoint):
    wanted, _ = validate(config(folder, model=checkpoint("idefics3")))
    context = context_module.context_of(wanted)
    examples = context.dataset.examples(0, "test")
    first = context.sets.get(0, "test")
    again = EncodedSets(context.vlm, context.dataset, context.sets.model).get(0, "test")
    images, asked, said = zip(*((e.image, e.question, e.answer) for e in examples), strict=True)
    plain = context.vlm.encode(images, asked, said)
    for name, tensor in plain.tensors().items():
        assert (tensor == first.tensors()[name]).all() and (tensor == again.tensors()[name]).all()


def test_an_experiment_reads_the_data_from_where_they_are(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    validated, _ = validate(config(Path(folder.name)))
    assert validated.dataset == f"folder:{folder}"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"dataset": "folder:nowhere/at/all"}, "dataset: .*nowhere"),
        ({"clients": 3}, r"clients: .*allowed: 1 to 2"),
        ({"data": {"answer": "reply"}}, r"data.answer: .*answer"),
    ],
)
def test_a_mistake_is_one_sentence_before_anything_starts(folder, values, sentence):
    with pytest.raises(ConfigError, match=sentence):
        run(config(folder, **values))
    assert reads.runs() == []


def test_data_that_vanish_fail_the_run_with_the_reason(tmp_path):
    folder = made(tmp_path / "squares", 24)
    with registered(takes_queue=False) as worker:
        _, [run_id] = queue.create(config(folder), worker_id=worker.id)
        for picture in folder.glob("*.png"):
            picture.unlink()
        context_module.forget()
        assert execute([run_id], worker) == ["failed"]
    assert re.match(r"dataset: .*no usable row", reads.run(run_id).error)
    with pytest.raises(ConfigError, match=r"dataset: .*no usable row"):
        validate(config(folder, seed=3))


def test_a_newcomer_needs_a_world_to_come_from(folder):
    from engine.results.analyze import newcomer

    [found] = run(config(folder, rounds=1))
    with pytest.raises(NotPossible, match="only the clients of its data"):
        complete(newcomer(found.run))


@pytest.mark.parametrize(
    "family",
    ["bundled", *(pytest.param(f, marks=pytest.mark.slow) for f in ("llava", "paligemma"))],
)
def test_exports_of_other_models_and_data_answer_the_same_elsewhere(family, tmp_path, checkpoint):
    folder = made(tmp_path / "many", 120, 48)
    model = family if family == "bundled" else checkpoint(family)
    steps = {"local_steps": 20, "learning_rate": 3e-3 if family == "bundled" else 1e-2}
    [summary] = run(config(folder, model=model, data={"test_samples": 48}, **steps))
    export(summary.run, tmp_path / "out")
    stored = run_config(reads.run(summary.run)).config
    clients = range(stored.clients)
    adapters = [(tmp_path / "out" / "clients" / str(k), stored, k) for k in clients]
    inside = [[row["answer"] for row in ask.predict(summary.run, k, "personal")] for k in clients]
    assert answers_outside(adapters, tmp_path) == inside
    assert inside[0] != [row["answer"] for row in ask.predict(summary.run, 0, "base")]
    assert sum(map(len, inside)) >= 48
