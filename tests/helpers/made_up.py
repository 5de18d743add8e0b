"""Made-up questions about pictures, as people might bring them."""

from pathlib import Path

from engine.config import ExperimentConfig
from engine.data.user.collection import Collection, Row
from engine.system.seeding import rng

ANSWERS = {
    "what": ("red", "blue", "green", "dark red", "a very long answer"),
    "how": ("1", "2", "3"),
    "is": ("yes", "no"),
    "where": ("left", "right"),
}
SITES = {"north": 0.4, "south": 0.3, "west": 0.2, "east": 0.1}


def collection(n=1200, *, sites=SITES, per_picture=3, tests=0.0, folder=Path("/pictures"), **other):
    """``n`` questions, ``per_picture`` to each picture; a share ``tests`` is called test."""
    draw = rng(3, "made up")
    rows = []
    for i in range(n):
        kind = str(draw.choice(list(ANSWERS)))
        rows.append(
            Row(
                picture=folder / f"{i // per_picture}.png",
                question=f"{kind.capitalize()} number {i}?",
                answers=(str(draw.choice(ANSWERS[kind])),),
                client=str(draw.choice(list(sites), p=list(sites.values()))) if sites else "",
                split=("test" if draw.random() < tests else "train") if tests else "",
            )
        )
    columns = {"client": "site"} if sites else {}
    values = {
        "problems": (),
        "columns": columns,
        "metric": "exact",
        "digest": "made up",
        "state": "made up",
        "files": (),
    }
    return Collection(tuple(rows), **{**values, "files": (), "folder": folder, **other})


def config(kind="natural", level=1.0, **values):
    heterogeneity = {"kind": kind, "level": level}
    values = {"dataset": "folder:made-up", "heterogeneity": heterogeneity, **values}
    return ExperimentConfig.parse(values)
