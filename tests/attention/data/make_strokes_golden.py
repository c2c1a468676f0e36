"""Write strokes_golden.json by the loops below, which share no code with attune.attention.strokes."""

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

Frame = list[list[float]]


def brush(stroke: dict[str, Any], x: float, y: float, scale: float) -> float:
    r = stroke["radius"] * scale
    points = stroke["points"]
    kept = [points[0]]
    for point in points[1:-1]:
        if math.dist(point, kept[-1]) >= r / 4:
            kept.append(point)
    kept.append(points[-1])
    best = math.inf
    for (ax, ay), (bx, by) in pairwise(kept):
        vx, vy = bx - ax, by - ay
        length = vx * vx + vy * vy
        t = min(1.0, max(0.0, ((x - ax) * vx + (y - ay) * vy) / length)) if length else 0.0
        best = min(best, (x - ax - t * vx) ** 2 + (y - ay - t * vy) ** 2)
    return stroke.get("strength", 1.0) * math.exp(-best / (2 * r * r)) if best <= 16 * r * r else 0.0


def paint(strokes: list[dict[str, Any]], shape: tuple[int, int, int], scale: float) -> list[Frame]:
    frames, height, width = shape
    painted = [[[0.0] * width for _ in range(height)] for _ in range(frames)]
    for one in strokes:
        if one["kind"] == "stroke":
            sign = 1 if one.get("add", True) else -1
            frame = painted[one["frame"]]
            for i in range(height):
                for j in range(width):
                    value = frame[i][j] + sign * brush(one, j + 0.5, i + 0.5, scale)
                    frame[i][j] = min(1.0, max(0.0, value))
        elif one["kind"] == "clear":
            painted[one["frame"]] = [[0.0] * width for _ in range(height)]
        elif one["kind"] == "copy":
            painted[one["frame"]] = [list(row) for row in painted[one["source"]]]
        else:
            first, last = one["first"], one["last"]
            for k in range(first + 1, last):
                w = (k - first) / (last - first)
                painted[k] = [
                    [(1 - w) * a + w * b for a, b in zip(row, other, strict=True)]
                    for row, other in zip(painted[first], painted[last], strict=True)
                ]
    return painted


def stroke(frame: int, points: list[list[float]], **others: Any) -> dict[str, Any]:
    return {"kind": "stroke", "frame": frame, "add": True, "radius": 3.0, "strength": 1.0, "points": points, **others}


ZIGZAG = [[4.0 + 0.4 * k, 12.0 + (5 if k % 8 < 4 else -2) + 0.3 * k] for k in range(30)]
CASES: dict[str, list[dict[str, Any]]] = {
    "dot": [stroke(0, [[10.25, 8.75]])],
    "line, with all points on it": [stroke(1, [[5.0 + k, 6.0 + k / 2] for k in range(20)], strength=0.6)],
    "line, by its ends": [stroke(1, [[5.0, 6.0], [24.0, 15.5]], strength=0.6)],
    "points nearer than a quarter of the radius": [stroke(0, ZIGZAG, radius=5.0)],
    "outside of the frame": [stroke(0, [[-4.0, -3.0], [36.0, 30.0]], radius=2.0)],
    "added twice, then removed": [
        stroke(2, [[8.0, 8.0], [20.0, 8.0]], strength=0.7),
        stroke(2, [[8.0, 10.0], [20.0, 10.0]], strength=0.7),
        stroke(2, [[14.0, 2.0], [14.0, 20.0]], add=False, radius=1.5, strength=0.8),
    ],
    "frame operations": [
        stroke(0, [[6.0, 6.0]]),
        stroke(4, [[20.0, 14.0], [24.0, 10.0]], strength=0.5),
        {"kind": "interpolate", "first": 0, "last": 4},
        {"kind": "copy", "source": 1, "frame": 3},
        {"kind": "clear", "frame": 2},
        stroke(3, [[6.0, 6.0]], add=False, radius=1.0),
    ],
}
SHAPE = (5, 24, 32)


def main() -> None:
    cases = []
    for name, strokes in CASES.items():
        for scale in (1.0, 1.7):
            painted = paint(strokes, SHAPE, scale)
            pixels = [
                {"frame": f, "row": i, "column": j, "value": round(painted[f][i][j], 9)}
                for f in range(SHAPE[0])
                for i in range(0, SHAPE[1], 4)
                for j in range(1, SHAPE[2], 6)
                if painted[f][i][j] or (i + j) % 5 == 1
            ]
            total = round(sum(map(sum, (row for frame in painted for row in frame))), 6)
            cases.append({"name": name, "radius_scale": scale, "strokes": strokes, "pixels": pixels, "sum": total})
    lines = ",\n".join("  " + json.dumps(case) for case in cases)
    text = f'{{"shape": {list(SHAPE)}, "tolerance": 1e-6, "cases": [\n{lines}\n]}}\n'
    Path(__file__).with_name("strokes_golden.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
