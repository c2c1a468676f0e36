"""The rasteriser against values that plain loops computed, and what must hold for any painting."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from attune.attention.strokes import AnyOperation, Clear, Copy, Interpolate, Operation, Stroke, check, rasterise
from attune.problems import InputError

GOLDEN = json.loads((Path(__file__).parent / "data" / "strokes_golden.json").read_text("utf-8"))
OPERATION: TypeAdapter[AnyOperation] = TypeAdapter(Operation)
SHAPE = (4, 20, 26)

points = st.tuples(st.floats(-20, 40), st.floats(-20, 40))
strokes_of = st.builds(
    Stroke,
    frame=st.integers(0, 3),
    add=st.booleans(),
    radius=st.floats(0.5, 12),
    strength=st.floats(0.01, 1),
    points=st.lists(points, min_size=1, max_size=6).map(tuple),
)
operations = st.one_of(
    strokes_of,
    st.builds(Clear, frame=st.integers(0, 3)),
    st.builds(Copy, source=st.integers(0, 3), frame=st.integers(0, 3)),
    st.tuples(st.integers(0, 2), st.integers(1, 3))
    .filter(lambda ends: ends[0] < ends[1])
    .map(lambda ends: Interpolate(first=ends[0], last=ends[1])),
)


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: f"{case['name']} x {case['radius_scale']}")
def test_golden_values(case: dict[str, Any]) -> None:
    strokes = [OPERATION.validate_python(one) for one in case["strokes"]]
    painted = rasterise(strokes, tuple(GOLDEN["shape"]), case["radius_scale"])
    for pixel in case["pixels"]:
        found = painted[pixel["frame"], pixel["row"], pixel["column"]]
        assert found == pytest.approx(pixel["value"], abs=GOLDEN["tolerance"]), pixel
    assert painted.sum(dtype=float) == pytest.approx(case["sum"], rel=1e-5)


@settings(deadline=None, max_examples=60)
@given(st.lists(operations, max_size=8), st.floats(0.3, 3))
def test_a_map_is_bounded_repeatable_and_survives_json(strokes: list[AnyOperation], scale: float) -> None:
    painted = rasterise(strokes, SHAPE, scale)
    assert painted.dtype == np.float32 and painted.shape == SHAPE
    assert painted.min() >= 0 and painted.max() <= 1
    again = [OPERATION.validate_json(json.dumps(one.model_dump(mode="json"))) for one in strokes]
    np.testing.assert_array_equal(rasterise(again, SHAPE, scale), painted)


@settings(deadline=None, max_examples=40)
@given(points, points, st.lists(st.floats(0, 1), max_size=20), st.floats(0.5, 8))
def test_the_spacing_of_events_on_a_line_does_not_show(
    start: tuple[float, float], end: tuple[float, float], between: list[float], radius: float
) -> None:
    on_line = [tuple((1 - w) * np.array(start) + w * np.array(end)) for w in sorted(between)]
    sparse = Stroke(frame=0, radius=radius, points=(start, end))
    dense = Stroke(frame=0, radius=radius, points=(start, *on_line, end))
    one, other = rasterise([sparse], SHAPE), rasterise([dense], SHAPE)
    clear_of_the_edge = (one > 4e-4) | (other == 0)
    np.testing.assert_allclose(one[clear_of_the_edge], other[clear_of_the_edge], atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(st.lists(strokes_of, min_size=1, max_size=5))
def test_strokes_on_one_frame_leave_the_others_alone(strokes: list[Stroke]) -> None:
    whole = rasterise(strokes, SHAPE)
    for frame in range(SHAPE[0]):
        alone = rasterise([stroke for stroke in strokes if stroke.frame == frame], SHAPE)
        np.testing.assert_array_equal(whole[frame], alone[frame])


def test_the_order_of_strokes_counts() -> None:
    add, remove = (Stroke(frame=0, add=add, radius=3.0, points=((10.0, 10.0),)) for add in (True, False))
    assert rasterise([remove, add], SHAPE).max() > 0.9
    assert rasterise([add, remove], SHAPE).max() == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "stroke", "frame": 0, "add": True, "radius": 3, "points": []},
        {"kind": "stroke", "frame": 0, "add": True, "radius": 3, "points": [[float("nan"), 0]]},
        {"kind": "stroke", "frame": 0, "add": True, "radius": 3, "points": [[float("inf"), 0]]},
        {"kind": "stroke", "frame": 0, "add": True, "radius": 3, "points": [[1, 2, 3]]},
        {"kind": "stroke", "frame": 0, "add": True, "radius": 3, "points": [["1", 2]]},
        {"kind": "stroke", "frame": 0, "add": True, "radius": 1e9, "points": [[1, 2]]},
        {"kind": "stroke", "frame": 0, "add": True, "radius": 0, "points": [[1, 2]]},
        {"kind": "stroke", "frame": 0, "add": True, "radius": 3, "strength": 2, "points": [[1, 2]]},
        {"kind": "stroke", "frame": 0, "add": "yes", "radius": 3, "points": [[1, 2]]},
        {"kind": "stroke", "frame": -1, "add": True, "radius": 3, "points": [[1, 2]]},
        {"kind": "stroke", "frame": 10**9, "add": True, "radius": 3, "points": [[1, 2]]},
        {"kind": "stroke", "frame": 0.5, "add": True, "radius": 3, "points": [[1, 2]]},
        {"kind": "stroke", "frame": 0, "add": True, "radius": 3, "points": [[1, 2]], "times_ms": [1, 2]},
        {"kind": "stroke", "frame": 0, "add": True, "radius": 3, "points": [[1, 2]], "colour": "red"},
        {"kind": "stroke", "frame": 0, "add": True, "radius": 3, "points": [[1, 2]] * 10_001},
        {"kind": "interpolate", "first": 3, "last": 3},
        {"kind": "erase", "frame": 0},
        {"frame": 0},
        None,
    ],
)
def test_what_is_no_operation_is_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        OPERATION.validate_python(wrong)


@pytest.mark.parametrize(
    ("strokes", "message"),
    [
        ([Clear(frame=4)], "a frame below 4"),
        ([Copy(source=7, frame=0)], "frame 7"),
        ([Stroke(frame=0, radius=3.0, points=((26 + 65.0, 1.0),))], "points within 64 pixels"),
        ([Clear(frame=0)] * 5001, "at most 5000"),
        ([Stroke(frame=0, radius=3.0, points=((1.0, 1.0),) * 10_000)] * 21, "at most 200000"),
    ],
)
def test_what_does_not_fit_the_map_is_refused(strokes: list[AnyOperation], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        check(strokes, SHAPE)
    if "at most" in message:
        assert "Undo" in str(caught.value), "a clear would be one more operation"


def test_a_cheap_body_cannot_cost_minutes() -> None:
    corners = ((0.0, 0.0), (1920.0, 1080.0)) * 500
    with pytest.raises(InputError, match="pixels under all strokes"):
        check([Stroke(frame=0, radius=100.0, points=corners)] * 10, (1, 1080, 1920))
