"""How good the explanations are: every method's faithfulness, sanity and, where the truth is known, localisation.

What is measured on a snippet, for the class of its label, is one table ``MEASURES`` (a row per method and measure)
and one of the curves behind it, ``CURVES``
(:mod:`attune.attention.quality_tables`). ``centre`` and ``random`` are maps that know nothing, measured like a
method. Measures:

- ``deletion`` (small is good) and ``insertion`` (large is good): areas, :mod:`attune.attention.faithfulness`;
- ``mprt`` (small is good): mean rank correlation of the maps over the cascade, and ``mprt_last``, that of the model
  that is random altogether; ``smprt``, as ``mprt_last`` for maps averaged over noisy clips; ``emprt`` (large is good):
  by which share the maps' complexity rises; :mod:`attune.attention.sanity`;
- ``pointing_game``, ``mass_inside`` (large is good), ``mass_above_centre``, the difference to the centre's mass on the
  same snippet, each also ``..._randomised``: of the random model's map; ``mass_lost``, the difference of the two;
  :mod:`attune.attention.localisation`.

All of a snippet's measures may cost minutes. So faithfulness and sanity can be restricted to some snippets and sanity
to some methods: what perturbs (occlusion, score-CAM, integrated gradients) costs hundreds of passes per state.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from pydantic import Field

from attune.attention import attribution, faithfulness, localisation, maps, sanity
from attune.attention.attribution_config import AttributionConfig
from attune.attention.faithfulness import FaithfulnessConfig, Kind
from attune.attention.quality_tables import ALL, CENTRE, CURVES, MEASURES, RANDOM, SUMMARY
from attune.attention.sanity import SanityConfig, Similarities
from attune.learning.models import Network
from attune.params import Params

Array = npt.NDArray[np.float64]
Part = Literal["head", "hands"]

KINDS: tuple[Kind, ...] = ("deletion", "insertion")
DIGITS = 6


class QualityConfig(Params):
    """What is measured.

    Attributes:
        faithful_snippets: snippets on which deletion and insertion are computed, at most; 0 for all.
        sane_snippets: snippets whose model is randomised, at most; 0 for all.
        sane_methods: methods that explain randomised models; empty for all that were applied to the snippets.
        smooth_methods: methods whose maps are averaged over noisy clips.
        smooth_snippets: snippets on which they are, of those whose model is randomised, at most; 0 for all.
        tolerance: pixels by which the pointing game's hit may miss the evidence.
        evidence: parts of the demo's truth that carry the evidence, per variable.
        faithfulness: steps and fills.
        sanity: layers, order and noise.
        draws: of the bootstrap over sessions.
        confidence: of its intervals.
        seed: of the random map and the bootstrap.
    """

    faithful_snippets: int = Field(default=0, ge=0)
    sane_snippets: int = Field(default=0, ge=0)
    sane_methods: tuple[str, ...] = ()
    smooth_methods: tuple[str, ...] = ()
    smooth_snippets: int = Field(default=0, ge=0)
    tolerance: int = Field(default=0, ge=0, le=1000)
    evidence: dict[str, tuple[Part, ...]] = Field(default_factory=dict)
    faithfulness: FaithfulnessConfig = FaithfulnessConfig()
    sanity: SanityConfig = SanityConfig()
    draws: int = Field(default=2000, ge=1, le=1_000_000)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)


@dataclass(frozen=True)
class Subject:
    """A snippet with its explanations.

    Attributes:
        row: values of the columns :data:`.quality_tables.SNIPPET`.
        network: the model, in evaluation mode.
        clip: (3, T, H, W), normalised, on the network's device.
        attributions: signed, (T, H, W), of the label's class, per method.
        evidence: (T, H, W), or None where no truth is known.
        faithful: whether deletion and insertion are measured.
        sane: whether the model is randomised.
        smooth: whether maps averaged over noisy clips are among those of the random model.
    """

    row: Mapping[str, Any]
    network: Network
    clip: torch.Tensor
    attributions: Mapping[str, npt.NDArray[np.float32]]
    evidence: npt.NDArray[np.float32] | None
    faithful: bool = True
    sane: bool = True
    smooth: bool = True

    @property
    def target(self) -> int:
        """The class that is explained."""
        return int(self.row["label"])


def choose(rows: pd.DataFrame, count: int) -> set[str]:
    """The names of at most ``count`` snippets (all if 0), spread over tasks, variables, labels and sessions.

    Cells of task, variable and label take turns; each gives a snippet of the session that the cell, then its variable,
    then all have used least, because intervals are over sessions.

    Args:
        rows: columns :data:`.quality_tables.SNIPPET`.
        count: how many.
    """
    if not count:
        return set(rows["snippet"])
    table = rows.sort_values("snippet")
    # Within a turn the labels alternate between the models, so that few snippets still hold both.
    models = table.groupby(["task", "variable"]).ngroup()
    table["second"] = (models + table["label"]) % 2
    cells = [cell.to_dict("records") for _, cell in table.groupby(["second", "task", "variable", "label"])]
    wider = [("variable", "task", "label", "session"), ("variable", "session"), ("session",)]
    chosen: set[str] = set()
    used: Counter[tuple[Any, ...]] = Counter()
    while any(cells) and len(chosen) < count:
        for cell in [cell for cell in cells if cell][: count - len(chosen)]:
            one = min(cell, key=lambda row: [used[tuple(row[name] for name in names)] for names in wider])
            cell.remove(one)
            chosen.add(one["snippet"])
            used.update(tuple(one[name] for name in names) for names in wider)
    return chosen


def measure(
    subject: Subject, config: QualityConfig, explaining: AttributionConfig
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Everything that is measured on one snippet: tables :data:`MEASURES` and :data:`CURVES`."""
    shape = next(iter(subject.attributions.values())).shape
    shown = {name: attribution.attention_map(part, name) for name, part in subject.attributions.items()}
    shown |= {CENTRE: maps.centre_prior(shape), RANDOM: maps.random_map(shape, config.seed)}
    book = _Book(dict(subject.row))
    if subject.evidence is not None:
        for name, attention in shown.items():
            _localise(book, name, attention, shown[CENTRE], subject.evidence, config, "")
    if subject.faithful:
        _follow(book, subject, shown, config.faithfulness)
    if subject.sane:
        _randomise(book, subject, shown, config, explaining)
    return book.tables()


