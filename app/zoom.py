"""What somebody looks at in a chart stays when a round brings a new one: its zoom, lines put out.

Streamlit makes a chart's identity from its whole figure, so one with more points is another one,
drawn from its beginning. The page therefore tells here what was changed in the browser, and
app/widgets.py draws the next figure like that.
"""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import streamlit as st
from streamlit.components.v2 import component

from app.chart_files import WATCH

_VIEW, _LOOKS = "looked_at", "looks"  # in the session
# ``looks``: by the chart's key the ranges of axes and the names of lines that were put out.
_JS = """
let view, looks = {};
export default function({ data, setStateValue }) {
  if (data.view !== view) { view = data.view; looks = {}; }
  const known = new WeakSet();
  const tell = (plot, change) => {
    const name = plot.closest("[class*='st-key-']")?.className.match(/st-key-(\\S+)/)?.[1];
    if (!name) return;
    const ranges = { ...looks[name]?.ranges };
    for (const [key, value] of Object.entries(change)) {
      const [axis, what] = key.split(/\\.|\\[/);
      if (what === "autorange") delete ranges[axis];
      if (what === "range") ranges[axis] = [...plot.layout[axis].range];
    }
    const out = plot.data.filter(line => line.visible === "legendonly").map(line => line.name);
    looks = { ...looks, [name]: { ranges, out } };
    setStateValue("looks", looks);
  };
  const listen = () => document.querySelectorAll(".js-plotly-plot").forEach(plot => {
    if (known.has(plot) || !plot.on) return;
    known.add(plot);
    plot.on("plotly_relayout", change => tell(plot, change));
    plot.on("plotly_restyle", () => tell(plot, {}));
  });
  const observer = watch(listen);
  return () => observer.disconnect();
}
"""
_listener = component("looks", js=WATCH + _JS)


@st.fragment
def keep(view: str) -> None:
    """Keep how the charts of this view are looked at, until there is another one.

    A fragment: what is changed in the browser is noted, and no chart is drawn for it.
    """
    if st.session_state.get(_VIEW) != view:
        st.session_state[_VIEW], st.session_state[_LOOKS] = view, {}
    told = _listener(key="looks_listener", data={"view": view}, on_looks_change=lambda: None)
    if told.looks:
        st.session_state[_LOOKS] = told.looks


def apply(figure: go.Figure, key: str) -> go.Figure:
    """Draw a chart as it was looked at before."""
    look: dict[str, Any] = st.session_state.get(_LOOKS, {}).get(key, {})
    for axis, ends in look.get("ranges", {}).items():
        if axis in figure.layout:
            figure.layout[axis].update(range=ends, autorange=False)
    for name in look.get("out", ()):
        figure.update_traces(visible="legendonly", selector={"name": name})
    return figure
