"""What is in a bundle: names of its files, and which of a run's its models are made of."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from engine.config import ExperimentConfig
from engine.fl import checkpoints
from engine.fl.participation import deciders, keepers

FORMAT = 1  # of the file; what its rows may be is said by the database's step
ROWS, ABOUT = "rows.json", "bundle.json"
START = "start"  # folder of the adapter that training started from


def models_of(config: ExperimentConfig, strategy: str, rounds_done: int) -> list[PurePosixPath]:
    """Return the names, within the run's folder, of the shared and of each client's factors."""
    if not rounds_done:
        return []
    folder, rule = Path(), config.rule(strategy)
    kept, chose = dict[int, int](), dict[int, int]()  # the newest round by client
    for round_ in range(1, rounds_done + 1):
        kept |= dict.fromkeys(keepers(rule, config, round_), round_)
        chose |= dict.fromkeys(deciders(rule, config, round_, rounds_done), round_)
    files = [checkpoints.server_path(folder, rounds_done)]
    files += [checkpoints.personal_path(folder, k, round_) for k, round_ in sorted(kept.items())]
    files += [checkpoints.decision_path(folder, k, round_) for k, round_ in sorted(chose.items())]
    return [PurePosixPath(file.as_posix()) for file in files]
