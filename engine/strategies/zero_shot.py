"""The base model as it is."""

from engine.strategies.base import STRATEGIES, Strategy


@STRATEGIES.register("zero-shot")
class ZeroShot(Strategy):
    """No training and no traffic: what the model knows before anyone adapts it."""

    title = "Base model (zero-shot)"
    idea = "Nobody trains. The starting point of all the others."
    trained = False
