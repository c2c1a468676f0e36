"""Overlays: attention maps as heat over the grey clip, side by side in one MP4 that plays in a browser.

One video holds all maps of a snippet: a row for each target, a column for each method, the clip itself in the first
column. It runs at the clip's own frame rate; the page that shows it repeats it. Heat is matplotlib's perceptually
uniform *inferno*; within one map (all frames of it), the brightest is the map's 99.5th percentile, and cold places
show the picture. H.264 with 4:2:0 colours, even sizes and the index in front. Equal input gives equal bytes:
one encoder thread, bit-exact flags, and no macroblock tree, whose vector code in PyAV's x264 does not always give the
same. Encoding within this process spares starting a program for each snippet.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from attune import artifacts
from attune.video.transcode import PRESET

Images = npt.NDArray[np.uint8]
Maps = Mapping[tuple[str, str], npt.NDArray[np.floating]]

BRIGHTEST = 99.5  # percentile; a few outliers must not leave all else dark
HEAT = 0.8  # share of the colour where the map is brightest
GREY = (0.299, 0.587, 0.114)  # of red, green, blue (ITU-R BT.601)
QUALITY = 27  # crf; noise is dear, and nobody measures in an overlay
HEADER = 20  # pixels of height
LETTERS = cv2.FONT_HERSHEY_SIMPLEX
WHITE = 255
MARGIN = 4
SMOOTH = cv2.INTER_LINEAR


def grid(clip: npt.NDArray[np.floating], maps: Maps, targets: Sequence[str], cell: int) -> Images:
    """Put the maps of a clip beside each other.

    Args:
        clip: what the encoder sees, (T, H, W, 3) in the units 0 to 1.
        maps: attention maps, not negative, (T, H', W'), by method and target.
        targets: the rows.
        cell: height and width of each picture in pixels.

    Returns:
        uint8 (T, height, width, 3), height and width even.
    """
    methods = list(dict.fromkeys(method for method, _ in maps))
    grey = _resized(np.asarray(clip @ np.array(GREY), dtype=np.float32), cell)
    plain = np.repeat(grey[..., None], 3, axis=3)
    first = _bytes(plain)
    rows = []
    for target in targets:
        rows.append(_header([f"clip: {target}", *methods], cell, len(clip)))
        rows.append(np.concatenate([first, *(_heat(plain, maps[method, target], cell) for method in methods)], axis=2))
    picture = np.concatenate(rows, axis=1)
    odd_height, odd_width = picture.shape[1] % 2, picture.shape[2] % 2
    return np.pad(picture, ((0, 0), (0, odd_height), (0, odd_width), (0, 0)), mode="edge")


def write(path: Path, frames: Images, rate: Fraction) -> None:
    """Write an MP4 (H.264, yuv420p, index in front).

    Args:
        path: the file.
        frames: uint8 (T, H, W, 3), red, green, blue; H and W even.
        rate: frames per second.
    """
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with (
        artifacts.replacing(path) as temporary,
        av.open(str(temporary), "w", format="mp4", container_options=options) as container,
    ):
        coder = {"preset": PRESET, "crf": str(QUALITY), "flags": "+bitexact", "threads": "1", "x264-params": "mbtree=0"}
        stream = container.add_stream("libx264", rate=rate, options=coder)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for index, pixels in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame = picture.reformat(format="yuv420p", dst_colorspace="ITU601", dst_color_range="MPEG")
            frame.pts, frame.time_base = index, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _heat(plain: npt.NDArray[np.float32], attention: npt.NDArray[np.floating], cell: int) -> Images:
    """A map's heat over the grey clip (T, cell, cell, 3) in the units 0 to 1."""
    brightest = float(np.percentile(attention, BRIGHTEST)) or float(attention.max())
    values = attention / brightest if brightest > 0 else attention
    strength = _resized(np.clip(values, 0, 1).astype(np.float32), cell)[..., None]
    colour = _colours()[_bytes(strength[..., 0])]
    return _bytes(plain * (1 - HEAT * strength) + colour * HEAT * strength)


@cache
def _colours() -> npt.NDArray[np.float32]:
    from matplotlib import colormaps  # takes a while

    return np.asarray(colormaps["inferno"](np.arange(256))[:, :3], dtype=np.float32)


def _resized(pictures: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float32]:
    return np.stack([cv2.resize(picture, (size, size), interpolation=SMOOTH) for picture in pictures])


def _bytes(values: npt.NDArray[np.floating]) -> Images:
    return np.asarray(np.rint(np.clip(values, 0, 1) * WHITE), dtype=np.uint8)


def _header(names: Sequence[str], cell: int, count: int) -> Images:
    parts = [_label(np.zeros((HEADER, cell, 3), dtype=np.uint8), name.replace("_", " ")) for name in names]
    return np.repeat(np.concatenate(parts, axis=1)[None], count, axis=0)


def _label(strip: Images, words: str) -> Images:
    """Write words into a black strip, as large as fits."""
    (width, height), _ = cv2.getTextSize(words, LETTERS, 1.0, 1)
    scale = min(0.45, (strip.shape[1] - 2 * MARGIN) / width)
    at = (MARGIN, MARGIN + round(scale * height))
    cv2.putText(strip, words, at, LETTERS, scale, (WHITE, WHITE, WHITE), 1, cv2.LINE_AA)
    return strip
