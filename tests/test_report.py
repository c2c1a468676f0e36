"""The report: one page that holds everything, says what is absent, escapes names, and is the same twice."""

import re
import shutil
import subprocess
import sys
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from typer.testing import CliRunner

from attune import artifacts, cli, params
from attune.annotation.protocol import Protocol
from attune.attention import overlay, painting
from attune.report import explanations, page, versions
from attune.report.blocks import Section, Table, Terms, Text, interval, number
from attune.report.embedding import Budget
from attune.report.material import Material
from attune.report.page import ReportConfig, Sources
from attune.video.clips import ClipConfig
from attune.video.files import VideoConfig

ROOT = Path(__file__).parents[1]
PROTOCOL = params.load("engagement.protocol", Protocol, ROOT / "params.yaml")
VIDEO = VideoConfig(height=48, width_multiple=16, frame_rate=Fraction(25, 8))
CLIP = ClipConfig(duration_s=2.0)
EVIL = '<script>alert("x")</script><img src=//evil.example onerror=alert(1)>'
SNIPPET = "fp01-eggs-attending-0001000"


class Reader(HTMLParser):
    """Every tag with its attributes, and whether they are closed in order."""

    VOID = frozenset({"meta", "img", "br", "link"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def _picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(1, 1))
    FigureCanvasAgg(figure)
    figure.savefig(path, format="png", metadata={"Software": None})


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    """A small lab with some of everything."""
    metrics, plots = tmp_path / "metrics", tmp_path / "plots"
    scores = {"test_f1": 0.81, "test_chance_f1": 0.62, "test_human_f1": 0.83, "test_balanced_accuracy": 0.9}
    artifacts.write_json(metrics / "summary.json", {**scores, "above_chance": 1})
    kinds = {f"attending_{kind}_kappa{end}": 0.7 for kind in ("humans", "model") for end in ("", "_low", "_high")}
    change = {"attending_difference": 0.1, "attending_difference_low": 0.05, "attending_difference_high": 0.2}
    artifacts.write_json(metrics / "machine_reliability.json", kinds | change)
    artifacts.write_json(metrics / "attention_similarity.json", {"grad_cam": {"pearson": 0.5, "emd": None}})
    for name in ("reliability/kappa_binary", "training/eggs-attending", "head_search/eggs-attending/decay"):
        _picture(plots / f"{name}.png")
    evil = EVIL.replace('"', "'")
    rows = ["variable,task,humans,model,difference,difference_low,difference_high", f'"{evil}",eggs,0.5,0.6,0.1,,']
    artifacts.write_text(plots / "machine_reliability/difference.csv", "\n".join(rows) + "\n")

    frames = np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), dtype=np.uint8)
    (tmp_path / "frames").mkdir()
    np.save(tmp_path / "frames/fp01.npy", frames)
    table = "snippet,session,annotator,task,variable,start_ms,label\n"
    artifacts.write_text(tmp_path / "snippets.csv", f"{table}{SNIPPET},fp01,ew,eggs,attending,1000,1\n")
    stroke = painting.Stroke(frame=0, add=True, radius=5.0, strength=1.0, points=[(30.0, 20.0)])
    painted = painting.Painting(annotator="kb", painting=SNIPPET, snippet=SNIPPET, strokes=[stroke])
    painting.save(tmp_path / "paintings", painted, (6, 48, 64))
    overlay.write(tmp_path / f"overlays/{SNIPPET}.mp4", frames[:6], Fraction(25, 8))

    shutil.copy(ROOT / "params.yaml", tmp_path)
    lock = {"train": {"outs": [{"path": "models/a.safetensors", "md5": "0123abcd", "size": 1_500_000}]}}
    lock["report"] = {"outs": [{"path": "data/report/index.html", "md5": "ownhash", "size": 1}]}
    artifacts.write_json(tmp_path / "dvc.lock", {"schema": "2.0", "stages": lock})  # JSON is YAML
    places = ("metrics", "plots", "overlays", "snippets.csv", "paintings", "frames")
    return Sources(*(tmp_path / name for name in places), root=tmp_path)


def _built(sources: Sources, names: str = "anonymous", **config: Any) -> str:
    return page.build(sources, ReportConfig(**config), PROTOCOL, names, CLIP, VIDEO)


