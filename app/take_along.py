"""What of an experiment leaves the lab, in files that are made when asked for, and comes in."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app.look import plain
from app.widgets import LIVE
from engine.results.bundle.opening import open_bundle
from engine.results.bundle.rows import BadBundle
from engine.results.bundle.writing import bundle
from engine.results.report.page import report

_MOST_MEGABYTES = 500


def show_downloads(experiment: int) -> None:
    """Offer an experiment's report, and the experiment itself."""
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
