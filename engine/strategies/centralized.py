"""All data in one place: what a federation gives up, and no federation at all."""

from engine.strategies.base import BOTH, STRATEGIES, Strategy


@STRATEGIES.register("centralized")
class Centralized(Strategy):
    """Rule: one adapter is trained on the data of all clients of a round. It breaks privacy.

    It takes as many samples as the clients would together: their steps, with their batches put
    together (engine/fl/pooled_training.py). Travels: A and B down, to be tested; up, nothing that
    the lab counts, for the data themselves have moved. It runs only where the server can read all
    data: the ``local`` runtime.
    """

    title = "Centralised (all data in one place)"
    idea = "One model on everybody's data, a reference only: it breaks what a federation is for."
    shared_factors = BOTH
    variants = ("global",)
    server_trains = True