def test_nothing_is_loaded_from_elsewhere(sources: Sources) -> None:
    text = _built(sources)
    reader = Reader(text)
    for _, attributes in reader.tags:
        for name in ("src", "href", "poster", "action", "srcset", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:image/png;", "data:video/mp4;", "#"))
    assert not re.search(r"url\(|@import|https?://", re.sub(r"base64,[^\"]+", "", text))
    policy = next(meta["content"] for meta in reader.all("meta") if "http-equiv" in meta)
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:; media-src data:;")
    assert len(reader.all("script")) == 1


def test_everything_that_is_there_is_shown(sources: Sources) -> None:
    reader = Reader(_built(sources))
    assert len(reader.all("img")) == 3
    assert len(reader.all("video")) == 2  # what was painted, and what the model looks at
    for words in ("0.81", "chance 0.62, one annotator against another 0.83", "Annotators agree with the model better",
                  "0123abcd", "1.5 MB", "People: B", "pearson"):  # fmt: skip
        assert words in reader.text
    anchors = {item["href"] for item in reader.all("a")}
    assert {f"#{item['id']}" for item in reader.all("section")} <= anchors


def test_missing_parts_are_said(sources: Sources, tmp_path: Path) -> None:
    for words in ("plots/training/scores.csv", "attention_quality.json", "reliability/kappa_multi.png"):
        assert re.search(rf"Not there yet: [^.]*{words}|Not there yet:.*{words}", Reader(_built(sources)).text)
    nothing = Sources(*(tmp_path / "none" / str(number) for number in range(6)), root=tmp_path / "none")
    reader = Reader(_built(nothing))
    assert reader.text.count("Not there yet:") >= 12
    assert not reader.all("img") + reader.all("video")
    assert "no git repository" in reader.text


def test_names_from_files_are_escaped(sources: Sources) -> None:
    text = _built(sources)
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text
    assert len(Reader(text).all("img")) == 3


@pytest.mark.parametrize("place", ["title", "text", "caption", "head", "cell"])
def test_every_word_of_a_page_is_escaped(place: str) -> None:
    words = {name: EVIL if name == place else "harmless" for name in ("title", "text", "caption", "head", "cell")}
    table = Table(words["caption"], [words["head"], "b"], [["a", words["cell"]]])
    rendered = page.render([Section("s", words["title"], [Text(words["text"]), table])], Budget(1))
    reader = Reader(rendered)
    assert len(reader.all("script")) == 1
    assert not reader.all("img")


def test_equal_input_gives_equal_bytes(sources: Sources) -> None:
    assert _built(sources) == _built(sources)


def test_the_page_keeps_its_budget_and_says_what_it_leaves_out(sources: Sources) -> None:
    whole, small = _built(sources), _built(sources, budget_mb=0.002)
    assert len(small) < len(whole)
    embedded = re.findall(r'src="(data:[^"]+)"', small)
    assert sum(map(len, embedded)) <= 2000
    reader = Reader(small)
    shown = len(reader.all("img")) + len(reader.all("video"))
    assert reader.text.count("Left out to keep this page small") == 5 - shown
    assert f"{5 - shown} picture(s) or video(s) were left out" in reader.text


def test_annotators_are_anonymous_unless_asked_for(sources: Sources) -> None:
    anonymous, named = Reader(_built(sources)).text, Reader(_built(sources, "initials")).text
    assert not re.search(r"\b(ew|kb|mt)\b", anonymous)
    assert "annotator 1, annotator 2, annotator 3" in anonymous
    assert "People: kb" in named
    assert "ew, kb, mt" in named


def test_a_map_of_another_clip_length_is_left_out_and_named(sources: Sources) -> None:
    longer = page.build(sources, ReportConfig(), PROTOCOL, "anonymous", ClipConfig(duration_s=3.0), VIDEO)
    reader = Reader(longer)
    assert "painted on frames of another number or size: B" in reader.text
    assert len(reader.all("video")) == 1


def test_fewer_snippets_than_there_are(sources: Sources) -> None:
    text = Reader(_built(sources, snippets=0)).text
    assert "0 of 1 clips are shown" in text


def test_pictures_have_words_and_tables_have_heads(sources: Sources) -> None:
    reader = Reader(_built(sources))
    assert all(picture["alt"] for picture in reader.all("img"))
    assert all(video["aria-label"] for video in reader.all("video"))
    assert all(head.get("scope") in ("row", "col") for head in reader.all("th"))
    assert len(reader.all("caption")) == len(reader.all("table"))
    assert len(reader.all("h1")) == 1


def test_versions_know_the_state_of_the_code(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    artifacts.write_text(tmp_path / "src/a.py", "1\n")
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "start")
    clean = versions.section(tmp_path, None).blocks[0].words
    artifacts.write_text(tmp_path / "src/a.py", "2\n")
    changed = versions.section(tmp_path, None).blocks[0].words
    assert re.search(r"git revision [0-9a-f]{12} of \d{4}-\d\d-\d\d; no code was changed", clean)
    assert "1 file(s) of code or parameters were changed" in changed


def test_the_own_entry_of_the_lock_is_left_out(sources: Sources) -> None:
    assert [entry.path for entry in versions.locked(sources.root)] == ["models/a.safetensors"]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.126, "0.13"),
        (-0.5, "\N{MINUS SIGN}0.50"),
        (None, "\N{EN DASH}"),
        (float("nan"), "\N{EN DASH}"),
        (3, "3"),
        (True, "yes"),
        (12345, "12\N{THIN SPACE}345"),
    ],
)
def test_numbers_are_written_alike(value: object, written: str) -> None:
    assert number(value) == written


