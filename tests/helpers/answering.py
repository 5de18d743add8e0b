"""The answering process's work in this process: the same requests and replies, no socket."""

from __future__ import annotations

import json
from functools import cache

from engine.answering.client import NoAnswer, Progress
from engine.answering.server import Desk, sentence
from engine.answering.wire import Analysis, Question, Request


@cache
def desk() -> Desk:
    return Desk()


def request(path: str, asked: Request) -> object:
    """Stands in for ``engine.answering.client.request``."""
    body = asked.model_dump_json()
    try:
        if path == "/analyse":
            reply = vars(desk().analyse(Analysis.model_validate_json(body)))
        else:
            reply = desk().answer(path, Question.model_validate_json(body))
    except Exception as fault:
        raise NoAnswer(sentence(fault)) from None
    return json.loads(json.dumps(reply))


def progress(run: int, kind: str) -> Progress | None:
    """Stands in for ``engine.answering.client.progress``."""
    known = desk().analyses.get((run, kind))
    return Progress(**vars(known)) if known else None
