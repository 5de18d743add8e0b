"""Stage mode, for a projector: large letters and fewer controls, by a link with ``?stage=1``.

It stays on while people go from page to page, until a link says ``?stage=0``.
"""

from __future__ import annotations

import plotly.graph_objects as go
import streamlit as st

HIDDEN = "backstage"  # containers whose key starts so are not shown on stage
# Streamlit's own are too faint to be read from the last row: 4.5 to 1 is asked for (WCAG 2.2, AA).
_SPACE = """
.stMainBlockContainer { padding-top: 4.5rem; padding-bottom: 3rem }
[data-testid="stCaptionContainer"] { opacity: .8 }
kbd { opacity: 1 !important }
"""
_DARK = """
[data-testid="stBaseButton-primary"] * { color: #161513 !important }
"""
_LARGE = f"""
html {{ font-size: max(20px, 1.25vw) !important }}
.stMainBlockContainer {{ padding-left: 2.5rem; padding-right: 2.5rem }}
[class*="st-key-{HIDDEN}"] {{ display: none }}
"""
_SCALE, _LETTERS = 1.35, 20  # of charts, whose letters are in pixels


def apply() -> None:
    """Read the link, and set the letters and the space around them."""
    wanted = st.query_params.get("stage", "")
    if wanted in ("0", "1"):
        st.session_state["stage"] = wanted == "1"
    if is_on():
        st.query_params["stage"] = "1"  # so that the address is a link to what is seen
    elif wanted:
        del st.query_params["stage"]
    dark = _DARK if st.context.theme.type == "dark" else ""
    st.html(f"<style>{_SPACE}{dark}{_LARGE if is_on() else ''}</style>")


def is_on() -> bool:
    """Tell whether pages are shown on a stage."""
    return bool(st.session_state.get("stage"))


def enlarge(figure: go.Figure) -> go.Figure:
    """Give a figure the letters of the stage, where that is on."""
    if is_on():
        letters = {"size": _LETTERS}
        figure.update_layout(
            font=letters, legend_font=letters, height=_SCALE * figure.layout.height
        )
        for axis in (figure.update_xaxes, figure.update_yaxes):
            axis(tickfont=letters, title_font=letters)
    return figure
