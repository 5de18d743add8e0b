"""Where the two apps run. ``local`` is this process; the apps do not know the difference."""

from __future__ import annotations

from flwr.app import Context, RecordDict

from engine.fl.flower import client_app, server_app
from engine.fl.run_config import RunConfig
from engine.fl.runtimes.local_grid import LocalGrid


def execute(run: RunConfig, grid: LocalGrid | None = None) -> None:
    """Run the ServerApp of a run to its end in this process, or on a grid."""
    values = run.to_flower()
    if grid is None:
        together = {"train": client_app.train_together, "evaluate": client_app.evaluate_together}
        grid = LocalGrid(client_app.app, run.config.clients, values, together)
    context = Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config=values)
    server_app.app(grid, context)
