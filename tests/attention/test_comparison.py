"""The table of similarities, its summary and figure, on small paintings whose relations are known."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from attune import artifacts
from attune.attention import (
    comparison,
    comparison_figures,
    comparison_inputs,
    comparison_summary,
    map_files,
    painting,
    similarity,
)
from attune.attention.comparison import ComparisonConfig, ModeConfig, Setting
from attune.attention.map_files import Explanation
from attune.attention.maps import Rule
from attune.learning.pixels import PixelConfig
from attune.problems import InputError, Problem

SHAPE = (3, 32, 48)
CONFIG = ComparisonConfig(size=8, frame=ModeConfig(emd_size=8), volume=ModeConfig(emd_size=8))
SETTING = Setting("square", 3.125)
PLACES = {"s1-eggs-attending-0000000": 12.0, "s1-eggs-attending-0010000": 36.0, "s2-eggs-attending-0000000": 20.0}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Annotators a and b paint a spot per clip, b a little beside it; a repeats the first and has a stale one."""
    tmp_path = tmp_path_factory.mktemp("compare")
    rows = []
    for snippet, x in PLACES.items():
        session, task, variable, start = snippet.split("-")
        for annotator, shift in (("a", 0.0), ("b", 2.0)):
            rows.append((snippet, session, annotator, task, variable, int(start), 1))
            paint(tmp_path, annotator, snippet, snippet, x + shift)
        write_machine(tmp_path, snippet, x)
    rows.append(("s2-eggs-attending-0020000", "s2", "a", "eggs", "attending", 20000, 0))  # not painted yet
    paint(tmp_path, "a", "s1-eggs-attending-0000000", "s1-eggs-attending-0000000_again", 13.0)
    paint(tmp_path, "a", "s9-eggs-attending-0000000", "s9-eggs-attending-0000000", 5.0)
    columns = list(comparison_inputs.SNIPPETS)
    artifacts.write_table(tmp_path / "snippets.csv", pd.DataFrame(rows, columns=columns))
    return tmp_path


def paint(folder: Path, annotator: str, snippet: str, name: str, x: float) -> None:
    strokes = tuple(painting.Stroke(frame=frame, radius=4.0, points=((x, 16.0),)) for frame in (0, 1))
    item = painting.Painting(
        annotator=annotator, painting=name, snippet=snippet, strokes=strokes, labels={"attending": 0}
    )
    painting.save(folder / "paintings", item, SHAPE)


def write_machine(folder: Path, snippet: str, x: float, rule: Rule = "absolute") -> None:
    """The method ``near`` looks where people do, ``far`` elsewhere; the central square begins at column 8."""
    place = np.indices((3, 16, 16))[2]
    near = np.exp(-((place - (x - 8) / 2) ** 2) / 8)
    maps = {"near__matching": -near, "near__opposite": near[:, ::-1, ::-1], "far__matching": 1 - near}
    maps["far__opposite"] = near.transpose(0, 2, 1)
    parts = {tuple(name.split("__")): values.astype(np.float32) for name, values in maps.items()}
    (folder / "machine").mkdir(exist_ok=True)
    found = Explanation(parts, {"near": rule, "far": "absolute"}, 0.75, 1)
    map_files.save(folder / "machine" / f"{snippet}.npz", found)


def collect(folder: Path) -> comparison_inputs.Inventory:
    table = artifacts.read_table(folder / "snippets.csv", comparison_inputs.SNIPPETS)
    return comparison_inputs.collect(folder / "paintings", folder / "machine", table)


def compare(folder: Path, workers: int = 1) -> pd.DataFrame:
    table, problems = comparison.compare_all(collect(folder).pairings, CONFIG, SETTING, workers)
    assert problems == []
    return table


def test_inventory_reports_what_is_left_out(folders: Path) -> None:
    found = collect(folders)
    assert found.counts == {"candidates": 7, "painted": 6, "not_painted_yet": 1, "repeated": 1, "snippet_gone": 1}
    assert found.gone == ["a/s9-eggs-attending-0000000"]
    [warning] = found.problems
    assert warning.severity == "warning"
    assert "s9-eggs-attending-0000000" in str(warning)


def test_opponents(folders: Path) -> None:
    first = next(item for item in collect(folders).pairings if item.reference.annotator == "a")
    told = {(opponent.method, opponent.annotator, opponent.snippet) for opponent in first.opponents}
    here = "s1-eggs-attending-0000000"
    assert first.reference.snippet == here
    assert told == {("human", "b", here), ("repeat", "a", here), ("permuted", "a", "s2-eggs-attending-0000000")}


