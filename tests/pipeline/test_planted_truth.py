"""On the demo, the reliability that the pipeline measures is the one that was planted."""

from itertools import combinations

import pandas as pd
import pytest

from attune import params
from attune.annotation import extraction, filling, reliability, spans
from attune.annotation.protocol import Protocol
from attune.annotation.reliability import ReliabilityConfig
from attune.demo import implied, recordings
from attune.demo.config import DemoConfig
from tests.pipeline.structure import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def protocol() -> Protocol:
    return params.load("engagement.protocol", Protocol, ROOT / "params.yaml")


@pytest.fixture(scope="module")
def demo() -> DemoConfig:
    return params.load("demo", DemoConfig, ROOT / "params.yaml")


@pytest.fixture(scope="module")
def measured(protocol: Protocol, demo: DemoConfig, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The agreement table of the committed demo's ELAN files, which need no video."""
    folder = tmp_path_factory.mktemp("codings")
    (folder / "eaf").mkdir()
    for plan in recordings.plan(demo, protocol):
        session = recordings.behave(plan, demo, protocol)
        codings = recordings.code(plan, session, demo, protocol)
        recordings.write_codings(folder / "eaf", plan, codings, demo.seed, protocol)
    extraction.extract(folder / "eaf", protocol, {}, folder / "spans.csv", folder / "tabs")
    filled = filling.fill(spans.read(folder / "spans.csv", spans.ORIGINAL), protocol, "spans.csv")
    config = params.load("engagement.reliability", ReliabilityConfig, ROOT / "params.yaml")
    return reliability.measure([filled.tasks], [filled.spans], protocol, config)["agreement"]


def test_measured_reliability_agrees_with_the_truth(
    measured: pd.DataFrame, protocol: Protocol, demo: DemoConfig
) -> None:
    styles = recordings.styles(demo, protocol)
    groups = [plan.coders for plan in recordings.plan(demo, protocol)]
    planted = pd.DataFrame(implied.expect_agreement(demo, protocol, styles, groups)["expected"])
    names = {"-".join(pair): pair for pair in combinations(protocol.annotators, 2)} | {"all": ("all", "all")}
    planted[["annotator_1", "annotator_2"]] = [names[pair] for pair in planted["pair"]]
    both = planted.merge(
        measured[measured["task"] == "all"],
        on=["annotator_1", "annotator_2", "variable", "labels"],
        suffixes=("_planted", ""),
    )
    assert len(both) == len(planted) == len(names) * len(protocol.variables) * 2
    inside = both["kappa_planted"].between(both["kappa_low"], both["kappa_high"])
    assert inside.all(), both.loc[~inside, ["pair", "variable", "labels", "kappa_planted", "kappa_low", "kappa_high"]]
    # The test could not fail if the intervals were wide or the pairs alike.
    pooled = both[both["pair"] == "all"]
    assert (pooled["kappa_high"] - pooled["kappa_low"]).max() < 0.2
    assert both["kappa_planted"].max() - both["kappa_planted"].min() > 0.1
