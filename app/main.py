"""The entry of the lab: ``streamlit run app/main.py``, from any folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import streamlit as st

from db.engine import DatabaseTooNew
from engine.paths import ASSETS, BadEnvironment, keep_quiet

st.set_page_config(page_title="FedVLM Lab", page_icon=str(ASSETS / "logo.png"), layout="wide")
try:
    keep_quiet()  # before flwr is imported
    from engine.config import ConfigError
    from engine.results import example

    example.install()
except (BadEnvironment, DatabaseTooNew) as mistake:
    st.error(str(mistake))
    st.stop()

from app import chart_files, heap, stage, zoom

stage.apply()
chart_files.add_buttons()
PAGES = [
    st.Page("../pages/start.py", title="Start", default=True),
    st.Page("../pages/setup.py", title="Set up", url_path="setup"),
    st.Page("../pages/live.py", title="Live", url_path="live"),
    st.Page("../pages/clients.py", title="Clients", url_path="clients"),
    st.Page("../pages/ask.py", title="Ask", url_path="ask"),
    st.Page("../pages/runs.py", title="Runs", url_path="runs"),
    st.Page("../pages/sweep.py", title="Sweep", url_path="sweep"),
]
page = st.navigation(PAGES, position="top")
zoom.keep(f"{page.title} {st.query_params.to_dict()}")
try:
    page.run()
except (BadEnvironment, ConfigError) as mistake:  # of a run whose plugin is not named any more
    st.error(str(mistake))
finally:
    heap.settle(page.title)
