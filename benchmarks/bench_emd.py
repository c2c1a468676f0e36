"""Earth mover's distance: per frame against OpenCV's, over a volume against its aims.

Both solvers get the same frames of 32 x 32 cells in the same run; processor time, as other work may go on. The aims are
at least 8 times OpenCV's speed per frame, and a volume of 15 x 32 x 32 in less than 20 s with an error below 2 %.
"""

import time

import cv2
import numpy as np
from scipy import ndimage

from attune.attention import emd

SHAPE, GEOMETRY = (15, 32, 32), emd.Geometry(cell_px=5.0, frame_s=0.32, px_per_s=25.0)
PAIRS = [("painted", "grad-cam"), ("painted", "gradient"), ("painted", "painted"), ("smooth", "smooth"),
         ("peaky", "peaky"), ("random", "random")]  # fmt: skip


def make(kind: str, seed: int) -> np.ndarray:
    """A map of one kind, (T, H, W)."""
    rng = np.random.default_rng(seed)
    if kind == "painted":  # a spot that wanders, with frames left empty
        place, result = rng.uniform(6, 26, 2), np.zeros(SHAPE)
        y, x = np.indices(SHAPE[1:])
        for frame in result:
            place += rng.normal(0, 0.8, 2)
            spot = np.exp(-((y - place[0]) ** 2 + (x - place[1]) ** 2) / (2 * rng.uniform(2, 4) ** 2))
            frame += (rng.random() < 0.9) * spot
        return result
    if kind == "grad-cam":
        return np.clip(ndimage.zoom(rng.random((3, 4, 4)) ** 2, (5, 8, 8), order=3), 0, None)
    if kind == "gradient":
        return np.abs(rng.standard_normal(SHAPE)) * (0.3 + make("painted", seed + 100))
    if kind == "smooth":
        noise = ndimage.gaussian_filter(rng.standard_normal(SHAPE), (1.5, 4, 4))
        return np.exp(noise / noise.std())
    if kind == "peaky":
        return (rng.random(SHAPE) < 0.01) * rng.random(SHAPE)
    return rng.random(SHAPE)


def by_opencv(first: np.ndarray, second: np.ndarray) -> float:
    """OpenCV's distance of two frames."""
    places = GEOMETRY.places(first.shape)
    weighted = [np.column_stack([part.ravel() / part.sum(), places]).astype(np.float32) for part in (first, second)]
    return float(cv2.EMD(*weighted, cv2.DIST_L2)[0])


def main() -> None:
    """Print times, ratios and bounds."""
    emd.between_frames(np.eye(2)[None], np.eye(2)[None, ::-1])  # loads the solver
    for kinds in PAIRS:
        first, second = (make(kind, seed) for seed, kind in enumerate(kinds))
        frame = int((first.sum(axis=(1, 2)) * second.sum(axis=(1, 2))).argmax())
        start = time.process_time()
        reference = by_opencv(first[frame], second[frame])
        opencv_s = time.process_time() - start
        start = time.process_time()
        values = emd.between_frames(first, second, GEOMETRY)
        frame_s = (time.process_time() - start) / len(values)
        start, wall = time.process_time(), time.perf_counter()
        found = emd.between_volumes(first, second, GEOMETRY)
        volume_s, wall_s = time.process_time() - start, time.perf_counter() - wall
        print(f"{kinds[0]} and {kinds[1]}")
        print(
            f"  frame: {frame_s * 1000:.0f} ms, OpenCV {opencv_s * 1000:.0f} ms, ratio {opencv_s / frame_s:.0f};",
            end=" ",
        )
        print(f"OpenCV is off by {reference / values[frame] - 1:+.2%}")
        print(f"  volume: {volume_s:.1f} s ({wall_s:.1f} s by the clock), {found.value:.2f} px,", end=" ")
        print(f"error at most {found.error:.3%}", flush=True)


if __name__ == "__main__":
    main()
