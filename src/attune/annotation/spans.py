"""Spans: the tables that hold them and the algebra that fills tasks without gap or overlap.

A span is half-open, ``[start_ms, end_ms)``, in integer milliseconds.
"""

from pathlib import Path

import pandas as pd

from attune import artifacts

ORIGINAL = {
    "session": "str",
    "annotator": "str",
    "variable": "str",
    "value": "str",
    "start_ms": "int64",
    "end_ms": "int64",
}
TASKS = {"session": "str", "annotator": "str", "task": "str", "start_ms": "int64", "end_ms": "int64"}
FILLED = {
    "session": "str",
    "annotator": "str",
    "task": "str",
    "variable": "str",
    "value": "str",
    "start_ms": "int64",
    "end_ms": "int64",
}
STRATIFIED = {
    "session": "str",
    "annotator": "str",
    "task": "str",
    "variable": "str",
    "fold": "int64",
    "engaged": "int64",
    "start_ms": "int64",
    "end_ms": "int64",
}


def read(path: Path, columns: dict[str, str]) -> pd.DataFrame:
    """Read a span table written by an earlier stage and hold it against its columns, one of the constants above.

    Raises:
        InputError: the file is missing or breaks the contract.
    """
    return artifacts.read_table(path, columns)
