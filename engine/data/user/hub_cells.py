"""CSV files of the hub, read as text: "None" and "NA" are answers, and 007 is no number.

The ``datasets`` library reads them with pandas, which takes such cells for nothing, and has no
option for it that all of its readers heed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

_NOTHING = ["", "NA", "N/A", "NaN", "nan", "null", "None"]  # in a column of numbers
_lock = threading.RLock()  # the library's function is replaced for the whole process


@contextmanager
def cells_as_text() -> Iterator[None]:
    """Have pandas read every cell as its text, but for columns that a data set calls numbers."""
    import pandas
    from pandas.api.types import is_numeric_dtype

    with _lock:
        read = pandas.read_csv

        def read_as_text(*files: Any, dtype: Any = None, **options: Any) -> Any:
            numbers = dtype.items() if isinstance(dtype, Mapping) else ()
            nothing = {column: _NOTHING for column, kind in numbers if is_numeric_dtype(kind)}
            options |= {"keep_default_na": False, "na_values": nothing or None}
            return read(*files, dtype=str if dtype is None else dtype, **options)

        pandas.read_csv = read_as_text
        try:
            yield
        finally:
            pandas.read_csv = read
