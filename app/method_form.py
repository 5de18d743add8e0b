"""The form's fields that only some strategies have."""

from __future__ import annotations

from app.form import Form
from engine.strategies import STRATEGIES


def strategy_options(form: Form) -> None:
    """Ask for the options of the chosen strategies that have some."""
    for key in form["strategies"]:
        for name in getattr(STRATEGIES[key].options_model, "model_fields", ()):
            form.ask(f"{key}.{name}")


def client_ranks(form: Form) -> None:
    """Ask for the clients' own ranks, where a chosen strategy can use them."""
    if any(STRATEGIES[key].mixed_ranks for key in form["strategies"]):
        titles = (rule.title for rule in STRATEGIES.values() if rule.mixed_ranks)
        form.text(
            "lora.client_ranks",
            placeholder="for example 8, 4, 2; empty: all the same",
            help="Of " + ", ".join(title.partition(" (")[0] for title in titles) + ".",
        )
