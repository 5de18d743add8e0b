"""Tokenizer and image processor of a checkpoint, without its video processor.

Video processors need torchvision, which the lab does without: only pictures are asked about. With
the same classes everywhere, pictures also become the same pixels everywhere.
"""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig, AutoImageProcessor, AutoProcessor, AutoTokenizer
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
from transformers.processing_utils import ProcessorMixin

_PARTS: dict[str, Any] = {"image_processor": AutoImageProcessor, "tokenizer": AutoTokenizer}


class _PicturesOnly(ProcessorMixin):
    """Put before a processor class: what is neither text nor picture stays None."""

    @classmethod
    def _get_arguments_from_pretrained(
        cls, pretrained_model_name_or_path: str, processor_dict: Any = None, **kwargs: Any
    ) -> list[object]:
        place = pretrained_model_name_or_path
        return [
            _PARTS[name].from_pretrained(place, **kwargs) if name in _PARTS else None
            for name in cls.get_attributes()
        ]

    def check_argument_for_proper_class(self, name: str, argument: object) -> object:
        return argument and super().check_argument_for_proper_class(name, argument)


def load_processor(source: str) -> ProcessorMixin:
    """Load the processor of a checkpoint (folder or hub id). Raises what transformers raises."""
    config = AutoConfig.from_pretrained(source, trust_remote_code=False)
    known: Any = PROCESSOR_MAPPING.get(type(config), None)
    if known is None or "video_processor" not in known.get_attributes():
        return AutoProcessor.from_pretrained(source, trust_remote_code=False)
    both: Any = type(known.__name__, (_PicturesOnly, known), {})
    return both.from_pretrained(source)
