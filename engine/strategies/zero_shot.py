"""The base model as it is."""

from engine.strategies.base import LoraStrategy


class ZeroShot(LoraStrategy):
    """No training and no traffic: what the model knows before anyone adapts it."""

    key = "zero-shot"
    title = "Base model (zero-shot)"
    paper = ""
    idea = "Nobody trains. The starting point of all the others."
    trained = False
