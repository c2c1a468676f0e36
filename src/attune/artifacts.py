"""Files that stages leave behind: JSON, tables, weights; written whole or not at all.

Every writer fills ``.<name>.partial`` beside the target and renames it at the end. The name is fixed, so that what a
killed run left is overwritten by the next one, and ``*.partial`` is ignored by git and DVC. Renaming (instead of
writing in place) also protects DVC's cache, because an output may be a link into it. An error of the disk (full, read
only, gone) names the file that was to be written.
"""

import errno
import glob
import json
import os
import re
import shutil
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil

from attune.problems import InputError, Problem


def partial(path: Path) -> Path:
    """The name under which a file or folder is built before it is renamed to ``path``."""
    return path.with_name(f".{path.name}.partial")


@contextmanager
def replacing(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """Yield a temporary path that becomes ``path`` if the block succeeds and vanishes if it fails.

    Args:
        path: the file or folder.
        shared: whether several processes, also of several machines, may write the same content at the same time; each
            has a temporary path of its own then.

    Raises:
        OSError: the disk is full or read only, or the folder is gone; it has a file name and an error number.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = partial(path)
    if shared:
        temporary = _own(path, os.getpid())
        _sweep(path)
    remove(temporary)
    try:
        yield temporary
        if temporary.is_file():
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        if temporary.is_dir() or path.is_dir():
            remove(path)
        temporary.replace(path)
    except OSError as error:
        raise _named(error, path) from error
    finally:
        remove(temporary)


def _own(path: Path, pid: int | str) -> Path:
    return path.with_name(f".{path.name}.{socket.gethostname()}-{pid}.partial")


def _sweep(path: Path) -> None:
    """Remove what processes of this machine that were killed have left of a shared file."""
    for left in path.parent.glob(_own(Path(glob.escape(path.name)), "*").name):
        pid = left.name.removesuffix(".partial").rpartition("-")[2]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            remove(left)


def _named(error: OSError, path: Path) -> OSError:
    """The error with what is left out where an open file or a whole folder cannot be written: its name, and why."""
    if error.filename is not None:
        return error
    if error.errno is not None:
        return OSError(error.errno, error.strerror, str(path))
    if number := re.search(r"\[Errno (\d+)\]", str(error)):  # shutil lists all files that it could not copy
        return OSError(int(number[1]), os.strerror(int(number[1])), str(path))
    if "requested and" in str(error):  # NumPy counts what it could not write, and does not ask why
        return OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} ({error})", str(path))
    return OSError(errno.EIO, str(error), str(path))


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """As :func:`replacing`, for a folder: yields an empty temporary folder.

    Raises:
        OSError: as for :func:`replacing`; also if the temporary folder was removed meanwhile and a writer made it anew,
            without what had been in it.
    """
    with replacing(path) as temporary:
        temporary.mkdir()
        made = os.open(temporary, os.O_RDONLY)  # as long as it is open, no new folder can be taken for it
        try:
            yield temporary
            if not os.path.samestat(os.fstat(made), temporary.stat()):
                raise FileNotFoundError(errno.ENOENT, "removed while it was written", str(path))
        finally:
            os.close(made)


def remove(path: Path) -> None:
    """Delete a file, a link or a whole folder if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write JSON that reads well in a diff: indented, keys in the given order, no NaN.

    Raises:
        ValueError: the value holds NaN or infinity, which JSON cannot express; write ``None`` where nothing is defined.
    """
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(_missing(path)) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(Problem(str(path), "", str(error), "JSON", "Run the stage that writes it again.")) from None


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV (UTF-8, comma, no index; an undefined number is an empty cell)."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8")


@contextmanager
def writing_table(path: Path, columns: Iterable[str]) -> Iterator[Callable[[pd.DataFrame], None]]:
    """As :func:`write_table`, for a table that comes in parts: yields a function that appends one."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        pd.DataFrame(columns=list(columns)).to_csv(file, index=False, lineterminator="\n")
        yield lambda part: part[list(columns)].to_csv(file, index=False, header=False, lineterminator="\n")


def read_table(path: Path, columns: dict[str, str]) -> pd.DataFrame:
    """Read a CSV table and hold it against its contract.

    Args:
        path: the file.
        columns: name and type of every column (``str`` or a numpy type), in order; the word ``no`` stays a word, and an
            empty cell is an undefined number in a column of floats.

    Raises:
        InputError: the file is missing, is no CSV, lacks a column or holds a value of another type.
    """
    parts = list(read_table_parts(path, columns, rows=None))
    return parts[0]


def read_table_parts(path: Path, columns: dict[str, str], rows: int | None) -> Iterator[pd.DataFrame]:
    """As :func:`read_table`, so many rows at a time (all if ``None``); the index goes on counting.

    Raises:
        InputError: as for :func:`read_table`, at the part that breaks the contract.
    """
    try:
        with pd.read_csv(
            path, dtype="string", keep_default_na=False, encoding="utf-8", iterator=True, chunksize=rows
        ) as reader:
            while True:
                try:
                    table = reader.get_chunk() if rows else reader.read()
                except StopIteration:
                    return
                yield _hold(path, table, columns)
                if not rows:
                    return
    except FileNotFoundError:
        raise InputError(_missing(path)) from None
    except (ValueError, UnicodeDecodeError) as error:  # pandas' own errors on bad CSV are ValueErrors
        raise InputError(Problem(str(path), "", str(error).strip(), "a CSV table", "Write the file again.")) from None


def _hold(path: Path, table: pd.DataFrame, columns: dict[str, str]) -> pd.DataFrame:
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes surplus cells for row names
        raise InputError(Problem(str(path), "", "rows longer than the header", "a CSV table", "Write the file again."))
    if absent := [name for name in columns if name not in table.columns]:
        there, wanted = ", ".join(table.columns), f"the columns {', '.join(columns)}"
        raise InputError(Problem(str(path), "header", there, wanted, f"Add the missing: {', '.join(absent)}."))
    return pd.DataFrame({name: _cast(path, table[name], kind) for name, kind in columns.items()})


def _cast(path: Path, column: pd.Series, kind: str) -> pd.Series:
    if kind == "str":
        return column.astype(object)
    numbers = pd.to_numeric(column.astype(object), errors="coerce")
    whole = kind.startswith("int")
    wrong = (numbers.isna() & (whole | (column != ""))) | np.isinf(numbers) | (whole & (numbers % 1 != 0))
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        place = f"column {column.name}, line {column.index[row] + 2}"
        expected = f"a {'whole ' if whole else ''}number"
        raise InputError(Problem(str(path), place, repr(str(column.iloc[row])), expected, "Correct the value."))
    return pd.Series(numbers.to_numpy(kind), index=column.index, name=column.name)


def _missing(path: Path) -> Problem:
    return Problem(str(path), "", "no such file", "a file", "Run `dvc repro`, or check the path.")
