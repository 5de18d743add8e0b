"""Many arrays as one, for the way: Flower's engines carry every array by calls of its own.

An adapter has dozens of them; a SuperLink, a SuperNode and its client then make hundreds of calls
for a message. The numbers, and how many bytes they take, stay the same.
"""

from __future__ import annotations

import json

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

_NAME = "packed"


def pack(content: RecordDict) -> RecordDict:
    """Return a message's content with each of its array records as a single array."""
    if not content.array_records:
        return content
    layouts: dict[str, str] = {}
    packed: dict[str, ArrayRecord] = {}
    for name, record in content.array_records.items():
        arrays = {key: array.numpy() for key, array in record.items()}
        layout = [(key, value.dtype.str, value.shape) for key, value in arrays.items()]
        layouts[name] = json.dumps(layout)
        pieces = [
            np.ascontiguousarray(value).reshape(-1).view(np.uint8) for value in arrays.values()
        ]
        whole = np.concatenate(pieces) if pieces else np.zeros(0, np.uint8)
        packed[name] = ArrayRecord({_NAME: Array(whole)})
    return RecordDict({**content, **packed, _NAME: ConfigRecord(dict(layouts))})


def unpack(content: RecordDict) -> RecordDict:
    """Return what ``pack`` was given."""
    layouts = content.config_records.get(_NAME)
    if layouts is None:
        return content
    records = {name: record for name, record in content.items() if name != _NAME}
    for name, layout in layouts.items():
        whole, start, arrays = content.array_records[name][_NAME].numpy(), 0, {}
        for key, dtype, shape in json.loads(str(layout)):
            size = int(np.prod(shape)) * np.dtype(dtype).itemsize
            value = whole[start : start + size].view(dtype).reshape(shape)
            arrays[key], start = Array(np.ascontiguousarray(value)), start + size
        records[name] = ArrayRecord(arrays)
    return RecordDict(records)
