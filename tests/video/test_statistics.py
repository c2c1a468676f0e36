from pathlib import Path

import numpy as np
import pytest

from attune.problems import InputError
from attune.video import statistics


def test_statistics_equal_those_of_all_pixels_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "CHUNK_PIXELS", 50)  # many chunks, the last one incomplete
    rng = np.random.default_rng(0)
    clips = [rng.integers(low, 256, (count, 7, 9, 3), dtype=np.uint8) for low, count in ((0, 5), (128, 11))]
    for number, clip in enumerate(clips):
        np.save(tmp_path / f"s{number}.npy", clip)
    stores = statistics.find_stores(tmp_path)
    histograms = statistics.pixel_histograms({session: [path] for session, path in stores.items()})
    pooled = statistics.pool(histograms.values())
    pixels = np.concatenate(clips).reshape(-1, 3) / 255
    assert pooled.count == len(pixels)
    np.testing.assert_allclose(pooled.mean, pixels.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(pooled.std, pixels.std(axis=0), atol=1e-9)
    assert pooled == statistics.pool(reversed(list(histograms.values())))
    together = statistics.pixel_histograms({"all": stores.values()})
    np.testing.assert_array_equal(together["all"], sum(histograms.values()))


def test_channels_keep_their_order_and_white_is_one(tmp_path: Path) -> None:
    frames = np.zeros((2, 4, 4, 3), dtype=np.uint8)
    frames[..., 0] = 255
    frames[0, ..., 2] = 255
    np.save(tmp_path / "s.npy", frames)
    pooled = statistics.pool(statistics.pixel_histograms({0: [tmp_path / "s.npy"]}).values())
    assert pooled.mean == (1.0, 0.0, 0.5)
    assert pooled.std == (0.0, 0.0, 0.5)


def test_sums_beyond_64_bits_are_exact() -> None:
    histogram = np.zeros((3, 256), dtype=np.int64)
    histogram[:, 255] = 2**52
    assert statistics.pool([histogram] * 8).std == (0.0, 0.0, 0.0)


def test_stores_are_found_by_session_in_one_unicode_form(tmp_path: Path) -> None:
    for name in ("b.npy", "a.npy", "Mu\u0308ller.npy", "notes.txt"):
        (tmp_path / name).touch()
    assert list(statistics.find_stores(tmp_path)) == ["M\u00fcller", "a", "b"]


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        statistics.find_stores(tmp_path / "absent")
