"""The guide to three machines, its commands run in their order, on loopback."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from db import reads
from engine.fl.runtimes import standing
from engine.fl.runtimes.superlink import free_port
from engine.paths import ROOT
from tests.conftest import wait_for
from tests.helpers.datasets_for_tests import plain
from tests.unit.test_readme import DEPLOY

TINY = ["rounds=1", "local_steps=1", "samples_per_client=16", "batch_size=8"]


def command(*words: str) -> str:
    """The one line of the guide that has all of these words."""
    [line] = [line for line in DEPLOY.splitlines() if all(word in line for word in words)]
    return line


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_a_server_and_two_sites_as_the_guide_says(home, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    plain(tmp_path / "pictures", 24)
    port = free_port()
    here = {
        ".venv/bin/python": sys.executable,
        "0.0.0.0": "127.0.0.1",
        "lab.example": "localhost",
        "9092": str(port),
        "~": str(tmp_path),
    }

    def words(line: str, **other: str) -> list[str]:
        for said, meant in {**here, **other}.items():
            line = line.replace(said, meant)
        return shlex.split(line)

    subprocess.run(
        words(command("ssh-keygen")), cwd=tmp_path, check=True, stdout=subprocess.DEVNULL
    )
    sites = standing.folder() / "sites"
    sites.mkdir(parents=True)
    shutil.copy(tmp_path / "site-0.pub", sites)
    with running(words(command("federation", "--no-here")), ROOT):
        wait_for(standing.standing)
        assert not (sites / "site-0").exists(), "the site's own key stays with it"
        shutil.copy(sites / "site-1", tmp_path)
        shutil.copy(standing.folder() / "ca.crt", tmp_path)
        first = command("supernode", "--dataset")
        second = first.replace("--client 0", "--client 1").replace("--key site-0", "--key site-1")
        with (
            running(words(first), tmp_path),
            running(words(second, **{"fedvlm-site": "fedvlm-site-1"}), tmp_path),
        ):
            for line in (command("clients=2", "--preset", "superlink"), command("dataset=sites")):
                short = [part for value in TINY for part in ("--set", value)]
                subprocess.run([*words(line), *short], cwd=ROOT, check=True)
    assert {run.status for run in reads.runs()} == {"done"}
    assert {run.experiment.config["dataset"] for run in reads.runs()} == {"world", "sites"}
    for name in ("fedvlm-site", "fedvlm-site-1"):
        assert list((tmp_path / name).rglob("personal-*.safetensors")), "personal factors at home"
    assert standing.standing() is None


@contextmanager
def running(words: list[str], folder: Path) -> Iterator[None]:
    """Have a command at work, until Ctrl-C, as the guide says."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        words,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        # A shell that has the tests in the background has them ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
