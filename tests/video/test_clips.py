"""Where clips lie, their labels and their pixels, held against counting every millisecond."""

import itertools
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from attune.annotation import spans
from attune.problems import InputError
from attune.video import clips, draws

SHORT = clips.ClipConfig(duration_s=0.05, per_session=4)
PEOPLE = ["ew", "kb", "mt"]
END_MS = 400


@st.composite
def cut_time(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Spans that do not overlap; some touch."""
    borders = draw(st.lists(st.integers(0, END_MS), min_size=2, max_size=8, unique=True).map(sorted))
    pieces = list(itertools.pairwise(borders))
    return [piece for piece in pieces if draw(st.booleans())] or pieces[:1]


@st.composite
def task_tables(draw: st.DrawFn) -> pd.DataFrame:
    rows = [
        (session, annotator, task, start, end)
        for session in draw(st.lists(st.sampled_from(["s1", "s2", "s3"]), min_size=1, unique=True))
        for annotator in draw(st.lists(st.sampled_from(PEOPLE), min_size=1, unique=True))
        for task in draw(st.lists(st.sampled_from(["people", "eggs"]), min_size=1, unique=True))
        for start, end in draw(cut_time())
    ]
    return pd.DataFrame(rows, columns=list(spans.TASKS))


@st.composite
def labelled_tables(draw: st.DrawFn) -> pd.DataFrame:
    rows = [
        (*owner, 0, draw(st.integers(0, 1)), start, end)
        for owner in [("s1", "ew", "people", "attending"), ("s1", "kb", "people", "attending")]
        for start, end in draw(cut_time())
    ]
    return pd.DataFrame(rows, columns=list(spans.STRATIFIED))


def _common(table: pd.DataFrame, session: str, task: str) -> np.ndarray:
    """For each millisecond, whether all who coded the task were there."""
    rows = table[(table["session"] == session) & (table["task"] == task)]
    common = np.ones(END_MS + 1, dtype=bool)
    for annotator in rows["annotator"].unique():
        there = np.zeros(END_MS + 1, dtype=bool)
        for row in rows[rows["annotator"] == annotator].itertuples():
            there[row.start_ms : row.end_ms] = True
        common &= there
    return common


def _permitted(common: np.ndarray) -> list[int]:
    return [start for start in range(END_MS) if common[start : start + 50].all() and start + 50 <= END_MS]


def tasks_of(*rows: tuple[str, str, str, int, int]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(spans.TASKS))


@given(task_tables(), st.integers(0, 2**40), st.integers(0, 5000))
@settings(max_examples=60, deadline=None)
def test_each_chunk_of_the_common_time_gives_one_clip_that_crosses_no_border(
    table: pd.DataFrame, seed: int, epoch: int
) -> None:
    drawn = clips.sample(table, SHORT, seed=seed, epoch=epoch)
    fixed = clips.evaluation_clips(table, SHORT)
    expected_owners = []
    for session, task in sorted(set(zip(table["session"], table["task"], strict=True))):
        permitted = _permitted(_common(table, session, task))
        if not permitted:
            continue
        expected_owners += [(session, task, index) for index in range(4)]
        for sampled in (drawn, fixed):
            mine = sampled[(sampled["session"] == session) & (sampled["task"] == task)]
            for index, start in zip(mine["index"], mine["start_ms"], strict=True):
                place = permitted.index(start)  # raises for a clip that is not within the common time
                assert place + 1 > index * len(permitted) / 4
                assert place < (index + 1) * len(permitted) / 4
    for sampled in (drawn, fixed):
        assert list(sampled[["session", "task", "index"]].itertuples(index=False, name=None)) == expected_owners


@given(task_tables(), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_order_of_rows_and_other_sessions_do_not_matter(table: pd.DataFrame, random: object) -> None:
    whole = clips.sample(table, SHORT, seed=7, epoch=3)
    shuffled = table.sample(frac=1, random_state=random.randrange(2**32))
    pd.testing.assert_frame_equal(clips.sample(shuffled, SHORT, seed=7, epoch=3), whole)
    for session, mine in whole.groupby("session"):
        alone = clips.sample(table[table["session"] == session], SHORT, seed=7, epoch=3)
        pd.testing.assert_frame_equal(alone, mine.reset_index(drop=True))
        np.testing.assert_array_equal(
            clips.keys(alone, seed=1, epoch=2), clips.keys(whole, seed=1, epoch=2)[mine.index.to_numpy()]
        )


def test_starts_are_uniform_within_their_chunks() -> None:
    table = tasks_of(("s1", "ew", "people", 1000, 1000 + 10_000 + 5000 - 1))  # 10,000 permitted starts
    config = clips.ClipConfig(per_session=5)
    starts = np.stack([clips.sample(table, config, seed=3, epoch=epoch)["start_ms"] for epoch in range(500)])
    within = (starts - 1000 - 2000 * np.arange(5)) / 2000
    assert within.min() >= 0
    assert within.max() < 1
    counts = np.apply_along_axis(lambda column: np.histogram(column, 10, (0, 1))[0], 0, within)
    chi_squared = ((counts - 50) ** 2 / 50).sum(axis=0)
    assert (chi_squared < 27.9).all()  # 0.1 % point of 9 degrees of freedom; the draws are fixed
    correlation = np.corrcoef(within.T) - np.eye(5)
    assert abs(correlation).max() < 0.15
    assert len(np.unique(starts, axis=0)) == 500


def test_seed_epoch_session_and_task_all_matter() -> None:
    table = tasks_of(
        ("s1", "ew", "people", 0, 60_000), ("s1", "ew", "eggs", 60_000, 120_000), ("s2", "ew", "people", 0, 60_000)
    )
    config = clips.ClipConfig()

    def offsets(seed: int, epoch: int) -> list[tuple[int, ...]]:
        drawn = clips.sample(table, config, seed=seed, epoch=epoch)
        return [tuple(rows["start_ms"] % 60_000) for _, rows in drawn.groupby(["session", "task"])]

    everything = [*offsets(0, 0), *offsets(0, 1), *offsets(1, 0)]
    assert len(set(everything)) == len(everything) == 9
    assert offsets(0, 0) == offsets(0, 0)


def test_draws_stay_as_they_are() -> None:
    """Other numbers would silently change every result."""
    table = tasks_of(("fp01", "ew", "people", 2000, 42_000), ("fp01", "kb", "people", 3000, 41_000))
    config = clips.ClipConfig(per_session=4)
    assert list(clips.sample(table, config, seed=0, epoch=0)["start_ms"]) == [5929, 12945, 23420, 29905]
    assert list(clips.evaluation_clips(table, config)["start_ms"]) == [7125, 15375, 23625, 31875]


def test_a_hole_in_the_task_is_never_covered() -> None:
    table = tasks_of(("s1", "ew", "eggs", 0, 6000), ("s1", "ew", "eggs", 7000, 13_000), ("s1", "ew", "eggs", 20, 21))
    drawn = pd.concat(clips.sample(table.iloc[:2], clips.ClipConfig(), seed=0, epoch=epoch) for epoch in range(50))[
        "start_ms"
    ]
    assert drawn.between(0, 1000).any()
    assert drawn.between(7000, 8000).any()
    assert (drawn.between(0, 1000) | drawn.between(7000, 8000)).all()


def test_touching_spans_are_one_piece() -> None:
    table = tasks_of(("s1", "ew", "eggs", 0, 3000), ("s1", "ew", "eggs", 3000, 5000), ("s1", "kb", "eggs", 0, 5000))
    assert list(clips.evaluation_clips(table, clips.ClipConfig(per_session=1))["start_ms"]) == [0]


def test_short_tasks_give_no_clip_and_a_warning() -> None:
    table = tasks_of(
        ("s1", "ew", "people", 0, 4999), ("s1", "ew", "eggs", 5000, 10_000), ("s1", "ew", "drums", 10_000, 30_000)
    )
    assert set(clips.sample(table, clips.ClipConfig(), seed=0, epoch=0)["task"]) == {"eggs", "drums"}
    (problem,) = clips.check(table, clips.ClipConfig())
    assert problem.severity == "warning"
    assert "session s1, task people: expected time for at least one clip" in str(problem)


def test_no_clip_at_all_is_an_empty_table() -> None:
    table = tasks_of(("s1", "ew", "people", 0, 10))
    empty = clips.sample(table, SHORT, seed=0, epoch=0)
    assert list(empty.columns) == list(clips.CLIPS)
    assert empty.empty
    assert clips.label(empty, _labelled([]), ["attending"], PEOPLE, SHORT).shape == (0, 1, 3)
    assert clips.keys(empty, seed=0, epoch=0).shape == (0,)


def test_an_annotator_who_did_not_code_the_task_does_not_shorten_it() -> None:
    table = tasks_of(
        ("s1", "ew", "people", 0, 9000), ("s1", "kb", "people", 1000, 8000), ("s1", "mt", "eggs", 10_000, 20_000)
    )
    starts = clips.evaluation_clips(table, clips.ClipConfig(per_session=2))
    assert list(starts["start_ms"][starts["task"] == "people"]) == [1500, 2500]
    missing = {problem.where: problem.found for problem in clips.check(table, clips.ClipConfig())}
    assert missing == {
        "session s1, task people": "nothing by mt",
        "session s1, task eggs": "nothing by ew, kb",
    }


def _labelled(rows: list[tuple[str, str, str, str, int, int, int, int]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(spans.STRATIFIED))


@given(labelled_tables(), st.lists(st.integers(0, END_MS), min_size=1, max_size=20))
@settings(max_examples=80, deadline=None)
def test_labels_are_the_majority_of_milliseconds(table: pd.DataFrame, starts: list[int]) -> None:
    at = pd.DataFrame({"session": "s1", "task": "people", "index": range(len(starts)), "start_ms": starts})
    labels = clips.label(at, table, ["attending", "participating"], PEOPLE, SHORT)
    assert labels.dtype == np.int8
    for a, annotator in enumerate(PEOPLE):
        covered, engaged = np.zeros((2, END_MS + 100), dtype=int)
        for row in table[table["annotator"] == annotator].itertuples():
            covered[row.start_ms : row.end_ms] = 1
            engaged[row.start_ms : row.end_ms] = row.engaged
        expected = [int(engaged[s : s + 50].sum() > 25) if covered[s : s + 50].all() else clips.ABSENT for s in starts]
        assert labels[:, 0, a].tolist() == expected
    assert (labels[:, 1] == clips.ABSENT).all()


@pytest.mark.parametrize(("engaged_ms", "expected"), [(2500, 0), (2501, 1)])
def test_exactly_half_is_not_engaged(engaged_ms: int, expected: int) -> None:
    table = _labelled(
        [
            ("s1", "ew", "eggs", "attending", 0, 1, 0, engaged_ms),
            ("s1", "ew", "eggs", "attending", 0, 0, engaged_ms, 5000),
        ]
    )
    clip = pd.DataFrame([("s1", "eggs", 0, 0)], columns=list(clips.CLIPS))
    assert clips.label(clip, table, ["attending"], ["ew"], clips.ClipConfig()).item() == expected


def test_labels_belong_to_session_and_task() -> None:
    table = _labelled(
        [("s1", "ew", "eggs", "attending", 0, 1, 0, 5000), ("s2", "ew", "drums", "attending", 0, 1, 0, 5000)]
    )
    at = pd.DataFrame([("s1", "eggs", 0, 0), ("s1", "drums", 0, 0), ("s2", "eggs", 0, 0), ("s9", "eggs", 0, 0)])
    at.columns = list(clips.CLIPS)
    assert clips.label(at, table, ["attending"], ["ew"], clips.ClipConfig())[:, 0, 0].tolist() == [1, -1, -1, -1]


def test_length_in_frames() -> None:
    rate = Fraction(25, 8)
    assert clips.num_frames(clips.ClipConfig(), rate) == 15  # as in the published study
    assert clips.num_frames(clips.ClipConfig(duration_s=0.32), rate) == 1
    with pytest.raises(InputError, match=r"at least one frame's time, 0\.320 s"):
        clips.num_frames(clips.ClipConfig(duration_s=0.319), rate)


@pytest.mark.parametrize("value", [0, -1, 1.00001, 601])
def test_impossible_lengths_are_refused(value: float) -> None:
    with pytest.raises(ValidationError, match="duration_s"):
        clips.ClipConfig(duration_s=value)


def test_sampling_a_large_corpus_is_quick() -> None:
    rows = [
        (f"s{number:03}", annotator, task, 1000 + offset, 1000 + offset + 300_000)
        for number in range(200)
        for annotator in PEOPLE
        for task, offset in (("people", 0), ("eggs", 400_000), ("drums", 800_000))
    ]
    table = tasks_of(*rows)
    began = time.process_time()
    for epoch in range(5):
        assert len(clips.sample(table, clips.ClipConfig(), seed=0, epoch=epoch)) == 6000
    assert (time.process_time() - began) / 5 < 0.3


def test_draws_depend_on_their_key_alone() -> None:
    keys = draws.combine(np.arange(1000), 5)
    numbers = draws.uniform(keys, 20)
    assert numbers.shape == (1000, 20)
    assert ((numbers >= 0) & (numbers < 1)).all()
    np.testing.assert_array_equal(draws.uniform(keys[17:18], 3)[0], numbers[17, :3])
    assert len(np.unique(numbers)) == numbers.size
    assert abs(numbers.mean() - 0.5) < 0.01
    assert abs(np.corrcoef(numbers[:, 0], numbers[:, 1])[0, 1]) < 0.1
    assert draws.combine(1, 2) != draws.combine(2, 1)
    assert draws.name_key("ab", "c") != draws.name_key("a", "bc")


def test_first_output_of_the_published_generator() -> None:
    """SplitMix64 from seed 0: the first output of the reference implementation."""
    assert int(draws.combine(0)) == 0xE220A8397B1DCDAF


@pytest.fixture
def store(tmp_path: Path) -> np.ndarray:
    frames = np.random.default_rng(0).integers(0, 256, (50, 4, 6, 3), dtype=np.uint8)
    np.save(tmp_path / "s1.npy", frames)
    return frames


@pytest.mark.parametrize(("start_ms", "first"), [(0, 0), (319, 0), (320, 1), (5000, 15), (11_200, 35)])
def test_pixels_start_with_the_visible_frame(tmp_path: Path, store: np.ndarray, start_ms: int, first: int) -> None:
    reader = clips.ClipReader(tmp_path, Fraction(25, 8), 15)
    for _ in range(2):
        np.testing.assert_array_equal(reader.read("s1", start_ms), store[first : first + 15])


def test_a_video_that_ends_a_little_early_shows_its_last_frame_on(tmp_path: Path, store: np.ndarray) -> None:
    reader = clips.ClipReader(tmp_path, Fraction(25, 8), 15)
    late = reader.read("s1", 12_160)  # frame 38: three frames, 960 ms, are missing
    np.testing.assert_array_equal(late[:12], store[38:])
    np.testing.assert_array_equal(late[12:], store[[49, 49, 49]])
    for start_ms in (12_480, 16_000, 99_000):
        with pytest.raises(InputError, match=r"s1.npy: expected the clip from .* found 50 frames, 16.0 s"):
            reader.read("s1", start_ms)


def test_reading_holds_neither_memory_nor_files(tmp_path: Path, store: np.ndarray) -> None:
    for number in range(300):
        (tmp_path / f"t{number}.npy").symlink_to(tmp_path / "s1.npy")
    reader = clips.ClipReader(tmp_path, Fraction(25, 8), 15)
    handles = Path("/proc/self/fd")
    before = len(list(handles.iterdir())) if handles.exists() else 0
    for number in range(300):
        reader.read(f"t{number}", 0)
    if handles.exists():
        assert len(list(handles.iterdir())) <= before
        assert "t0.npy" not in Path("/proc/self/maps").read_text()


def test_bad_stores_are_named(tmp_path: Path, store: np.ndarray) -> None:
    reader = clips.ClipReader(tmp_path, Fraction(25, 8), 15)
    with pytest.raises(InputError, match=r"none.npy: expected a frame store, found no such file"):
        reader.read("none", 0)
    reader.read("s1", 0)
    with (tmp_path / "s1.npy").open("r+b") as file:
        file.truncate(500)
    with pytest.raises(InputError, match=r"s1.npy: expected a whole frame store"):
        reader.read("s1", 3200)


@pytest.mark.parametrize("seed", range(5))
def test_consecutive_clips_tile_the_common_time(seed: int) -> None:
    """Greedily, millisecond by millisecond: a clip starts as soon as all annotators cover a whole one."""
    rng = np.random.default_rng(seed)
    rows = []
    for session in ("a", "b"):
        for annotator in ("ann", "bob"):
            borders = np.sort(rng.choice(60, 6, replace=False))
            rows += [(session, annotator, "play", int(borders[i]), int(borders[i + 1])) for i in (0, 2, 4)]
            rows += [(session, annotator, "rest", 70, 70 + int(rng.integers(4, 30)))]
    table = pd.DataFrame(rows, columns=list(spans.TASKS))
    config = clips.ClipConfig(duration_s=0.004)
    found = clips.consecutive(table, config)
    expected = []
    for (session, task), group in table.groupby(["session", "task"]):
        covered = np.zeros((2, 110), dtype=bool)
        for row in group.itertuples():
            covered[("ann", "bob").index(str(row.annotator)), row.start_ms : row.end_ms] = True  # type: ignore[misc]
        time, index = 0, 0
        while time + 4 <= 110:
            if covered[:, time : time + 4].all():
                expected.append((session, task, index, time))
                time, index = time + 4, index + 1
            else:
                time += 1
    assert list(found.itertuples(index=False, name=None)) == expected
    assert list(found.columns) == list(clips.CLIPS)
