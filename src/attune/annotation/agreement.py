"""Agreement of two raters corrected for chance: coefficients on agreement tables.

A table holds counts, shape ``(..., K, K)``: row = label of the first rater, column = label of the second. Every
function is vectorised over the leading axes, because a bootstrap needs thousands of tables at once; that is why these
few formulas stand here, and the tests hold them against scikit-learn, statsmodels and krippendorff.

Every coefficient is ``(O - E) / (N - E)``: observed agreements O, agreements expected by chance E, comparisons N, all
as counts. Counts add up over strata (pairs of raters, variables), each with the chance term of its own margins, so a
pooled coefficient is :func:`corrected` on sums. Pooling kappa over pairs in this way gives the multi-rater kappa of
Conger (1980) and Davies & Fleiss (1982), which does not depend on the order of the raters; pooling over variables
gives raters who guess a kappa of 0, which one big table of all variables' labels would not.

What is undefined (0/0, such as kappa when both raters always give one and the same label) is NaN, never 0 or 1.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Codes = npt.NDArray[np.integer]

MISSING = -1  # code of a sample that a rater left without a label


def tabulate(first: Codes, second: Codes, levels: int) -> Array:
    """Count the pairs of labels: codes ``(n,)`` in ``range(levels)`` or MISSING, to a table ``(levels, levels)``."""
    both = (first != MISSING) & (second != MISSING)
    cells = first[both].astype(np.intp) * levels + second[both]
    return np.bincount(cells, minlength=levels * levels).reshape(levels, levels).astype(float)


def coincidences(codes: Codes, levels: int) -> Array:
    """Krippendorff's coincidence matrix of any number of raters with missing labels.

    Each unit with m >= 2 labels adds every ordered pair of its labels with weight 1 / (m - 1), so that it counts m
    times in all; a unit with fewer labels is not pairable and counts nothing (Krippendorff 2011, "Computing
    Krippendorff's alpha-reliability").

    Args:
        codes: ``(raters, units)`` in ``range(levels)`` or MISSING.
        levels: number of labels.

    Returns:
        A symmetric matrix ``(levels, levels)``; matrices of several sessions may be added.
    """
    counts = (codes[:, :, None] == np.arange(levels)).sum(axis=0).astype(float)
    labels = counts.sum(axis=1)
    counts, labels = counts[labels > 1], labels[labels > 1]
    weighted = counts / (labels - 1)[:, None]
    return weighted.T @ counts - np.diag(weighted.sum(axis=0))


def agreement_weights(levels: int, kind: Literal["linear", "quadratic"]) -> Array:
    """Partial credit for ordered labels, ``(levels, levels)``: 1 on the diagonal, 0 for the farthest two (Cohen 1968).

    Raises:
        ValueError: fewer than two levels, or an unknown kind.
    """
    if levels < 2:
        raise ValueError(f"Expected at least 2 levels, got {levels}")
    if kind not in ("linear", "quadratic"):
        raise ValueError(f"Expected kind 'linear' or 'quadratic', got {kind!r}")
    distance = np.abs(np.subtract.outer(np.arange(levels), np.arange(levels))) / (levels - 1)
    return 1 - (distance if kind == "linear" else distance**2)


def total(tables: Array) -> Array:
    """Number of comparisons, ``(..., K, K)`` to ``(...)``."""
    return tables.sum(axis=(-2, -1))


def observed(tables: Array, weights: Array | None = None) -> Array:
    """Number of agreements: the diagonal, or all cells weighted, ``(..., K, K)`` to ``(...)``."""
    if weights is None:
        return np.trace(tables, axis1=-2, axis2=-1)
    return (tables * weights).sum(axis=(-2, -1))


def expected_cohen(tables: Array, weights: Array | None = None) -> Array:
    """Agreements expected of two raters who keep their own margins: sum of r_k c_k / N (Cohen 1960, weighted 1968)."""
    rows, columns = tables.sum(axis=-1), tables.sum(axis=-2)
    products = rows * columns if weights is None else (rows @ weights) * columns
    return _divide(products.sum(axis=-1), total(tables), empty=0.0)


def expected_gwet(tables: Array) -> Array:
    """Agreements expected by AC1: N times sum of p_k (1 - p_k) / (K - 1), p_k the mean margin (Gwet 2008, eq. 5)."""
    levels = tables.shape[-1]
    count = total(tables)
    mean = _divide((tables.sum(axis=-1) + tables.sum(axis=-2)) / 2, count[..., None], empty=0.0)
    return count * (mean * (1 - mean)).sum(axis=-1) / (levels - 1)


def expected_uniform(tables: Array) -> Array:
    """Agreements expected if all K labels were equally likely: N / K (Bennett et al. 1954; PABAK: Byrt et al. 1993)."""
    return total(tables) / tables.shape[-1]


def expected_krippendorff(matrices: Array) -> Array:
    """Agreements expected by alpha from coincidence matrices: sum of n_k (n_k - 1) / (n - 1) (Krippendorff 2011)."""
    margins = matrices.sum(axis=-1)
    return _divide((margins * (margins - 1)).sum(axis=-1), total(matrices) - 1, empty=0.0)


def corrected(observed: Array, expected: Array, total: Array) -> Array:
    """``(O - E) / (N - E)``; NaN where nothing was compared or chance alone agrees everywhere."""
    return _divide(observed - expected, total - expected)


def agreement(tables: Array) -> Array:
    """Raw share of equal labels, not corrected for chance."""
    return _divide(observed(tables), total(tables))


def kappa(tables: Array, weights: Array | None = None) -> Array:
    """Cohen's kappa (1960), or weighted kappa (1968) with weights from :func:`agreement_weights`."""
    return corrected(observed(tables, weights), expected_cohen(tables, weights), total(tables))


def ac1(tables: Array) -> Array:
    """Gwet's AC1 (2008), which stays high where nearly all labels are alike and raters agree on them."""
    return corrected(observed(tables), expected_gwet(tables), total(tables))


def pabak(tables: Array) -> Array:
    """Prevalence- and bias-adjusted kappa (Byrt, Bishop & Carlin 1993); with K labels, Bennett's S."""
    return corrected(observed(tables), expected_uniform(tables), total(tables))


def alpha(matrices: Array) -> Array:
    """Krippendorff's nominal alpha from coincidence matrices (:func:`coincidences`)."""
    return corrected(observed(matrices), expected_krippendorff(matrices), total(matrices))


def prevalence_index(tables: Array) -> Array:
    """Share of agreed positives minus agreed negatives in ``(..., 2, 2)`` tables, label 1 = positive (Byrt 1993).

    Far from 0, one label prevails and kappa is low even where raters rarely disagree.
    """
    return _divide(tables[..., 1, 1] - tables[..., 0, 0], total(tables))


def bias_index(tables: Array) -> Array:
    """How much more often the first rater says positive, as a share, in ``(..., 2, 2)`` tables (Byrt 1993)."""
    return _divide(tables[..., 1, 0] - tables[..., 0, 1], total(tables))


def specific_agreement(tables: Array) -> Array:
    """Agreement on each label, ``(..., K)``: of the times either rater gave it, weighted, how often the other did too.

    2 n_kk / (r_k + c_k); for two labels the positive and negative agreement of Cicchetti & Feinstein (1990).
    """
    margins = tables.sum(axis=-1) + tables.sum(axis=-2)
    return _divide(2 * np.diagonal(tables, axis1=-2, axis2=-1), margins)


def binary(tables: Array) -> Array:
    """Collapse ``(..., K, K)`` tables to ``(..., 2, 2)``: label 0 (not engaged) against all others."""
    collapse = np.zeros((tables.shape[-1], 2))
    collapse[0, 0] = 1
    collapse[1:, 1] = 1
    return collapse.T @ tables @ collapse


def _divide(numerator: Array, denominator: Array, empty: float = np.nan) -> Array:
    """Divide; where the denominator is 0 (or a rounding error below 0), the result is ``empty``."""
    numerator, denominator = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
    result = np.full(denominator.shape, empty)
    np.divide(numerator, denominator, out=result, where=denominator > 1e-9)
    return result
