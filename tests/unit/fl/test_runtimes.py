"""One config on all runtimes, on real Flower engines: the same numbers, begun here, ended there."""

import ssl
import subprocess
import sys
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import pytest
import torch

from db import reads, writes
from db.tables import Run
from engine.adapters.adapter import Adapter
from engine.fl import checkpoints
from engine.fl.context import context_of
from engine.fl.flower import server_app
from engine.fl.runtimes import local, standing
from engine.fl.runtimes.credentials import make_key
from engine.fl.runtimes.superlink import Superlink, free_port, make_secret, surroundings
from engine.fl.runtimes.supernode import site, supernode
from engine.jobs import queue
from engine.jobs.worker import execute, registered
from engine.paths import ROOT, run_folder
from engine.results.ask import ask
from engine.system.faults import RunFailed
from tests.conftest import wait_for
from tests.helpers.runs import changed, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def config(tiny):
    lora = {"rank": 8, "client_ranks": [4, 8]}
    return changed(tiny, strategies=["fedit", "plora", "hetlora"], lora=lora, flower={"wait": 240})


@pytest.fixture(scope="module")
def one_by_one():
    """The local runtime has one client train at a time, as the others do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "_TOGETHER", {})
        yield


@pytest.fixture(scope="module")
def here(module_home, one_by_one, config):
    """The runs of the local runtime, by strategy."""
    return {summary.strategy: summary.run for summary in run(config)}


def numbers(run_id: int) -> dict[str, list[dict]]:
    """All that a run has stored, but for times."""
    # Where it was stopped, a run has answered, and so has its untouched base, once more.
    scores = [row for row in reads.evaluations(run_id) if (row.variant, row.round) != ("base", 1)]
    rows = {
        "evaluations": scores,
        "clients": reads.client_rounds(run_id),
        "rounds": reads.rounds(run_id),
        "answers": [row for client in (0, 1) for row in reads.predictions(run_id, client)],
    }
    left_out = {"id", "run_id", "seconds", "finished_at", "_sa_instance_state"}
    told = {
        name: [{k: v for k, v in vars(row).items() if k not in left_out} for row in part]
        for name, part in rows.items()
    }
    return {
        name: sorted(part, key=lambda row: str(sorted(row.items()))) for name, part in told.items()
    }


def factors(run_id: int, homes: Sequence[Path] = ()) -> dict[Path, Adapter]:
    """Every checkpoint of a run, shared and personal, on the server and on sites."""
    folders = [run_folder(run_id), *(home / "runs" / str(run_id) for home in homes)]
    files = [(folder, file) for folder in folders for file in folder.rglob("*.safetensors")]
    return {file.relative_to(folder): checkpoints.read(file) for folder, file in files}


def assert_same(one: int, two: int, homes: Sequence[Path] = ()) -> None:
    assert reads.run(two).status == "done", reads.run(two).error
    ours, theirs = numbers(one), numbers(two)
    assert all(ours.values())
    assert ours == theirs
    ours, theirs = factors(one), factors(two, homes)
    assert ours.keys() == theirs.keys()
    for file, adapter in ours.items():
        assert all(torch.equal(adapter[name], theirs[file][name]) for name in adapter), file


def test_a_run_that_is_begun_here_ends_on_ray_with_the_same_numbers(config, here, monkeypatch):
    save_round = server_app.Recorder.save_round

    def stop_after_round_one(self, row, *rest):
        save_round(self, row, *rest)
        writes.request_stop(self.run.run)

    with registered(takes_queue=False) as worker:
        _, runs = queue.create(config, worker_id=worker.id)
        plora = next(run_id for run_id in runs if reads.run(run_id).strategy == "plora")
        monkeypatch.setattr(server_app.Recorder, "save_round", stop_after_round_one)
        assert execute([plora], worker) == ["stopped"]
        monkeypatch.setattr(server_app.Recorder, "save_round", save_round)
        queue.resume(plora, "ray")
        writes.claim_more(worker.id, reads.run(plora).experiment_id)
        execute(runs, worker)
    for run_id in runs:
        assert_same(here[reads.run(run_id).strategy], run_id)


def test_a_worker_killed_on_ray_leaves_nothing_and_its_runs_go_on(config, here, tmp_path):
    file = tmp_path / "experiment.yaml"
    file.write_text(changed(config, runtime="ray").to_yaml(), encoding="utf-8")
    before = {run.id for run in reads.runs()}
    with subprocess.Popen(
        [sys.executable, "-m", "engine", "run", "--config", str(file)], cwd=ROOT
    ) as worker:
        wait_for(lambda: any(run.rounds_done == 1 for run in new_runs(before)), seconds=240)
        started = psutil.Process(worker.pid).children(recursive=True)
        worker.kill()
    assert len(started) > 3, "SuperLink, Ray and its actors"
    wait_for(lambda: not any(process.is_running() for process in started), seconds=60)
    queue.mark_interrupted()
    runs = new_runs(before)
    assert "interrupted" in {run.status for run in runs}
    with registered(takes_queue=False) as worker:
        for left in [run for run in runs if run.status == "interrupted"]:
            queue.resume(left.id)
            writes.claim_more(worker.id, left.experiment_id)
        execute([run.id for run in runs if run.status == "interrupted"], worker)
    for own in runs:
        assert_same(here[own.strategy], own.id)


def new_runs(before: Collection[int]) -> list[Run]:
    return [run for run in reads.runs() if run.id not in before]


def test_sites_with_keys_give_the_numbers_and_strangers_get_nothing(config, here, tmp_path):
    front = f"127.0.0.1:{free_port()}"
    homes = [tmp_path / "site-0", tmp_path / "site-1"]
    with ExitStack() as stack:
        stack.enter_context(standing.stand("127.0.0.1", int(front.split(":")[1]), [], 2))
        authority = standing.folder() / "ca.crt"
        assert_strangers_get_nothing(front, authority, tmp_path)
        for client, home in enumerate(homes):
            key = standing.key_of(client)
            stack.enter_context(site(front, client, 2, home, authority, key))
        summaries = run(changed(config, runtime="superlink"))
        plora = next(summary.run for summary in summaries if summary.strategy == "plora")
        item = context_of(config).dataset.examples(1, "test")[0]
        said = {answer.variant: answer.text for answer in ask(plora, 1, item.image, item.question)}
    [stored] = [
        row for row in reads.predictions(plora, 1)
        if (row.variant, row.item) == ("personal", item.item)
    ]  # fmt: skip
    assert said["personal"] == stored.answer, "by what the site alone has"
    for summary in summaries:
        assert_same(here[summary.strategy], summary.run, homes)
        assert not (run_folder(summary.run) / "clients").exists(), "what is personal is at home"
    assert standing.standing() is None


def assert_strangers_get_nothing(front: str, authority: Path, folder: Path) -> None:
    """Have somebody with the authority's certificate, and a key of their own, try all doors."""
    stranger = Superlink(front, folder, lambda: None, authority)
    make_key(folder / "stranger")
    with pytest.raises(RunFailed, match="flwr run"):
        stranger.run({"relay": "", "run": "1"})
    with pytest.raises(RunFailed, match="flwr supernode"):
        stranger.register(folder / "stranger.pub")
    trusted = ssl.create_default_context(cafile=str(authority))
    task = httpx.post(f"https://{front}/v1/runtime/acquire-task", verify=trusted)
    assert task.status_code == 404
    values = {"partition-id": 0, "num-partitions": 2}
    shown = ("--root-certificates", str(authority))
    mine = (*shown, "--auth-supernode-private-key", str(folder / "stranger"))
    for credentials in (shown, mine):
        node, _ = supernode(front, values, make_secret(folder), credentials=credentials)
        left = subprocess.run(node.command, env=surroundings(folder), timeout=100)
        assert left.returncode == 1