def test_one_row_per_comparison(folders: Path) -> None:
    table = compare(folders)
    keys = ["snippet", "annotator", "method", "condition", "other", "measure", "mode"]
    assert not table.duplicated(keys).any()
    counts = table.groupby("kind").size() / (len(similarity.MEASURES) * 2)
    assert counts.to_dict() == {"machine": 6 * 2 * 2, "ceiling": 6, "repeat": 1, "floor": 6 * 2}
    assert set(table["own_label"]) == {0}
    assert set(table["prediction"]) == {1}
    frames = table[table["mode"] == "frame"]
    assert set(frames["frames"]) == {3}
    assert set(frames[frames["measure"] == "pearson"]["defined"]) == {2}  # nobody painted the last frame
    assert table["value"].notna().all()


def test_values_are_those_of_the_measures_on_the_models_view(folders: Path) -> None:
    table = compare(folders)
    row = table[(table["method"] == "far") & (table["condition"] == "opposite") & (table["mode"] == "frame")].iloc[0]
    painted = painting.read_map(folders / "paintings" / row["annotator"] / row["snippet"])[:, :, 8:40]
    with np.load(folders / "machine" / f"{row['snippet']}.npz") as file:
        machine = file["far__opposite"].astype(float)
    cells = painted.reshape(3, 8, 4, 8, 4).mean(axis=(2, 4)), machine.reshape(3, 8, 2, 8, 2).mean(axis=(2, 4))
    rough = np.mean([np.corrcoef(h.ravel(), m.ravel())[0, 1] for h, m in zip(*cells, strict=True) if h.any()])
    assert row["measure"] == "pearson"
    assert row["value"] == pytest.approx(rough, abs=0.1)  # block means in place of the Gaussian
    emd = table[(table["method"] == "human") & (table["measure"] == "emd") & (table["mode"] == "frame")]
    inside = emd[emd["session"] == "s2"]  # a spot in the middle of the view
    assert inside["value"].to_numpy() == pytest.approx(2.0, rel=0.1)  # pixels of the frame, whatever the grid


def test_sign_of_an_attribution_counts_as_its_method_has_it(folders: Path, tmp_path: Path) -> None:
    own = shutil.copytree(folders, tmp_path / "own")
    for snippet, x in PLACES.items():
        write_machine(own, snippet, x, "positive")
    table = compare(own)
    chosen = table[(table["method"] == "near") & (table["condition"] == "matching")]
    assert chosen[chosen["measure"] == "divergence"]["value"].isna().all()  # nothing of it is positive
    assert (chosen[chosen["measure"] == "divergence"]["defined"] == 0).all()


@pytest.mark.slow
def test_number_of_processes_does_not_matter(folders: Path, tmp_path: Path) -> None:
    pd.testing.assert_frame_equal(compare(folders, 1), compare(folders, 2))
    own = shutil.copytree(folders, tmp_path / "own")
    damaged = own / "machine" / f"{list(PLACES)[1]}.npz"
    damaged.write_bytes(b"PK no archive")
    with pytest.raises(InputError, match=damaged.stem):
        compare(own, 2)


def test_summary_finds_the_method_that_looks_where_people_do(folders: Path) -> None:
    table = compare(folders)
    summary = comparison_summary.summarise(table, CONFIG.bootstrap)
    for mode in similarity.MODES:
        for measure in similarity.MEASURES:
            assert comparison_summary.ranked(summary, mode, measure)[0] == "near"
    chosen = summary[(summary["method"] == "near") & (summary["condition"] == "matching")]
    row = chosen[(chosen["measure"] == "pearson") & (chosen["mode"] == "frame")].iloc[0]
    values = table[(table["method"] == "near") & (table["condition"] == "matching")]
    values = values[(values["measure"] == "pearson") & (values["mode"] == "frame")]
    assert row["mean"] == pytest.approx(values["value"].mean(), abs=1e-6)
    by_session = values.groupby("session")["value"].mean()
    assert (row["low"], row["high"]) == pytest.approx((by_session.min(), by_session.max()), abs=1e-6)  # two sessions
    assert (row["undefined_frames"], row["frames"]) == (6, 18)


def test_headline(folders: Path) -> None:
    summary = comparison_summary.summarise(compare(folders), CONFIG.bootstrap)
    numbers = comparison_summary.headline(summary, {"painted": 6})
    assert numbers["mode"] == "frame"
    assert numbers["painted"] == 6
    assert numbers["pearson"]["best"] == "near"
    unlike = summary.assign(gain_low=summary["gain_low"].where(summary["method"] != "human", -0.1))
    assert comparison_summary.headline(unlike, {})["pearson"]["best"] is None
    assert comparison_summary.headline(unlike, {})["pearson"]["ranks"] is False
    assert numbers["pearson"]["human"] > numbers["pearson"]["near_matching"] > numbers["pearson"]["far_matching"]
    assert numbers["emd"]["human"] < numbers["emd"]["permuted"]


