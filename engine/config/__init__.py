"""What an experiment is: one pydantic model for form, command line, YAML file and database.

tables.py has its sub-tables, experiment.py the whole, keys.py what can be said of a single key,
sweep.py what stands for several experiments at once.
What strategies and metrics there are, and strategies' options, comes from their registries; so
plugins are loaded here, before any model is built.
"""

from engine import plugins
from engine.config.errors import ConfigError

plugins.load()

from engine.config.experiment import (  # noqa: E402 - after what plugins add is known
    MOST_TESTED,
    ExperimentConfig,
    Point,
    StrategyKey,
)
from engine.config.files import read_config, read_yaml  # noqa: E402
from engine.config.keys import (  # noqa: E402
    FieldInfo,
    field,
    flat,
    known_keys,
    set_value,
    swept_keys,
)
from engine.config.sweep import Axis  # noqa: E402
from engine.config.tables import (  # noqa: E402
    ALL_LINEAR,
    BUNDLED,
    DIGITS,
    EASY_VQA,
    SITE,
    SITES,
    WORLD,
    Data,
    Heterogeneity,
    HeterogeneityKind,
    Lora,
    Metric,
    Privacy,
)

__all__ = [
    "ALL_LINEAR",
    "Axis",
    "BUNDLED",
    "MOST_TESTED",
    "DIGITS",
    "EASY_VQA",
    "SITE",
    "SITES",
    "WORLD",
    "ConfigError",
    "Data",
    "ExperimentConfig",
    "FieldInfo",
    "Heterogeneity",
    "HeterogeneityKind",
    "Lora",
    "Metric",
    "Point",
    "Privacy",
    "StrategyKey",
    "field",
    "flat",
    "known_keys",
    "read_config",
    "read_yaml",
    "set_value",
    "swept_keys",
]
