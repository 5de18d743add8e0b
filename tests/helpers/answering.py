"""The answering process's work in this process: the same requests and replies, no socket."""

from __future__ import annotations

import json
from functools import cache

from engine.answering.client import Progress, unpacked
from engine.answering.server import Desk, sentence, status_of
from engine.answering.wire import Analysis, Request


@cache
def desk() -> Desk:
    return Desk()


def request(path: str, asked: Request) -> object:
    """Stands in for ``engine.answering.client.request``."""
    body, status = asked.model_dump_json(), 200
    try:
        if path == "/analyse":
            reply = vars(desk().analyse(Analysis.model_validate_json(body)))
        else:
            reply = desk().answer(path, body.encode())
    except Exception as fault:
        status, reply = status_of(fault), {"error": sentence(fault)}
    return unpacked(status, json.loads(json.dumps(reply)))


def progress(run: int, kind: str) -> Progress | None:
    """Stands in for ``engine.answering.client.progress``."""
    known = desk().analyses.get((run, kind))
    return Progress(**vars(known)) if known else None