def test_gain_is_positive_where_a_method_is_more_alike_than_both_floors() -> None:
    rows = [("frame", "emd", kind, method, "matching" if kind == "machine" else "", value, session)
            for session, shift in (("s1", 0.0), ("s2", 1.0))
            for kind, method, value in (("machine", "m", 3 + shift), ("floor", "centre", 5 + shift),
                                        ("floor", "permuted", 9 + shift))]  # fmt: skip
    table = pd.DataFrame(rows, columns=["mode", "measure", "kind", "method", "condition", "value", "session"])
    summary = comparison_summary.summarise(table.assign(defined=1, frames=1), CONFIG.bootstrap)
    gains = summary.set_index("method")[["gain", "gain_low", "gain_high"]]
    assert gains.loc["m"].tolist() == [2, 2, 2]  # the sessions' spread, which all share, cancels
    assert gains.loc["permuted"].tolist() == [-4, -4, -4]


def test_nothing_painted_yet(folders: Path) -> None:
    table, _ = comparison.compare_all([], CONFIG, SETTING)
    artifacts.write_table(folders / "empty.csv", table)
    table = artifacts.read_table(folders / "empty.csv", comparison.COLUMNS)
    summary = comparison_summary.summarise(table, CONFIG.bootstrap)
    artifacts.write_json(folders / "metrics.json", comparison_summary.headline(summary, {}))
    assert comparison_figures.draw(summary, "frame", 0.95).get_axes()


def test_figure_shows_every_measure_and_order(folders: Path) -> None:
    summary = comparison_summary.summarise(compare(folders), CONFIG.bootstrap)
    panels = comparison_figures.draw(summary, "volume", 0.95).get_axes()
    titles = [axes.get_title() for axes in panels]
    for measure in similarity.MEASURES.values():
        assert any(title.startswith(measure.title) for title in titles)
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["near", "far"]


def test_figure_tells_what_a_value_cannot(folders: Path) -> None:
    summary = comparison_summary.summarise(compare(folders), CONFIG.bootstrap)
    summary.loc[(summary["method"] == "human") & (summary["measure"] == "nss"), "gain_low"] = -0.1
    panels = {axes.get_title(): axes for axes in comparison_figures.draw(summary, "frame", 0.95, 8).get_axes()}
    assert any(title.endswith("on 8 x 8 cells") for title in panels)
    told = {title: axes.get_xlabel() for title, axes in panels.items() if axes.get_xlabel()}
    assert len(told) == 1 and "ranks no method" in next(iter(told.values()))
    first = next(iter(panels.values()))
    assert [label.get_text() for label in first.get_yticklabels()] == ["near (33%)", "far (33%)"]


def test_unusable_files_are_named(folders: Path, tmp_path: Path) -> None:
    folders = shutil.copytree(folders, tmp_path / "own")
    snippets = list(PLACES)
    (folders / "machine" / f"{snippets[0]}.npz").unlink()
    with pytest.raises(InputError, match=snippets[0]):
        collect(folders)
    write_machine(folders, snippets[0], 12.0)
    (folders / "machine" / f"{snippets[1]}.npz").write_bytes(b"PK no archive")
    with np.load(folders / "machine" / f"{snippets[2]}.npz") as file:
        shortened = {name: file[name][:2] if file[name].ndim == 3 else file[name] for name in file.files}
    np.savez(folders / "machine" / f"{snippets[2]}.npz", **shortened)
    with pytest.raises(InputError) as caught:
        compare(folders)
    assert any(snippets[1] in problem.file for problem in caught.value.problems)
    assert any(problem.found == "3 frames" for problem in caught.value.problems)


def test_a_distance_that_is_not_found_is_empty_and_told(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def give_up(*anything: object) -> None:
        raise comparison.UnconvergedError("no solution")

    monkeypatch.setattr(similarity.emd, "between_volumes", give_up)
    table, problems = comparison.compare_all(collect(folders).pairings[:1], CONFIG, SETTING, 1)
    chosen = (table["measure"] == "emd") & (table["mode"] == "volume")
    assert table[chosen]["value"].isna().all()
    assert table[~chosen]["value"].notna().all()
    assert len(problems) == chosen.sum()
    assert all(isinstance(problem, Problem) and problem.severity == "warning" for problem in problems)


def test_section_pixels_has_one_form() -> None:
    assert set(comparison.PixelView.model_fields) == set(PixelConfig.model_fields)
