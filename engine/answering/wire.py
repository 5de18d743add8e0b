"""Requests to the answering process: JSON over HTTP on this machine, with a secret that it made."""

from __future__ import annotations

import base64
import binascii
import io
import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import psutil
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from engine.data.pictures import MAX_BYTES, BadPicture, read_picture
from engine.paths import home
from engine.system.files import write_json
from engine.system.processes import still_runs

MOST_BYTES = 2 * MAX_BYTES  # of a request: a picture grows by a third in base64
MOST_CLIENTS = 64  # that are asked at once

ClientNumber = Annotated[int, Field(ge=0, le=10**6)]


class Request(BaseModel):
    """A request about a run; ``asker`` is the process for whose sake this one stays."""

    model_config = ConfigDict(extra="forbid", strict=True)

    asker: int = Field(gt=0)
    run: int = Field(ge=0, le=2**31)


class Question(Request):
    """A question to models of some of a run's clients; ``image`` is a file's bytes in base64."""

    clients: list[ClientNumber] = Field(min_length=1, max_length=MOST_CLIENTS)
    image: str
    question: str = Field(max_length=10_000)

    def pixels(self) -> np.ndarray:
        """Return the picture (height, width, 3) uint8; raises BadPicture."""
        try:
            data = base64.b64decode(self.image, validate=True)
        except (binascii.Error, ValueError):
            raise BadPicture("image: the picture did not arrive whole") from None
        return read_picture(data)


class Analysis(Request):
    """An analysis of a finished run, to be started or looked after."""

    kind: str = Field(max_length=20)


@dataclass
class Progress:
    """How far an analysis is, from 0 to 1; ``error`` says in one sentence why it ended early."""

    share: float = 0.0
    error: str = ""
    ended: bool = False


def in_base64(image: np.ndarray | bytes) -> str:
    """Write a picture (height, width, 3) uint8, or a picture's file, as text."""
    if isinstance(image, bytes):
        return base64.b64encode(image).decode()
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=1)
    return base64.b64encode(buffer.getvalue()).decode()


@dataclass(frozen=True)
class Address:
    """The door of the process that answers: its port here, its secret, and which process it is."""

    port: int
    token: str
    pid: int
    started: float

    @classmethod
    def of_this_process(cls, port: int) -> Address:
        """Make the address of this process, with a new secret."""
        pid = os.getpid()
        return cls(port, secrets.token_urlsafe(32), pid, psutil.Process(pid).create_time())

    def publish(self) -> None:
        """Write the address where only this user can read it."""
        write_json(_path(), asdict(self))

    def withdraw(self) -> None:
        """Remove the address, unless another process has put its own in place."""
        if published() == self:
            _path().unlink(missing_ok=True)

    def is_alive(self) -> bool:
        """Tell whether the process still runs."""
        return still_runs(self.pid, self.started)


def published() -> Address | None:
    """Return the address that was published last, if there is a whole one."""
    try:
        return Address(**json.loads(_path().read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def living() -> Address | None:
    """Return the address of the process that answers, where one runs."""
    address = published()
    return address if address is not None and address.is_alive() else None


def _path() -> Path:
    return home() / "answering.json"
