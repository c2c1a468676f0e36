"""Painted maps on disk: whole at every moment, nothing lost, nothing outside of their folder."""

import datetime
import json
import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from attune.attention import folders, painting
from attune.attention.painting import ConflictError, Painting, Stroke, save
from attune.problems import InputError

SHAPE = (3, 12, 16)
SNIPPET = "fp01-eggs-attending-0012500"
FORK = multiprocessing.get_context("fork")


def one(number: int = 0, **others: Any) -> Painting:
    """A painting whose labels, seconds and strokes all tell its number."""
    strokes = tuple(
        Stroke(frame=k % 3, radius=2.0, strength=0.5, points=((1.0 + k % 14, 5.0 + k % 5),)) for k in range(number + 1)
    )
    given: dict[str, Any] = {"annotator": "ew", "painting": SNIPPET, "snippet": SNIPPET, "strokes": strokes}
    return Painting(**{**given, "labels": {"attending": number % 2}, "seconds": (number, 0.5, 0), **others})


def check_whole(folder: Path) -> Painting:
    """All files of a folder, read without this project's reader, tell of one version."""
    info = json.loads((folder / "info.json").read_text("utf-8"))
    document = json.loads((folder / "strokes.json").read_text("utf-8"))
    with np.load(folder / "map.npz") as file:
        version, painted = int(file["version"]), file["map"]
    assert info["version"] == document["version"] == version
    assert len(document["strokes"]) == info["seconds"][0] + 1
    np.testing.assert_array_equal(painted, painting.rebuild(folder))
    assert (folder / "versions" / f"{version:04d}.json").is_file()
    return painting.load(folder)


def test_what_is_saved_is_read_again(tmp_path: Path) -> None:
    now = datetime.datetime(2023, 5, 1, 12, tzinfo=datetime.UTC)
    saved = save(tmp_path, one(4, labels={"attending": 1, "participating": None}), SHAPE, now=now)
    folder = tmp_path / "ew" / SNIPPET
    assert painting.load(folder) == saved == check_whole(folder)
    assert (saved.version, saved.created, saved.saved) == (1, now, now)
    painted = painting.read_map(folder)
    assert painted.dtype == np.float32 and painted.shape == SHAPE
    np.testing.assert_allclose(painted, painting.rasterise(saved.strokes, SHAPE), atol=1 / 2048)
    assert painting.rebuild(folder, 2.0).sum() > 2 * painted.sum()
    later = save(tmp_path, one(5), SHAPE, now=now + datetime.timedelta(hours=1))
    assert (later.version, later.created) == (2, now)
    assert painting.list_paintings(tmp_path) == [("ew", SNIPPET, folder)]


def test_the_same_painting_gives_the_same_bytes(tmp_path: Path) -> None:
    now = datetime.datetime(2023, 5, 1, 12, tzinfo=datetime.UTC)
    for root in (tmp_path / "a", tmp_path / "b"):
        save(root, one(4), SHAPE, now=now)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) == 5  # the lock too
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)


def test_the_latest_ten_versions_are_kept(tmp_path: Path) -> None:
    for number in range(13):
        save(tmp_path, one(number), SHAPE)
    folder = tmp_path / "ew" / SNIPPET
    assert sorted(path.name for path in (folder / "versions").iterdir()) == [f"{n:04d}.json" for n in range(4, 14)]
    kept, shape = painting.load_version(folder, 5)
    assert (kept.version, kept.strokes, shape) == (5, one(4).strokes, SHAPE)
    with pytest.raises(InputError):
        painting.load_version(folder, 3)


def test_nobody_overwrites_what_they_have_not_seen(tmp_path: Path) -> None:
    save(tmp_path, one(), SHAPE, expected_version=0)
    for expected in (0, 2):
        with pytest.raises(ConflictError) as caught:
            save(tmp_path, one(1), SHAPE, expected_version=expected)
        assert caught.value.current == 1
    assert save(tmp_path, one(1), SHAPE, expected_version=1).version == 2


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "/etc",
        "a\\b",
        ".hidden",
        "a\n",
        "a\0",
        " a",
        "a ",
        "~",
        "a" * 161,
        "ä" * 81,
        "-rf",
        "*",
    ],
)
def test_names_that_are_no_plain_file_name_are_refused(tmp_path: Path, name: str) -> None:
    for fields in ({"annotator": name}, {"painting": name, "snippet": name}):
        with pytest.raises(ValidationError):
            one(**fields)
        hostile = Painting.model_construct(**{**dict(one()), **fields})  # past the check
        with pytest.raises(InputError):
            save(tmp_path / "root", hostile, SHAPE)
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize(
    "fields",
    [
        {"painting": SNIPPET + "_other"},
        {"labels": {"attending": 2}},
        {"labels": {"attending": True}},
        {"labels": {"../x": 1}},
        {"seconds": (float("nan"),)},
        {"seconds": (-1.0,)},
        {"machine": 1},
    ],
)
def test_what_is_no_painting_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        one(**fields)


def test_what_does_not_fit_the_clip_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    for wrong in (one(seconds=(1.0, 2.0)), one(strokes=(Stroke(frame=3, radius=2.0, points=((1.0, 1.0),)),))):
        with pytest.raises(InputError):
            save(tmp_path, wrong, SHAPE)
    assert not list(tmp_path.rglob("*"))


def _save_twice(root: Path, number: int) -> None:
    save(root, one(number), SHAPE)
    save(root, one(number, annotator=f"p{number}"), SHAPE)


