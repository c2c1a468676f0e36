"""The file of a snippet's explanations, which can be read without torch.

``<snippet>.npz`` holds for each method and target an array ``<method>__<target>``, float16 (T, H, W) at the encoder's
input size, signed, divided by its largest absolute value (float16 has no room for gradients of 1e-8). In the order of
the sorted names of these arrays follow ``scales``, float32, those values, and ``rules``, how each becomes a map for
comparisons, ``absolute`` or ``positive``, as the method's entry in the table of methods says. ``probability`` is what
the model gives to class 1; ``label`` is the consensus. :func:`read` gives the attributions as they were.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from attune import artifacts
from attune.attention.maps import Rule
from attune.problems import InputError, Problem

Attribution = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Explanation:
    """What is kept of a snippet.

    Attributes:
        attributions: (T, H, W), signed, by method and target.
        rules: how those of each method become maps.
        probability: what the model gives to class 1.
        label: the consensus.
    """

    attributions: Mapping[tuple[str, str], Attribution]
    rules: Mapping[str, Rule]
    probability: float
    label: int


def read(path: Path) -> Explanation:
    """Read the file of a snippet.

    Raises:
        InputError: it is missing or damaged, or holds a value that is no number.
    """
    expected, cure = "machine attention of a snippet", "Run the stage attribute again."
    try:
        with np.load(path, allow_pickle=False) as file:
            names = sorted(name for name in file.files if "__" in name)
            scales = dict(zip(names, file["scales"].tolist(), strict=True))
            found = {_split(name): file[name].astype(np.float32) * np.float32(scales[name]) for name in names}
            rules = {_split(name)[0]: rule for name, rule in zip(names, file["rules"].tolist(), strict=True)}
            probability, label = float(file["probability"]), int(file["label"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise InputError(Problem(str(path), "", str(error), expected, cure)) from None
    for (method, target), values in found.items():
        if values.ndim != 3 or not np.isfinite(values).all():
            where, shape = f"{method}__{target}", f"shape {values.shape}"
            raise InputError(Problem(str(path), where, shape, "finite numbers, (T, H, W)", cure))
    return Explanation(found, cast(dict[str, Rule], rules), probability, label)


def save(path: Path, explanation: Explanation) -> None:
    """Write the file of a snippet; equal content gives equal bytes."""
    signed = {f"{method}__{target}": part for (method, target), part in sorted(explanation.attributions.items())}
    scales = {name: np.float32(np.abs(part).max()) for name, part in signed.items()}
    arrays = {name: (part / (scales[name] or 1)).astype(np.float16) for name, part in signed.items()}
    with artifacts.replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            allow_pickle=False,
            scales=np.array([scales[name] for name in sorted(scales)], dtype=np.float32),
            rules=np.array([explanation.rules[_split(name)[0]] for name in sorted(scales)]),
            probability=np.float32(explanation.probability),
            label=np.int64(explanation.label),
            **arrays,
        )


def _split(name: str) -> tuple[str, str]:
    method, _, target = name.rpartition("__")
    return method, target
