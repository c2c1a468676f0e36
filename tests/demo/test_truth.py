from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from attune.demo import truth


@settings(max_examples=30)
@given(
    arrays.arrays(
        np.uint8, st.tuples(st.integers(1, 7), st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 2)
    )
)
def test_masks_survive_packing(tmp_path_factory: pytest.TempPathFactory, masks: np.ndarray) -> None:
    path = tmp_path_factory.getbasetemp() / "masks.npz"
    truth.write_masks(path, [truth.pack(mask) for mask in masks], masks.shape[1:])
    assert np.array_equal(truth.read_masks(path), masks)
    assert np.array_equal(np.concatenate(list(truth.iterate_masks(path, 2))), masks)


def test_a_mask_file_has_the_same_bytes_at_any_time(tmp_path: Path) -> None:
    packed = [truth.pack(np.eye(8, dtype=np.uint8))]
    for name in ("a.npz", "b.npz"):
        truth.write_masks(tmp_path / name, packed, (8, 8))
    content = (tmp_path / "a.npz").read_bytes()
    assert content == (tmp_path / "b.npz").read_bytes()
    assert content[10:14] == b"\x00\x00\x21\x00"  # the archive's date is 1980-01-01, not the clock's
