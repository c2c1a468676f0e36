from pathlib import Path

import numpy as np
import pytest

from attune import artifacts
from attune.annotation.protocol import NO, Protocol
from attune.demo import annotators, implied
from attune.demo.behaviour import Span, simulate
from attune.demo.config import DemoConfig


@pytest.mark.parametrize(
    ("table", "kappa"), [([[118, 5], [2, 0]], -0.0234), ([[40, 9], [6, 45]], 0.6995), ([[20, 5], [10, 15]], 0.4)]
)
def test_kappa_of_published_tables(table: list[list[int]], kappa: float) -> None:
    assert implied.kappa(np.array(table, float)) == pytest.approx(kappa, abs=5e-5)


def test_labels_are_half_open() -> None:
    spans = [Span("self", 100, 300), Span("joint", 300, 400), Span("self", 600, 700)]
    labels = implied.label(spans, {NO: 0, "self": 1, "joint": 2}, np.arange(0, 800, 100))
    assert labels.tolist() == [0, 1, 1, 2, 0, 0, 1, 0]


def at(spans: list[Span], time_ms: int) -> str:
    return next((span.value for span in spans if span.start_ms <= time_ms < span.end_ms), NO)


def test_implied_agreement_equals_a_plain_count(protocol: Protocol) -> None:
    """Other sessions, no table: labels compared one by one."""
    config = DemoConfig(simulated_sessions=400)
    styles = dict(zip(protocol.annotators, config.styles, strict=True))
    found = implied.expect_agreement(config, protocol, styles, [("ew", "mt")])
    expected = {(r["pair"], r["variable"], r["labels"]): r for r in found["expected"]}
    equal = {"binary": 0, "multi": 0}
    total = 0
    for number in range(60):
        session = simulate(config, protocol.tasks, np.random.default_rng([77, number]))
        codings = [
            annotators.code(session, styles[name], np.random.default_rng([78, number, index]))
            for index, name in enumerate(("ew", "mt"))
        ]
        for time in range(0, session.duration_ms, 100):
            if all(at(c["task"], time) != NO and at(c["ignore"], time) == NO for c in codings):
                first, second = (at(c["attending"], time) for c in codings)
                total += 1
                equal["multi"] += first == second
                equal["binary"] += (first != NO) == (second != NO)
    for labels, count in equal.items():
        record = expected["ew-mt", "attending", labels]
        # The error of 60 sessions follows from that of 400.
        assert count / total == pytest.approx(
            record["agreement"], abs=4 * record["agreement_error"] * (400 / 60) ** 0.5
        )
        assert expected["all", "attending", labels] | {"pair": ""} == record | {"pair": ""}  # the only pair recorded


def test_alike_styles_agree_best(tiny_demo: Path) -> None:
    agreement = artifacts.read_json(tiny_demo / "truth" / "agreement.json")
    kappa = {(r["pair"], r["variable"], r["labels"]): r["kappa"] for r in agreement["expected"]}
    for variable in ("attending", "participating"):
        for labels in ("binary", "multi"):
            alike, other, third = (kappa[pair, variable, labels] for pair in ("ew-kb", "ew-mt", "kb-mt"))
            assert min(alike, 0.99) > max(other, third) + 0.03
            assert min(other, third) <= kappa["all", variable, labels] <= alike
