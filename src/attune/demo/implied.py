"""The agreement that the annotators' styles imply, by simulating many sessions that nobody renders.

Agreement and Cohen's kappa are computed here from contingency tables by their definition (Cohen 1960, Educational and
Psychological Measurement 20, 37-46), apart from the code that measures reliability, so that each can check the other.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attune.annotation.protocol import NO, Protocol
from attune.demo import annotators
from attune.demo.behaviour import Session, Span, simulate
from attune.demo.config import DemoConfig, Style

SAMPLE_MS = 100
BATCHES = 20

Counts = NDArray[np.float64]


def expect_agreement(
    config: DemoConfig, protocol: Protocol, styles: Mapping[str, Style], groups: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """Simulate and count.

    Args:
        config: how many sessions to simulate, and from which seed.
        protocol: tasks and vocabularies.
        styles: per annotator.
        groups: which annotators coded each recorded session; weighs the pairs in ``all``.

    Returns:
        ``expected``: one record per pair (and ``all``), variable and kind of labels (``binary``: engaged or not;
        ``multi``: all values), with raw agreement, kappa, their expected error (jackknife over batches of sessions)
        and the number of sessions and the step of sampling beside it.
    """
    pairs = list(combinations(styles, 2))
    levels = {
        name: {value: code for code, value in enumerate((NO, *variable.values))}
        for name, variable in protocol.variables.items()
    }
    tables = {
        (pair, name): np.zeros((BATCHES, len(codes), len(codes))) for pair in pairs for name, codes in levels.items()
    }
    for number in range(config.simulated_sessions):
        session = simulate(config, protocol.tasks, np.random.default_rng([config.seed, 100, number]))
        for key, table in _count(session, styles, levels, [config.seed, 101, number]).items():
            tables[key][number % BATCHES] += table
    weights = {pair: sum(set(pair) <= set(group) for group in groups) for pair in pairs}
    records = []
    for name in levels:
        together = sum(weights[pair] * tables[pair, name] for pair in pairs)
        named = [("-".join(pair), tables[pair, name]) for pair in pairs] + [("all", np.asarray(together))]
        for pair_name, table in named:
            records.append({"pair": pair_name, "variable": name, "labels": "binary", **_measure(_binary(table))})
            records.append({"pair": pair_name, "variable": name, "labels": "multi", **_measure(table)})
    return {"simulated_sessions": config.simulated_sessions, "sample_ms": SAMPLE_MS, "expected": records}


def label(spans: Sequence[Span], codes: Mapping[str, int], times_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """The code of the span at each time; 0, the code of ``no``, between spans."""
    borders = np.array([border for span in spans for border in (span.start_ms, span.end_ms)], np.int64)
    values = np.array([0, *(code for span in spans for code in (codes[span.value], 0))], np.int64)
    return values[np.searchsorted(borders, times_ms, side="right")]


def common_times(codings: Sequence[Mapping[str, Sequence[Span]]], duration_ms: int) -> NDArray[np.int64]:
    """Every 100 ms that lies inside a task and outside every ignored span for all annotators."""
    times = np.arange(0, duration_ms, SAMPLE_MS)
    inside = np.ones(len(times), bool)
    for coding in codings:
        inside &= label(coding["task"], {span.value: 1 for span in coding["task"]}, times) == 1
        inside &= label(coding["ignore"], {"ignore": 1}, times) == 0
    return times[inside]


def agreement(table: Counts) -> float:
    """Share of equal labels in a contingency table."""
    return float(np.trace(table) / table.sum())


def kappa(table: Counts) -> float:
    """Cohen's kappa of a contingency table."""
    share = table / table.sum()
    chance = float(share.sum(axis=0) @ share.sum(axis=1))
    return (float(np.trace(share)) - chance) / (1 - chance)


def _count(
    session: Session, styles: Mapping[str, Style], levels: Mapping[str, Mapping[str, int]], seed: Sequence[int]
) -> dict[tuple[tuple[str, str], str], Counts]:
    codings = {
        name: annotators.code(session, style, np.random.default_rng([*seed, index]))
        for index, (name, style) in enumerate(styles.items())
    }
    times = common_times(list(codings.values()), session.duration_ms)
    counts = {}
    for variable, codes in levels.items():
        labels = {name: label(coding[variable], codes, times) for name, coding in codings.items()}
        for pair in combinations(styles, 2):
            joined = labels[pair[0]] * len(codes) + labels[pair[1]]
            counts[pair, variable] = (
                np.bincount(joined, minlength=len(codes) ** 2).reshape(-1, len(codes)).astype(float)
            )
    return counts


def _binary(tables: Counts) -> Counts:
    """Fold all levels but the first into one, (..., K, K) to (..., 2, 2)."""
    rows = np.stack([tables[..., 0, :], tables[..., 1:, :].sum(axis=-2)], axis=-2)
    return np.stack([rows[..., 0], rows[..., 1:].sum(axis=-1)], axis=-1)


def _measure(batches: Counts) -> dict[str, float]:
    """Agreement and kappa of all batches together, and the standard error of simulation."""
    whole = batches.sum(axis=0)
    measured: dict[str, float] = {}
    for name, measure in (("agreement", agreement), ("kappa", kappa)):
        left_out = np.array([measure(whole - batch) for batch in batches])
        error = np.sqrt((BATCHES - 1) * np.mean((left_out - left_out.mean()) ** 2))
        measured |= {name: round(measure(whole), 5), f"{name}_error": round(float(error), 5)}
    return measured
