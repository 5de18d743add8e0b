"""The process that answers: one thread has the models, requests wait for their turn.

It ends by itself after some idle minutes, and with the lab: when all that have asked are gone.
"""

from __future__ import annotations

import contextlib
import gc
import hmac
import json
import logging
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from queue import PriorityQueue
from types import ModuleType
from typing import Any

import psutil
from pydantic import ValidationError

from db import reads
from engine.answering.wire import (
    MOST_BYTES,
    Address,
    Analysis,
    Progress,
    Question,
    Request,
    published,
)
from engine.config import ConfigError
from engine.data.pictures import BadPicture
from engine.jobs.queue import NotPossible
from engine.system.out_of_memory import is_out_of_memory
from engine.system.supervisor import is_running

log = logging.getLogger(__name__)
IDLE_SECONDS = 300.0
_WATCH_SECONDS = 1.0
_SOCKET_SECONDS = 30.0
_FIRST, _LATER = 0, 1  # a question comes before the next piece of an analysis
EXPORT, ANALYSE, PROGRESS = "/export", "/analyse", "/progress"
PATHS = ("/ask", "/clients", "/looked", EXPORT, ANALYSE, PROGRESS)
UserMistake = (NotPossible, reads.NoSuchRun, ConfigError, BadPicture)


def operations() -> ModuleType:
    """Load what works on models. A door: it brings torch, some seconds."""
    gc.disable()  # it would go through all that is imported, again and again, in vain
    try:
        import engine.answering.operations
    finally:
        gc.enable()
    gc.freeze()
    return engine.answering.operations


@dataclass(order=True)
class _Turn:
    rank: int
    number: int
    work: Callable[[], None] = field(compare=False)


class Desk:
    """The thread that has the models, and the queue before it."""

    def __init__(self) -> None:
        self._turns: PriorityQueue[_Turn] = PriorityQueue()
        self._numbers = count()
        self.analyses: dict[tuple[int, str], Progress] = {}
        threading.Thread(target=self._work, daemon=True).start()

    def answer(self, path: str, body: bytes) -> Any:
        """Return the answer to a request when its turn has come; raises what that raises."""
        if path == EXPORT:
            asked = Request.model_validate_json(body)
            return self._in_turn(lambda: operations().export(asked.run))
        question = Question.model_validate_json(body)
        image = question.pixels()
        return self._in_turn(lambda: operations().QUESTIONS[path](question, image))

    def _in_turn(self, operation: Callable[[], Any]) -> Any:
        future: Future[Any] = Future()

        def work() -> None:
            try:
                future.set_result(operation())
            except Exception as fault:  # raised again for the one who waits
                _let_go(fault)
                future.set_exception(fault)

        self._add(_FIRST, work)
        return future.result()

    def analyse(self, asked: Analysis) -> Progress:
        """Begin an analysis, unless it is under way; return how far it is."""
        key = (asked.run, asked.kind)
        if key not in self.analyses or self.analyses[key].ended:
            self.analyses[key] = Progress()
            self._add(_LATER, lambda: self._begin(key))
        return self.analyses[key]

    @property
    def is_at_work(self) -> bool:
        """Tell whether somebody waits or an analysis goes on."""
        return self._turns.unfinished_tasks > 0

    def _begin(self, key: tuple[int, str]) -> None:
        def steps() -> Generator[float, None, None]:
            yield from operations().analysis(*key)

        self._go_on(self.analyses[key], steps())

    def _go_on(self, progress: Progress, steps: Generator[float, None, None]) -> None:
        try:
            progress.share = next(steps)
        except StopIteration:
            progress.share, progress.ended = 1.0, True
        except Exception as fault:  # told to whoever looks at the progress
            progress.error, progress.ended = sentence(fault), True
            _let_go(fault)
        else:
            self._add(_LATER, lambda: self._go_on(progress, steps))

    def _add(self, rank: int, work: Callable[[], None]) -> None:
        self._turns.put(_Turn(rank, next(self._numbers), work))

    def _work(self) -> None:
        while True:
            turn = self._turns.get()
            try:
                turn.work()
            except Exception:  # the others still wait for theirs
                log.exception("a turn failed")
            self._turns.task_done()


