"""The diagram of a federation: what travels to the server, and what stays with each client.

A client's adapter is a disc of two halves, A and B. A half is blue where it travels and is
averaged, in the colour of its way where it stays at home, and grey where nobody trains it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.adapters.adapter import A, B
from engine.results.look import STYLES, style_of
from engine.strategies import STRATEGIES

SITES = 4  # that are drawn at most
_LETTERS = {A: "A", B: "B"}
_LINES = {
    "local": "nothing travels",
    "centralized": "all pictures travel",
    "zero-shot": "nobody trains",
}


@dataclass(frozen=True)
class Labels:
    """What is written between the arrows (``up``, ``down``) and below the clients."""

    up: str = ""
    down: str = ""
    clients: Sequence[str] = ()


def travelling(strategy: str) -> str:
    """Return the letters of the factors that clients send, such as "A and B"; "" for none."""
    rule = STRATEGIES[strategy]
    if rule.server_trains:  # it has the data itself
        return ""
    return " and ".join(
        letter for factor, letter in _LETTERS.items() if factor in rule.shared_factors
    )


def told(strategy: str) -> str:
    """Say in a sentence what the diagram shows, for who cannot see it."""
    letters, rule = travelling(strategy), STRATEGIES[strategy]
    if not letters:
        return f"{rule.title}: {_LINES.get(strategy, 'nothing travels')}."
    kept = [letter for factor, letter in _LETTERS.items() if factor in rule.personal_factors]
    stays = f" {' and '.join(kept)} stays with each client." if kept else ""
    if rule.two_adapters:
        stays = " A second adapter stays with each client."
    elif rule().sends_what_it_keeps:
        stays = " Each client keeps its own as well."
    return f"{rule.title}: clients send {letters}, the server averages.{stays}"


def diagram(strategy: str, ink: str, labels: Labels = Labels()) -> str:
    """Draw as SVG what a strategy's clients send and keep, lines and letters in ``ink``."""
    letters = travelling(strategy)
    clients = labels.clients or [""] * SITES
    shown = clients[:SITES]
    left = 150 - 38 * (len(shown) - 1)
    sites = "".join(_site(strategy, left + 76 * k, name) for k, name in enumerate(shown))
    more = f'<text x="294" y="150" class="end">+ {len(clients) - SITES}</text>'
    beside = "".join(
        f'<text x="150" y="{y}">{text}</text>'
        for y, text in ((68, labels.up), (86, labels.down))
        if letters and text
    )
    server = f"averages {letters}" if letters else _LINES.get(strategy, "nothing travels")
    height = 182 if any(clients) else 160
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 {height}" width="900"
  color="{ink}">
  <style>
    .box {{ fill: none; stroke: currentColor; stroke-opacity: .35; stroke-width: 1.5 }}
    text {{ font-family: sans-serif; fill: currentColor; font-size: 12px; text-anchor: middle }}
    .own {{ fill: #fff; font-weight: 700; font-size: 13px }}
    .end {{ text-anchor: end }}
  </style>
  <defs><marker id="tip" viewBox="0 0 8 8" refX="4" refY="4" markerWidth="6" markerHeight="6"
    orient="auto-start-reverse">
    <path d="M0 0 L8 4 L0 8 z" fill="{STYLES["global"].colour}"/></marker></defs>
  <rect x="70" y="8" width="160" height="34" rx="8" class="box"
    {"" if letters else 'stroke-dasharray="3 4"'}/>
  <text x="150" y="30">{"server: " * bool(letters)}{server}</text>
  {sites}{more if len(clients) > SITES else ""}{beside}
</svg>
"""


def _site(strategy: str, x: int, name: str) -> str:
    rule = STRATEGIES[strategy]
    arrow = f"""
  <line x1="{150 + (x - 150) * 0.72}" y1="48" x2="{x}" y2="100" stroke-dasharray="5 4"
    stroke="{STYLES["global"].colour}" stroke-width="2" marker-start="url(#tip)"
    marker-end="url(#tip)"/>"""
    second = f"""
  <circle cx="{x + 20}" cy="146" r="12" fill="{STYLES["personal"].colour}"/>"""
    return f"""{arrow if travelling(strategy) else ""}
  <path d="M{x} 108 a24 24 0 0 0 0 48 z" fill="{_colour(strategy, A)}"/>
  <path d="M{x} 108 a24 24 0 0 1 0 48 z" fill="{_colour(strategy, B)}"/>
  <line x1="{x}" y1="108" x2="{x}" y2="156" stroke="#fff" stroke-width="1.5"/>
  <text x="{x - 11}" y="137" class="own">A</text><text x="{x + 11}" y="137" class="own">B</text>
  {second if rule.two_adapters else ""}
  <text x="{x}" y="176">{name}</text>"""


def _colour(strategy: str, factor: str) -> str:
    rule = STRATEGIES[strategy]
    if factor in rule.shared_factors:
        return STYLES["global"].colour
    if factor in rule.personal_factors:
        return STYLES[style_of(strategy)].colour
    return STYLES["base"].colour
