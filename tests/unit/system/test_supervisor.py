"""Programs beside a process end with it, and so does all that they have started."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from engine.paths import ROOT
from engine.system.supervisor import Program, Programs
from tests.conftest import wait_for

# Starts a child that leaves the family: in a session of its own, deaf to SIGTERM, its parent dies.
RUNAWAY = """
import os, pathlib, signal, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))
        time.sleep(600)
    os._exit(0)
os.wait()
time.sleep(600)
"""

OWNER = """
import sys, time
from engine.system.supervisor import Program, Programs
from pathlib import Path
program = Program((sys.executable, "-c", sys.argv[1], sys.argv[2]), sys.argv[3])
programs = Programs([program], {}, Path(sys.argv[4]))
time.sleep(600)
"""


def program(source: str, *arguments: object, log: Path, restarts: bool = False) -> Program:
    return Program((sys.executable, "-c", source, *map(str, arguments)), str(log), restarts)


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def read(file: Path) -> str:
    return file.read_text() if file.exists() else ""


@pytest.mark.skipif(sys.platform != "linux", reason="orphans fall to the supervisor on Linux alone")
def test_nothing_is_left_when_the_owner_is_killed(tmp_path):
    scratch, told = tmp_path / "scratch", tmp_path / "told"
    scratch.mkdir()
    command = [sys.executable, "-c", OWNER, RUNAWAY, told, tmp_path / "log", scratch]
    owner = subprocess.Popen(command, cwd=ROOT)
    runaway = int(wait_for(lambda: read(told)))
    family = psutil.Process(owner.pid).children(recursive=True)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    wait_for(lambda: is_gone(runaway) and not scratch.exists(), 30)
    wait_for(lambda: all(is_gone(process.pid) for process in family), 5)


def test_programs_end_when_they_are_closed_and_tell_how_they_ended(tmp_path):
    ended = program("raise SystemExit(3)", log=tmp_path / "ended")
    sleeper = program("print('up', flush=True); import time; time.sleep(600)", log=tmp_path / "up")
    programs = Programs([ended, sleeper], os.environ)
    assert wait_for(lambda: programs.code(0)) == 3
    wait_for(lambda: read(tmp_path / "up"))
    assert programs.code(1) is None
    family = psutil.Process(programs._supervisor.pid).children(recursive=True)
    programs.close()
    assert all(is_gone(process.pid) for process in family)


def test_a_program_that_is_to_stay_is_started_again(tmp_path):
    stays = program("print('up', flush=True)", log=tmp_path / "log", restarts=True)
    programs = Programs([stays], os.environ)
    try:
        wait_for(lambda: read(tmp_path / "log").count("up") >= 2)
        assert programs.code(0) is None
        [told] = wait_for(programs.fallen)
        assert told.startswith("log has ended with status 0") and told.endswith("up")
    finally:
        programs.close()