def summarise(measures: pd.DataFrame, config: QualityConfig) -> pd.DataFrame:
    """Means over snippets with intervals over sessions, for all variables together and each alone: :data:`SUMMARY`."""
    rows = []
    for variable in (ALL, *sorted(measures["variable"].unique())):
        here = measures if variable == ALL else measures[measures["variable"] == variable]
        for (method, name), group in here.groupby(["method", "measure"], sort=True):
            known = group[np.isfinite(group["value"])]
            found = localisation.mean_over_sessions(
                known["value"], list(known["session"]), config.draws, config.confidence, config.seed
            )
            bounds = (round(value, DIGITS) for value in (found.mean, found.low, found.high))
            rows.append((variable, method, name, *bounds, len(known), known["session"].nunique()))
    return pd.DataFrame(rows, columns=list(SUMMARY))


class _Book:
    """Collects the rows of both tables."""

    def __init__(self, row: dict[str, Any]) -> None:
        self._row = row
        self._measures: list[dict[str, Any]] = []
        self._curves: list[dict[str, Any]] = []
        self._values: dict[tuple[str, str], float] = {}

    def add(self, method: str, name: str, value: float) -> None:
        self._measures.append(self._row | {"method": method, "measure": name, "value": round(value, DIGITS)})
        self._values[method, name] = value

    def value(self, method: str, name: str) -> float:
        return self._values.get((method, name), math.nan)

    def add_curve(self, method: str, curve: str, values: npt.ArrayLike, names: Sequence[str] = ()) -> None:
        for step, value in enumerate(np.asarray(values).tolist()):
            point = {"curve": curve, "step": step, "name": names[step] if names else "", "value": round(value, DIGITS)}
            self._curves.append(self._row | {"method": method} | point)

    def tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        return (
            pd.DataFrame(self._measures, columns=list(MEASURES)),
            pd.DataFrame(self._curves, columns=list(CURVES)),
        )


def _localise(
    book: _Book,
    method: str,
    attention: Array,
    centre: Array,
    evidence: npt.NDArray[np.float32],
    config: QualityConfig,
    suffix: str,
) -> None:
    mass = localisation.mass_inside(attention, evidence)
    book.add(method, f"pointing_game{suffix}", localisation.pointing_game(attention, evidence, config.tolerance))
    book.add(method, f"mass_inside{suffix}", mass)
    book.add(method, f"mass_above_centre{suffix}", mass - localisation.mass_inside(centre, evidence))


def _follow(book: _Book, subject: Subject, shown: Mapping[str, Array], config: FaithfulnessConfig) -> None:
    for kind in KINDS:
        ends = faithfulness.ends(subject.network, subject.clip, subject.target, kind, config)
        for name, attention in shown.items():
            curve = faithfulness.curve(subject.network, subject.clip, attention, subject.target, kind, config, ends)
            book.add(name, kind, faithfulness.area(curve))
            book.add_curve(name, kind, curve)


def _randomise(
    book: _Book,
    subject: Subject,
    shown: Mapping[str, Array],
    config: QualityConfig,
    explaining: AttributionConfig,
) -> None:
    states = list(sanity.cascade(subject.network, config.sanity))
    for method in config.sane_methods or subject.attributions:
        if method not in subject.attributions:
            continue

        def explain(network: Network, clips: torch.Tensor, targets: torch.Tensor, method: str = method) -> torch.Tensor:
            return attribution.attribute(network, clips, targets, method, explaining)

        def to_map(values: npt.NDArray[np.float32], method: str = method) -> Array:
            return attribution.attention_map(values, method)

        found = sanity.compare(explain, to_map, states, subject.clip, subject.target, shown[method])
        _similar(book, method, found, shown[method], config.sanity)
        if subject.evidence is not None:
            _localise(book, method, found.last, shown[CENTRE], subject.evidence, config, "_randomised")
            lost = book.value(method, "mass_inside") - book.value(method, "mass_inside_randomised")
            book.add(method, "mass_lost", lost)
        if subject.smooth and method in config.smooth_methods and config.sanity.noisy:
            smooth = sanity.smoothed(explain, config.sanity)
            original = sanity.explained(smooth, to_map, subject.network, subject.clip, subject.target)
            last = sanity.explained(smooth, to_map, states[-1].network, subject.clip, subject.target)
            book.add(method, "smprt", sanity.spearman(original, last))


def _similar(book: _Book, method: str, found: Similarities, original: Array, config: SanityConfig) -> None:
    book.add(method, "mprt", found.mean())
    book.add(method, "mprt_last", float(found.spearman[-1]))
    before, after = sanity.complexity(original, config.bins), sanity.complexity(found.last, config.bins)
    book.add(method, "emprt", sanity.relative_rise(before, after))
    for name, values in (("spearman", found.spearman), ("ssim", found.ssim)):
        book.add_curve(method, name, [1.0, *values], ["trained", *found.layer])
