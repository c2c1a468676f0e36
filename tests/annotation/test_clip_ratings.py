"""A model as one more rater: coefficients against scikit-learn and krippendorff, pooling, refusals, the stage."""

import shutil
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import krippendorff
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from attune import artifacts, params
from attune.annotation import clip_ratings, reliability_figures
from attune.annotation.clip_ratings import HUMANS, MODEL, RATINGS
from attune.annotation.protocol import Protocol
from attune.annotation.reliability import ReliabilityConfig
from attune.problems import InputError

ROOT = Path(__file__).parents[2]
PROTOCOL = params.load("engagement.protocol", Protocol, ROOT / "params.yaml")
CONFIG = params.load("engagement.reliability", ReliabilityConfig, ROOT / "params.yaml")
QUICK = CONFIG.model_copy(update={"bootstrap": 200})
RATERS = ("ew", "kb", "mt", MODEL)


def _ratings(sessions: int = 6, clips: int = 9, noise: float = 0.2, model_noise: float = 0.1) -> pd.DataFrame:
    """Clips of a hidden truth, rated with noise; a third of the sessions lacks one annotator, as in a lab."""
    rng = np.random.default_rng(3)
    rows = []
    for number in range(sessions):
        present = [name for place, name in enumerate(RATERS) if name == MODEL or number % 3 or place != number // 3 % 3]
        for task in PROTOCOL.tasks:
            for variable in PROTOCOL.variables:
                truth = rng.integers(0, 2, clips)
                for rater in present:
                    wrong = rng.random(clips) < (model_noise if rater == MODEL else noise)
                    for index, label in enumerate(truth ^ wrong):
                        start = 5000 * index
                        shown = 0.1 + 0.8 * label if rater == MODEL else np.nan
                        rows.append(
                            (f"fp{number:02}", task, variable, start, start + 5000, rater, int(label), shown)
                        )  # fmt: skip
    return pd.DataFrame(rows, columns=list(RATINGS))


@pytest.fixture(scope="module")
def ratings() -> pd.DataFrame:
    return _ratings()


@pytest.fixture(scope="module")
def tables(ratings: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return clip_ratings.measure(ratings, PROTOCOL, QUICK)


def _labels(ratings: pd.DataFrame, one: str, other: str, **where: str) -> tuple[list[int], list[int]]:
    """Labels of the clips that both rated, found clip by clip."""
    rows = ratings
    for column, value in where.items():
        rows = rows[rows[column] == value]
    found: dict[object, dict[str, int]] = {}
    for row in rows.itertuples():
        clip = row.session, row.task, row.variable, row.start_ms
        found.setdefault(clip, {})[str(row.rater)] = int(str(row.label))
    both = [clip for clip in found.values() if one in clip and other in clip]
    return [clip[one] for clip in both], [clip[other] for clip in both]


def _row(table: pd.DataFrame, **group: str) -> pd.Series:
    rows = table
    for column, value in group.items():
        rows = rows[rows[column] == value]
    assert len(rows) == 1
    return rows.iloc[0]


@pytest.mark.parametrize(("one", "other"), list(combinations(RATERS, 2)))
@pytest.mark.parametrize("task", ["all", "eggs"])
def test_a_pair_has_the_coefficients_of_its_clips(
    ratings: pd.DataFrame, tables: dict[str, pd.DataFrame], one: str, other: str, task: str
) -> None:
    where = {"variable": "attending"} | ({} if task == "all" else {"task": task})
    first, second = _labels(ratings, one, other, **where)
    row = _row(tables["agreement"], annotator_1=one, annotator_2=other, variable="attending", task=task)
    assert row["raters"] == (MODEL if other == MODEL else HUMANS)
    assert row["comparisons"] == len(first)
    assert row["kappa"] == pytest.approx(cohen_kappa_score(first, second), abs=1e-6)
    assert row["agreement"] == pytest.approx(np.mean(np.equal(first, second)), abs=1e-6)
    alpha = krippendorff.alpha([first, second], level_of_measurement="nominal")
    assert row["alpha"] == pytest.approx(alpha, abs=1e-6)


@pytest.mark.parametrize("kind", [HUMANS, MODEL])
def test_kinds_of_pairs_are_pooled_apart(ratings: pd.DataFrame, tables: dict[str, pd.DataFrame], kind: str) -> None:
    """Pooled kappa is one of sums over the pairs, each with the chance of its own margins."""
    agreed = chance = compared = 0.0
    for one, other in combinations(RATERS, 2):
        if (other == MODEL) != (kind == MODEL):
            continue
        first, second = (np.array(labels) for labels in _labels(ratings, one, other, variable="participating"))
        agreed += (first == second).sum()
        chance += len(first) * sum((first == value).mean() * (second == value).mean() for value in (0, 1))
        compared += len(first)
    row = _row(tables["agreement"], raters=kind, annotator_1="all", variable="participating", task="all")
    assert row["comparisons"] == compared
    assert row["kappa"] == pytest.approx((agreed - chance) / (compared - chance), abs=1e-6)


def test_the_difference_is_that_of_the_kappas_and_its_interval_is_paired(tables: dict[str, pd.DataFrame]) -> None:
    for _, row in tables["difference"].iterrows():
        group = {"annotator_1": "all", "variable": row["variable"], "task": row["task"]}
        model, humans = (_row(tables["agreement"], raters=kind, **group) for kind in (MODEL, HUMANS))
        assert row["difference"] == pytest.approx(model["kappa"] - humans["kappa"], abs=2e-6)
        widest = model["kappa_high"] - humans["kappa_low"], model["kappa_low"] - humans["kappa_high"]
        assert widest[1] <= row["difference_low"] <= row["difference_high"] <= widest[0]


def test_a_model_that_repeats_every_human_differs_by_nothing_but_pairs() -> None:
    """All raters alike: kappa 1 for both kinds, difference 0 in every draw."""
    tables = clip_ratings.measure(_ratings(noise=0, model_noise=0), PROTOCOL, QUICK)
    assert (tables["agreement"]["kappa"] == 1).all()
    assert (tables["difference"][["difference", "difference_low", "difference_high"]] == 0).all(axis=None)


def test_a_better_model_agrees_better_with_humans_than_these_with_each_other() -> None:
    ratings = _ratings(sessions=20, noise=0.25, model_noise=0.0)
    headline = clip_ratings.headline(clip_ratings.measure(ratings, PROTOCOL, QUICK), ratings)
    assert headline["clips"] == 20 * 3 * 9
    for variable in PROTOCOL.variables:
        low = headline[f"{variable}_difference_low"]
        assert low is not None
        assert low > 0


def test_the_order_of_the_rows_does_not_matter(ratings: pd.DataFrame, tables: dict[str, pd.DataFrame]) -> None:
    shuffled = ratings.sample(frac=1, random_state=0)
    again = clip_ratings.measure(shuffled, PROTOCOL, QUICK)
    for name, table in tables.items():
        pd.testing.assert_frame_equal(table, again[name])


def test_anonymised_tables_and_figures_hold_no_initials(tables: dict[str, pd.DataFrame]) -> None:
    shown = clip_ratings.shown(tables)
    agreement = shown["agreement"]
    assert set(agreement["annotator_1"]) | set(agreement["annotator_2"]) == {"all", "A", "B", "C", MODEL}
    figure = reliability_figures.draw(agreement, shown["annotators"])
    ticks = {text.get_text() for axes in figure.axes[:-1] for text in axes.get_xticklabels()}
    assert ticks == {"A", "B", "C", MODEL}
    titles = [axes.title.get_text() for axes in figure.axes]
    assert any("humans ." in title and "model ." in title for title in titles)


def test_one_test_session_has_no_interval() -> None:
    tables = clip_ratings.measure(_ratings(sessions=1), PROTOCOL, QUICK)
    assert tables["difference"]["difference_low"].isna().all()
    assert tables["agreement"]["kappa"].notna().any()


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [("rater", "zz", "column rater"), ("task", "maths", "column task"), ("label", 2, "column label")],
)
def test_strange_ratings_are_refused(
    ratings: pd.DataFrame, tmp_path: Path, column: str, value: object, message: str
) -> None:
    changed = ratings.copy()
    changed.loc[0, column] = value
    artifacts.write_table(tmp_path / "ratings.csv", changed)
    with pytest.raises(InputError, match=message):
        clip_ratings.read(tmp_path / "ratings.csv", PROTOCOL)


def test_a_clip_that_is_rated_twice_is_refused(ratings: pd.DataFrame, tmp_path: Path) -> None:
    artifacts.write_table(tmp_path / "ratings.csv", pd.concat([ratings, ratings.iloc[:1]]))
    with pytest.raises(InputError, match="two ratings"):
        clip_ratings.read(tmp_path / "ratings.csv", PROTOCOL)


def test_an_annotator_who_is_called_model_is_refused(ratings: pd.DataFrame, tmp_path: Path) -> None:
    artifacts.write_table(tmp_path / "ratings.csv", ratings)
    confused = PROTOCOL.model_copy(update={"annotators": ("ew", MODEL)})
    with pytest.raises(InputError, match="an annotator called 'model'"):
        clip_ratings.read(tmp_path / "ratings.csv", confused)


@pytest.mark.slow
def test_the_stage_writes_everything_and_the_same_twice(ratings: pd.DataFrame, tmp_path: Path) -> None:
    artifacts.write_table(tmp_path / "ratings.csv", ratings)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    script = ROOT / "stages/engagement/measure_machine_reliability.py"
    written = []
    for out in ("first", "second"):
        command = [sys.executable, str(script), "ratings.csv", f"{out}/data", f"{out}/m.json", f"{out}/plots"]
        subprocess.run(command, cwd=tmp_path, check=True)
        folder = tmp_path / out
        written.append({p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()})
    assert written[0] == written[1]
    names = ("agreement.csv", "difference.csv", "comparison.png", "kappa.png")
    assert set(written[0]) == {"m.json", *(f"{folder}/{name}" for folder in ("data", "plots") for name in names)}
    assert b",ew," in written[0]["data/agreement.csv"]
    assert b",ew," not in written[0]["plots/agreement.csv"]
