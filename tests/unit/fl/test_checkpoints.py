"""Factors on disk, those of earlier versions too."""

import numpy as np
import pytest
import torch

from engine.fl import checkpoints


def test_factors_come_back_as_they_were(tmp_path):
    factors = {"x.lora_A": torch.randn(2, 5), "x.lora_B": torch.randn(4, 2)}
    path = checkpoints.server_path(tmp_path, 3)
    assert checkpoints.write(path, factors) == path.stat().st_size
    back = checkpoints.read_shared(tmp_path, 3)
    assert back.rank == 2 and torch.equal(back.b("x"), factors["x.lora_B"])
    assert checkpoints.read_shared(tmp_path, 0) == {}
    with pytest.raises(FileNotFoundError):
        checkpoints.read_shared(tmp_path, 4)


def test_the_dense_deltas_of_earlier_versions_are_read_as_narrow_ones(tmp_path):
    dense = torch.randn(30, 3) @ torch.randn(3, 20)
    factors = {"x.lora_B": torch.zeros(30, 2), "x.offset": dense, "y.offset": torch.zeros(4, 6)}
    checkpoints.write(checkpoints.server_path(tmp_path, 1), factors)
    back = checkpoints.read_shared(tmp_path, 1)
    b, a = back.delta("x")
    assert len(a) == b.shape[1] == 3
    np.testing.assert_allclose(b @ a, dense, atol=1e-5)
    assert not (back.delta("y")[0] @ back.delta("y")[1]).any()
    assert set(back) == {"x.lora_B", *(f"{n}.delta_{f}" for n in "xy" for f in "AB")}
