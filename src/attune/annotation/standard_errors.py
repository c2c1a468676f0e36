"""Standard errors of coefficients for independent subjects, as SAS and R print them.

They hold for subjects that were drawn independently. Samples within a session are not, so the intervals of recordings
come from a bootstrap over sessions (:mod:`attune.annotation.bootstrap`); these are for comparing with other tools.
"""

import numpy as np

from attune.annotation.agreement import Array


def kappa_errors(table: Array, weights: Array | None = None) -> tuple[float, float]:
    """Asymptotic standard errors of Cohen's kappa, plain or weighted (Fleiss, Cohen & Everitt 1969).

    Args:
        table: counts of one pair of raters, ``(K, K)``.
        weights: partial credit ``(K, K)``; only equal labels agree unless given.

    Returns:
        The error of the estimate, for intervals, and the error if kappa is 0, for a test of that.
    """
    weights = np.eye(len(table)) if weights is None else weights
    number = table.sum()
    shares = table / number
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    observed, expected = (weights * shares).sum(), rows @ weights @ columns
    kappa = (observed - expected) / (1 - expected)
    margins = (weights @ columns)[:, None] + (rows @ weights)[None, :]
    scale = number * (1 - expected) ** 2
    spread = (shares * (weights - margins * (1 - kappa)) ** 2).sum() - (kappa - expected * (1 - kappa)) ** 2
    under_zero = (np.outer(rows, columns) * (weights - margins) ** 2).sum() - expected**2
    return float(np.sqrt(spread / scale)), float(np.sqrt(under_zero / scale))


def fleiss_error(counts: Array) -> float:
    """Standard error of Fleiss's kappa if it is 0 (Fleiss, Nee & Landis 1979).

    Args:
        counts: how many raters gave each label, ``(subjects, levels)``, as many ratings for every subject.

    Raises:
        ValueError: subjects have different numbers of ratings, for which the formula is not made.
    """
    subjects, raters = len(counts), counts.sum(axis=1)
    if len(set(raters)) != 1:
        raise ValueError(f"Expected as many ratings for every subject, got {raters.min():g} to {raters.max():g}")
    shares = counts.sum(axis=0) / counts.sum()
    products = shares * (1 - shares)
    total = products.sum()
    variance = 2 * (total**2 - (products * (1 - 2 * shares)).sum()) / (subjects * raters[0] * (raters[0] - 1))
    return float(np.sqrt(variance) / total)
