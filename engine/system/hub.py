"""All that can stand between the lab and the Hugging Face hub, for data sets and models alike."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit
from urllib.request import getproxies


def refuse_without_network() -> None:
    """Raise ConnectionError at once, where the hub's own client would try for half a minute."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise ConnectionError("HF_HUB_OFFLINE is set")
    if not getproxies():  # a proxy looks names up itself
        try:
            socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, None)
        except OSError as error:
            raise ConnectionError(str(error)) from None


def is_gated(error: BaseException) -> bool:
    """Tell whether an error, or what it came from, says that terms must be accepted first."""
    from huggingface_hub.errors import GatedRepoError

    return any(isinstance(cause, GatedRepoError) for cause in chain(error))


def is_unreachable(error: BaseException) -> bool:
    """Tell whether the hub did not answer at all, or must not be asked."""
    import httpx
    from huggingface_hub.errors import OfflineModeIsEnabled

    kinds = ConnectionError | OfflineModeIsEnabled | httpx.TransportError
    return any(isinstance(cause, kinds) for cause in chain(error))


def status(error: BaseException) -> int:
    """Return the HTTP status that an error of the hub carries; 0 without one, or for not found."""
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    if not isinstance(error, HfHubHTTPError) or isinstance(error, RepositoryNotFoundError):
        return 0
    return error.response.status_code


def chain(error: BaseException | None) -> list[BaseException]:
    """Return an error and what it was raised from, in turn."""
    causes: list[BaseException] = []
    while error is not None and error not in causes:
        causes.append(error)
        error = error.__cause__
    return causes
