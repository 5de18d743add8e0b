"""Questions to the process that answers, started when it is first needed. No torch here."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from engine.answering.wire import (
    Address,
    Analysis,
    Progress,
    Question,
    Request,
    in_base64,
    living,
)
from engine.config import ConfigError
from engine.paths import ROOT, home
from engine.results.variants import ClientAnswer, VariantAnswer

_SECONDS = 900.0  # that a large model may take to be loaded and to answer
_START_SECONDS = 60.0
Picture = np.ndarray | bytes  # pixels (height, width, 3) uint8, or a picture's file


class NoAnswer(RuntimeError):
    """No model could answer; one sentence says why."""


def ask(run: int, client: int, image: Picture, question: str) -> list[VariantAnswer]:
    """Return every variant's answer, as ``engine.results.ask.ask``. Raises NoAnswer."""
    return [VariantAnswer(**a) for a in _asked("/ask", run, [client], image, question)]


def ask_clients(
    run: int, clients: Sequence[int], image: Picture, question: str
) -> list[ClientAnswer]:
    """Return what each of these clients' own models answers. Raises NoAnswer."""
    return [ClientAnswer(**a) for a in _asked("/clients", run, clients, image, question)]


def where_looked(run: int, client: int, image: Picture, question: str) -> dict[str, np.ndarray]:
    """Return where every variant looks while it answers, as grids. Raises NoAnswer."""
    grids = _asked("/looked", run, [client], image, question)
    return {variant: np.array(grid) for variant, grid in grids.items()}


def analyse(run: int, kind: str) -> Progress:
    """Have an analysis of a run made and kept. Raises NoAnswer."""
    return Progress(**request("/analyse", Analysis(asker=os.getpid(), run=run, kind=kind)))


def progress(run: int, kind: str) -> Progress | None:
    """Return how far an analysis is; None where nobody makes one. Starts nothing."""
    address = living()
    if address is None:
        return None
    asked = Analysis(asker=os.getpid(), run=run, kind=kind)
    try:
        reply = _post(address, "/progress", asked.model_dump_json().encode())
    except (OSError, http.client.HTTPException):  # it has just ended
        return None
    return Progress(**reply) if reply else None


def exported(run: int) -> bytes:
    """Return a run's adapters as a zip. Raises NoAnswer."""
    path = Path(request("/export", Request(asker=os.getpid(), run=run)))
    try:
        return path.read_bytes()
    finally:
        path.unlink()


def _asked(path: str, run: int, clients: Sequence[int], image: Picture, question: str) -> Any:
    text = in_base64(image)
    asked = Question(
        asker=os.getpid(), run=run, clients=list(clients), image=text, question=question
    )
    return request(path, asked)


def request(path: str, asked: Request) -> Any:
    """Send a request, once more where the process was about to leave.

    Raises NoAnswer, and ConfigError where model or data are not what they were, or are gone.
    """
    body = asked.model_dump_json().encode()
    for _ in range(2):
        try:
            return _post(_address(), path, body)
        except TimeoutError:
            raise NoAnswer(f"the models took more than {_SECONDS / 60:.0f} minutes") from None
        except (OSError, http.client.HTTPException):
            continue
    raise NoAnswer(
        "the process that answers has ended in the middle of it, perhaps for want of memory; its "
        f"log is {home() / 'answering.log'}"
    )


def _post(address: Address, path: str, body: bytes) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", address.port, timeout=_SECONDS)
    try:
        headers = {"Authorization": f"Bearer {address.token}", "Content-Type": "application/json"}
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        reply = json.loads(response.read())
    finally:
        connection.close()
    return unpacked(response.status, reply)


def unpacked(status: int, reply: Any) -> Any:
    """Return a reply. Raises NoAnswer, or ConfigError where model or data have gone."""
    if status == 200:
        return reply
    raise (ConfigError if status == 409 else NoAnswer)(reply["error"])


def _address() -> Address:
    """Return the address of the process that answers, started where none is alive."""
    if address := living():
        return address
    with FileLock(home() / "answering.lock"):  # however many ask at once, one is started
        if address := living():
            return address
        child = spawn()
        end = time.monotonic() + _START_SECONDS
        while child.poll() is None and time.monotonic() < end:
            if address := living():
                return address
            time.sleep(0.02)
    raise NoAnswer(f"the process that answers did not start; see {home() / 'answering.log'}")


def spawn() -> subprocess.Popen[bytes]:
    """Start the process on its own; it ends by itself."""
    with (home() / "answering.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "engine.answering"],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
