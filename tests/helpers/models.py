"""An experiment's model, resolved and loaded."""

from engine.config import ExperimentConfig
from engine.vlm import loading
from engine.vlm.model import Vlm
from engine.vlm.resolved import resolve_model


def loaded(config: ExperimentConfig) -> Vlm:
    """The model of a config, with its adapter attached."""
    return loading.load(config, resolve_model(config))
