"""What of an experiment leaves the lab: buttons that make a file when they are pressed."""

from __future__ import annotations

from functools import partial

import streamlit as st

from engine.results.report.page import report


def show_downloads(experiment: int) -> None:
    """Offer an experiment's report."""
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