def test_an_interval_needs_both_ends() -> None:
    assert interval(0.5, 0.4, 0.6) == "0.50 [0.40, 0.60]"
    assert interval(0.5, None, None) == "0.50"


def test_nested_numbers_become_tables() -> None:
    nested = {"a": {"x": 1.0, "y": None}, "b": {"x": 2.0}}
    (table,) = explanations.tables(nested, "caption")
    assert table.head == ["", "x", "y"]
    assert table.rows == [["a", "1.000", "\N{EN DASH}"], ["b", "2.000", "\N{EN DASH}"]]
    deeper = explanations.tables({"m": nested, "n": 3}, "caption")
    assert [each.rows for each in deeper] == [[["n", "3"]], table.rows]


def test_measures_are_explained_and_settings_told(sources: Sources, tmp_path: Path) -> None:
    numbers = {"divergence": {"ranks": False, "best": None, "repeat": 0.5}}
    artifacts.write_json(sources.metrics / "attention_similarity.json", numbers)
    text = "engagement:\n  attribution: {occlusion: {size: [3, 16, 16]}}\n  attention_similarity: {size: 32}\n"
    artifacts.write_text(tmp_path / "params.yaml", text)
    material = Material(sources.metrics, sources.plots, Budget(1))
    blocks = explanations.similarity(material, tmp_path).blocks
    (terms,) = (block.terms for block in blocks if isinstance(block, Terms))
    assert {"Kullback-Leibler divergence", "Repeated", "Ranks"} <= {name for name, _ in terms}
    words = " ".join(block.words for block in blocks if isinstance(block, Text))
    assert "occlusion.size" in words and "16" in words and "size 32" in words


def test_where_names_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    assert "not there yet" in runner.invoke(cli.app, ["where"]).output
    artifacts.write_text(tmp_path / "data/report/index.html", "")
    assert runner.invoke(cli.app, ["where"]).output.splitlines()[-1].strip() == str(tmp_path / "data/report/index.html")


@pytest.mark.slow
def test_the_stage_writes_the_page(sources: Sources, tmp_path: Path) -> None:
    text = (tmp_path / "params.yaml").read_text(encoding="utf-8")
    if "\n  report:" not in text:
        artifacts.write_text(
            tmp_path / "params.yaml",
            text.replace("\n  protocol:", "\n  report: {budget_mb: 2, snippets: 3}\n\n  protocol:", 1),
        )
    script = ROOT / "stages/engagement/report.py"
    names = ("metrics", "plots", "overlays", "snippets.csv", "paintings", "frames", "out/index.html")
    subprocess.run([sys.executable, str(script), *names], cwd=tmp_path, check=True)
    Reader((tmp_path / "out/index.html").read_text(encoding="utf-8"))
