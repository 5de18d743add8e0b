"""Files of tensors are whole or absent, also when two processes write the same one."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from engine.system import tensor_files
from engine.system.tensor_files import read_tensors, write_tensors


def test_many_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "sets" / "x.safetensors"
    values = [{"x": torch.full((1000,), float(k))} for k in range(8)]
    with ThreadPoolExecutor(8) as pool:
        sizes = set(pool.map(lambda k: write_tensors(path, values[k % 8]), range(64)))
    assert sizes == {path.stat().st_size}
    assert len(read_tensors(path)["x"].unique()) == 1
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_write_that_fails_leaves_the_file_of_before(tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    write_tensors(path, {"x": torch.zeros(3)})

    def fail(_):
        raise OSError("no space left")

    monkeypatch.setattr(tensor_files.os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        write_tensors(path, {"x": torch.ones(3)})
    assert not read_tensors(path)["x"].any() and list(tmp_path.iterdir()) == [path]
