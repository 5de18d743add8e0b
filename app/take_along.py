"""What of an experiment leaves the lab, in files that are made when asked for, and comes in."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from app.look import plain
from app.widgets import LIVE
from db import reads
from engine.results import tables
from engine.results.bundle.opening import open_bundle
from engine.results.bundle.rows import BadBundle
from engine.results.bundle.writing import bundle
from engine.results.report.page import report, sweep_report

_MOST_MEGABYTES = 500
_TABLES = {"csv": "Tables (CSV)", "parquet": "Tables (Parquet)"}


def show_downloads(experiment: int) -> None:
    """Offer an experiment's report, the experiment itself, and its tables."""
    with st.container(horizontal=True, key="take_along"):
        st.download_button(
            "Report",
            partial(report, experiment),
            f"experiment-{experiment}.html",
            "text/html",
            on_click="ignore",
            key="report",
            help="One file that opens offline in any browser: verdict, charts, tables, config, and "
            "some pictures of the test data.",
        )
        st.download_button(
            "Bundle",
            partial(bundle, experiment),
            f"experiment-{experiment}.zip",
            "application/zip",
            on_click="ignore",
            key="bundle",
            help="One file that another lab opens: results, config and adapters, no pictures.",
        )
        offer_tables([run.id for run in reads.runs_of(experiment)], f"experiment-{experiment}")


def offer_tables(runs: Sequence[int], name: str) -> None:
    """Offer all that is stored of some runs, a file for each table, as a zip."""
    for kind, label in _TABLES.items():
        st.download_button(
            label,
            partial(tables.zipped, runs, kind),
            f"{name}-{kind}.zip",
            "application/zip",
            on_click="ignore",
            key=f"tables_{kind}",
            help="A table each of runs with their configs, rounds, clients, evaluations, answers.",
        )


def show_sweep_report(sweep: int) -> None:
    """Offer a sweep's report."""
    st.download_button(
        "Report",
        partial(sweep_report, sweep),
        f"sweep-{sweep}.html",
        "text/html",
        on_click="ignore",
        key="sweep_report",
        help="One file that opens offline in any browser: charts, tables, config.",
    )


def show_upload() -> None:
    """Ask for a bundle, and go to its experiment on Live."""
    with st.popover("Open a bundle"):
        file = st.file_uploader(
            "An experiment that another lab has bundled",
            type="zip",
            max_upload_size=_MOST_MEGABYTES,
            key="open_bundle",
        )
        if file is None:
            return
        try:
            experiment = open_bundle(file)
        except BadBundle as mistake:
            st.error(plain(str(mistake), 300))
            return
    st.switch_page(LIVE, query_params={"experiment": str(experiment)})
