import itertools
import json
import math
import random
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from attune import artifacts
from attune.annotation import fold_search, folds, spans
from attune.annotation.fold_search import Contributions, Scorer
from attune.problems import InputError

TASKS, VARIABLES = ("people", "eggs"), ("attending", "participating")
Row = tuple[str, str, str, str, str, int, int]


def table(rows: list[Row]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(spans.FILLED))


def sessions(count: int, seed: int = 0, annotators: tuple[str, ...] = ("ew", "kb")) -> list[Row]:
    """Filled spans: in each cell of each session some time engaged, then some not."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for number, annotator, (place, task) in itertools.product(range(count), annotators, enumerate(TASKS)):
        start, end = 10_000 * place, 10_000 * place + int(rng.integers(2_000, 9_000))
        for variable in VARIABLES:
            border = int(rng.integers(start, end + 1))
            both = [("attending", start, border), ("no", border, end)]
            rows += [(f"s{number:02d}", annotator, task, variable, *span) for span in both if span[1] < span[2]]
    return rows


def config(**changes) -> folds.FoldConfig:
    return folds.FoldConfig(**{"num_folds": 3, "tries": 500, **changes})


def stratify(rows: list[Row], recorded=None, **changes) -> folds.Stratified:
    frame = table(rows)
    recorded = set(frame["session"]) if recorded is None else recorded
    return folds.stratify(folds.tally([frame]), recorded, config(**changes), "filled.csv")


def assigned(rows: list[Row], found: folds.Stratified) -> pd.DataFrame:
    return folds.assign(table(rows), found.folds)


def published_score(rows: list[Row], assignment: dict[str, int], settings: folds.FoldConfig) -> float:
    """The score as it is written in the documentation, with loops over rows and no arrays."""
    engaged, annotated = defaultdict(int), defaultdict(int)
    for session, _, task, variable, value, start, end in rows:
        for fold in (assignment[session], "all"):
            annotated[fold, task, variable] += end - start
            annotated[fold] += end - start
            engaged[fold, task, variable] += (end - start) * (value != "no")
    cells = {(row[2], row[3]) for row in rows}
    score = 0.0
    for fold in range(settings.num_folds):
        for cell in cells:
            overall = engaged["all", *cell] / annotated["all", *cell]
            if annotated[fold, *cell] == 0:
                score += 100
            elif overall > 0:
                share = engaged[fold, *cell] / annotated[fold, *cell]
                score += 2 * ((share - overall) / overall) ** 2
        equal = annotated["all"] / settings.num_folds
        score += ((annotated[fold] - equal) / equal) ** 2
        for members in settings.groups.values():
            score += 100 * (not any(assignment.get(name) == fold for name in members))
    return score


def assignment_of(found: folds.Stratified) -> dict[str, int]:
    return {name: fold for fold, names in enumerate(found.folds) for name in names}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(4, 9), st.integers(2, 4), st.data())
def test_the_vectorised_score_equals_the_formula(seed: int, count: int, num_folds: int, data) -> None:
    rows = sessions(count, seed)
    if data.draw(st.booleans()):  # a task that only some sessions have
        rows = [row for row in rows if row[2] != "eggs" or row[0] < "s02"]
    if data.draw(st.booleans()):  # a behaviour that never occurs
        rows = [(*row[:4], "no", *row[5:]) if row[3] == "attending" else row for row in rows]
    settings = config(num_folds=num_folds, groups={"a": ("s00", "s01"), "b": ("s02",)})
    names = [f"s{number:02d}" for number in range(count)]
    split = data.draw(st.lists(st.integers(0, num_folds - 1), min_size=count, max_size=count))
    contributions = folds.contributions_of(folds.tally([table(rows)]), names, settings)
    [score] = Scorer(contributions, num_folds).score(np.array([split]), contributions.table)
    assert score == pytest.approx(published_score(rows, dict(zip(names, split, strict=True)), settings), abs=1e-9)


def test_a_score_by_hand() -> None:
    """Two folds of one session each, engaged for 30 and 50 of 100 ms: p_all = 0.4, deviations -1/4 and 1/4."""
    rows: list[Row] = []
    for name, border in (("s00", 30), ("s01", 50)):
        rows += [
            (name, "ew", "eggs", "attending", "excited", 0, border),
            (name, "ew", "eggs", "attending", "no", border, 100),
        ]
    found = stratify(rows, num_folds=2)
    assert sum(found.scores) == pytest.approx(2 * (1 / 16 + 1 / 16))
    with_group = stratify(rows, num_folds=2, groups={"second": ["s01"]})
    assert sum(with_group.scores) == pytest.approx(2 * (1 / 16 + 1 / 16) + 100)


def test_few_sessions_get_the_best_of_all_splits() -> None:
    """Against every assignment of names to folds, one at a time."""
    rows = sessions(7, seed=3)
    settings = config(groups={"second": ("s01", "s04", "s06")})
    names = sorted({row[0] for row in rows})
    best = min(
        published_score(rows, dict(zip(names, split, strict=True)), settings)
        for split in itertools.product(range(3), repeat=7)
        if set(split) == {0, 1, 2}
    )
    found = stratify(rows, groups={"second": ("s01", "s04", "s06")})
    assert found.method == "all splits"
    assert found.tries == fold_search.count_splits(7, 3) == 301
    assert published_score(rows, assignment_of(found), settings) == pytest.approx(best, abs=1e-9)
    assert sum(found.scores) == pytest.approx(best, abs=1e-7)


@pytest.mark.parametrize(
    ("count", "num_folds", "expected"), [(4, 2, 7), (5, 5, 1), (6, 3, 90), (10, 5, 42525), (3, 4, 0)]
)
def test_all_splits_are_listed_once(count: int, num_folds: int, expected: int) -> None:
    """Stirling numbers of the second kind, OEIS A008277."""
    assert fold_search.count_splits(count, num_folds) == expected
    if expected:
        splits = fold_search.all_splits(count, num_folds)
        assert splits.shape == (expected, count)
        assert len(np.unique(splits, axis=0)) == expected
        assert all(np.array_equal(fold_search.canonical(split), split) for split in splits[:50])
        assert (splits.max(axis=1) == num_folds - 1).all()


def test_no_exchange_and_no_move_improves_what_was_found() -> None:
    rows = sessions(14, seed=5)
    found = stratify(rows, tries=50, groups={"second": ["s01", "s05", "s09", "s13"]})
    settings = config(groups={"second": ("s01", "s05", "s09", "s13")})
    assert found.method == "random splits, improved"
    assignment = assignment_of(found)
    score = published_score(rows, assignment, settings)
    for one, other in itertools.combinations(assignment, 2):
        swapped = assignment | {one: assignment[other], other: assignment[one]}
        assert published_score(rows, swapped, settings) >= score - 1e-9
    for name, fold in itertools.product(assignment, range(3)):
        assert published_score(rows, assignment | {name: fold}, settings) >= score - 1e-9


def test_improving_ends_where_no_change_helps_and_empties_no_fold() -> None:
    rng = np.random.default_rng(0)
    annotated = rng.integers(1_000, 90_000, (12, 4))
    contributions = Contributions(rng.integers(0, annotated), annotated, rng.integers(0, 2, (12, 1)))
    scorer = Scorer(contributions, 4)
    for start in itertools.chain(*fold_search.random_splits(12, 4, 20, seed=1)):
        better = fold_search.improve(start, contributions.table, scorer)
        before, after = scorer.score(np.array([start, better]), contributions.table)
        assert after <= before
        assert set(better) == {0, 1, 2, 3}
        neighbours = []
        for one, other in itertools.combinations(range(12), 2):
            neighbours.append(better.copy())
            neighbours[-1][[one, other]] = better[[other, one]]
        for one, fold in itertools.product(range(12), range(4)):
            neighbours.append(better.copy())
            neighbours[-1][one] = fold
        assert scorer.score(np.array(neighbours), contributions.table).min() >= after - 2e-9


def test_random_splits_are_balanced_and_differ() -> None:
    splits = np.vstack(list(fold_search.random_splits(23, 5, 1_000, seed=0)))
    sizes = (splits[:, :, None] == np.arange(5)).sum(axis=1)
    assert splits.shape == (1_000, 23)
    assert sizes.min() == 4
    assert sizes.max() == 5
    assert len(np.unique(splits, axis=0)) == 1_000


def test_an_exhaustive_search_is_no_worse_than_a_random_one() -> None:
    rows = sessions(9, seed=8)
    everything, drawn = stratify(rows, tries=fold_search.count_splits(9, 3)), stratify(rows, tries=30)
    assert (everything.method, drawn.method) == ("all splits", "random splits, improved")
    assert sum(everything.scores) <= sum(drawn.scores) + 1e-9


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_does_not_matter(seed: int) -> None:
    rows = sessions(12, seed=2)
    shuffled = random.Random(seed).sample(rows, len(rows))
    one, other = stratify(rows, tries=100), stratify(shuffled, tries=100)
    assert one.folds == other.folds
    pd.testing.assert_frame_equal(assigned(rows, one), assigned(shuffled, other))


def test_the_fold_most_like_the_whole_is_the_test_fold() -> None:
    found = stratify(sessions(10), tries=100)
    assert min(found.scores) == found.scores[-1]
    firsts = [names[0] for names in found.folds[:-1]]
    assert firsts == sorted(firsts)


def test_a_session_is_never_split_and_the_spans_keep_their_time() -> None:
    rows = sessions(10)
    table = assigned(rows, stratify(rows))
    assert (table.groupby("session")["fold"].nunique() == 1).all()
    assert list(table.columns) == list(spans.STRATIFIED)
    length = table["end_ms"] - table["start_ms"]
    assert length.sum() == sum(row[6] - row[5] for row in rows)
    assert length[table["engaged"] == 1].sum() == sum(row[6] - row[5] for row in rows if row[4] != "no")


def test_touching_engaged_spans_of_different_values_become_one() -> None:
    rows: list[Row] = []
    for name in ("s00", "s01"):
        rows += [
            (name, "ew", "eggs", "attending", "attending", 0, 10),
            (name, "ew", "eggs", "attending", "excited", 10, 20),
            (name, "ew", "eggs", "attending", "no", 20, 30),
        ]
    found = assigned(rows, stratify(rows, num_folds=2))
    assert found[found["session"] == "s00"][["engaged", "start_ms", "end_ms"]].to_numpy().tolist() == [
        [1, 0, 20],
        [0, 20, 30],
    ]


def test_sessions_without_video_or_annotation_are_left_out_by_name() -> None:
    rows = sessions(6)
    found = stratify(rows, recorded={"s00", "s01", "s02", "s03", "s04", "t99"})
    assert {name for names in found.folds for name in names} == {"s00", "s01", "s02", "s03", "s04"}
    assert set(assigned(rows, found)["session"]) == {"s00", "s01", "s02", "s03", "s04"}
    assert [(problem.where, problem.severity) for problem in found.problems] == [
        ("session s05", "warning"),
        ("session t99", "warning"),
    ]
    assert "video" in found.problems[0].expected
    assert "annotations" in found.problems[1].expected


def test_a_group_smaller_than_the_number_of_folds_is_a_warning() -> None:
    found = stratify(sessions(6), groups={"few": ["s01", "s02"], "enough": ["s03", "s04", "s05"]})
    [problem] = found.problems
    assert problem.where == "engagement.folds.groups.few"
    assert problem.found == "2"
    assert sum(found.scores) > 100


def test_a_task_in_fewer_sessions_than_folds_is_a_warning() -> None:
    rows = [row for row in sessions(6) if row[2] != "eggs" or row[0] < "s02"]
    found = stratify(rows)
    assert [problem.where for problem in found.problems] == [
        "task eggs, variable attending",
        "task eggs, variable participating",
    ]
    lacking = folds.statistics(found, dict.fromkeys(range(3), PIXELS), config())
    shares = [fold.empirical_probability["eggs"]["attending"] for fold in lacking.folds]
    assert shares.count(None) == 1


def test_fewer_sessions_than_folds_are_refused() -> None:
    with pytest.raises(InputError, match=r"at least 3 sessions with video.*found 2 \(s00, s01\)"):
        stratify(sessions(2))
    with pytest.raises(InputError, match=r"found 0 \(none\)"):
        stratify(sessions(5), recorded=set())


def test_a_group_that_names_an_unknown_session_is_refused() -> None:
    with pytest.raises(InputError, match=r"engagement\.folds\.groups\.second: .*found s98, s99"):
        stratify(sessions(4), groups={"second": ["s99", "s01", "s98"]})


def test_a_group_may_name_a_session_that_is_left_out() -> None:
    found = stratify(sessions(5), recorded={"s00", "s01", "s02", "s03"}, groups={"all": [f"s0{n}" for n in range(5)]})
    assert not [problem for problem in found.problems if "groups" in problem.where]


@pytest.mark.parametrize(
    "changes",
    [{"num_folds": 1}, {"tries": 0}, {"seed": -1}, {"tries": "many"}, {"folds": 3}, {"groups": {"a": "x"}}],
)
def test_bad_settings_are_refused(changes: dict) -> None:
    with pytest.raises(ValidationError):
        config(**changes)


PIXELS = folds.PixelValues(count=10, mean=(0.1, 0.2, 0.3), std=(0.1, 0.1, 0.1))


def test_statistics_return_from_their_file(tmp_path: Path) -> None:
    settings = config(groups={"second": ("s01", "s04")})
    found = stratify(sessions(6), groups=settings.groups)
    made = folds.statistics(found, dict.fromkeys(range(3), PIXELS), settings)
    artifacts.write_json(tmp_path / "fold_statistics.json", made.model_dump())
    assert folds.read_statistics(tmp_path / "fold_statistics.json") == made
    assert made.test_fold == 2
    assert made.all_sessions.groups == {"second": 2}
    assert sum(fold.annotated_ms for fold in made.folds) == made.all_sessions.annotated_ms
    fold = made.folds[0]
    rows = [row for row in sessions(6) if row[0] in fold.sessions and row[2:4] == ("eggs", "attending")]
    share = sum((row[6] - row[5]) * (row[4] != "no") for row in rows) / sum(row[6] - row[5] for row in rows)
    assert fold.empirical_probability["eggs"]["attending"] == pytest.approx(share, abs=1e-9)


@pytest.mark.parametrize("content", ["{}", '{"num_folds": 3}', "[]", "nonsense"])
def test_broken_statistics_are_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "fold_statistics.json").write_text(content)
    with pytest.raises(InputError, match=r"fold_statistics\.json"):
        folds.read_statistics(tmp_path / "fold_statistics.json")


def test_the_split_does_not_depend_on_the_hash_seed(tmp_path: Path) -> None:
    artifacts.write_table(tmp_path / "filled.csv", table(sessions(12)))
    program = (
        "import sys, json, pathlib; from attune.annotation import folds, spans;"
        "frame = spans.read(pathlib.Path(sys.argv[1]), spans.FILLED);"
        "config = folds.FoldConfig(num_folds=4, tries=200, groups={'b': ('s01', 's05', 's06', 's07')});"
        "print(json.dumps(folds.stratify(folds.tally([frame]), set(frame['session']), config, '').folds))"
    )
    found = [
        json.loads(
            subprocess.run(
                [sys.executable, "-c", program, str(tmp_path / "filled.csv")],
                env={"PYTHONHASHSEED": seed, "PATH": ""},
                capture_output=True,
                check=True,
            ).stdout
        )
        for seed in ("1", "2")
    ]
    assert found[0] == found[1]


@pytest.mark.slow
def test_a_hundred_thousand_tries_for_the_published_corpus_take_seconds() -> None:
    rng = np.random.default_rng(0)
    annotated = rng.integers(40_000, 90_000, (23, 6))
    contributions = Contributions(rng.integers(0, annotated), annotated, rng.integers(0, 2, (23, 1)))
    start = time.process_time()
    found = fold_search.search(contributions, 5, 100_000, seed=0)
    assert time.process_time() - start < 5
    assert found.scored == 100_000
    assert math.isfinite(Scorer(contributions, 5).score(found.split[None], contributions.table)[0])
