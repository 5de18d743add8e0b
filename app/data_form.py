"""The section "Data" of the form: the embedded world, or people's own pictures and questions."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.form import Form
from app.uploads import put_in_place
from engine.config import DIGITS, EASY_VQA, SITES, WORLD, ConfigError, Data, ExperimentConfig
from engine.data.user import hub, known
from engine.data.user.collection import Collection, collect
from engine.data.user.columns import guess
from engine.data.user.folder import find_tables
from engine.data.user.reading import columns_of
from engine.metrics import METRICS
from engine.system.files import file_state

SOURCES = {
    WORLD: "The parts bins (embedded)",
    DIGITS: "Handwritten digits (they come along)",
    EASY_VQA: "Shapes and colours: easy-VQA (comes along)",
    "folder": "A folder on this machine",
    "upload": "Upload",
    "hub": "From the hub",
    SITES: "Each site's own, which stays there",
}
COME_ALONG = {DIGITS: "Handwritten digits", EASY_VQA: "Shapes and colours"}
ROLES = {"image": "Picture", "question": "Question", "answer": "Answer", "client": "Client"}
LAYOUT = (
    "Pictures and a table in one folder: metadata.csv or metadata.jsonl, with the columns "
    "file_name, question, answer and, if you like, client. Or such a table in each of train and "
    "test. Columns of other names can be chosen afterwards."
)
LARGEST_UPLOAD = 200  # MB
_OTHER = "another one"
_KEPT = "data.uploaded"  # not a widget's key: what was uploaded outlives the widget
_SESSION: dict[str, Any] = {
    "persist_state": "session"
}  # kept when people go to another page and come back


@dataclass(frozen=True)
class Chosen:
    """The form's word on data; ``collection`` is people's own, once it could be read."""

    dataset: str = WORLD
    title: str = ""
    data: dict[str, Any] = field(default_factory=lambda: Data().model_dump())
    collection: Collection | None = None

    @property
    def usable(self) -> bool:
        """Tell if there is anything to deal out."""
        return self.dataset in (WORLD, SITES) or self.collection is not None


def choose(dataset: str) -> None:
    """Have the section say this data set when it is drawn next."""
    kind, _, place = dataset.partition(":")
    st.session_state["data.source"] = kind
    if kind == "folder":
        st.session_state["data.folder"] = place
    elif kind == "hub":
        st.session_state["data.hub"] = place if place in known.KNOWN else _OTHER
        st.session_state["data.hub_name"] = place


def choose_data(form: Form, more: DeltaGenerator) -> Chosen:
    """Draw the section; what is rarely needed goes into ``more``."""
    source = st.selectbox(
        "Data", list(SOURCES), format_func=SOURCES.__getitem__, key="data.source", **_SESSION
    )
    if source == WORLD:
        return Chosen()
    if source == SITES:
        with more:
            return Chosen(SITES, "The sites' own data", _settings(form.at(form.mark + ":data")))
    if source in COME_ALONG:
        with more:
            settings = _settings(form.at(form.mark + ":data"))
        return _collected(source, COME_ALONG[source], settings)
    try:
        dataset, title = {"folder": _folder, "upload": _upload, "hub": _hub}[source]()
    except ConfigError as mistake:
        st.error(str(mistake))
        dataset = title = ""
    with more:
        settings = _settings(form.at(form.mark + ":data"))
    if not dataset:
        return Chosen(dataset="", data=settings)
    try:
        return _collected(dataset, title, {**settings, **_columns(dataset, form["data"])})
    except ConfigError as mistake:
        st.error(str(mistake))
        return Chosen(dataset="", data=settings)


def _collected(dataset: str, title: str, data: dict[str, Any]) -> Chosen:
    """Read the data, unless they would have to be downloaded first. Raises ConfigError."""
    config = ExperimentConfig.parse({"dataset": dataset, "data": data})
    return Chosen(dataset, title, config.data.model_dump(), _read(dataset, config.data))


def _folder() -> tuple[str, str]:
    typed = st.text_input(
        "Path of the folder",
        placeholder="for example ~/pictures/ward-7",
        help=LAYOUT,
        key="data.folder",
        **_SESSION,
    ).strip()
    if not typed:
        st.caption(LAYOUT)
        return "", ""
    path = os.path.abspath(os.path.expanduser(typed))
    return f"folder:{path}", os.path.basename(path)


def _upload() -> tuple[str, str]:
    """Return folder and title of what is uploaded now, or was before; ("", "") for neither."""
    files = st.file_uploader(
        "A zip of pictures and their table, or all of these files at once",
        accept_multiple_files=True,
        help=LAYOUT,
        max_upload_size=LARGEST_UPLOAD,
        key="data.upload",
    )
    kept = st.session_state.get(_KEPT)
    if files:
        ids = [file.file_id for file in files]
        if kept is None or kept["ids"] != ids:
            st.session_state.pop(_KEPT, None)
            with st.spinner("Unpacking …"):
                folder = put_in_place(files)
            title = Path(files[0].name).stem if len(files) == 1 else "Uploaded data"
            kept = st.session_state[_KEPT] = {"ids": ids, "folder": str(folder), "title": title}
    elif kept:
        st.caption(f"Still here: “{kept['title']}”. Another upload takes its place.")
    else:
        st.caption(LAYOUT)
    return (f"folder:{kept['folder']}", kept["title"]) if kept else ("", "")


def _hub() -> tuple[str, str]:
    name = st.selectbox(
        "Data set of the hub",
        [*known.KNOWN, _OTHER],
        format_func=lambda key: known.KNOWN[key].title if key in known.KNOWN else "Another one",
        key="data.hub",
        **_SESSION,
    )
    if name == _OTHER:
        name = st.text_input(
            "Its name on the hub", placeholder="OWNER/NAME", key="data.hub_name", **_SESSION
        ).strip()
    if os.path.isdir(os.path.expanduser(name or "-")):
        raise ConfigError(f"dataset: {name} is a folder; choose “{SOURCES['folder']}” above")
    return (f"hub:{name}", name) if name else ("", "")


def _columns(dataset: str, start: dict[str, str]) -> dict[str, str]:
    """Guess which column holds what, show it, and let people change it."""
    kind, _, name = dataset.partition(":")
    if kind == "hub":
        return _columns_by_name(name, start)
    columns = _columns_in(name, [file_state(table.path) for table in find_tables(Path(name))])
    guessed = guess(columns)
    chosen: dict[str, str] = {}
    for place, (role, title) in zip(_grid(), ROLES.items(), strict=True):
        likely = guessed.get(role, "")
        nothing = "none" if role == "client" else "please choose"
        options = ["", *(column for column in columns if column != likely)]
        chosen[role] = place.selectbox(
            title,
            options,
            options.index(start[role]) if start[role] in options else 0,
            format_func=partial(_column_name, f"{likely} (guessed)" if likely else nothing),
            key=f"data.{role}:{dataset}",
        )
    return chosen


def _column_name(nothing: str, column: str) -> str:
    return column or nothing


def _columns_by_name(name: str, start: dict[str, str]) -> dict[str, str]:
    """Ask for the columns of a data set of the hub, which nobody has looked into yet."""
    preset = known.KNOWN.get(name)
    chosen: dict[str, str] = {}
    for place, (role, title) in zip(_grid(), ROLES.items(), strict=True):
        chosen[role] = place.text_input(
            title,
            start[role],
            placeholder=(getattr(preset, role) or "none") if preset else "guessed",
            key=f"data.{role}:hub:{name}",
        ).strip()
    return chosen


def _grid() -> list[DeltaGenerator]:
    """Make four places, two by two, below a line that says what they are for."""
    st.caption("Which column holds the …")
    return [*st.columns(2), *st.columns(2)]


@st.cache_data(max_entries=16, show_spinner=False)
def _columns_in(folder: str, states: list[tuple[int, int] | None]) -> list[str]:
    """Read the columns of a folder's tables; other ``states`` of the files, another answer."""
    return columns_of(Path(folder))


def _read(dataset: str, data: Data) -> Collection | None:
    """Read the data; None where nobody has asked yet for what would be downloaded."""
    kind, _, name = dataset.partition(":")
    if kind == "hub" and not hub.is_fetched(name, data):
        looked = st.button("Look at this data set", key="data.look")
        st.caption(f"Downloads up to {data.rows:,} rows of {name} and keeps them here.")
        if not looked:
            return None
    with st.spinner("Reading the table and looking at every picture …"):
        return collect(dataset, data)


def _settings(form: Form) -> dict[str, Any]:
    """Ask how to read data and score answers."""
    st.markdown("**Data**")
    left, right = st.columns(2, vertical_alignment="bottom")
    with left:
        form.number("data.rows", step=100)
        form.choose(
            "data.metric",
            ["auto", *METRICS],
            lambda key: METRICS[key].title if key in METRICS else "as suits the answers",
            help=" ".join(f"**{m.title}.** {m.explanation}" for m in METRICS.values()),
        )
    with right:
        form.number("data.test_samples")
        form.number("data.answer_tokens")
    values: dict[str, Any] = form["data"]
    return {key: values[key] for key in ("rows", "test_samples", "metric", "answer_tokens")}