def _let_go(fault: BaseException) -> None:
    """Give back all memory where a fault says that it has run out."""
    if is_out_of_memory(fault):
        operations().release()


def sentence(fault: BaseException) -> str:
    """Return what to tell whoever asked: a user's mistake in its own words."""
    if isinstance(fault, UserMistake):
        return str(fault)
    log.error("a request failed", exc_info=fault)
    if is_out_of_memory(fault):
        return "memory ran out while the models were answering; ask again when no run is training"
    return f"the models could not answer ({type(fault).__name__}: {fault}); see answering.log"


def status_of(fault: BaseException) -> int:
    """Return HTTP's number: 409 where model or data are not what they were, or are gone."""
    if isinstance(fault, ConfigError):
        return 409
    return 400 if isinstance(fault, UserMistake) else 500


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = _SOCKET_SECONDS

    def do_POST(self) -> None:  # noqa: N802
        """Check who asks and how much; then answer."""
        secret = f"Bearer {self.server.address.token}".encode()
        if not hmac.compare_digest(self.headers.get("Authorization", "").encode(), secret):
            return self._reply(403, {"error": "this is not the one that may ask"})
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MOST_BYTES:
            return self._reply(413, {"error": f"a request has at most {MOST_BYTES} bytes"})
        if self.path not in PATHS:
            return self._reply(404, {"error": f"allowed: {', '.join(PATHS)}"})
        try:
            status, reply = 200, self.server.reply(self.path, self.rfile.read(int(length)))
        except ValidationError as mistake:
            first = mistake.errors()[0]
            where = ".".join(map(str, first["loc"])) or "request"
            status, reply = 400, {"error": f"{where}: {first['msg']}"}
        except Exception as fault:  # one sentence, whatever it is
            status, reply = status_of(fault), {"error": sentence(fault)}
        return self._reply(status, reply)

    def _reply(self, status: int, reply: Any) -> None:
        body = json.dumps(reply).encode()
        with contextlib.suppress(ConnectionError):  # who asked may have gone
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Write to the log what http.server would print."""
        log.debug(format, *args)


class Server(ThreadingHTTPServer):
    """The door: on this machine only, for those who know the secret."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, idle_seconds: float = IDLE_SECONDS) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.address = Address.of_this_process(self.server_port)
        self.desk = Desk()
        self._idle_seconds = idle_seconds
        self._last = self._watched = time.monotonic()
        self._askers: dict[int, psutil.Process] = {}

    def reply(self, path: str, body: bytes) -> Any:
        """Return what a request asks for, as JSON has it. Raises ValidationError, UserMistake."""
        self._last = time.monotonic()
        try:
            if path not in (ANALYSE, PROGRESS):
                self._note(Request.model_validate_json(body, extra="ignore"))
                return self.desk.answer(path, body)
            asked = Analysis.model_validate_json(body)
            self._note(asked)
            known = self.desk.analyses.get((asked.run, asked.kind))
            state = self.desk.analyse(asked) if path == ANALYSE else known
            return vars(state) if state else None
        finally:
            self._last = time.monotonic()

    def service_actions(self) -> None:
        """End when there is nothing to do for long, or nobody left to do it for."""
        if time.monotonic() - self._watched < _WATCH_SECONDS:
            return
        self._watched = time.monotonic()
        idle = not self.desk.is_at_work and self._watched - self._last > self._idle_seconds
        left = self._askers and not any(map(is_running, self._askers.values()))
        if idle or left or published() != self.address:
            threading.Thread(target=self.shutdown, daemon=True).start()

    def _note(self, request: Request) -> None:
        if request.asker not in self._askers:
            with contextlib.suppress(psutil.NoSuchProcess):
                self._askers[request.asker] = psutil.Process(request.asker)


def serve(idle_seconds: float = IDLE_SECONDS) -> None:
    """Answer until nobody needs it any more."""
    with Server(idle_seconds) as server:
        server.address.publish()
        try:
            server.serve_forever()
        finally:
            server.address.withdraw()
