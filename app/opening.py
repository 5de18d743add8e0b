"""Where the form starts: at a preset, at a link that opens it as it was, or at a YAML file.

A link names the keys of a config, as ``--set`` does: ``/setup?preset=alike&clients=8``. The address
bar follows the form, so it is the link to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import streamlit as st

from app import data_form, model_form
from engine.config import ConfigError, ExperimentConfig, known_keys, set_value
from engine.presets import PRESETS, preset

USUAL = "quickstart"
_OPENING = "opening"  # where the form of this session started
_FOREIGN = ("stage",)  # parameters of a link that are not about the form


@dataclass
class Opening:
    """The values with which the form starts.

    mark: another one for every start, so that the fields start anew; preset: "" where the values
    come from a file; link: what the address bar said last; mistake: of a link, in one sentence.
    """

    values: dict[str, Any]
    mark: str
    preset: str = ""
    link: dict[str, str] | None = None
    mistake: str = ""


def opening() -> Opening:
    """Return where the form starts, which another link in the address bar changes."""
    kept: Opening = st.session_state.setdefault(_OPENING, _at_preset(USUAL))
    link = _link_in_url()
    if link and link != kept.link:
        kept = _keep(_at_link(link), link)
    st.session_state["preset"] = kept.preset or None  # what the field says
    return kept


def open_preset(name: str) -> None:
    """Start the form anew at a preset."""
    _keep(_at_preset(name), _link_in_url())


def open_values(values: dict[str, Any]) -> None:
    """Start the form anew at the values of a YAML file. Raises ConfigError."""
    config = ExperimentConfig.parse(values)
    _keep(Opening(config.model_dump(), _next_mark("file")), _link_in_url())


def follow(config: ExperimentConfig) -> None:
    """Put what the form says into the address bar, as the link that opens it again."""
    kept: Opening = st.session_state[_OPENING]
    kept.link = link_to(config, kept.preset)
    foreign = {key: st.query_params[key] for key in _FOREIGN if key in st.query_params}
    if st.query_params.to_dict() != kept.link | foreign:
        st.query_params.from_dict(kept.link | foreign)


def link_to(config: ExperimentConfig, start: str = "") -> dict[str, str]:
    """Return the parameters of a link: a preset, and every key whose value is another."""
    base = ExperimentConfig.parse(preset(start) if start else {})
    link = {"preset": start} if start else {}
    for key in known_keys():
        value = _value(config, key)
        if value != _value(base, key):
            link |= _parameters(key, value)
    return link or {"rounds": str(config.rounds)}  # an empty one would open what was before


def _parameters(key: str, value: Any) -> dict[str, str]:
    if key == "sweep":
        axes = {f"sweep.{axis.key}": ",".join(map(str, axis.values)) for axis in value}
        return axes or {"sweep": ""}
    return {key: ",".join(map(str, value)) if isinstance(value, tuple) else str(value)}


def _at_preset(name: str) -> Opening:
    return Opening(ExperimentConfig.parse(preset(name)).model_dump(), name, name)


def _at_link(link: dict[str, str]) -> Opening:
    """Return the start that a link names; one with a mistake leads to its preset, or the usual."""
    name = link.get("preset", "")
    start = name if name in PRESETS else ""
    try:
        values = preset(name) if name else {}
        for key, text in link.items():
            if key != "preset":
                values = set_value(values, f"{key}={text}")
        dumped = ExperimentConfig.parse(values).model_dump()
    except ConfigError as mistake:
        at = _at_preset(start or USUAL)
        at.mistake = f"This link cannot be opened as it is. {mistake}"
        return at
    mark = start if link == {"preset": start} else _next_mark(start or "link")
    return Opening(dumped, mark, start)


def _keep(new: Opening, link: dict[str, str]) -> Opening:
    """Start at ``new``, whatever the address bar says until the form is drawn."""
    new.link = link
    st.session_state[_OPENING] = new
    data_form.choose(new.values["dataset"])
    model_form.choose(new.values["model"])
    return new


def _next_mark(word: str) -> str:
    number = st.session_state["openings"] = st.session_state.get("openings", 0) + 1
    return f"{word}:{number}"


def _link_in_url() -> dict[str, str]:
    return {k: v for k, v in st.query_params.to_dict().items() if k not in _FOREIGN}


def _value(config: ExperimentConfig, key: str) -> Any:
    head, _, tail = key.partition(".")
    value = getattr(config, head)
    return getattr(value, tail) if tail else value
