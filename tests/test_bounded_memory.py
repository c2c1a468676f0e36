"""Memory does not grow with the corpus: what four times the sessions add, in bytes per session (of Python and NumPy).

A session has 40 rows of filled spans, with which a table that is read whole takes more than 5,000 bytes. What is left
to grow are names, folds, counts and the like.
"""

import itertools
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from attune import artifacts
from attune.annotation import chance, compact, counts, extraction, filling, folds, reliability, spans
from attune.annotation.protocol import Protocol
from attune.annotation.reliability import ReliabilityConfig
from attune.attention import snippets
from attune.attention.candidates import Coding
from attune.attention.snippets import SnippetConfig
from attune.learning import baking
from attune.video.clips import ClipConfig
from tests.annotation.eaf_builder import coded

PROTOCOL = Protocol(
    first_date="2022-01-01",
    last_date="2022-12-31",
    sessions="s[0-9]+",
    annotators=["ew", "kb", "mt"],
    tasks=["eggs"],
    variables={"gaze": {"values": ["up"]}, "hand": {"values": ["open"]}},
)
RELIABILITY = ReliabilityConfig(
    sample_ms=200, tolerances_ms=(0,), event_overlap=0.6, bootstrap=100, confidence=0.95, seed=0
)
CLIPS = ClipConfig(duration_s=2.0, per_session=1)
ROWS = 400  # read at a time: ten sessions
TINY, FEW, MANY = 12, 60, 240  # few fill what has a fixed size, such as the buffer of a file
SPAN_MS = 900


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Folders with the tables of few and of many sessions."""
    return {number: record(tmp_path_factory.mktemp(f"sessions{number}"), number) for number in (TINY, FEW, MANY)}


def name_of(session: int) -> str:
    return f"s{session:0100}"


def record(folder: Path, sessions: int) -> Path:
    """ELAN files and the tables that the stages make of them."""
    (folder / "eaf").mkdir()
    for number, place in itertools.product(range(sessions), range(2)):
        person = PROTOCOL.annotators[(number + place) % 3]
        tiers = [("task", [(0, 10 * SPAN_MS, "eggs")])]
        for name, value in (("gaze", "up"), ("hand", "open")):
            tiers.append((name, [(2 * k * SPAN_MS + 50 * place, (2 * k + 1) * SPAN_MS, value) for k in range(5)]))
        (folder / "eaf" / f"{name_of(number)}_{person}_20220301.eaf").write_text(coded(tiers), encoding="utf-8")
    extraction.extract(folder / "eaf", PROTOCOL, {}, folder / "original.csv", folder / "tabs")
    filled = filling.fill(spans.read(folder / "original.csv", spans.ORIGINAL), PROTOCOL, "original.csv")
    names = sorted(set(filled.tasks["session"]))
    artifacts.write_table(folder / "tasks.csv", filled.tasks)
    artifacts.write_table(folder / "filled.csv", filled.spans)
    artifacts.write_table(folder / "stratified.csv", folds.assign(filled.spans, [names[fold::5] for fold in range(5)]))
    return folder


def parts(path: Path, columns: dict[str, str]) -> Iterator[pd.DataFrame]:
    return spans.read_parts(path, columns)


def extract(folder: Path) -> None:
    extraction.extract(folder / "eaf", PROTOCOL, {}, folder / "out.csv", folder / "out")


def fill(folder: Path) -> None:
    deque(filling.fill_parts(parts(folder / "original.csv", spans.ORIGINAL), PROTOCOL, "original.csv"), maxlen=0)


def score_chance(folder: Path) -> None:
    chance.score_chance(parts(folder / "stratified.csv", spans.STRATIFIED))


def make_folds(folder: Path) -> None:
    config = folds.FoldConfig(num_folds=5, tries=5)
    times = folds.tally(parts(folder / "filled.csv", spans.FILLED))
    split = folds.stratify(times, set(times["session"]), config, "filled.csv")
    pixels = folds.PixelValues(count=1, mean=(0, 0, 0), std=(1, 1, 1))
    folds.statistics(split, dict.fromkeys(range(5), pixels), config)


def measure_reliability(folder: Path) -> None:
    tables = parts(folder / "tasks.csv", spans.TASKS), parts(folder / "filled.csv", spans.FILLED)
    reliability.measure(*tables, PROTOCOL, RELIABILITY)


def choose_snippets(folder: Path) -> None:
    coding = Coding(PROTOCOL.annotators, PROTOCOL.tasks, list(PROTOCOL.variables))
    config = SnippetConfig(folds="all", own=1, shared=0)
    snippets.choose(parts(folder / "stratified.csv", spans.STRATIFIED), coding, config, CLIPS)


def read_compact(folder: Path) -> None:
    """As fine-tuning and rating begin; of most rows nothing is kept."""
    compact.read(folder / "stratified.csv", spans.STRATIFIED, lambda part: part[part["start_ms"] == 0])


def label_baked(folder: Path) -> None:
    clips = pd.DataFrame({"session": [name_of(0), name_of(1)], "task": "eggs", "index": 0, "start_ms": 0, "epoch": 0})
    read = partial(parts, folder / "stratified.csv", spans.STRATIFIED)
    baking.label({"test": baking.Samples(clips, augmented=False)}, read, CLIPS)


@pytest.mark.parametrize(
    ("work", "allowed"),
    [
        (extract, 1500),
        (fill, 1200),
        (score_chance, 300),
        (make_folds, 700),
        (measure_reliability, 1500),
        (choose_snippets, 1500),
        (read_compact, 700),
        (label_baked, 500),
    ],
)
def test_sessions_add_few_bytes(
    work: Callable[[Path], None], allowed: int, worlds: dict[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counts, "BLOCK", 16)
    monkeypatch.setattr(spans, "read_parts", partial(spans.read_parts, rows=ROWS))
    work(worlds[TINY])  # what is loaded and cached by the first run is no session's
    few, many = (peak_of(partial(work, worlds[number])) for number in (FEW, MANY))
    grown = (many - few) / (MANY - FEW)
    print(work.__name__, round(grown))
    assert grown < allowed


def peak_of(work: Callable[[], None]) -> int:
    """The most memory that a piece of work has had at a time."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_whole_table_would_be_seen(worlds: dict[int, Path]) -> None:
    few, many = (
        peak_of(partial(spans.read, worlds[number] / "stratified.csv", spans.STRATIFIED)) for number in (FEW, MANY)
    )
    assert (many - few) / (MANY - FEW) > 5_000
