"""Agreement with a tolerance in time: how much of the disagreement is borders a moment apart?

A sample agrees if the other rater gives the same label anywhere within ``reach`` samples before or after it; each
rater is the reference once and the two directions are averaged. Counting agreements in this way is the time-unit kappa
with tolerance of Bakeman, Quera & Gnisci (2009, Behavior Research Methods 41, 137-147), implemented in GSEQ.

The chance term differs from GSEQ's, which takes the margins of the tallied table and so stays where it is while the
agreements grow. Here it is what raters who ignore each other would reach under the same tolerance: the share of each
label in the reference times the share of samples that have this label within reach in the other record. With reach 0
both are Cohen's kappa; raters who guess have 0 at every tolerance.

Limits: a tolerance as long as the spans makes agreement trivial (chance comes near 1 and kappa unstable), so read it
beside the mean length of a span. Spans shorter than the tolerance that only one rater saw may still pass as agreement
on the other side of the comparison.
"""

import numpy as np
import numpy.typing as npt

from attune.annotation.agreement import MISSING, Array, Codes


def within_reach(codes: Codes, levels: int, reach: int) -> npt.NDArray[np.bool_]:
    """Whether each label occurs at most ``reach`` samples away, ``(n,)`` to ``(n, levels)``."""
    here = codes[:, None] == np.arange(levels)
    running = np.concatenate([np.zeros((1, levels), dtype=np.int64), here.cumsum(axis=0)])
    position = np.arange(len(codes))
    return running[np.minimum(position + reach + 1, len(codes))] > running[np.maximum(position - reach, 0)]


def tally(first: Codes, second: Codes, levels: int, reach: int) -> Array:
    """Sums from which :func:`counts` finds the coefficient; sums of several sessions may be added.

    Args:
        first: ``(n,)`` labels in ``range(levels)`` or MISSING.
        second: ``(n,)`` labels of the other rater.
        levels: number of labels.
        reach: tolerance in samples.

    Returns:
        ``(2, 2 + 2 * levels)``, one row per direction: samples compared, agreements, samples of each label in the
        reference, samples with each label within reach in the other record.
    """
    compared = (first != MISSING) & (second != MISSING)
    rows = []
    for reference, other in ((first, second), (second, first)):
        near = within_reach(np.where(compared, other, MISSING), levels, reach)[compared]
        labels = reference[compared]
        agreed = near[np.arange(len(labels)), labels].sum()
        rows.append(np.concatenate([[len(labels), agreed], np.bincount(labels, minlength=levels), near.sum(axis=0)]))
    return np.array(rows, dtype=float)


def counts(tallies: Array) -> tuple[Array, Array, Array]:
    """Agreements, agreements expected by chance and comparisons, ``(..., 2, 2 + 2 * levels)`` to ``(...)`` each."""
    levels = (tallies.shape[-1] - 2) // 2
    compared, agreed = tallies[..., 0], tallies[..., 1]
    labels, near = tallies[..., 2 : 2 + levels], tallies[..., 2 + levels :]
    expected = (labels * near).sum(axis=-1) / np.maximum(compared, 1)
    return agreed.mean(axis=-1), expected.mean(axis=-1), compared.mean(axis=-1)
