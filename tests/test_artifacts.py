import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from attune import artifacts
from attune.problems import InputError

COLUMNS = {"session": "str", "start_ms": "int64", "share": "float64"}


def test_a_table_survives_writing_and_reading(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"session": ["no", "NA", "ä,b"], "start_ms": [0, -5, 2**53 - 1], "share": [0.1, 1e-300, float("nan")]}
    )
    artifacts.write_table(tmp_path / "t.csv", table)
    read = artifacts.read_table(tmp_path / "t.csv", COLUMNS)
    pd.testing.assert_frame_equal(read, table.astype({"session": object}))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("session,start_ms\nfp01,0\n", ["header", "share"]),
        ("session,start_ms,share\nfp01,x,1\n", ["start_ms, line 2", "'x'", "a whole number"]),
        ("session,start_ms,share\nfp01,1,1\nfp01,1.5,1\n", ["start_ms, line 3", "'1.5'", "a whole number"]),
        ("session,start_ms,share\nfp01,,1\n", ["start_ms, line 2", "''"]),
        ("session,start_ms,share\nfp01,1,inf\n", ["share, line 2", "'inf'", "a number"]),
        ("session,start_ms,share\nfp01,1,1,1,1\n", ["t.csv", "a CSV table"]),
        ("", ["t.csv", "a CSV table"]),
    ],
)
def test_a_bad_table_is_refused_with_its_place(tmp_path: Path, text: str, parts: list[str]) -> None:
    file = tmp_path / "t.csv"
    file.write_text(text)
    with pytest.raises(InputError) as error:
        artifacts.read_table(file, COLUMNS)
    assert all(part in str(error.value) for part in [str(file), *parts]), str(error.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    for read in (artifacts.read_json, lambda path: artifacts.read_table(path, COLUMNS)):
        with pytest.raises(InputError, match="no such file"):
            read(tmp_path / "absent")


def test_bad_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(InputError, match=r"x\.json"):
        artifacts.read_json(tmp_path / "x.json")


def test_a_failed_block_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    artifacts.write_text(file, "old")
    with pytest.raises(KeyError), artifacts.replacing(file) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with artifacts.replacing_folder(folder) as temporary:
        (temporary / "one").write_text("1")
    with artifacts.replacing_folder(folder) as temporary:
        (temporary / "two").write_text("2")
    assert [path.name for path in folder.iterdir()] == ["two"]


def test_what_a_killed_run_left_is_overwritten(tmp_path: Path) -> None:
    artifacts.partial(tmp_path / "out").mkdir()
    (artifacts.partial(tmp_path / "out") / "stale").write_text("x")
    with artifacts.replacing_folder(tmp_path / "out") as temporary:
        (temporary / "new").write_text("1")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["new"]


def test_writing_never_touches_the_file_behind_a_link(tmp_path: Path) -> None:
    """An output may be a read-only link into DVC's cache."""
    cached = tmp_path / "cached"
    cached.write_text("version 1")
    cached.chmod(stat.S_IRUSR)
    (tmp_path / "hard").hardlink_to(cached)
    (tmp_path / "soft").symlink_to(cached)
    for name in ("hard", "soft"):
        artifacts.write_text(tmp_path / name, "version 2")
        assert (tmp_path / name).read_text() == "version 2"
        assert not (tmp_path / name).is_symlink()
    assert cached.read_text() == "version 1"


def test_json_has_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        artifacts.write_json(tmp_path / "x.json", {"a": float("nan")})
    assert not list(tmp_path.iterdir())


def test_what_killed_processes_left_of_a_shared_file_goes(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    host = socket.gethostname()
    for pid in (gone.pid, os.getppid()):
        (tmp_path / f".a.npy.{host}-{pid}.partial").write_text("half")
    other = tmp_path / f".b.npy.{host}-{gone.pid}.partial"
    other.write_text("half")
    with artifacts.replacing(tmp_path / "a.npy", shared=True) as temporary:
        temporary.write_text("whole")
    living = tmp_path / f".a.npy.{host}-{os.getppid()}.partial"
    assert sorted(tmp_path.iterdir()) == sorted([living, other, tmp_path / "a.npy"])
