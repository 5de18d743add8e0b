"""The process that answers: one for all, warm, beside a run, and gone when nobody needs it."""

import http.client
import io
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from db import reads
from engine.answering import client, wire
from engine.answering.server import Server
from engine.jobs import queue
from engine.results import example, kept
from engine.system.processes import is_alive
from tests.conftest import wait_for
from tests.helpers.runs import changed

pytestmark = pytest.mark.real_worker
IMAGE = np.full((112, 112, 3), 128, np.uint8)
QUESTION = "How many things are there?"


@pytest.fixture(scope="module")
def plora(module_home):
    example.install()
    yield next(run.id for run in reads.runs() if run.strategy == "plora")
    if address := wire.published():
        kill(address)


def kill(address: wire.Address) -> None:
    os.kill(address.pid, signal.SIGKILL)
    wait_for(lambda: not address.is_alive())


def test_thirty_who_ask_at_once_share_a_process_that_is_then_warm(plora, monkeypatch):
    spawned, spawn = [], client.spawn
    monkeypatch.setattr(client, "spawn", lambda: spawned.append(child := spawn()) or child)
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda _: client.ask(plora, 1, IMAGE, QUESTION), range(30)))
    assert len(spawned) == 1 and all(answer == answers[0] for answer in answers)
    assert [answer.variant for answer in answers[0]] == ["base", "local", "global", "personal"]
    assert all(answer.text and 0 < answer.confidence <= 1 for answer in answers[0])
    start = time.monotonic()
    client.ask(plora, 2, IMAGE, QUESTION)
    assert time.monotonic() - start < 1, "a cold process needs several seconds to import torch"
    assert stat.S_IMODE((wire.home() / "answering.json").stat().st_mode) == 0o600


def test_all_clients_answer_and_the_model_looks_somewhere(plora):
    answers = client.ask_clients(plora, [0, 1, 2, 3], IMAGE, QUESTION)
    assert [answer.client for answer in answers] == [0, 1, 2, 3]
    [*_, own] = client.ask(plora, 2, IMAGE, QUESTION)
    assert (answers[2].text, round(answers[2].confidence, 4)) == (
        own.text,
        round(own.confidence, 4),
    )
    looked = client.where_looked(plora, 1, IMAGE, QUESTION)
    assert set(looked) == {"base", "local", "global", "personal"}
    assert all(grid.shape == (3, 3) and abs(grid.sum() - 1) < 1e-4 for grid in looked.values())


def test_a_killed_process_is_started_anew(plora):
    client.ask(plora, 0, IMAGE, QUESTION)
    before = wire.published()
    kill(before)
    assert client.progress(plora, kept.MATRIX) is None, "looking starts nothing"
    assert client.ask(plora, 0, IMAGE, QUESTION)
    assert wire.published().pid != before.pid


def test_an_analysis_goes_on_in_pieces_and_is_kept(plora):
    assert kept.read(plora, kept.MATRIX, 16) is None
    client.analyse(plora, kept.MATRIX)
    client.ask(plora, 0, IMAGE, QUESTION)
    wait_for(lambda: client.progress(plora, kept.MATRIX).ended)
    assert client.progress(plora, kept.MATRIX).error == ""
    matrix = kept.read(plora, kept.MATRIX, 16)
    assert matrix["clients"] == [0, 1, 2, 3] and len(matrix["accuracy"]) == 4
    [fedit] = [run.id for run in reads.runs() if run.strategy == "fedit"]
    client.analyse(fedit, kept.LIKENESS)
    wait_for(lambda: client.progress(fedit, kept.LIKENESS).ended)
    assert "keeps nothing" in client.progress(fedit, kept.LIKENESS).error


def test_adapters_come_as_a_zip_and_leave_nothing_behind(plora):
    with zipfile.ZipFile(io.BytesIO(client.exported(plora))) as archive:
        assert f"run-{plora}/clients/3/adapter_config.json" in archive.namelist()
    assert not list(wire.home().glob("export-*"))


def test_it_answers_while_a_run_trains(plora, tiny):
    client.ask(plora, 0, IMAGE, QUESTION)
    _, [run] = queue.submit(changed(tiny, strategies=["fedit"], rounds=40))
    wait_for(lambda: reads.run(run).rounds_done >= 1)
    start = time.monotonic()
    assert client.ask(plora, 1, IMAGE, "Where is it?") and client.ask(run, 1, IMAGE, QUESTION)
    assert time.monotonic() - start < 3
    assert reads.run(run).status == "running"
    queue.stop(run)
    for worker in reads.workers():
        if is_alive(worker):
            os.kill(worker.pid, signal.SIGKILL)


@pytest.mark.parametrize(("run", "clients", "question", "words"), [
    (999, [0], QUESTION, "there is no run 999"),
    (None, [77], QUESTION, "has clients 0 to 3, not 77"),
    (None, [0], "   ", "write a question"),
    (None, [0], "which " * 90, "too long"),
])  # fmt: skip
def test_a_mistake_is_one_sentence(plora, run, clients, question, words):
    with pytest.raises(client.NoAnswer, match=words):
        client.ask(run or plora, clients[0], IMAGE, question)


def send(address: wire.Address, body: bytes, path: str = "/ask", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", address.port, timeout=60)
    secret = {"Authorization": f"Bearer {address.token}"}
    try:
        connection.request("POST", path, body, secret | headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())["error"]
    finally:
        connection.close()


def asked(run: int, /, **values: object) -> bytes:
    body = {"asker": os.getpid(), "run": run, "clients": [0], "question": QUESTION}
    return json.dumps({**body, "image": wire.in_base64(IMAGE), **values}).encode()


def of_many_pixels() -> str:
    buffer = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(buffer, "PNG")
    return wire.in_base64(buffer.getvalue())


def test_a_hostile_request_is_refused_and_the_process_lives_on(plora):
    client.ask(plora, 0, IMAGE, QUESTION)
    address = wire.published()
    assert send(address, asked(plora), Authorization="Bearer guess")[0] == 403
    assert send(address, asked(plora), Authorization="")[0] == 403
    assert send(address, asked(plora), path="/../etc/passwd")[0] == 404
    too_much = {"Content-Length": str(10**12)}
    assert send(address, b"{}", **too_much)[0] == 413
    for body in (b"", b"no json", b"\x80\x04K\x01.", b"[" * 100_000, b"[]", b"null"):
        assert send(address, body)[0] == 400
    for values in (
        {"clients": [-1]}, {"clients": []}, {"clients": list(range(65))}, {"clients": ["0"]},
        {"run": "1"}, {"run": -1}, {"question": "x" * 20_000}, {"question": None}, {"asker": 0},
        {"image": "~~~"}, {"image": ""}, {"image": wire.in_base64(b"GIF89a broken")},
        {"image": of_many_pixels()}, {"code": "import os"},
    ):  # fmt: skip
        status, sentence = send(address, asked(plora, **values))
        assert status == 400 and sentence and "\n" not in sentence, values
    assert client.ask(plora, 0, IMAGE, QUESTION) and wire.published() == address


def serving(server: Server) -> threading.Thread:
    server.address.publish()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    return thread


def test_it_ends_when_idle(home):
    with Server(idle_seconds=0) as server:
        thread = serving(server)
        wait_for(lambda: not thread.is_alive(), seconds=20)


def test_it_ends_with_the_last_that_asked(home):
    visitor = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with Server() as server:
        thread = serving(server)
        assert send(server.address, asked(999, asker=visitor.pid)) == (400, "there is no run 999")
        assert thread.is_alive()
        visitor.communicate(b"\n")
        wait_for(lambda: not thread.is_alive(), seconds=20)
