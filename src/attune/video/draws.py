"""Random numbers that depend on a key alone: not on order, batch, worker or how many were drawn before.

A key is a 64-bit number made from whatever names the thing that is drawn (seed, epoch, session, place). The numbers
come from the output function of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
2014), which is a few operations on whole arrays: a generator object for each clip would cost more than the clip.
"""

import hashlib

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def name_key(*names: str) -> int:
    """A 64-bit number for a tuple of names; equal on every machine and in every run."""
    text = "\0".join(names).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def combine(keys: npt.ArrayLike, *parts: npt.ArrayLike) -> Keys:
    """Keys made of keys and whole numbers; arrays broadcast, and the order of the parts counts."""
    mixed = _mix(_whole(keys))
    for part in parts:
        mixed = _mix(mixed ^ _mix(_whole(part) + _GOLDEN))
    return mixed


def uniform(keys: npt.ArrayLike, count: int) -> npt.NDArray[np.float64]:
    """Draw ``count`` numbers from [0, 1) for each key.

    Args:
        keys: any shape.
        count: numbers per key; the first ones do not depend on how many are drawn.

    Returns:
        Numbers with 53 random bits, shape of the keys + (count,).
    """
    bits = combine(_whole(keys)[..., None], np.arange(count))
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _whole(values: npt.ArrayLike) -> Keys:
    array = np.asarray(values)
    return array if array.dtype == np.uint64 else array.astype(np.int64).view(np.uint64)


def _mix(keys: Keys) -> Keys:
    with np.errstate(over="ignore"):  # multiplication modulo 2**64 is the method
        mixed = keys + _GOLDEN
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
        return mixed ^ (mixed >> np.uint64(31))
