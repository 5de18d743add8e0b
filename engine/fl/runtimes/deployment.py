"""The ``superlink`` runtime: Flower's Deployment Runtime, a SuperNode for every client.

Where a federation stands (standing.py), its SuperNodes are the clients. Without one, the SuperLink
and its SuperNodes are this process's own, on this machine, and end with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from engine.fl.resolved import resolve
from engine.fl.run_config import RunConfig
from engine.fl.runtimes.federation import Federation
from engine.fl.runtimes.relay import Relay
from engine.fl.runtimes.standing import connected, standing
from engine.fl.runtimes.superlink import own_superlink
from engine.fl.runtimes.supernode import supernode
from engine.system.faults import RunFailed
from engine.system.machine import room
from engine.system.supervisor import Program
from engine.vlm import memory

_PROBE_SECONDS = 60.0


@contextmanager
def deployed(run: RunConfig, tell: Callable[[int, str], None]) -> Iterator[Federation]:
    """Open the federation of a run's experiment. Raises RunFailed, StopRequested."""
    config = run.config
    clients, patience = config.clients, config.flower.wait
    warm = config.flower.client_process == "warm"

    def nodes(address: str, folder: Path) -> Sequence[Program]:
        values = [{"partition-id": k, "num-partitions": clients} for k in range(clients)]
        pairs = [supernode(address, v, folder / "secret", warm=warm) for v in values]
        return [program for pair in pairs for program in pair]

    if (there := standing()) is not None:
        link_opened = connected(there)
    else:
        _check_room(run)
        link_opened = own_superlink(at_once=clients, others=nodes)
    with link_opened as link, Relay(link.folder, link.check) as relay:
        link.run({**run.to_flower(), "relay": relay.address})
        relay.wait_for_app(link.state, patience)
        federation = Federation(relay, clients, patience, tell, probes=_PROBE_SECONDS)
        federation.meet()
        yield federation


def _check_room(run: RunConfig) -> None:
    """Raise RunFailed where the clients' processes, each with a model, do not fit in here."""
    config, model = run.config, (run.resolved or resolve(run.config)).model
    needed, there = memory.estimate(config, model).needed(), room(model.device)
    if config.clients * needed > there:
        raise RunFailed(
            f"runtime: {config.clients} SuperNodes on this machine need about "
            f"{config.clients * needed / 2**30:.1f} GB, a model each, and there are "
            f"{there / 2**30:.1f} GB; runtime=ray takes as many clients at once as fit"
        )
