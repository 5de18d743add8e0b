"""Data sets of the hub whose columns the lab knows, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.plugins import Registry

if TYPE_CHECKING:  # plugins import this file before there is a config
    from engine.config import Data, Metric


@dataclass(frozen=True)
class Known:
    """The columns of a data set by what they hold, and how its answers are judged."""

    title: str
    metric: Metric
    answer: str = "answer"
    image: str = "image"
    question: str = "question"
    client: str = ""
    choices: str = ""  # column with the choices that a numeric answer points into


KNOWN: Registry[Known] = Registry("known data set")
KNOWN |= {
    "openbmb/RLAIF-V-Dataset": Known(
        "RLAIF-V: photographs described at length, one client per source",
        "rouge_l",
        answer="chosen",
        client="origin_dataset",
    ),
    "flaviagiammarino/vqa-rad": Known("VQA-RAD: questions about radiology pictures", "exact"),
    "mdwiratathya/SLAKE-vqa-english": Known("SLAKE: radiology in English", "exact"),
    "derek-thomas/ScienceQA": Known(
        "ScienceQA: school science with choices, one client per subject",
        "exact",
        client="subject",
        choices="choices",
    ),
}


def fill(name: str, data: Data) -> Data:
    """Fill in what ``data`` leaves open, if the data set is a known one."""
    if not (known := KNOWN.get(name)):
        return data
    keys = ("image", "question", "answer", "client")
    values = {key: getattr(known, key) for key in keys if not getattr(data, key)}
    if data.metric == "auto":
        values["metric"] = known.metric
    return data.model_copy(update=values)
