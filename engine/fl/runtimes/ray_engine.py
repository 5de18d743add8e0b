"""The ``ray`` runtime: Flower's Simulation Runtime, clients as actors in processes of their own.

They run on this machine, or on the Ray cluster that RAY_ADDRESS names. Personal factors are on
disk, which the machines of a cluster must share. An actor that dies stays in Flower's pool and
fails whatever it is given, so the simulation is started anew; what had not been answered is asked
again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from engine.fl.resolved import resolve
from engine.fl.run_config import RunConfig
from engine.fl.runtimes.federation import Federation
from engine.fl.runtimes.relay import Relay
from engine.fl.runtimes.superlink import own_superlink
from engine.system.machine import cores, gpus, room
from engine.vlm import memory


@contextmanager
def simulated(run: RunConfig, tell: Callable[[int, str], None]) -> Iterator[Federation]:
    """Open the simulation of a run's experiment. Raises RunFailed, StopRequested."""
    patience = run.config.flower.wait
    needs = resources(run)
    actors = int(str(needs.get("init-args-num-cpus", 1)))
    with (
        own_superlink(simulation=True, at_once=actors) as link,
        Relay(link.folder, link.check) as relay,
    ):

        def start() -> None:
            relay.hang_up()
            link.run({**run.to_flower(), "relay": relay.address}, needs)
            relay.wait_for_app(link.state, patience)

        federation = Federation(relay, run.config.clients, patience, tell, renew=start)
        start()
        federation.meet()
        yield federation


def resources(run: RunConfig) -> dict[str, object]:
    """Return, in Flower's words, as many actors as have cores and memory, and are of use."""
    config = run.config
    values: dict[str, object] = {"num-supernodes": config.clients, "client-resources-num-cpus": 1}
    model = (run.resolved or resolve(config)).model
    on_gpu = model.device == "cuda"
    if "RAY_ADDRESS" in os.environ:  # the cluster knows its cores and its GPUs
        share = config.flower.gpu_share or 1.0
        return values | ({"client-resources-num-gpus": share} if on_gpu else {})
    actors = config.flower.actors
    if not actors:
        useful = max(config.clients_per_round, config.clients_tested)
        fit = room(model.device) // memory.estimate(config, model).needed()
        actors = max(1, min(cores(), useful, fit))
    values["init-args-num-cpus"] = actors
    if on_gpu:
        share = config.flower.gpu_share or int(100 * min(1.0, gpus() / actors)) / 100
        values |= {"client-resources-num-gpus": share, "init-args-num-gpus": gpus()}
    return values
