"""Failures between the lab and the hub, each in one sentence."""

from __future__ import annotations

import re

from engine.system.hub import is_gated, is_unreachable, status

_SERVER = (429, 500, 502, 503, 504)  # worth another try


def sentence(name: str, error: BaseException) -> str:
    """Return what a user needs to know when reading data set ``name`` failed with ``error``."""
    from datasets.exceptions import DataFilesNotFoundError
    from huggingface_hub.errors import HFValidationError

    text = " ".join(str(error).split())
    if is_gated(error):
        return (
            f"dataset: {name} is gated; accept its terms on its page on the hub "
            "and log in with 'hf auth login'"
        )
    if "scripts are no longer supported" in text:
        return f"dataset: {name} can only be read by running its own code, which the lab never does"
    if "Config name is missing" in text or ("BuilderConfig" in text and "not found" in text):
        parts = ", ".join(re.findall(r"'([^']+)'", text.partition("vailable")[2])) or "see its page"
        return f"dataset: {name} has several parts; name one as NAME/PART ({parts})"
    if isinstance(error, HFValidationError):
        return f"dataset: '{name}' is no data set of the hub; it is OWNER/NAME"
    if isinstance(error, DataFilesNotFoundError) or type(error).__name__ == "EmptyDatasetError":
        return f"dataset: {name} has no files that can be read as rows"
    if is_unreachable(error):
        return f"dataset: the hub cannot be reached to read {name}; is there a network?"
    if code := status(error):
        return f"dataset: the hub answered with error {code} to reading {name}; try again later"
    if isinstance(error, FileNotFoundError):
        return f"dataset: there is no data set {name} on the hub, or it is private"
    return f"dataset: {name} cannot be read ({text[:200] or type(error).__name__})"


def is_transient(error: BaseException) -> bool:
    """Say whether another try may help; not where the hub's own client tried for long."""
    import httpx

    return isinstance(error, httpx.TransportError) or status(error) in _SERVER
