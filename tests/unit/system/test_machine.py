"""What the process asks of the machine."""

import mmap
import platform
import subprocess
import sys

import pytest

from engine.paths import ROOT

# Faults of the second pass over 64 MiB that the first has freed.
_SCRIPT = """
import resource, sys
from engine.system.machine import keep_freed_memory

def take():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [bytearray(b"x") * 2**23 for _ in range(8)]
    del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if sys.argv[1] == "kept":
    keep_freed_memory()
take()
sys.stdout.write(str(take()))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told so")
def test_freed_memory_is_taken_again_without_a_fault_for_every_page() -> None:
    def faults(kept: str) -> int:
        command = [sys.executable, "-c", _SCRIPT, kept]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return int(done.stdout)

    pages = 8 * 2**23 // mmap.PAGESIZE
    assert faults("kept") < pages / 10 < faults("given back")
