"""The diagram on the Start page: B travels, A stays."""

from engine.data.synthetic.cameras import CAMERAS


def _site(number: int, camera: str) -> str:
    x = 20 + number * 150
    return f"""
  <line x1="{x + 52}" y1="96" x2="{x + 52}" y2="170" stroke="#0072B2" stroke-width="2"
        stroke-dasharray="6 5" marker-start="url(#tip)" marker-end="url(#tip)"/>
  <text x="{x + 60}" y="138" class="shared">B</text>
  <rect x="{x}" y="176" width="104" height="120" rx="8" class="box"/>
  <text x="{x + 52}" y="198" class="name">client {number}</text>
  <circle cx="{x + 52}" cy="230" r="19" fill="#D55E00"/>
  <text x="{x + 52}" y="236" class="own">A{chr(0x2080 + number)}</text>
  <text x="{x + 52}" y="268" class="small">{camera} camera</text>
  <text x="{x + 52}" y="286" class="small">its own words</text>"""


ALT = "A server averages B from four clients; each client keeps its own A."


def diagram(ink: str) -> str:
    """Draw the diagram as SVG, lines and letters in the colour ``ink``."""
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 600 306" width="900"
  color="{ink}">
  <style>
    .box {{ fill: none; stroke: currentColor; stroke-opacity: .35; stroke-width: 1.5 }}
    text {{ font-family: sans-serif; fill: currentColor; font-size: 15px }}
    .name, .small, .own, .title {{ text-anchor: middle }}
    .small {{ font-size: 13px; fill-opacity: .75 }}
    .own {{ fill: #fff; font-weight: 600 }}
    .shared {{ fill: #0072B2; font-weight: 700 }}
    .name, .title {{ font-weight: 600 }}
  </style>
  <defs><marker id="tip" viewBox="0 0 8 8" refX="4" refY="4" markerWidth="6" markerHeight="6"
    orient="auto-start-reverse"><path d="M0 0 L8 4 L0 8 z" fill="#0072B2"/></marker></defs>
  <rect x="44" y="8" width="506" height="82" rx="8" class="box"/>
  <text x="297" y="40" class="title">server</text>
  <text x="297" y="66" class="small">averages B; sees no picture and no A</text>
  {"".join(_site(number, camera) for number, camera in enumerate(tuple(CAMERAS)[:4]))}
</svg>
"""
