"""Earth mover's distance against linear programs (HiGHS), dense transport and distances known by hand."""

import numpy as np
import ot
import pytest
from scipy.optimize import linprog
from scipy.spatial.distance import cdist

from attune.attention import emd
from attune.attention.emd import Geometry

GEOMETRY = Geometry(cell_px=5.0, frame_s=0.32, px_per_s=25.0)


def by_program(first: np.ndarray, second: np.ndarray, places: np.ndarray) -> float:
    """The transport problem as a linear program over all pairs of cells."""
    one, other = first.ravel() / first.sum(), second.ravel() / second.sum()
    size = len(one)
    rows, columns = np.repeat(np.eye(size), size, axis=1), np.tile(np.eye(size), size)
    solved = linprog(
        cdist(places, places).ravel(),
        A_eq=np.vstack([rows, columns])[:-1],  # one of them follows from the others
        b_eq=np.concatenate([one, other])[:-1],
        method="highs",
    )
    assert solved.success
    return float(solved.fun)


def pair(kind: str, shape: tuple[int, int, int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    time, y, x = np.indices(shape)

    def smooth() -> np.ndarray:
        centre, width = rng.random(3) * shape, rng.uniform(1, 4)
        away = ((time - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2) / (2 * width**2)
        return np.exp(-away)

    if kind == "smooth":
        return smooth(), smooth()
    if kind == "peaky":
        return (rng.random(shape) < 0.02) * rng.random(shape), (rng.random(shape) < 0.02) * rng.random(shape)
    if kind == "mixed":
        return smooth() * (rng.random(shape) < 0.4), np.abs(rng.standard_normal(shape)) * (0.2 + smooth())
    return rng.random(shape), rng.random(shape)


@pytest.mark.parametrize("kind", ["smooth", "peaky", "mixed", "random"])
def test_frames_are_exact(kind: str) -> None:
    first, second = pair(kind, (2, 6, 7))
    first[0, 0, 0] += 1e-3
    second[:, 5, 5] += 1e-3
    first[1, 2, 2] += 1e-3
    places = GEOMETRY.places((6, 7))
    expected = [by_program(a, b, places) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(emd.between_frames(first, second, GEOMETRY), expected, rtol=1e-7)


@pytest.mark.parametrize("kind", ["smooth", "peaky", "mixed", "random"])
def test_small_volume_equals_linear_program(kind: str) -> None:
    first, second = pair(kind, (3, 5, 5), seed=3)
    first[0, 0, 0] += 1e-3
    second[2, 4, 4] += 1e-3
    found = emd.between_volumes(first, second, GEOMETRY)
    assert found.value == pytest.approx(by_program(first, second, GEOMETRY.places(first.shape)), rel=1e-7)


@pytest.mark.parametrize("kind", ["smooth", "mixed", "random"])
def test_bounds_enclose_the_dense_solution(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emd, "ROWS", 128)  # small enough a problem to solve densely, large enough to be refined
    first, second = pair(kind, (5, 12, 12), seed=1)
    places = GEOMETRY.places(first.shape)
    exact = ot.emd2(first.ravel() / first.sum(), second.ravel() / second.sum(), cdist(places, places), numItermax=10**8)
    for tolerance in (0.02, 0.001, 0.0):
        found = emd.between_volumes(first, second, GEOMETRY, tolerance)
        assert found.low * (1 - 1e-8) <= exact <= found.high * (1 + 1e-8)
        assert abs(found.value - exact) / exact <= max(tolerance, 1e-7)
        assert found.error <= max(tolerance, 1e-8)


def test_too_few_routes_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emd, "ROWS", 64)
    monkeypatch.setattr(emd, "ROUNDS", 1)
    first, second = pair("random", (5, 12, 12))
    with pytest.raises(emd.UnconvergedError, match="relative error"):
        emd.between_volumes(first, second, GEOMETRY, tolerance=0)


def test_a_solver_that_stops_early_gives_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emd, "ITERATIONS", 3)
    first, second = pair("random", (1, 16, 16))
    with pytest.warns(UserWarning), pytest.raises(emd.UnconvergedError):
        emd.between_frames(first, second)


def test_units() -> None:
    first, second = np.zeros((3, 8, 8)), np.zeros((3, 8, 8))
    first[0, 1, 1], second[2, 4, 5] = 7, 2
    expected = np.sqrt((3 * 5) ** 2 + (4 * 5) ** 2 + (2 * 0.32 * 25) ** 2)
    assert emd.between_volumes(first, second, GEOMETRY).value == pytest.approx(expected)
    first[2, 1, 1] = 1
    np.testing.assert_allclose(emd.between_frames(first, second, GEOMETRY), [np.nan, np.nan, 25.0])


@pytest.mark.parametrize("shape", [(4, 16, 16), (15, 32, 32)])
def test_shifted_map_is_as_far_as_its_shift(shape: tuple[int, int, int]) -> None:
    first = np.zeros(shape)
    first[:, 3:9, 2:9] = np.random.default_rng(5).random((shape[0], 6, 7)) + 0.1
    second = np.roll(first, 5, axis=2)
    found = emd.between_volumes(first, second, Geometry(2.0, 1.0, 3.0), tolerance=0)
    assert found.value == pytest.approx(10.0, rel=1e-7)


def test_metric_laws() -> None:
    a, b = pair("mixed", (3, 6, 6))
    c, _ = pair("smooth", (3, 6, 6), seed=9)
    ab, ba, bc, ac = (emd.between_volumes(*two, GEOMETRY).value for two in ((a, b), (b, a), (b, c), (a, c)))
    assert ab == pytest.approx(ba)
    assert ac <= ab + bc + 1e-9
    assert emd.between_volumes(a, a * 17.3).value == pytest.approx(0, abs=1e-12)


def test_empty_maps_have_no_distance() -> None:
    assert np.isnan(emd.between_volumes(np.zeros((1, 2, 2)), np.ones((1, 2, 2))).value)
    assert np.isnan(emd.between_frames(np.zeros((1, 2, 2)), np.ones((1, 2, 2)))).all()


@pytest.mark.parametrize("wrong", [np.ones((2, 2)), -np.ones((1, 2, 2)), np.ones((1, 2, 3))])
def test_what_is_no_map_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="map"):
        emd.between_frames(np.ones((1, 2, 2)), wrong)
