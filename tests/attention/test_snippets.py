"""The choice of snippets against its rules, read off the spans millisecond by millisecond."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from attune.annotation import spans
from attune.attention import candidates, snippets
from attune.attention.candidates import Coding
from attune.attention.snippets import SnippetConfig
from attune.problems import InputError
from attune.video.clips import ClipConfig

CODING = Coding(["ew", "kb", "mt"], ["people", "eggs"], ["attending", "participating"])
CLIPS = ClipConfig(duration_s=4.0)


def corpus(seed: int, sessions: int = 6, flips: float = 0.1) -> pd.DataFrame:
    """Random codings: each session lacks one annotator or none, annotators differ a little, tasks are some 40 s."""
    rng = np.random.default_rng(seed)
    rows: list[tuple[object, ...]] = []
    for number in range(sessions):
        people = [name for index, name in enumerate(CODING.annotators) if index != number % 4]
        for place, (task, variable) in enumerate(itertools.product(CODING.tasks, CODING.variables)):
            borders = np.cumsum(rng.integers(1500, 9000, 9)) + 3000 + (place // 2) * 90_000
            state = rng.integers(0, 2)
            for person in people:
                own = borders + rng.integers(0, 400, 9)
                for k in range(8):
                    engaged = (state + k) % 2 ^ int(rng.random() < flips)
                    rows.append((f"s{number}", person, task, variable, number % 2, engaged, own[k], own[k + 1]))
    return pd.DataFrame(rows, columns=list(spans.STRATIFIED))


def slow_label(table: pd.DataFrame, row: Any, annotator: str) -> int | None:
    """The label by counting milliseconds; None where the spans do not cover the clip."""
    mine = table.query("session == @row.session and task == @row.task and variable == @row.variable")
    covered, engaged = np.zeros(CLIPS.duration_ms, bool), np.zeros(CLIPS.duration_ms, bool)
    for span in mine[mine["annotator"] == annotator].itertuples():
        first, last = (max(0, int(time) - row.start_ms) for time in (span.start_ms, span.end_ms))
        covered[first:last] = True
        engaged[first:last] = span.engaged
    return int(engaged.sum() * 2 > CLIPS.duration_ms) if covered.all() else None


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("folds", ["test", "all"])
def test_every_snippet_follows_the_rules(seed: int, folds: Any) -> None:
    table = corpus(seed)
    config = SnippetConfig(folds=folds, own=3, shared=2, again=3, seed=seed)
    chosen = snippets.choose([table], CODING, config, CLIPS).table
    assert list(chosen.columns) == list(snippets.SNIPPETS) and len(chosen) > 20
    fold_of = table.groupby("session")["fold"].first()
    people = table.groupby("session")["annotator"].agg(set)
    for row in chosen.itertuples():
        assert row.snippet == f"{row.session}-{row.task}-{row.variable}-{row.start_ms:07d}"
        assert folds == "all" or fold_of[row.session] == 1
        assert row.kind == "shared" or row.annotator not in people[row.session]
        assert {slow_label(table, row, name) for name in people[row.session]} == {row.label}
        assert len(people[row.session]) >= config.min_raters
    for annotator, mine in chosen.groupby("annotator"):
        assert mine["again"].sum() == 3
        for _, rows in mine.groupby("session"):
            assert np.diff(np.sort(rows["start_ms"].to_numpy())).min(initial=10**9) >= CLIPS.duration_ms, annotator
    balance = chosen.groupby(["annotator", "kind", "task", "variable"])["label"].agg(["mean", "size"])
    assert (balance["mean"] == 0.5).all() and (balance["size"] <= 6).all()
    for _, rows in chosen[chosen["kind"] == "shared"].groupby("snippet"):
        assert set(rows["annotator"]) == set(CODING.annotators)


def keys(table: pd.DataFrame, *, again: bool = False) -> set[tuple[Any, ...]]:
    rows = table[table["again"] == 1] if again else table
    return set(rows[["snippet", "annotator", "kind"]].itertuples(index=False, name=None))


@pytest.mark.parametrize("seed", range(3))
def test_wanting_more_keeps_what_was_chosen(seed: int) -> None:
    table = corpus(seed, sessions=8)

    def chosen(**others: Any) -> pd.DataFrame:
        return snippets.choose([table], CODING, SnippetConfig(**{"shared": 1, "folds": "all", **others}), CLIPS).table

    few, more, most = (chosen(own=own) for own in (1, 2, 4))
    assert keys(few) < keys(more) < keys(most)
    assert keys(few, again=True) == keys(most, again=True)
    assert keys(chosen(own=2, again=1), again=True) < keys(chosen(own=2, again=4), again=True)
    assert keys(chosen(own=0, shared=1)) < keys(chosen(own=0, shared=2))
    assert keys(chosen(own=2, seed=1)) != keys(more)


def test_the_order_of_rows_and_of_annotators_does_not_count() -> None:
    table = corpus(5)
    first = snippets.choose([table], CODING, SnippetConfig(), CLIPS)
    mixed = table.sample(frac=1, random_state=1)
    backwards = Coding(CODING.annotators[::-1], CODING.tasks, CODING.variables)
    pd.testing.assert_frame_equal(snippets.choose([mixed], backwards, SnippetConfig(), CLIPS).table, first.table)


def test_what_is_missing_is_said() -> None:
    table = corpus(1)
    enough = snippets.choose([table], CODING, SnippetConfig(folds="all", own=1, shared=1), CLIPS)
    assert not enough.problems and (enough.report["chosen"] == 2).all()

    table.loc[(table["task"] == "eggs") & (table["variable"] == "attending"), "engaged"] = 0
    chosen = snippets.choose([table], CODING, SnippetConfig(folds="all", own=1, shared=1), CLIPS)
    assert {problem.where for problem in chosen.problems} == {"everybody", "ew", "kb", "mt"}
    assert all("eggs attending 0 of 2 (0 positive" in problem.found for problem in chosen.problems)
    assert all(problem.severity == "warning" for problem in chosen.problems)
    short = chosen.report.query("chosen < wanted")
    assert set(zip(short["task"], short["variable"], strict=True)) == {("eggs", "attending")}


def test_sessions_that_all_have_labelled_give_shared_ones_first() -> None:
    table = corpus(2, sessions=8, flips=0)  # s3 and s7 lack nobody
    chosen = snippets.choose([table], CODING, SnippetConfig(folds="all", own=1, shared=1), CLIPS).table
    assert set(chosen.loc[chosen["kind"] == "shared", "session"]) <= {"s3", "s7"}
    assert not set(chosen.loc[chosen["kind"] == "own", "session"]) & {"s3", "s7"}


def test_a_task_that_one_coder_left_out_is_agreed_on_by_the_others() -> None:
    table = corpus(3, sessions=8, flips=0)
    absent = (table["session"] == "s3") & (table["task"] == "eggs") & (table["annotator"] == "kb")
    for least, there in ((2, True), (3, False)):
        config = SnippetConfig(folds="all", own=0, shared=9, min_raters=least)
        chosen = snippets.choose([table[~absent]], CODING, config, CLIPS).table
        rows = chosen[(chosen["session"] == "s3") & (chosen["task"] == "eggs")]
        assert bool(len(rows)) is there


def test_nothing_gives_nothing() -> None:
    empty = corpus(0).iloc[:0]
    chosen = snippets.choose([empty], CODING, SnippetConfig(), CLIPS)
    assert chosen.table.empty and list(chosen.table.columns) == list(snippets.SNIPPETS)
    assert len(chosen.problems) == 4


def test_names_that_cannot_be_files_are_refused() -> None:
    with pytest.raises(InputError, match="letters, digits"):
        candidates.snippet_id("fp01", "a:b", "attending", 500)


def test_paintings_without_a_snippet_are_told() -> None:
    table = snippets.choose([corpus(4)], CODING, SnippetConfig(), CLIPS).table
    there = (str(table["annotator"][0]), str(table["snippet"][0]))
    again, other = (there[0], there[1] + "_again"), (there[0], "s9-eggs-attending-0000500")
    assert [problem.file for problem in snippets.gone(table, [there, again, other])] == ["/".join(other)]


def test_the_stage_writes_table_and_report(tmp_path: Path, run_stage: Any) -> None:
    source = tmp_path / "spans.csv"
    corpus(1).to_csv(source, index=False)
    (tmp_path / "params.yaml").write_text(
        "engagement:\n"
        "  protocol: {first_date: 2022-01-01, last_date: 2022-12-31, sessions: 's[0-9]', annotators: [ew, kb, mt],\n"
        "    tasks: [people, eggs], variables: {attending: {values: [attending]}, participating: {values: [self]}}}\n"
        "  clips: {duration_s: 4.0, per_session: 10}\n"
        "  snippets: {own: 9}\n"
    )
    result = run_stage("engagement/choose_snippets", source, "a/out.csv", "a/report.csv", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "warning: snippets, ew" in result.stderr
    written = pd.read_csv(tmp_path / "a/out.csv")
    expected = snippets.choose([corpus(1)], CODING, SnippetConfig(own=9), CLIPS)
    pd.testing.assert_frame_equal(written, expected.table, check_dtype=False)
    assert list(pd.read_csv(tmp_path / "a/report.csv").columns) == snippets.REPORT
