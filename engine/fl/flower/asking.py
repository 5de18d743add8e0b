"""A question to a client as a Flower query message: the server's side of ``client_app.ask``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from flwr.app import ConfigRecord, Message, RecordDict

from engine.fl.asking import Glance, Said
from engine.fl.flower.client_app import to_arrays
from engine.fl.flower.records import to_rows
from engine.fl.run_config import RunConfig
from engine.vlm.lora import Factors

ASK = "query.ask"  # the message type of @app.query("ask")


@dataclass(frozen=True)
class Question:
    """What a client of a run is asked."""

    run: RunConfig
    client: int
    content: RecordDict


def content_of(
    image: np.ndarray,
    question: str,
    variants: Sequence[str],
    shared: Factors,
    after_round: int,
    *,
    looking: bool = False,
) -> RecordDict:
    """Return a question as it travels: the image (height, width, 3) uint8 as it is, and the text.

    With it goes what the server shared after its last round, as in every other message; ``looking``
    asks where the variants look in place of what they say.
    """
    height, width, _ = image.shape
    config = ConfigRecord(
        {"server-round": after_round, "variants": list(variants), "looking": looking}
    )
    pixels = ConfigRecord({"height": height, "width": width, "rgb": image.tobytes()})
    return RecordDict(
        {
            "arrays": to_arrays(shared),
            "config": config,
            "question": ConfigRecord({"text": question}),
            "image": pixels,
        }
    )


def is_answered(reply: Message) -> bool:
    """Tell whether a client had the factors of the round that it was asked about."""
    return "answers" in reply.content


def said_in(reply: Message) -> dict[str, Said]:
    """Return the answers that a reply brings, by variant."""
    rows = to_rows(Said, reply.content.config_records["answers"])
    return {said.variant: said for said in rows}


def grids_in(reply: Message) -> dict[str, np.ndarray]:
    """Return where variants look, as grids (rows, columns); without those that cannot say."""
    glances = to_rows(Glance, reply.content.config_records["answers"])
    grids = {}
    for variant in dict.fromkeys(glance.variant for glance in glances):
        own = [glance for glance in glances if glance.variant == variant]
        columns = 1 + max(glance.column for glance in own)
        grids[variant] = np.array([glance.weight for glance in own]).reshape(-1, columns)
    return grids
