"""Commands of a federation on machines of its own: the SuperLink's side, and a site's."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from engine.cli import doors
from engine.config import ConfigError
from engine.system.machine import cores
from engine.system.supervisor import Programs

federations = typer.Typer()


@federations.command()
def federation(
    sites: Annotated[int, typer.Option(min=1, max=1000, help="Sites, a client each.")] = 4,
    host: Annotated[str, typer.Option(help="Address that SuperNodes reach.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port that SuperNodes reach.")] = 9092,
    name: Annotated[
        list[str] | None, typer.Option(help="Name or address by which sites know this machine.")
    ] = None,
    here: Annotated[bool, typer.Option(help="Run the sites' SuperNodes on this machine.")] = True,
    dataset: Annotated[
        str, typer.Option(help="Sites' own data, here: folder:PATH, with site-0, site-1, … in it.")
    ] = "",
) -> None:
    """Hold a federation with TLS and keys, until Ctrl-C; runs with runtime=superlink use it."""
    runtimes = doors.runtimes()
    folder = runtimes.standing.folder()
    if here:  # they share this machine's cores
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // sites)))
    running: list[Programs] = []
    with ExitStack() as stack:
        stack.enter_context(runtimes.standing.stand(host, port, name or (), sites))
        for client in range(sites) if here else ():
            key, home = runtimes.standing.key_of(client), folder / "homes" / f"site-{client}"
            own = _place(dataset and f"{dataset}/site-{client}")
            of_site = (f"{host}:{port}", client, sites, home, folder / "ca.crt", key, own)
            running.append(stack.enter_context(runtimes.supernode.site(*of_site)))
        typer.echo(f"SuperNodes reach the federation at {host}:{port}; its files: {folder}")
        _watch(running)


@federations.command()
def supernode(
    superlink: Annotated[str, typer.Option(help="HOST:PORT of the federation.")],
    client: Annotated[int, typer.Option(min=0, help="Number of this site's client, from 0.")],
    sites: Annotated[int, typer.Option(min=1, help="How many sites there are.")],
    authority: Annotated[Path, typer.Option(help="ca.crt of the federation.")],
    key: Annotated[Path, typer.Option(help="This site's private key.")],
    home: Annotated[Path, typer.Option(help="Folder for what stays on this site.")],
    dataset: Annotated[str, typer.Option(help="folder:PATH of data that only this site has.")] = "",
) -> None:
    """Be a site of a federation, until Ctrl-C: a SuperNode and its client."""
    for option, file in (("--authority", authority), ("--key", key)):
        if not file.is_file():
            raise ConfigError(f"{option}: {file} is no file")
    of_site = (superlink, client, sites, home, authority, key, _place(dataset))
    with doors.runtimes().supernode.site(*of_site) as running:
        typer.echo(f"client {client} of {sites} is at the service of {superlink}")
        _watch([running])


def _place(dataset: str) -> str:
    """Return ``folder:PATH`` with the whole path; "" for none. Raises ConfigError."""
    kind, _, place = dataset.partition(":")
    folder = Path(place).expanduser().resolve()
    if dataset and not (kind == "folder" and folder.is_dir()):
        raise ConfigError(f"--dataset: {dataset} is not folder:PATH with a folder's path")
    return f"folder:{folder}" if dataset else ""


def _watch(running: Sequence[Programs]) -> None:
    """Wait for Ctrl-C; tell, once for each reason, what had to be started again."""
    told: set[str] = set()
    while True:
        for sentence in (fallen for programs in running for fallen in programs.fallen()):
            if sentence not in told:
                typer.echo(f"{sentence} It is started again.", err=True)
                told.add(sentence)
        time.sleep(1)
