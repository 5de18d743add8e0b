"""A client's programs: Flower's SuperNode, and the process that answers what it is asked."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from engine.fl.runtimes.superlink import (
    BIN,
    MODULE,
    free_port,
    fresh_log,
    make_secret,
    surroundings,
)
from engine.system.supervisor import Program, Programs


def supernode(
    superlink: str,
    node_config: Mapping[str, str | int],
    secret: Path,
    *,
    warm: bool = True,
    credentials: Sequence[str] = ("--insecure",),
) -> list[Program]:
    """Return the programs of a client: its SuperNode, and its own process, which stays warm.

    If not ``warm``, Flower starts a process for every message. ``secret``: a file that both read;
    ``credentials``: Flower's options of how the SuperNode shows who it is.
    """
    client, port = node_config["partition-id"], free_port()
    values = " ".join(f"{key}={_quoted(value)}" for key, value in node_config.items())
    guarded = ("--isolation", "process", "--superexec-auth-secret-file", str(secret))
    internals = "engine.fl.runtimes.internals"
    node = (
        *((*MODULE, f"{internals}.supernode") if warm else (str(BIN / "flower-supernode"),)),
        *(*credentials, "--superlink", superlink),
        *("--host", "127.0.0.1", "--port", str(port), "--node-config", values),
        *(guarded if warm else ("--isolation", "subprocess")),
    )
    programs = [Program(node, str(fresh_log(f"supernode-{client}")), restarts=True)]
    if warm:
        host = (
            *(*MODULE, f"{internals}.client_host"),
            *("--supernode", f"127.0.0.1:{port}", "--secret", str(secret)),
        )
        programs.append(Program(host, str(fresh_log(f"client-{client}")), restarts=True))
    return programs


@contextmanager
def site(
    superlink: str,
    client: int,
    clients: int,
    home: Path,
    authority: Path,
    key: Path,
    dataset: str = "",
) -> Iterator[Programs]:
    """Run a site's SuperNode for as long as the block lasts: client number ``client``.

    ``superlink``: HOST:PORT; ``home``: the folder that keeps what is this client's own;
    ``authority``: the certificate that vouches for the SuperLink; ``key``: the private key that the
    SuperLink knows the public one of; ``dataset``: ``folder:PATH`` of data that only it has.
    """
    private = Path(tempfile.mkdtemp(prefix="fedvlm-"))
    values: dict[str, str | int] = {"partition-id": client, "num-partitions": clients}
    values["home"] = str(home.resolve())
    if dataset:
        values["dataset"] = dataset
    credentials = (
        *("--root-certificates", str(authority.resolve())),
        *("--auth-supernode-private-key", str(key.resolve())),
    )
    programs = supernode(superlink, values, make_secret(private), credentials=credentials)
    running = Programs(programs, surroundings(private), private)
    try:
        yield running
    finally:
        running.close()


def _quoted(value: str | int) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
