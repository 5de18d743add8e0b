"use strict";
// Draws the page's figures in the colours of its theme, and on paper in those of paper.
const PAPER_WIDTH = 670; // pixels between the margins of a sheet
const SIZE = 13; // of letters
const CONFIG = { responsive: true, displaylogo: false, toImageButtonOptions: { scale: 2 } };

function coloured(layout) {
  const root = getComputedStyle(document.documentElement);
  const [ink, line] = ["--ink", "--line"].map((name) => root.getPropertyValue(name).trim());
  const axis = (own) => ({
    gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true, ...own,
    title: { ...own?.title, font: { size: SIZE }, standoff: 12 },
  });
  return {
    ...layout,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: ink, family: "system-ui, sans-serif", size: SIZE },
    xaxis: axis(layout.xaxis),
    yaxis: axis(layout.yaxis),
  };
}

function draw(width) {
  for (const chart of document.querySelectorAll(".chart")) {
    const figure = JSON.parse(document.getElementById(`${chart.id}-figure`).textContent);
    const layout = { ...coloured(figure.layout), width, autosize: width === undefined };
    Plotly.react(chart, figure.data, layout, CONFIG);
  }
}

draw();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw());
addEventListener("beforeprint", () => {
  document.documentElement.classList.add("on-paper");
  draw(PAPER_WIDTH);
});
addEventListener("afterprint", () => {
  document.documentElement.classList.remove("on-paper");
  draw();
});
