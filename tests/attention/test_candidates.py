"""The choice of snippets from the best candidates equals a plain one from all of them, kept as a list of tuples."""

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attune.annotation import spans
from attune.attention import candidates, snippets
from attune.attention.candidates import Candidate, Coding, Pools
from attune.attention.snippets import SnippetConfig
from attune.video import clips, draws
from attune.video.clips import ClipConfig

CODING = Coding(["ew", "kb", "mt"], ["eggs"], ["attending", "participating"])
CLIPS = ClipConfig(duration_s=1.0)


def plain_rounds(found: list[Candidate], number: int, taken: list[Candidate], duration_ms: int) -> list[Candidate]:
    """The rounds as the module's text says them: from all candidates in their order."""
    chosen: list[Candidate] = []

    def of(cell: tuple[str, str], label: int) -> list[Candidate]:
        return [one for one in found if ((one.task, one.variable), one.label) == (cell, label)]

    def free(one: Candidate, others: list[Candidate]) -> bool:
        return all(one.session != each.session or abs(one.start_ms - each.start_ms) >= duration_ms for each in others)

    spent = set()
    scarce = sorted(CODING.cells, key=lambda cell: min(len(of(cell, 0)), len(of(cell, 1))))
    for _, cell in itertools.product(range(number), scarce):
        pairs = (
            [positive, negative]
            for positive in of(cell, 1)
            if free(positive, [*taken, *chosen])
            for negative in of(cell, 0)
            if free(negative, [*taken, *chosen, positive])
        )
        pair = next(pairs, []) if cell not in spent else []
        chosen += pair
        spent |= set() if pair else {cell}
    return chosen


def plain_candidates(table: pd.DataFrame, config: SnippetConfig) -> list[Candidate]:
    """All clips on which all who coded the task agree, best first."""
    found = []
    for (session, task), rows in table.groupby(["session", "task"]):
        people = sorted(set(rows["annotator"]))
        starts = range(0, int(rows["end_ms"].max()), candidates.GRID_MS)
        grid = pd.DataFrame({"session": session, "task": task, "index": 0, "start_ms": list(starts)})
        for v, variable in enumerate(CODING.variables):
            labels = clips.label(grid, rows, list(CODING.variables), people, CLIPS)[:, v]
            for start_ms, given_labels in zip(starts, labels.tolist(), strict=True):
                if len(people) >= config.min_raters and set(given_labels) in ({0}, {1}):
                    name = f"{session}-{task}-{variable}-{start_ms:07d}"
                    rank = int(draws.combine(draws.name_key("snippet", name), config.seed))
                    late = start_ms % CLIPS.duration_ms != 0
                    owner = str(session), str(task), variable
                    found.append(Candidate((late, rank), name, *owner, start_ms, given_labels[0]))
    return sorted(found)


def plain_choice(table: pd.DataFrame, config: SnippetConfig) -> set[tuple[Any, ...]]:
    if config.folds == "test":
        table = table[table["fold"] == table["fold"].max()]
    found = plain_candidates(table, config)
    coders = {session: set(rows["annotator"]) for session, rows in table.groupby("session")}
    for_all = sorted(found, key=lambda one: len(set(CODING.annotators) - coders[one.session]))
    shared = plain_rounds(for_all, config.shared, [], CLIPS.duration_ms)
    rows = set()
    for annotator in CODING.annotators:
        alone = [one for one in found if annotator not in coders[one.session]]
        own = plain_rounds(alone, config.own, shared, CLIPS.duration_ms)
        again = [one.snippet for one in [*own, *shared][: config.again]]
        for kind, chosen in (("own", own), ("shared", shared)):
            rows |= {(one.snippet, annotator, kind, one.label, int(one.snippet in again)) for one in chosen}
    return rows


