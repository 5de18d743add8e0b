"""All state of a test goes to a temporary FEDVLM_HOME, and no test starts a worker by accident."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.paths import keep_quiet

keep_quiet()

from engine.config import ExperimentConfig  # noqa: E402
from engine.jobs import submit  # noqa: E402
from engine.presets import preset  # noqa: E402


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("FEDVLM_HOME", str(folder))
    monkeypatch.delenv("FEDVLM_DATABASE_URL", raising=False)
    return folder


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[list]:
    """An entry for every worker that would have started; ``real_worker`` tests start it really."""
    calls: list = []
    if "real_worker" not in request.keywords:
        monkeypatch.setattr(submit, "spawn_worker", lambda: calls.append("worker"))
    yield calls


@pytest.fixture
def tiny() -> ExperimentConfig:
    return ExperimentConfig.parse(preset("tiny"))


def wait_for(condition: Callable[[], object], seconds: float = 120) -> object:
    """Poll until the condition holds; fails the test when it never does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    pytest.fail(f"nothing happened within {seconds} s")
