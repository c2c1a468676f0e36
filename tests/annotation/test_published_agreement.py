"""Agreement values that others published, reproduced from their data (ATTUNE_REAL_DATA/tables)."""

from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
import pytest

from attune.annotation import agreement, eaf, events, multirater, standard_errors


def _codes(table: pd.DataFrame) -> tuple[np.ndarray, int]:
    """Labels as positions in their sorted list, missing as -1."""
    labels = sorted({value for value in table.to_numpy().ravel() if not pd.isna(value)})
    places = {label: place for place, label in enumerate(labels)}
    codes = table.apply(lambda column: column.map(places)).fillna(-1).to_numpy(np.int64)
    return codes, len(labels)


def _long(path: Path) -> tuple[np.ndarray, int]:
    return _codes(pd.read_csv(path).pivot(index="Object", columns="Rater", values="Score"))


@pytest.mark.parametrize(
    ("file", "published"), [("krippendorff_C_data.csv", 0.743), ("krippendorff_wikipedia.csv", 0.691)]
)
def test_krippendorff(real_data: Path, file: str, published: float) -> None:
    codes, levels = _codes(pd.read_csv(real_data / "tables" / file).drop(columns="unit"))
    assert agreement.alpha(agreement.coincidences(codes.T, levels)) == pytest.approx(published, abs=5e-4)


@pytest.mark.parametrize(
    ("file", "kind", "published", "error"),
    [
        ("krippendorff_C_data.csv", "ordinal", 0.815, 5e-4),
        ("krippendorff_C_data.csv", "interval", 0.849, 5e-4),
        ("krippendorff_C_data.csv", "ratio", 0.797, 5e-4),
        ("krippendorff_wikipedia.csv", "interval", 0.811, 5e-4),
        ("irr_anxiety.csv", "ordinal", 0.228387, 5e-7),
        ("irr_anxiety.csv", "interval", 0.170099, 5e-7),
    ],
)
def test_krippendorff_of_ordered_levels(real_data: Path, file: str, kind: Any, published: float, error: float) -> None:
    table = pd.read_csv(real_data / "tables" / file).drop(columns="unit", errors="ignore")
    codes, levels = _codes(table)
    counts = multirater.count(codes, levels)
    values = sorted({value for value in table.to_numpy().ravel() if not pd.isna(value)})
    found = multirater.alpha(counts, multirater.difference_weights(counts, kind, values)).value
    assert found == pytest.approx(published, abs=error)


def test_childproject(real_data: Path) -> None:
    table = pd.read_csv(real_data / "tables/childproject_alpha.csv")
    codes, levels = _codes(table.pivot(index="segment_onset", columns="set", values="speaker_type"))
    assert agreement.alpha(agreement.coincidences(codes.T, levels)) == pytest.approx(0.743421052632, abs=1e-11)


@pytest.mark.parametrize(
    ("name", "observed", "expected", "value"),
    [
        ("conger", 0.8182, 0.2334, 0.7628),
        ("brennan_prediger", 0.8182, 0.2000, 0.7727),
        ("fleiss", 0.8182, 0.2387, 0.7612),
        ("ac1", 0.8182, 0.1903, 0.7754),
        ("alpha", 0.8050, 0.2400, 0.7434),
    ],
)
def test_gwet_unordered(real_data: Path, name: str, observed: float, expected: float, value: float) -> None:
    codes, levels = _long(real_data / "tables/gwet_unordered.csv")
    found = _multirater(name, codes, levels, None)
    assert (found.observed, found.expected, found.value) == pytest.approx((observed, expected, value), abs=5.1e-5)


@pytest.mark.parametrize(
    ("name", "observed", "expected", "value"),
    [
        ("conger", 0.9375, 0.7194, 0.7772),
        ("brennan_prediger", 0.9375, 0.6667, 0.8125),
        ("fleiss", 0.9375, 0.7314, 0.7673),
        ("ac1", 0.9375, 0.6405, 0.8261),
        ("alpha", 0.9414, 0.7578, 0.7581),
    ],
)
def test_gwet_quadratic(real_data: Path, name: str, observed: float, expected: float, value: float) -> None:
    codes, levels = _long(real_data / "tables/gwet_table3.5_long.csv")
    found = _multirater(name, codes, levels, agreement.agreement_weights(levels, "quadratic"))
    assert (found.observed, found.expected, found.value) == pytest.approx((observed, expected, value), abs=5.1e-5)


def _multirater(name: str, codes: np.ndarray, levels: int, weights: np.ndarray | None) -> multirater.Coefficient:
    if name == "conger":
        return multirater.conger(codes, levels, weights)
    coefficient: multirater.Coefficient = getattr(multirater, name)(multirater.count(codes, levels), weights)
    return coefficient


def test_gwet_abstractors(real_data: Path) -> None:
    table = pd.read_csv(real_data / "tables/gwet_abstractors_3x3.csv").to_numpy(float)
    assert agreement.kappa(table) == pytest.approx(0.796, abs=5e-4)


