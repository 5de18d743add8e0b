"""How answers are judged: metrics by key, a file each, and the normal form that they compare.

A file in this folder is imported because it is here; it registers its metric itself.
"""

from importlib import import_module
from pkgutil import iter_modules

from engine.metrics.base import METRICS, Metric, References, metric_of
from engine.metrics.exact import is_right
from engine.metrics.normal_form import normalised

_FIRST = ("exact", "token_f1", "rouge_l", "vqa")  # in this order on pages; others follow by name
_files = (module.name for module in iter_modules(__path__) if module.name[0] != "_")
for _name in dict.fromkeys((*_FIRST, *_files)):
    import_module(f"{__name__}.{_name}")

__all__ = ["METRICS", "Metric", "References", "is_right", "metric_of", "normalised"]
