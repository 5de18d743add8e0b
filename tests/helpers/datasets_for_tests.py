"""Small data sets on disk, whole or broken."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(number: int = 0) -> bytes:
    """A small PNG, another one for every number."""
    return encoded(Image.new("RGB", (4, 4), (number % 256, number // 256, 7)))


def noise(kind: str, size: int = 64) -> bytes:
    values = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return encoded(Image.fromarray(values), kind)


def write(folder: Path, files: dict[str, bytes | str]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def jsonl(*rows: dict) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def row(number: int, **more) -> dict:
    return {"file_name": f"{number}.png", "question": "what?", "answer": f"a{number}", **more}


def plain(folder: Path, rows: int = 3, **more) -> Path:
    """``rows`` rows, each with its own picture."""
    files: dict = {f"{n}.png": picture(n) for n in range(rows)}
    files["metadata.jsonl"] = jsonl(*(row(n, **more) for n in range(rows)))
    return write(folder, files)
