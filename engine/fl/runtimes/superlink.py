"""A SuperLink of this process's own, and Flower's command line to speak to one.

It listens on a free port of this machine, keeps its files in a private folder, and ends with this
process, whatever ends it. Nothing is installed and nothing goes out.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tomli_w
from flwr.app import UserConfig

from engine.fl.interruption import check_wanted
from engine.paths import QUIET, ROOT, home
from engine.system.faults import RunFailed
from engine.system.machine import cores
from engine.system.supervisor import Program, Programs

BIN = Path(sys.executable).parent  # Flower's programs
MODULE = (sys.executable, "-m")
_APP = Path(__file__).parent.parent / "flower" / "app"
_NAME = "lab"  # of the SuperLink, to flwr's command line
_START_SECONDS = 120


class Superlink:
    """A SuperLink at an address, for ``flwr`` with its files in a private folder.

    ``check`` raises RunFailed where it has ended.
    """

    def __init__(
        self,
        address: str,
        folder: Path,
        check: Callable[[], None],
        certificate: Path | None = None,
    ) -> None:
        self.address = address
        self.folder = folder
        self._check = check
        self._certificate = certificate
        self._run = ""
        values = {"root-certificates": str(certificate)} if certificate else {"insecure": True}
        connections = {"default": _NAME, _NAME: {"address": address, **values}}
        (folder / "config.toml").write_text(tomli_w.dumps({"superlink": connections}))

    def check(self) -> None:
        """Raise RunFailed where it has ended, StopRequested where nobody wants it any more."""
        check_wanted()
        self._check()

    def wait_until_healthy(self) -> None:
        """Wait until it takes requests. Raises RunFailed, StopRequested."""
        trusted = ssl.create_default_context(cafile=self._certificate and str(self._certificate))
        url = f"{'https' if self._certificate else 'http'}://{self.address}/health"
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            self.check()
            try:
                with urllib.request.urlopen(url, timeout=1, context=trusted):
                    return
            except OSError:
                time.sleep(0.1)
        raise RunFailed(f"Flower's SuperLink has not started within {_START_SECONDS} s")

    def register(self, key: Path) -> None:
        """Have it admit the SuperNode that has this public key. Raises RunFailed."""
        self._flwr("supernode", "register", str(key), _NAME, "--name", key.stem)

    def run(self, values: UserConfig, federation: Mapping[str, object] | None = None) -> None:
        """Have it run the lab's apps. Raises RunFailed."""
        file = self.folder / "run_config.toml"
        file.write_text(tomli_w.dumps(values))
        words = " ".join(f"{key}={value}" for key, value in (federation or {}).items())
        options = ["--federation-config", words] if federation else []
        told = self._flwr("run", str(_APP), _NAME, "--run-config", str(file), *options)
        self._run = str(told["run-id"])

    def state(self) -> tuple[bool, str]:
        """Return whether what it runs has ended, and what it says of that. Raises RunFailed."""
        run = self._flwr("ls", "--run-id", self._run, _NAME)["runs"][0]
        return run["status"].startswith("finished"), run.get("status-details") or run["status"]

    def _flwr(self, *arguments: str) -> dict[str, Any]:
        """Call ``flwr``; it says that it has failed in what it prints, not by its status."""
        command = [str(BIN / "flwr"), *arguments, "--format", "json"]
        environment = surroundings(self.folder)
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        try:
            told, _ = json.JSONDecoder().raw_decode(done.stdout, done.stdout.index("{"))
        except ValueError:
            told = {}
        if not told.get("success"):
            reason = told.get("error-message") or done.stderr.strip() or done.stdout.strip()
            raise RunFailed(f"flwr {arguments[0]}: {reason}")
        return told


@contextmanager
def own_superlink(
    *,
    simulation: bool = False,
    at_once: int = 1,
    others: Callable[[str, Path], Sequence[Program]] = lambda address, folder: (),
) -> Iterator[Superlink]:
    """Run a SuperLink for as long as the block lasts.

    ``at_once``: how many clients share this machine's cores. ``others`` are the programs beside it,
    given its address and a private folder with a file ``secret``.
    """
    folder = Path(tempfile.mkdtemp(prefix="fedvlm-"))  # short: Ray's sockets are in it
    address = f"127.0.0.1:{free_port()}"
    plain = ("--insecure",)
    link = [superlink(address, folder, plain, simulation=simulation)]
    if not simulation:
        link.append(superexec(address, folder, plain))
    threads = {"OMP_NUM_THREADS": str(max(1, cores() // at_once))}
    environment = threads | surroundings(folder)
    programs = Programs([*link, *others(address, folder)], environment, folder)
    try:
        running = Superlink(address, folder, programs.check)
        running.wait_until_healthy()
        yield running
    finally:
        programs.close()


def superlink(
    address: str, folder: Path, credentials: Sequence[str], *, simulation: bool = False
) -> Program:
    """Return the program of a SuperLink; who executes its tasks must know the folder's secret."""
    secret = make_secret(folder)
    host, port = address.split(":")
    guarded = ("--isolation", "process", "--superexec-auth-secret-file", str(secret))
    command = (
        *(str(BIN / "flower-superlink"), *credentials, "--host", host, "--port", port),
        *("--disable-runtime-dependency-installation",),
        *(("--simulation",) if simulation else guarded),
    )
    return Program(command, str(fresh_log("superlink")))


def make_secret(folder: Path) -> Path:
    """Return the file of a folder by which programs know each other; made where it is missing."""
    secret = folder / "secret"
    if not secret.exists():
        secret.touch(mode=0o600)
        secret.write_bytes(secrets.token_bytes(32))
    return secret


def superexec(address: str, folder: Path, credentials: Sequence[str]) -> Program:
    """Return the program that starts the ServerApps of a SuperLink."""
    command = (
        *(str(BIN / "flower-superexec"), *credentials, "--runtime-api-address", address),
        *("--superexec-auth-secret-file", str(folder / "secret")),
    )
    return Program(command, str(fresh_log("superexec")), restarts=True)


def surroundings(folder: Path) -> dict[str, str]:
    """Return the environment of Flower's programs: quiet, and with their files in a folder."""
    path = f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"  # they start others by name
    modules = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {
        **os.environ,
        **QUIET,
        "PATH": path,
        "PYTHONPATH": modules,
        "FEDVLM_HOME": str(home()),
        "FLWR_HOME": str(folder),
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1",
        "RAY_TMPDIR": str(folder),
    }


def fresh_log(name: str) -> Path:
    """Return the empty file that takes what a program of this name prints."""
    log = home() / "flower" / f"{name}.log"
    log.parent.mkdir(exist_ok=True)
    log.write_bytes(b"")
    return log


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
