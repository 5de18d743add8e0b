"""All state of a test goes to a temporary home, and no test starts a worker by accident.

Under pytest-xdist each of its processes keeps to a core of its own, and so do the processes that it
starts: torch then takes one thread, and nobody spins at a barrier while another waits for the core.
"""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Before anything of the lab is imported: what a test forgets to place goes here, not to the user's.
_FORGOTTEN = tempfile.mkdtemp(prefix="fedvlm-tests-")
os.environ["FEDVLM_HOME"] = _FORGOTTEN
os.environ.pop("FEDVLM_DATABASE_URL", None)
if (number := os.environ.get("PYTEST_XDIST_WORKER", "")) and hasattr(os, "sched_setaffinity"):
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[int(number.removeprefix("gw")) % len(cores)]})

from engine.paths import keep_quiet  # noqa: E402

keep_quiet()

from engine.answering import client  # noqa: E402
from engine.config import ExperimentConfig  # noqa: E402
from engine.jobs import queue  # noqa: E402
from engine.presets import preset  # noqa: E402

gc.disable()  # till all is imported: it would go through it again and again, in vain


def pytest_collection_finish() -> None:
    gc.enable()
    gc.freeze()


def pytest_unconfigure() -> None:
    shutil.rmtree(_FORGOTTEN, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def _no_worker() -> Iterator[list[str]]:
    """An entry for every worker that would have started, in the fixtures of a module too."""
    calls: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queue, "spawn_worker", lambda: calls.append("worker"))
        yield calls


@pytest.fixture(scope="module")
def module_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home that a module's tests share: whoever asks for it or for what was made in it."""
    folder = tmp_path_factory.mktemp("module") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDVLM_HOME", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """The home of this test alone, or of its module where the test uses ``module_home``."""
    shared = "module_home" in request.fixturenames
    folder = request.getfixturevalue("module_home") if shared else tmp_path / "home"
    monkeypatch.setenv("FEDVLM_HOME", str(folder))
    monkeypatch.delenv("FEDVLM_DATABASE_URL", raising=False)
    return folder


@pytest.fixture(autouse=True)
def started(
    _no_worker: list[str], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> list[str]:
    """An entry for every worker that would have started; ``real_worker`` tests start it really."""
    _no_worker.clear()
    if "real_worker" in request.keywords:
        monkeypatch.setattr(queue, "spawn_worker", _SPAWN)
    return _no_worker


_SPAWN = queue.spawn_worker


@pytest.fixture(autouse=True)
def _main_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """AppTest leaves the app as ``__main__``, which processes that are spawned later would run."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture(autouse=True)
def _answered_here(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Pages' questions are answered in this process; ``real_worker`` tests start one for them."""
    if "real_worker" not in request.keywords:
        from tests.helpers import answering

        monkeypatch.setattr(client, "request", answering.request)
        monkeypatch.setattr(client, "progress", answering.progress)


@pytest.fixture(scope="session")
def tiny() -> ExperimentConfig:
    """The smallest experiment: two clients, two rounds, ``fedit`` and ``plora``."""
    return ExperimentConfig.parse(preset("tiny"))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The folder of a tiny checkpoint of a family, made when it is first asked for."""
    folder = tmp_path_factory.mktemp("checkpoints")

    def of(family: str) -> str:
        from tests.helpers.checkpoints import save_checkpoint  # brings torch

        there = folder / family
        return str(there if there.exists() else save_checkpoint(family, there))

    return of


def wait_for(condition: Callable[[], object], seconds: float = 120) -> object:
    """Poll until the condition holds and return it; the test fails when it never does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.05)
    pytest.fail(f"nothing happened within {seconds} s")
