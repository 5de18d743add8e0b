"""Every chart as a file: app/widgets.py draws them so that each can be saved as PNG and as SVG.

Plotly's own button makes the one format that its options name, in the browser, without a network.
A second button beside it asks for the other.
"""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import streamlit as st

from app.look import paper

_LETTERS = "Arial, Helvetica, sans-serif"
_SCALE = 2  # of the screen's pixels: sharp in print
# In JavaScript: look now, and whenever the page has changed, once a frame; returns the observer.
WATCH = """
const watch = (look) => {
  let waits = false;
  const observer = new MutationObserver(() => {
    if (waits) return;
    waits = true;
    requestAnimationFrame(() => { waits = false; look(); });
  });
  observer.observe(document.body, { childList: true, subtree: true });
  look();
  return observer;
};
"""
# Plotly's context of a figure is its own affair; tests/e2e/test_runs.py sees if it changes.
_BUTTONS = (
    "<script>\n(() => {\nif (window.chartFiles) return;"
    + WATCH
    + """
  const title = "Download plot as an SVG";
  const add = () => document.querySelectorAll(".js-plotly-plot").forEach((plot) => {
    const png = plot.querySelector('.modebar-btn[data-title="Download plot as a PNG"]');
    if (!png || plot.querySelector(`[data-title="${title}"]`)) return;
    const svg = png.cloneNode(false);
    svg.dataset.title = title;
    svg.setAttribute("aria-label", title);
    svg.textContent = "SVG";
    svg.style.cssText += ";font:600 10px sans-serif;color:inherit;vertical-align:top";
    svg.addEventListener("click", () => {
      const options = plot._context.toImageButtonOptions;
      options.format = "svg";
      png.click();
      options.format = "png";
    });
    png.after(svg);
  });
  window.chartFiles = watch(add);
})();
</script>"""
)


def on_paper(figure: go.Figure) -> go.Figure:
    """Give a figure the page's colour, and letters that a saved one has too.

    The page's own letters are not in the file: others, which are wider, would be cut at its edge.
    """
    colour = paper()
    figure.update_layout(paper_bgcolor=colour, plot_bgcolor=colour, font_family=_LETTERS)
    return figure


def options(name: str) -> dict[str, Any]:
    """Return Plotly's options of a chart that is saved under a name."""
    image = {"format": "png", "filename": f"fedvlm-{name}", "scale": _SCALE}
    return {"toImageButtonOptions": image}


def add_buttons() -> None:
    """Add to every chart of the page the button that saves it as an SVG."""
    st.html(_BUTTONS, unsafe_allow_javascript=True)
