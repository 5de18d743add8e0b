"""The lab as a user starts it, and a real browser that notes what goes wrong in it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from db import reads
from engine.answering.wire import published
from engine.paths import ROOT
from tests.conftest import wait_for

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
]  # fmt: skip
READY = "[data-testid='stApp'][data-test-script-state='notRunning']"


class Lab:
    """A running app: its address, its process, and what it has written."""

    def __init__(self, home: Path, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        self._log = folder / "streamlit.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streamlit", "run", str(ROOT / "app" / "main.py"),
                 "--server.port", str(port), "--server.headless", "true"],
                cwd=folder, env={**os.environ, "FEDVLM_HOME": str(home)}, stdout=log, stderr=log,
            )  # fmt: skip

    @property
    def log(self) -> str:
        """Return what the app has written, without its greeting."""
        return self._log.read_text("utf-8", "replace")

    def is_healthy(self) -> bool:
        try:
            health = urllib.request.urlopen(f"{self.address}/_stcore/health", timeout=2)
        except OSError:
            return False
        return health.status == 200

    def is_local(self, url: str) -> bool:
        start = (self.address, self.address.replace("http", "ws"), "data:", "blob:")
        return url.startswith(start)


@pytest.fixture
def lab(home: Path, tmp_path: Path) -> Iterator[Lab]:
    """The app as a user starts it, from another folder."""
    lab = Lab(home, tmp_path)
    wait_for(lab.is_healthy)
    yield lab
    lab.process.terminate()
    lab.process.wait(20)
    for process in (*reads.workers(), *filter(None, [published()])):
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


@pytest.fixture
def browser() -> Iterator[Any]:
    """Debian's Chromium, driven by playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any) -> Any:
    """A page of the size of a small projector."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(60_000)
    return page
