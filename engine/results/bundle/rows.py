"""A bundle's rows, held against each other and against its config."""

from __future__ import annotations

import re
from typing import Any

from db.bundles import Dump
from db.reads import VARIANTS
from db.tables import OF_RUN, RESUMABLE
from engine.config import BUNDLED, ConfigError, ExperimentConfig
from engine.data.user.rows import shorten
from engine.fl.privacy import planned_rounds
from engine.fl.resolved import Resolved
from engine.plugins import PluginError
from engine.strategies import STRATEGIES
from engine.strategies.base import CORNERS
from engine.vlm.resolved import digest_of

_ENDED = (*RESUMABLE, "done")
_SCOPES = ("own", "pooled")
_DIGEST = re.compile(r"[0-9a-f]{0,64}")
_WORD = re.compile(r"[\w.]{1,20}")  # of what has crossed
_SHARES = ("accuracy", "confidence")  # between 0 and 1


class BadBundle(ValueError):
    """What is wrong with a bundle, in one sentence that begins with the word."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"bundle: {problem}")


def config_of(rows: Dump) -> ExperimentConfig:
    """Return the config of the one experiment whose rows fit each other. Raises BadBundle."""
    if len(rows["experiments"]) != 1:
        raise BadBundle(f"it holds {len(rows['experiments'])} experiments instead of one")
    [experiment] = rows["experiments"]
    try:
        config = ExperimentConfig.parse(experiment["config"])
    except (ConfigError, PluginError) as error:
        raise BadBundle(f"its config cannot be used: {error}") from None
    if config.is_swept:
        raise BadBundle("its config is that of a sweep")
    _check_resolved(config, experiment["resolved"])
    _check_clients(config, experiment["id"], rows["clients"])
    for run in rows["runs"]:
        _check_run(config, experiment["id"], run)
    strategies = [run["strategy"] for run in rows["runs"]]
    if len(set(strategies)) < len(strategies):
        raise BadBundle("it has two runs of one strategy")
    runs = {run["id"]: run for run in rows["runs"]}
    for table in OF_RUN:
        for row in rows[table.__tablename__]:
            if row["run_id"] not in runs:
                raise BadBundle(f"a row of '{table.__tablename__}' is of a run that is not in it")
            if problem := _problem(config, runs[row["run_id"]], row):
                raise BadBundle(f"a row of '{table.__tablename__}' {problem}")
    for run in runs.values():
        rounds = [row["round"] for row in rows["rounds"] if row["run_id"] == run["id"]]
        if sorted(rounds) != list(range(1, run["rounds_done"] + 1)):
            raise BadBundle(f"run {run['id']} has other rounds than it says it has done")
    return config


def _check_resolved(config: ExperimentConfig, values: dict[str, Any] | None) -> None:
    if values is None:
        return
    try:
        resolved = Resolved.from_dict(values)
        digests = [value for key, value in vars(resolved.data).items() if key not in _NO_DIGEST]
        sound = all(_DIGEST.fullmatch(text) for text in digests)
        sound &= all(isinstance(line, str) for line in resolved.account)
    except (ValueError, TypeError, KeyError, AttributeError):
        sound = False
    if not sound:
        raise BadBundle("what it says of its model and data cannot be read")
    if config.model == BUNDLED and resolved.model.digest != digest_of(BUNDLED):
        raise BadBundle("it was trained on another version of the bundled model")


_NO_DIGEST = ("place", "rows")


def _check_clients(config: ExperimentConfig, experiment: int, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        if row["client"] >= config.clients or row["experiment_id"] != experiment:
            raise BadBundle(f"it has a client {row['client']}, of {config.clients} from 0")


def _check_run(config: ExperimentConfig, experiment: int, run: dict[str, Any]) -> None:
    strategy, done = run["strategy"], run["rounds_done"]
    if strategy not in STRATEGIES:
        raise BadBundle(f"the strategy '{shorten(strategy)}' is not known here")
    planned = planned_rounds(config, strategy)
    if strategy not in config.strategies or run["experiment_id"] != experiment:
        raise BadBundle(f"run {run['id']} ({strategy}) is not of its experiment")
    if run["status"] not in _ENDED:
        raise BadBundle(f"run {run['id']} has the status '{shorten(run['status'])}'")
    if run["rounds"] != planned or done > planned or (run["status"] == "done") > (done == planned):
        raise BadBundle(f"run {run['id']} is {run['status']} after {done} of {planned} rounds")


def _problem(config: ExperimentConfig, run: dict[str, Any], row: dict[str, Any]) -> str:
    """Say how a row contradicts its run; "" where it does not."""
    if row.get("round", 0) > run["rounds_done"]:
        return f"is of round {row['round']} of {run['rounds_done']}"
    if row.get("client", 0) >= config.clients:
        return f"is of client {row['client']}, of {config.clients} from 0"
    if "variant" in row and row["variant"] not in VARIANTS:
        return f"is of the variant '{shorten(row['variant'])}'"
    if "scope" in row and row["scope"] not in _SCOPES:
        return f"is about '{shorten(row['scope'])}'"
    if row.get("corner", "") not in ("", *CORNERS):
        return f"is of the corner '{shorten(row['corner'])}'"
    if not all(map(_WORD.fullmatch, (row.get("kind", "train"), *row.get("parts", ())))):
        return "is of a message of no known kind"
    if any(not 0 <= row[share] <= 1 for share in _SHARES if share in row):
        return "has a share below 0 or above 1"
    return ""
