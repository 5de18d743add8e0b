"""Other programs that run beside this process: they, and all that they start, end with it.

``Programs`` starts ``python -m engine.system.supervisor``, which starts them. It ends them when its
standard input closes: when this process says so, and when it is gone, even by SIGKILL. What they
leave behind falls to the supervisor (on Linux), and it remembers whatever it has seen of theirs.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from engine.paths import ROOT
from engine.system.faults import RunFailed

_PR_SET_CHILD_SUBREAPER = 36  # of Linux's prctl
_LOOK_SECONDS = 0.5
_REST_SECONDS = 1.0  # before a program that has ended is started again
_GRACE_SECONDS = 5.0  # between SIGTERM and SIGKILL
_LAST_LINES = 5  # of a log, that are told


@dataclass(frozen=True)
class Program:
    """A command, the file that takes what it prints, and whether it is started again at its end."""

    command: tuple[str, ...]
    log: str
    restarts: bool = False


class Programs:
    """Programs at work beside this process.

    ``scratch`` is removed when they have ended.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        environment: Mapping[str, str],
        scratch: Path | None = None,
    ) -> None:
        self._programs = programs
        self._codes: dict[int, int] = {}
        self._fallen: dict[int, int] = {}
        self._supervisor = subprocess.Popen(
            [sys.executable, "-m", "engine.system.supervisor"],
            cwd=ROOT,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for this process, which ends the others
        )
        orders = {
            "programs": [asdict(program) for program in programs],
            "scratch": str(scratch) if scratch else None,
        }
        assert self._supervisor.stdin is not None
        self._supervisor.stdin.write(json.dumps(orders) + "\n")
        self._supervisor.stdin.flush()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def code(self, number: int) -> int | None:
        """Return the exit status of a program that is not started again; None while it runs."""
        return self._codes.get(number, self._supervisor.poll())

    def check(self) -> None:
        """Raise RunFailed where a program has ended that is not started again."""
        for number, program in enumerate(self._programs):
            if not program.restarts and (code := self.code(number)) is not None:
                raise RunFailed(_failure_of(program, code))

    def fallen(self) -> list[str]:
        """Say which programs have had to be started again since this was asked, and their words."""
        fallen, self._fallen = self._fallen, {}
        return [_failure_of(self._programs[number], code) for number, code in fallen.items()]

    def close(self) -> None:
        """End all and wait until they are gone."""
        assert self._supervisor.stdin is not None
        self._supervisor.stdin.close()
        self._supervisor.wait()
        self._listener.join()

    def _listen(self) -> None:
        assert self._supervisor.stdout is not None
        for line in self._supervisor.stdout:
            number, code = json.loads(line)
            ended = self._fallen if self._programs[number].restarts else self._codes
            ended[number] = code


class _Supervisor:
    def __init__(self, programs: Sequence[Program]) -> None:
        self._programs = programs
        self._running = {number: _start(program) for number, program in enumerate(programs)}
        self._due: dict[int, float] = {}  # when a program is started again
        self._seen: set[psutil.Process] = set()

    def look(self) -> None:
        """Note what there is by now; start again what has ended and should not have."""
        self._note()
        now = time.monotonic()
        for number, process in list(self._running.items()):
            if process.poll() is None:
                continue
            del self._running[number]
            sys.stdout.write(json.dumps([number, process.returncode]) + "\n")
            sys.stdout.flush()
            if self._programs[number].restarts:
                self._due[number] = now + _REST_SECONDS
        for number in [number for number, due in self._due.items() if now >= due]:
            del self._due[number]
            self._running[number] = _start(self._programs[number])

    def end(self) -> None:
        """End everything that was seen: SIGTERM, then SIGKILL."""
        told: set[psutil.Process] = set()
        end = time.monotonic() + _GRACE_SECONDS
        while living := self._living():
            if time.monotonic() > end:
                _signal(living, signal.SIGKILL)
            else:
                _signal(living - told, signal.SIGTERM)
                told |= living
            time.sleep(0.1)

    def _living(self) -> set[psutil.Process]:
        self._note()
        for process in self._running.values():
            process.poll()
        return {process for process in self._seen if is_running(process)}

    def _note(self) -> None:
        """Remember all descendants, and let go the dead among those that fell to this process."""
        own = {process.pid for process in self._running.values()}
        me = psutil.Process()
        for process in me.children():
            if process.pid not in own and not is_running(process):
                try:
                    os.waitpid(process.pid, os.WNOHANG)
                except ChildProcessError:
                    continue
        self._seen = {process for process in self._seen if process.is_running()}
        self._seen.update(me.children(recursive=True))


def _start(program: Program) -> subprocess.Popen[bytes]:
    with Path(program.log).open("ab") as log:
        return subprocess.Popen(program.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _failure_of(program: Program, code: int) -> str:
    """Return what to tell of a program that has ended before its time, with its last words."""
    log = Path(program.log)
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    last = " ".join([line for line in lines if line][-_LAST_LINES:])
    return f"{log.stem} has ended with status {code}; see {log}: {last}"


def is_running(process: psutil.Process) -> bool:
    """Tell whether a process lives: not a zombie, and not another one with its number."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _signal(processes: set[psutil.Process], number: int) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def _adopt_orphans() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _is_left_alone() -> bool:
    """Wait a little; tell whether nobody holds the other end of standard input any more."""
    ready, _, _ = select.select([sys.stdin], [], [], _LOOK_SECONDS)
    return bool(ready) and not os.read(sys.stdin.fileno(), 1)


def main() -> None:
    """Run the programs that the first line of standard input names, until it closes."""
    _adopt_orphans()
    signal.signal(signal.SIGTERM, lambda *_: sys.stdin.close())
    orders = json.loads(sys.stdin.readline())
    supervisor = _Supervisor([Program(**values) for values in orders["programs"]])
    try:
        while not _is_left_alone():
            supervisor.look()
    finally:
        supervisor.end()
        if orders["scratch"]:
            shutil.rmtree(orders["scratch"], ignore_errors=True)


if __name__ == "__main__":
    main()