def corpus(seed: int, sessions: int, seconds: int, engaged: float) -> pd.DataFrame:
    """Spans of a second or so; annotators mostly agree, and each session lacks one of them or none."""
    rng = np.random.default_rng(seed)
    rows: list[tuple[object, ...]] = []
    for number, variable in itertools.product(range(sessions), CODING.variables):
        borders = np.cumsum(rng.integers(400, 1800, seconds))
        states = rng.random(seconds) < engaged
        for person in np.delete(CODING.annotators, slice(number % 4, number % 4 + 1)):
            seen = states ^ (rng.random(seconds) < 0.05)
            for k in range(seconds - 1):
                owner = (f"s{number}", person, "eggs", variable, number % 2)
                rows.append((*owner, int(seen[k]), borders[k], borders[k + 1]))
    return pd.DataFrame(rows, columns=list(spans.STRATIFIED))


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    sessions=st.integers(1, 6),
    seconds=st.integers(5, 90),
    engaged=st.sampled_from([0.02, 0.1, 0.5, 0.9]),
    config=st.builds(
        SnippetConfig, folds=st.sampled_from(["test", "all"]), own=st.integers(0, 3), shared=st.integers(0, 3)
    ),
)
def test_the_choice_is_that_from_all_candidates(
    seed: int, sessions: int, seconds: int, engaged: float, config: SnippetConfig
) -> None:
    table = corpus(seed, sessions, seconds, engaged)
    parts = [rows for _, rows in table.groupby("session")]
    chosen = snippets.choose(parts, CODING, config, CLIPS)
    columns = ["snippet", "annotator", "kind", "label", "again"]
    assert set(chosen.table[columns].itertuples(index=False, name=None)) == plain_choice(table, config)
    whole = snippets.choose([table], CODING, config, CLIPS)
    pd.testing.assert_frame_equal(chosen.table, whole.table)
    pd.testing.assert_frame_equal(chosen.report, whole.report)
    assert chosen.problems == whole.problems


def sessions_of(seed: int, sessions: int, starts: int, positive: float) -> list[dict[Any, list[Candidate]]]:
    """Candidates as close to each other as the grid allows, so that those that are taken hide most others."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(sessions):
        there: dict[Any, list[Candidate]] = {cell: [] for cell in CODING.cells}
        for (task, variable), place in itertools.product(CODING.cells, range(starts)):
            rank = (False, abs(place - starts // 2) if seed % 2 else int(rng.integers(10**6)))
            owner = (f"{variable}{number}{place:04}", f"s{number}", task, variable)
            one = Candidate(rank, *owner, place * candidates.GRID_MS, int(rng.random() < positive))
            there[(task, variable)].append(one)
        found.append(there)
    return found


def rounds_agree(found: list[dict[Any, list[Candidate]]], number: int, duration_ms: int) -> bool:
    size = candidates.enough(2 * number * len(CODING.cells), duration_ms)
    pools = Pools(CODING.cells, size)
    for place, there in enumerate(found):
        pools.add(there, late=place % 2)
    listed = [(place % 2, one) for place, there in enumerate(found) for cell in CODING.cells for one in there[cell]]
    everything = [one for _, one in sorted(listed)]
    expected = plain_rounds(everything, number, [], duration_ms)
    return snippets._rounds(pools, number, [], duration_ms) == expected


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    sessions=st.integers(1, 4),
    starts=st.integers(1, 150),
    positive=st.sampled_from([0.01, 0.05, 0.3, 0.5, 0.97]),
    number=st.integers(1, 3),
    duration_ms=st.sampled_from([300, 500, 501, 1000, 2500]),
)
def test_the_best_candidates_give_the_pairs_of_all(
    seed: int, sessions: int, starts: int, positive: float, number: int, duration_ms: int
) -> None:
    assert rounds_agree(sessions_of(seed, sessions, starts, positive), number, duration_ms)


def test_fewer_candidates_would_not_do(monkeypatch: pytest.MonkeyPatch) -> None:
    found = sessions_of(1, 1, 150, 0.5)
    assert rounds_agree(found, 3, 2500)
    monkeypatch.setattr(candidates, "enough", lambda taken, duration_ms: taken)
    assert not rounds_agree(found, 3, 2500)


def test_pools_keep_the_best_and_count_all() -> None:
    pools = Pools(CODING.cells, 5)
    for there in sessions_of(2, 3, 100, 0.5):
        pools.add(there)
    everything = [one for there in sessions_of(2, 3, 100, 0.5) for one in there[CODING.cells[0]]]
    best = sorted(one for one in everything if one.label == 1)[:5]
    assert pools.best(CODING.cells[0], 1) == best
    assert pools.counts[CODING.cells[0]] == [3, *np.bincount([one.label for one in everything])]
    assert max(len(kept) for both in pools._best.values() for kept in both) <= 10 + 100
