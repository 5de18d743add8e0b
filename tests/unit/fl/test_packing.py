"""Arrays travel as one and arrive as they were."""

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from engine.fl.flower.messages import payload_bytes
from engine.fl.flower.packing import pack, unpack

ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "empty": np.zeros((0, 4), np.float64),
    "half": np.array([1.5, np.nan], np.float16),
    "scalar": np.array(7, np.int64),
}


def test_arrays_arrive_as_they_were():
    arrays = ArrayRecord({name: Array(value) for name, value in ARRAYS.items()})
    content = RecordDict(
        {"arrays": arrays, "none": ArrayRecord(), "config": ConfigRecord({"x": 1})}
    )
    packed = pack(content)
    assert len(packed.array_records["arrays"]) == 1
    assert payload_bytes(packed.array_records["arrays"]) == payload_bytes(arrays)
    back = unpack(packed)
    assert list(back) == list(content) and back["config"] == {"x": 1}
    assert not back.array_records["none"]
    for name, value in ARRAYS.items():
        arrived = back.array_records["arrays"][name].numpy()
        assert arrived.dtype == value.dtype
        np.testing.assert_array_equal(arrived, value)


def test_what_has_no_arrays_stays_as_it_is():
    content = RecordDict({"config": ConfigRecord({"x": 1})})
    assert pack(content) is content and unpack(content) is content