def test_fleiss_wikipedia(real_data: Path) -> None:
    counts = pd.read_csv(real_data / "tables/fleiss_wikipedia_counts.csv").to_numpy(float)
    assert multirater.fleiss(counts).value == pytest.approx(0.209931, abs=1e-6)


@pytest.mark.parametrize(
    ("file", "published", "digits"),
    [("irr_diagnoses.csv", 0.4302445, 7), ("ai2d_connectivity.csv", 0.878, 3), ("ai2d_rst.csv", 0.733, 3)],
)
def test_fleiss_of_real_labels(real_data: Path, file: str, published: float, digits: int) -> None:
    codes, levels = _codes(pd.read_csv(real_data / "tables" / file))
    found = multirater.fleiss(multirater.count(codes, levels)).value
    assert found == pytest.approx(published, abs=0.51 * 10**-digits)


def test_sas_proc_freq(real_data: Path) -> None:
    table = pd.read_csv(real_data / "tables/sas_kappa_3x3_counts.csv").to_numpy(float)
    assert agreement.kappa(table) == pytest.approx(0.4842, abs=5e-5)
    linear = agreement.agreement_weights(3, "linear")
    assert agreement.kappa(table, linear) == pytest.approx(0.4701, abs=5e-5)
    for weights, ase, low, high in ((None, 0.1380, 0.2137, 0.7547), (linear, 0.1457, 0.1845, 0.7558)):
        kappa, error = agreement.kappa(table, weights), standard_errors.kappa_errors(table, weights)[0]
        reach = NormalDist().inv_cdf(0.975) * error
        assert (error, kappa - reach, kappa + reach) == pytest.approx((ase, low, high), abs=5.1e-5)
    ase0 = standard_errors.kappa_errors(table)[1]
    z = agreement.kappa(table) / ase0
    assert (ase0, z, 2 - 2 * NormalDist().cdf(z)) == pytest.approx((0.1484, 3.2626, 0.0011), abs=5.1e-5)


def test_fleiss_z(real_data: Path) -> None:
    counts = multirater.count(*_codes(pd.read_csv(real_data / "tables/irr_diagnoses.csv")))
    z = multirater.fleiss(counts).value / standard_errors.fleiss_error(counts)
    assert z == pytest.approx(17.65183, abs=5e-6)


def test_irr_anxiety(real_data: Path) -> None:
    """R's kappa2 sees only the levels that the two raters used; its own weights are penalties per distance."""
    ratings = pd.read_csv(real_data / "tables/irr_anxiety.csv")

    def table(one: str, other: str) -> np.ndarray:
        codes, levels = _codes(ratings[[one, other]])
        return agreement.tabulate(codes[:, 0], codes[:, 1], levels)

    def penalised(*penalties: int) -> np.ndarray:
        distance = np.abs(np.subtract.outer(np.arange(len(penalties)), np.arange(len(penalties))))
        return 1 - np.array(penalties)[distance] / max(penalties)

    first, second = table("rater1", "rater2"), table("rater2", "rater3")
    assert agreement.kappa(first, penalised(0, 0, 0, 1, 1, 1)) == pytest.approx(0.1891892, abs=5e-8)
    assert agreement.kappa(first, penalised(0, 0, 1, 1, 2, 2)) == pytest.approx(0.2820513, abs=5e-8)
    assert agreement.kappa(second, penalised(0, 0, 1, 1, 2)) == pytest.approx(0.2391304, abs=5e-8)
    assert agreement.kappa(second) == pytest.approx(-0.006289308, abs=5e-10)
    for kind, published in (("linear", 0.1459075), ("quadratic", 0.2520325)):
        weights = agreement.agreement_weights(len(second), kind)  # type: ignore[arg-type]
        assert agreement.kappa(second, weights) == pytest.approx(published, abs=5e-8)
    codes, levels = _codes(ratings)
    assert multirater.fleiss(multirater.count(codes, levels)).value == pytest.approx(-0.041076, abs=5e-7)
    assert multirater.alpha(multirater.count(codes, levels)).value == pytest.approx(-0.023725, abs=5e-7)


@pytest.mark.parametrize(
    ("name", "average", "weighted"),
    [("eac_irr", 0.895524, 0.894800483676), ("eac_irr2", 0.30314627, 0.90943877551)],
)
def test_elan_overlap(real_data: Path, name: str, average: float, weighted: float) -> None:
    tiers = {tier.name: tier for tier in eaf.read(real_data / "eaf" / f"{name}.eaf").tiers}

    def spans(tier: str) -> np.ndarray:
        return np.array([(each.start_ms, each.end_ms) for each in tiers[tier].annotations], dtype=np.int64)

    found = events.elan_overlap(spans("Rater #2 FACE"), spans("Rater #1 FACE"))
    assert found.average == pytest.approx(average, abs=5e-7)
    assert found.weighted == pytest.approx(weighted, abs=5e-12)
    written = (real_data / "tables" / f"{name}_corrected.txt").read_text().split()
    assert [float(number) for number in (written[-5], written[-1])] == pytest.approx([average, weighted], abs=1e-12)
