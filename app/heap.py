"""What is imported, put out of reach of the garbage collector.

Streamlit collects after every run of a page, a fragment's once a second too, and would go through
all that was ever imported: 0.1 s of a core each time.
"""

from __future__ import annotations

import gc

_settled: set[str] = set()  # pages whose imports are done


def settle(page: str) -> None:
    """Freeze what there is after a page's first run; later runs leave nothing that stays."""
    if page not in _settled:
        _settled.add(page)
        gc.collect()
        gc.freeze()
