"""A federation that stands by itself: a SuperLink with TLS and keys, which runs may use.

``python -m engine federation`` holds it until it is interrupted. Its folder, ``federation`` in
FEDVLM_HOME, has the certificates, the secret of who executes its tasks, the sites' keys, and, while
it stands, ``standing.json``, by which workers find it.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from engine.fl.runtimes.credentials import are_valid, make_certificates, make_key
from engine.fl.runtimes.superlink import (
    MODULE,
    Superlink,
    free_port,
    fresh_log,
    superexec,
    superlink,
    surroundings,
)
from engine.paths import home
from engine.system.faults import RunFailed
from engine.system.files import write_json
from engine.system.processes import still_runs
from engine.system.supervisor import Program, Programs


@dataclass(frozen=True)
class Standing:
    """A federation that stands: where its SuperLink listens, and the process that holds it."""

    superlink: str
    pid: int
    started: float

    @property
    def is_alive(self) -> bool:
        """Whether the process that holds it still runs."""
        return still_runs(self.pid, self.started)


def folder() -> Path:
    """Return the folder of this FEDVLM_HOME's federation."""
    return home() / "federation"


def standing() -> Standing | None:
    """Return the federation that stands, None where there is none."""
    try:
        there = Standing(**json.loads((folder() / "standing.json").read_text()))
    except FileNotFoundError:
        return None
    return there if there.is_alive else None


@contextmanager
def connected(there: Standing) -> Iterator[Superlink]:
    """Speak to the SuperLink of a federation that stands, for as long as the block lasts."""

    def check() -> None:
        if not there.is_alive:
            raise RunFailed("the federation that ran the clients has ended")

    with tempfile.TemporaryDirectory(prefix="fedvlm-") as private:
        yield Superlink(there.superlink, Path(private), check, folder() / "ca.crt")


@contextmanager
def stand(host: str, port: int, names: Sequence[str], clients: int) -> Iterator[None]:
    """Hold a federation for as long as the block lasts; SuperNodes reach it at this host and port.

    ``names``: by which others know this machine. The keys of ``clients`` sites are made where they
    are missing; every public key in the folder ``sites`` is admitted. Raises RunFailed.
    """
    if standing() is not None:
        raise RunFailed(f"a federation stands already for {home()}")
    own = folder()
    if not are_valid(own, [host, *names]):
        make_certificates(own, [host, *names])
    for client in range(clients):
        if not (key := key_of(client)).with_suffix(".pub").exists():
            make_key(key)
    link = f"127.0.0.1:{free_port()}"
    authority = ("--root-certificates", str(own / "ca.crt"))
    server = (
        *("--ssl-ca-certfile", str(own / "ca.crt")),
        *("--ssl-certfile", str(own / "server.crt"), "--ssl-keyfile", str(own / "server.key")),
        "--enable-supernode-auth",
    )
    front = (
        *(*MODULE, "engine.fl.runtimes.front", "--host", host, "--port", str(port)),
        *("--superlink", link, "--certificates", str(own)),
    )
    programs = [
        superlink(link, own, server),
        superexec(link, own, authority),
        Program(front, str(fresh_log("front"))),
    ]
    private = Path(tempfile.mkdtemp(prefix="fedvlm-"))
    running = Programs(programs, surroundings(private), private)
    try:
        connection = Superlink(link, private, running.check, own / "ca.crt")
        connection.wait_until_healthy()
        for key in sorted((own / "sites").glob("*.pub")):
            connection.register(key)
        started = psutil.Process().create_time()
        note = Standing(link, os.getpid(), started)
        write_json(own / "standing.json", asdict(note))
        yield
    finally:
        (own / "standing.json").unlink(missing_ok=True)
        running.close()


def key_of(client: int) -> Path:
    """Return where the key of a client's site is, or will be."""
    return folder() / "sites" / f"site-{client}"