def test_twenty_processes_and_twenty_threads_lose_nothing(tmp_path: Path) -> None:
    processes = [FORK.Process(target=_save_twice, args=(tmp_path, number)) for number in range(20)]
    for process in processes:
        process.start()
    with ThreadPoolExecutor(20) as pool:
        versions = list(pool.map(lambda number: save(tmp_path, one(number), SHAPE).version, range(20, 40)))
    for process in processes:
        process.join()
    assert all(process.exitcode == 0 for process in processes)
    folder = tmp_path / "ew" / SNIPPET
    assert check_whole(folder).version == 40
    assert len(set(versions)) == 20
    kept = [painting.load_version(folder, version)[0] for version in range(31, 41)]
    assert len({len(item.strokes) for item in kept}) == 10
    assert {item.annotator for item in painting.list_paintings(tmp_path)} == {"ew", *(f"p{n}" for n in range(20))}
    assert all(check_whole(item.folder).version == 1 for item in painting.list_paintings(tmp_path)[1:])


def test_savers_who_look_first_add_up(tmp_path: Path) -> None:
    save(tmp_path, one(strokes=()), SHAPE)
    folder = tmp_path / "ew" / SNIPPET

    def add(number: int) -> None:
        mine = Stroke(frame=0, radius=2.0, points=((float(number), 1.0),))
        while True:
            there = painting.load(folder)
            grown = there.model_copy(update={"strokes": (*there.strokes, mine)})
            try:
                save(tmp_path, grown, SHAPE, expected_version=there.version)
                return
            except ConflictError:
                time.sleep(random.random() / 100)

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(add, range(20)))
    done = painting.load(folder)
    assert done.version == 21
    assert sorted(stroke.points[0][0] for stroke in done.strokes if isinstance(stroke, Stroke)) == list(range(20))


@pytest.mark.parametrize("exchange", [True, False])
def test_a_reader_never_sees_two_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool) -> None:
    if not exchange:
        monkeypatch.setattr(folders, "_exchange", lambda new, old: False)
    save(tmp_path, one(), SHAPE)
    folder, over = tmp_path / "ew" / SNIPPET, threading.Event()

    def write() -> None:
        for number in range(1, 20):
            save(tmp_path, one(number), SHAPE)
        over.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not over.is_set():
        there = painting.load(folder)
        assert len(there.strokes) == there.version == there.seconds[0] + 1
        assert painting.read_map(folder).any()
        assert len(painting.list_paintings(tmp_path)) == 1
        seen.add(there.version)
        time.sleep(0.001)
    writer.join()
    assert len(seen) > 3


def _dying(function: Callable[..., Any], at: int) -> Callable[..., Any]:
    """The function, that kills its process before its call number ``at // 2``, or right after if ``at`` is odd."""
    calls = 0

    def dying(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        if calls == at // 2 and at % 2 == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*args, **kwargs)
        if calls == at // 2:
            os.kill(os.getpid(), signal.SIGKILL)
        calls += 1
        return result

    return dying


def _save_and_die(root: Path, place: str, at: int, exchange: bool) -> None:
    if not exchange:
        folders._exchange = lambda new, old: False
    if place == "rename":
        Path.rename = _dying(Path.rename, at)  # type: ignore[method-assign]
    elif place == "exchange":
        folders._exchange = _dying(folders._exchange, at)
    else:
        os.fsync = _dying(os.fsync, at)  # type: ignore[assignment]
    save(root, one(7), SHAPE)


@pytest.mark.parametrize(
    ("place", "at", "exchange"),
    [
        *(("fsync", at, exchange) for at in (0, 3, 6, 9, 12, 13) for exchange in (True, False)),
        *(("rename", at, False) for at in range(4)),
        *(("exchange", at, True) for at in range(2)),
    ],
)
def test_death_anywhere_leaves_the_old_or_the_new(tmp_path: Path, place: str, at: int, exchange: bool) -> None:
    save(tmp_path, one(2), SHAPE)
    process = FORK.Process(target=_save_and_die, args=(tmp_path, place, at, exchange))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert [item.painting for item in painting.list_paintings(tmp_path)] == [SNIPPET]
    folder = tmp_path / "ew" / SNIPPET
    there = check_whole(folder)
    assert (there.version, len(there.strokes)) in {(1, 3), (2, 8)}
    assert save(tmp_path, one(3), SHAPE, expected_version=there.version).version == there.version + 1
    check_whole(folder)
    assert sorted(path.name for path in folder.parent.iterdir()) == [f".{SNIPPET}.lock.partial", SNIPPET]


def _save_for_ever(root: Path) -> None:
    for number in range(1_000_000):
        save(root, one(number % 50), SHAPE)


def test_killed_while_saving_again_and_again(tmp_path: Path) -> None:
    folder = tmp_path / "ew" / SNIPPET
    save(tmp_path, one(), SHAPE)
    before = 1
    for round_ in range(8):
        process = FORK.Process(target=_save_for_ever, args=(tmp_path,))
        process.start()
        while painting.read_info(folder).version < before + 2:
            time.sleep(0.001)
        time.sleep(0.003 * round_)
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        before = check_whole(folder).version


@pytest.mark.parametrize("name", ["info.json", "strokes.json", "map.npz"])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"[1]", b"\xff\xfe"])
def test_damage_is_told(tmp_path: Path, name: str, content: bytes | None) -> None:
    save(tmp_path, one(), SHAPE)
    file = tmp_path / "ew" / SNIPPET / name
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=name):
        painting.read_map(file.parent) if name == "map.npz" else painting.load(file.parent)


def test_nothing_there_is_no_painting(tmp_path: Path) -> None:
    assert painting.list_paintings(tmp_path / "none") == []
    (tmp_path / "ew" / "empty").mkdir(parents=True)
    assert painting.list_paintings(tmp_path) == []
