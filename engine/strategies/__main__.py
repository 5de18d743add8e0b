"""``python -m engine.strategies``: write README's table of strategies from the registry."""

from collections.abc import Iterable

from engine.adapters.adapter import A, B
from engine.paths import ROOT
from engine.strategies import STRATEGIES, Strategy

README = ROOT / "README.md"
_HEAD = "| strategy | idea | a client sends | it keeps | options | arXiv |"
_LETTERS = {A: "A", B: "B"}


def table() -> str:
    """Return the table as Markdown, in the order of the registry."""
    rows = [_HEAD, "|---" * _HEAD.count(" | ") + "|---|"]
    for key, rule in STRATEGIES.items():
        options = [f"`{key}.{name}`" for name in getattr(rule.options_model, "model_fields", ())]
        if rule.mixed_ranks:
            options.append("`lora.client_ranks`")
        paper = f"[{rule.paper}](https://arxiv.org/abs/{rule.paper})" if rule.paper else ""
        cells = (f"`{key}`", rule.idea, _sends(rule), _keeps(rule), ", ".join(options), paper)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows).replace("|  |", "| |") + "\n"


def with_table(text: str) -> str:
    """Return README's text with the table in place of the one that starts with the same head."""
    before, _, rest = text.partition(_HEAD)
    _, gap, after = rest.partition("\n\n")
    return before + table() + gap[1:] + after


def _sends(rule: type[Strategy]) -> str:
    if rule.server_trains:
        return "its data"
    turns = dict.fromkeys(_named(f for f in (A, B) if rule.sends(f, r)) for r in (1, 2))
    return ", then ".join(turns) + (" at its own rank" if rule.mixed_ranks else "")


def _keeps(rule: type[Strategy]) -> str:
    if rule.two_adapters:
        return "a second adapter"
    if rule.mixed_ranks:
        return "its rank"
    kept = _named(sorted(rule.personal_factors))
    return f"{kept}, as sent" if rule().sends_what_it_keeps else kept


def _named(factors: Iterable[str]) -> str:
    return " and ".join(_LETTERS[factor] for factor in factors) or "nothing"


if __name__ == "__main__":
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")
