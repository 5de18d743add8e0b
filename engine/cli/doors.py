"""Doors: rooms that a command loads only when it runs, so that quick ones start without torch."""

from __future__ import annotations

from types import ModuleType


def results() -> ModuleType:
    """Load what answers for a run's models. A door: it brings torch."""
    import engine.results.analyze
    import engine.results.ask
    import engine.results.export

    return engine.results


def bench() -> ModuleType:
    """Load the measurements. A door: they bring torch, and what they compare the lab with."""
    import engine.bench.cards
    import engine.bench.crossing
    import engine.bench.crossing_report
    import engine.bench.grid
    import engine.bench.long
    import engine.bench.long_report
    import engine.bench.methods
    import engine.bench.methods_report
    import engine.bench.pictures
    import engine.bench.speed
    import engine.bench.speed_report
    import engine.bench.world

    return engine.bench


def runtimes() -> ModuleType:
    """Load what holds a federation. A door: it brings Flower."""
    import engine.fl.runtimes.standing
    import engine.fl.runtimes.supernode

    return engine.fl.runtimes


def pretraining() -> ModuleType:
    """Load the making of the bundled model. A door: it brings torch."""
    import engine.pretraining.pretrain
    import engine.pretraining.recipe

    return engine.pretraining
