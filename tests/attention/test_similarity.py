"""Measures against SciPy, scikit-learn and the MIT benchmark's definitions, written out here once more."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from attune.attention import similarity
from attune.attention.emd import Geometry
from attune.attention.similarity import MEASURES, MODES, SimilarityConfig, compare

Maps = tuple[np.ndarray, np.ndarray]
EPSILON = 2.2204e-16


@pytest.fixture
def both() -> Maps:
    rng = np.random.default_rng(0)
    human = rng.random((3, 8, 9)) ** 3
    return human, human * rng.random(human.shape) + 0.1 * rng.random(human.shape)


@pytest.fixture
def tied() -> Maps:
    rng = np.random.default_rng(1)
    return rng.integers(0, 4, (3, 8, 9)).astype(float), rng.integers(0, 3, (3, 8, 9)).astype(float)


def values(maps: Maps, measure: similarity.MeasureName, config: SimilarityConfig | None = None) -> list[float]:
    """Of every frame alone, then of the volume."""
    human, machine = maps
    single = [compare(h[None], m[None], measure, "frame", config).value for h, m in zip(human, machine, strict=True)]
    assert compare(human, machine, measure, "frame", config).value == pytest.approx(np.mean(single), abs=1e-12)
    return [*single, compare(human, machine, measure, "volume", config).value]


def parts(maps: Maps) -> list[Maps]:
    human, machine = maps
    return [(h.ravel(), m.ravel()) for h, m in zip(human, machine, strict=True)] + [(human.ravel(), machine.ravel())]


@pytest.mark.parametrize("name", ["both", "tied"])
def test_correlations_are_scipys(name: str, request: pytest.FixtureRequest) -> None:
    maps = request.getfixturevalue(name)
    pearson = [stats.pearsonr(*part).statistic for part in parts(maps)]
    spearman = [stats.spearmanr(*part).statistic for part in parts(maps)]
    np.testing.assert_allclose(values(maps, "pearson"), pearson, atol=1e-9)
    np.testing.assert_allclose(values(maps, "spearman"), spearman, atol=1e-9)


@pytest.mark.parametrize("shift", [True, False])
def test_intersection(both: Maps, shift: bool) -> None:
    expected = []
    for human, machine in parts(both):
        if shift:
            human, machine = human - min(human), machine - min(machine)
        expected.append(sum(min(h / sum(human), m / sum(machine)) for h, m in zip(human, machine, strict=True)))
    config = SimilarityConfig(shift_minimum=shift)
    np.testing.assert_allclose(values(both, "intersection", config), expected, atol=1e-9)


def test_divergence(both: Maps) -> None:
    both[1][0, :4] = 0  # the benchmark's epsilon decides
    expected = []
    for human, machine in parts(both):
        terms = zip(human / sum(human), machine / sum(machine), strict=True)
        expected.append(sum(h * np.log(EPSILON + h / (m + EPSILON)) for h, m in terms))
    np.testing.assert_allclose(values(both, "divergence"), expected, rtol=1e-9)
    defined = [stats.entropy(human, machine) for human, machine in parts(both)[1:3]]
    np.testing.assert_allclose(values(both, "divergence")[1:3], defined, atol=1e-6)


def test_nss(both: Maps) -> None:
    expected = []
    for human, machine in parts(both):
        score = (machine - np.mean(machine)) / np.std(machine, ddof=1)
        expected.append(np.mean([s for s, h in zip(score, human, strict=True) if h >= 0.5 * max(human)]))
    np.testing.assert_allclose(values(both, "nss"), expected, atol=1e-9)


def test_auc_judd(both: Maps) -> None:
    expected, curve = [], []
    for human, machine in parts(both):
        fixated = human >= 0.5 * max(human)
        scores = sorted(machine[fixated], reverse=True)
        hits, alarms = [0.0], [0.0]
        for number, threshold in enumerate(scores, 1):
            above = np.sum(machine >= threshold)
            hits.append(number / len(scores))
            alarms.append((above - number) / (len(machine) - len(scores)))
        last = alarms[-1]
        expected.append(np.trapezoid([*hits, 1], [*alarms, 1]))
        # The curve is drawn from fixation to fixation: half a step of each lies above the stairs that it smooths.
        curve.append(roc_auc_score(fixated, machine) + last / (2 * len(scores)))
    np.testing.assert_allclose(values(both, "auc_judd"), expected, atol=1e-12)
    np.testing.assert_allclose(expected, curve, atol=1e-12)


def test_auc_judd_counts_equal_cells_as_one_threshold() -> None:
    human = np.array([[[1.0, 1, 0, 0, 0]]])
    machine = np.array([[[2.0, 1, 1, 0, 0]]])  # (0, 1/2), then (1/3, 1), then (1, 1)
    assert compare(human, machine, "auc_judd").value == pytest.approx((0.5 + 1) / 2 / 3 + 2 / 3)
    assert compare(human, machine, "auc_judd").value == pytest.approx(roc_auc_score(human.ravel(), machine.ravel()))


def test_emd_takes_the_geometry() -> None:
    human, machine = np.zeros((2, 4, 4)), np.zeros((2, 4, 4))
    human[0, 0, 0] = machine[1, 0, 3] = human[1, 1, 1] = machine[0, 1, 1] = 1
    geometry = Geometry(5, 0.5, 20)
    frame = [np.hypot(5, 5), np.hypot(5, 10)]
    assert compare(human, machine, "emd", "frame", geometry=geometry).value == pytest.approx(np.mean(frame))
    found = compare(human, machine, "emd", "volume", geometry=geometry)
    stays = (np.hypot(15, 10) + 10) / 2  # each to the other frame
    crosses = (np.hypot(5, 5) + np.hypot(5, 10)) / 2  # each within its own
    assert found.value == pytest.approx(min(stays, crosses))
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize("measure", MEASURES)
def test_equal_maps_are_most_alike_and_scale_does_not_matter(both: Maps, measure: similarity.MeasureName) -> None:
    human, machine = both
    best = {"pearson": 1, "spearman": 1, "intersection": 1, "divergence": 0, "emd": 0}
    for mode in MODES:
        same = compare(human, human * 7, measure, mode)
        other = compare(human, machine, measure, mode)
        if measure in best:
            assert same.value == pytest.approx(best[measure], abs=1e-9)
        assert (same.value > other.value) == MEASURES[measure].more_is_alike
        scaled = compare(human * 1e-200, machine * 1e150, measure, mode)
        assert scaled.value == pytest.approx(other.value, rel=1e-6, abs=1e-9)


EMPTY, CONSTANT = np.zeros((1, 4, 4)), np.full((1, 4, 4), 0.1)
VARIED = np.arange(16.0).reshape(1, 4, 4)
UNDEFINED = {
    # measure: the pairs (human, machine) that have no value
    "pearson": {"empty", "constant", "machine empty", "machine constant"},
    "spearman": {"empty", "constant", "machine empty", "machine constant"},
    "intersection": {"empty", "constant", "machine empty", "machine constant"},
    "divergence": {"empty", "machine empty"},
    "nss": {"empty", "constant", "machine empty", "machine constant"},
    "auc_judd": {"empty", "constant"},
    "emd": {"empty", "machine empty"},
}
PAIRS = {
    "empty": (EMPTY, VARIED),
    "constant": (CONSTANT, VARIED),
    "machine empty": (VARIED, EMPTY),
    "machine constant": (VARIED, CONSTANT),
    "fine": (VARIED, VARIED.transpose(0, 2, 1)),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("measure", MEASURES)
def test_degenerate_frames_are_left_out_and_counted(measure: similarity.MeasureName, pair: str) -> None:
    human, machine = PAIRS[pair]
    for mode in MODES:
        alone = compare(human, machine, measure, mode)
        assert np.isnan(alone.value) == (pair in UNDEFINED[measure])
        assert (alone.defined, alone.frames) == (int(pair not in UNDEFINED[measure]), 1)
    fine = compare(*PAIRS["fine"], measure)
    joined = [np.concatenate([one, other]) for one, other in zip(PAIRS[pair], PAIRS["fine"], strict=True)]
    together = compare(joined[0], joined[1], measure)
    expected = fine.value if np.isnan(alone.value) else (fine.value + compare(human, machine, measure).value) / 2
    assert together.value == pytest.approx(expected)
    assert (together.defined, together.frames) == (1 + int(pair not in UNDEFINED[measure]), 2)


def test_known_values_of_constant_machine_maps() -> None:
    assert compare(VARIED, CONSTANT, "auc_judd").value == pytest.approx(0.5)
    config = SimilarityConfig(shift_minimum=False)
    assert compare(CONSTANT, CONSTANT * 3, "intersection", config=config).value == pytest.approx(1)


def test_fixations_reach_a_share_of_the_peak() -> None:
    human = np.array([[0, 1, 4, 6, 8.0], [3, 3, 3, 3, 3], [0, 0, 0, 0, 0]])
    assert similarity.fixations(human, 0.5).tolist() == [[False, False, True, True, True], [False] * 5, [False] * 5]


@pytest.mark.parametrize("wrong", [np.ones((2, 3, 3)), -np.ones((1, 3, 3)), np.full((1, 3, 3), np.nan)])
def test_what_does_not_fit_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="map"):
        compare(np.ones((1, 3, 3)), wrong, "pearson")
