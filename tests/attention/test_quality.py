"""The tables of quality: a model that is known, an explanation that is right, one that looks elsewhere."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from attune import artifacts
from attune.attention import quality, quality_figures, quality_tables
from attune.attention.attribution import METHODS, Method
from attune.attention.attribution_config import AttributionConfig
from attune.attention.faithfulness import FaithfulnessConfig
from attune.attention.quality import QualityConfig, Subject
from attune.attention.sanity import SanityConfig
from attune.learning import encoders
from attune.learning.encoders import EncoderConfig
from attune.learning.models import Network

torch.set_num_threads(1)

T, S = 2, 32
EVIDENCE = np.zeros((T, S, S), dtype=np.float32)
EVIDENCE[:, 4:12, 20:28] = 1  # in a corner, where the centre prior has little
CONFIG = QualityConfig(
    sane_methods=("saliency",),
    smooth_methods=("saliency",),
    faithfulness=FaithfulnessConfig(steps=3),
    sanity=SanityConfig(blocks=2, noisy=2),
    draws=200,
)


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    encoder = encoders.build(EncoderConfig(name="timm/test_resnet", weights="none", input_size=S))
    return Network(encoder, nn.Linear(encoder.feature_size, 2)).eval()


def subject(network: Network, name: str = "a", evidence: np.ndarray | None = EVIDENCE, **marks: bool) -> Subject:
    row = {"snippet": name, "session": f"s{name}", "task": "drums", "variable": "attending", "label": 1}
    clip = torch.randn(3, T, S, S, generator=torch.Generator().manual_seed(ord(name)))
    parts = {"saliency": -EVIDENCE, "occlusion": 1 - EVIDENCE}
    return Subject(row, network, clip, parts, evidence, **marks)


@pytest.fixture(scope="module")
def measured(network: Network) -> tuple[pd.DataFrame, pd.DataFrame]:
    return quality.measure(subject(network), CONFIG, AttributionConfig())


def values(table: pd.DataFrame, measure: str) -> dict[str, float]:
    rows = table[table["measure"] == measure]
    return dict(zip(rows["method"], rows["value"], strict=True))


def test_maps_on_the_evidence_score_one_and_floors_their_share(measured: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    table, _ = measured
    assert list(table.columns) == list(quality_tables.MEASURES)
    mass, above = values(table, "mass_inside"), values(table, "mass_above_centre")
    assert (mass["saliency"], mass["occlusion"]) == (1, 0)  # its sign does not matter for the first
    assert mass["random"] == pytest.approx(64 / S**2, abs=0.01)
    places = (np.arange(S) + 0.5) / S - 0.5
    bell = np.exp(-(places**2) / (2 * 0.25**2))
    expected = bell[4:12].sum() * bell[20:28].sum() / bell.sum() ** 2
    assert mass["centre"] == pytest.approx(expected, abs=1e-6)
    assert above["saliency"] == pytest.approx(1 - expected, abs=1e-6)
    assert above["centre"] == 0
    pointing = values(table, "pointing_game")
    assert (pointing["saliency"], pointing["occlusion"], pointing["centre"]) == (1, 0, 0)


def test_the_randomised_model_is_measured_for_the_methods_that_were_named(
    measured: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    table, curves = measured
    assert set(values(table, "smprt")) == {"saliency"}
    lost, randomised = values(table, "mass_lost"), values(table, "mass_inside_randomised")
    assert set(lost) == set(randomised) == {"saliency"}
    assert lost["saliency"] == pytest.approx(1 - randomised["saliency"], abs=1e-6)
    assert randomised["saliency"] < 0.3
    steps = curves[(curves["curve"] == "spearman") & (curves["method"] == "saliency")]
    assert list(steps["name"]) == ["trained", "head", "block_2", "block_1"]
    assert steps["value"].iloc[0] == 1
    assert values(table, "mprt")["saliency"] == pytest.approx(steps["value"].iloc[1:].mean(), abs=1e-5)
    assert -1 <= values(table, "smprt")["saliency"] <= 1


def test_faithfulness_curves_share_their_ends(measured: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    table, curves = measured
    for kind in ("deletion", "insertion"):
        assert set(values(table, kind)) == {"saliency", "occlusion", "centre", "random"}
        part = curves[curves["curve"] == kind].pivot_table(index="step", columns="method", values="value")
        assert part.loc[0].nunique() == part.loc[3].nunique() == 1
        area = (part.iloc[1:].to_numpy() + part.iloc[:-1].to_numpy()).mean(axis=0) / 2
        np.testing.assert_allclose([values(table, kind)[name] for name in part.columns], area, atol=2e-6)


def test_without_truth_nothing_is_said_about_places(network: Network) -> None:
    table, curves = quality.measure(subject(network, evidence=None, sane=False), CONFIG, AttributionConfig())
    assert set(table["measure"]) == {"deletion", "insertion"}
    assert set(curves["curve"]) == {"deletion", "insertion"}


def test_the_same_snippet_gives_the_same_tables(network: Network, measured: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    for before, after in zip(measured, quality.measure(subject(network), CONFIG, AttributionConfig()), strict=True):
        pd.testing.assert_frame_equal(before, after)


def rows(count: int) -> pd.DataFrame:
    """Snippets of two sessions each per task, variable and label."""
    cells = [
        (session, task, variable, label)
        for task in ("a", "b")
        for variable in ("x", "y")
        for label in (0, 1)
        for session in ("s", "t")
        for _ in range(count)
    ]
    table = pd.DataFrame(cells, columns=["session", "task", "variable", "label"])
    return table.assign(snippet=[f"{session}-{n:03d}" for n, session in enumerate(table["session"])])


def test_few_snippets_are_spread_over_models_labels_and_sessions() -> None:
    table = rows(3)
    assert len(quality.choose(table, 0)) == len(table)
    for count in (4, 8, 16):
        chosen = table[table["snippet"].isin(quality.choose(table, count))]
        assert len(chosen) == count
        assert (chosen.groupby(["task", "variable"]).size() == count // 4).all()
        assert (chosen["label"].mean(), len(chosen["label"].unique())) == (0.5, 2)
    both = table[table["snippet"].isin(quality.choose(table, 16))]
    assert (both.groupby(["task", "variable", "label"])["session"].nunique() == 2).all()
    shuffled = table.sample(frac=1, random_state=0)
    assert quality.choose(shuffled, 8) == quality.choose(table, 8)


def test_few_snippets_of_a_variable_are_of_as_many_sessions_as_there_are() -> None:
    table = rows(2)
    more = table.assign(session=table["session"] + "2", snippet=table["snippet"] + "-2")
    chosen = pd.concat([table, more]).set_index("snippet").loc[sorted(quality.choose(pd.concat([table, more]), 8))]
    assert (chosen.groupby("variable")["session"].nunique() == 4).all()


def long(method: str, measure: str, numbers: list[float], variable: str = "attending") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "snippet": [f"{variable}{k}" for k in range(len(numbers))],
            "session": [f"s{k}" for k in range(len(numbers))],
            "task": "drums",
            "variable": variable,
            "label": 1,
            "method": method,
            "measure": measure,
            "value": numbers,
        }
    )


def test_summary_and_headline() -> None:
    table = pd.concat(
        [
            long("saliency", "mass_above_centre", [0.1, 0.2, 0.3, np.nan]),
            long("saliency", "mass_above_centre", [0.4] * 4, "participating"),
            long("saliency", "deletion", [0.5] * 4),
            long("centre", "emprt", [np.nan] * 4),
        ]
    )
    summary = quality.summarise(table, CONFIG)
    assert list(summary.columns) == list(quality_tables.SUMMARY)
    found = summary.set_index(["variable", "method", "measure"])
    assert found.loc[("attending", "saliency", "mass_above_centre"), "mean"] == pytest.approx(0.2)
    assert found.loc[("attending", "saliency", "mass_above_centre"), "snippets"] == 3
    whole = quality_tables.headline(summary)
    assert whole["saliency"]["mass_above_centre"] == pytest.approx(2.2 / 7, abs=1e-6)
    assert 0.1 < whole["saliency"]["mass_above_centre_low"] < 2.2 / 7 < whole["saliency"]["mass_above_centre_high"]
    assert whole["saliency"]["deletion"] == 0.5
    assert whole["centre"] == {}
    assert all(math.isfinite(value) for numbers in whole.values() for value in numbers.values())


def test_headline_tells_each_variable_of_methods_that_explained_random_models() -> None:
    numbers = {"attending": [0.1, 0.2, 0.3], "participating": [-0.1, 0.0, 0.1]}
    parts = [
        long(method, name, values, variable)
        for variable, values in numbers.items()
        for method, name in (
            ("saliency", "mass_lost"),
            ("saliency", "mass_above_centre"),
            ("random", "mass_above_centre"),
        )
    ]
    found = quality_tables.headline(quality.summarise(pd.concat(parts), CONFIG))
    assert found["saliency"]["mass_lost_attending"] == pytest.approx(0.2)
    assert found["saliency"]["mass_lost_attending_low"] > 0 > found["saliency"]["mass_lost_participating_low"]
    assert not any("attending" in name for name in found["random"])


def test_a_method_finds_the_evidence_of_the_demo_and_loses_it_with_the_weights() -> None:
    """What must hold of the committed results: more mass inside than the centre prior, gone with random weights."""
    file = Path(__file__).parents[2] / "metrics" / "engagement" / "attention_quality.json"
    bounds = ("mass_above_centre_low", "mass_lost_low")
    scores = {name: [each.get(bound, math.nan) for bound in bounds] for name, each in artifacts.read_json(file).items()}
    assert any(min(found) > 0 for found in scores.values() if not any(map(math.isnan, found))), scores


def test_figures_show_what_there_is(measured: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    table, curves = measured
    figure = quality_figures.draw(quality.summarise(table, CONFIG))
    titles = [axes.get_title() for axes in figure.axes if axes.get_visible()]
    assert len(titles) == len(quality_figures.PANELS)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["occlusion", "saliency", "centre", "random"]
    drawn = quality_figures.draw_curves(curves)
    assert [axes.get_title() for axes in drawn.axes] == list(quality_figures.CURVE_TITLES)
    empty = quality_figures.draw_curves(curves[:0])
    assert len(empty.axes) == 1


def test_every_method_of_the_table_can_be_measured() -> None:
    assert {"saliency", "hires_cam"} <= set(METHODS)
    assert all(isinstance(method, Method) for method in METHODS.values())
