"""The sections about attention: videos of people's and machines' maps, quality of the maps, similarity.

Which snippets are shown: in rounds, one of each task, behaviour and label, those that most people have painted first,
as many as the settings say. The metrics files of these stages are shown as they are: a flat one as names and numbers, a
nested one as a table with a row for each outer and a column for each inner name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from attune.report import versions
from attune.report.blocks import Details, Figure, Missing, Section, Table, Terms, Text, Video, Videos, number
from attune.report.material import Material, missing
from attune.report.painted import Paintings

MEASURES = {
    "pearson": ("Pearson", "correlation of two maps, pixel by pixel: 1 is the same pattern, 0 none in common"),
    "spearman": ("Spearman", "the same for ranks, so that only the order of bright and dark counts"),
    "intersection": ("Histogram intersection", "share of attention that two maps place at the same spots, 0 to 1"),
    "divergence": ("Kullback-Leibler divergence", "what is lost if one map stands for the other; 0 is best, missed "
                   "places cost much"),
    "nss": ("NSS", "how far above average a map is where the other one is bright, in standard deviations"),
    "auc": ("AUC", "chance that a map ranks a spot that is bright in the other one above another; 0.5 is guessing"),
    "emd": ("Earth mover's distance", "how far attention must be moved to turn one map into the other; 0 is best"),
    "deletion": ("Deletion", "how fast the model's answer falls if the brightest pixels go first; low is good"),
    "insertion": ("Insertion", "how fast the answer comes back if the brightest pixels are shown first; high is good"),
    "pointing": ("Pointing game", "share of maps whose brightest spot lies on what the answer depends on"),
    "mass": ("Share of mass", "share of the attention that lies on what the answer depends on"),
    "random": ("Randomisation", "likeness of the map to that of a model with random weights; a map that stays the same "
               "does not show what the model has learned"),
    "centre": ("Centre prior", "a blob in the middle, the same for every clip: a map must do better to tell anything"),
    "permut": ("Permuted clips", "maps of other clips: what is alike only because all clips are"),
    "repeat": ("Repeated", "how alike a painter's two maps of the same clip are, the second asked for unannounced"),
    "ranks": ("Ranks", "whether people are surely more alike by the measure than both floors; if not, it cannot say "
              "which method is the most human, and no best one is named"),
    "human": ("People with each other", "how alike two painters are: more cannot be asked of a machine"),
}  # fmt: skip
DEEPEST = 2


@dataclass(frozen=True)
class Shown:
    """What the section of videos is made from.

    Attributes:
        snippets: as :func:`attune.report.painted.read_snippets` returns them.
        overlays: folder of ``<snippet>.mp4``, or of ``<snippet>/<method>__<target>.mp4``.
        paintings: who has painted what.
        names: what stands for each painter.
        most: snippets on the page.
    """

    snippets: pd.DataFrame
    overlays: Path
    paintings: Paintings
    names: Mapping[str, str]
    most: int


def videos(material: Material, shown: Shown) -> Section:
    """Overlay videos of machines beside those of people."""
    part = Section("videos", "Where people and models look")
    part.blocks.append(
        Text(
            "Each row is one clip of a test session. People were asked to paint what tells them that a child is "
            "engaged or not; models were asked, by several methods, which pixels their answer depends on, once for the "
            "class that the annotators gave (“matching”) and once for the other (“opposite”). Bright is much attention."
        )
    )
    if not shown.overlays.is_dir():
        part.blocks.append(missing("videos of the models' attention", shown.overlays, "attribute"))
    if not shown.paintings.folders:
        cure = "People paint with “attune paint”; nothing is wrong before that."
        part.blocks.append(Missing("maps that people have painted", "the folder attention of the raw data", cure))
    made = {name: _machine(shown.overlays, name) for name in shown.snippets["snippet"]}
    listed = shown.snippets.assign(explained=[bool(made[name]) for name in shown.snippets["snippet"]])
    there = listed[listed["explained"] | listed["snippet"].isin(list(shown.paintings.folders))]
    for row in _chosen(there, shown.paintings, shown.most).to_dict("records"):
        name, label = row["snippet"], "engaged" if row["label"] else "not engaged"
        told = f"Session {row['session']} from {row['start_ms'] / 1000:.1f} s; annotators agree: {label}."
        files = _human(material, shown, row) + [_video(material, path, name) for path in made[name]]
        part.blocks.append(Videos(f"{row['task']}, {row['variable']}: {label}", told, files))
    if len(there) > shown.most:
        words = (
            f"{shown.most} of {len(there)} clips are shown (engagement.report.snippets); all are in {shown.overlays}."
        )
        part.blocks.append(Text(words))
    return part


def quality(material: Material, root: Path = Path()) -> Section:
    """Whether an explanation is any good."""
    part = Section("quality", "Can the models' maps be believed?")
    part.blocks.append(
        Text(
            "A map that looks reasonable to people may have little to do with the model. So each method is tested: do "
            "the bright pixels matter for the answer, does the map change when the model's weights are made random, "
            "and, where the truth is known as in the demo, does it point to what the answer depends on?"
        )
    )
    _results(part, material, "attention_quality", "attention_quality", "attention_quality")
    _settings(part, root, "attention_quality")
    return part


def similarity(material: Material, root: Path = Path()) -> Section:
    """How alike people's and machines' maps are."""
    part = Section("similarity", "Which method looks most like people?")
    part.blocks.append(
        Text(
            "A likeness means nothing by itself. It is read between a floor, what a blob in the middle or the map of "
            "another clip reaches, and a ceiling, how alike two people's maps of the same clip are. A measure by which "
            "people are not surely above the floors cannot rank methods, and names none as the best."
        )
    )
    _results(part, material, "attention_similarity", "attention", "compare_attention")
    _settings(part, root, "attention_similarity")
    return part


def tables(value: Any, caption: str) -> list[Table]:
    """Numbers of a metrics file as tables; deeper nesting than two makes one table per outer name."""
    if not isinstance(value, dict):
        return []
    flat = {name: each for name, each in value.items() if not isinstance(each, dict | list)}
    nested = {name: each for name, each in value.items() if isinstance(each, dict)}
    found = []
    if flat:
        found.append(
            Table(caption, ["Measure", "Value"], [[_words(name), number(each, 3)] for name, each in flat.items()])
        )
    if nested and _depth(value) <= DEEPEST:
        columns = list(dict.fromkeys(name for each in nested.values() for name in each))
        rows = [[_words(name), *(number(each.get(column), 3) for column in columns)] for name, each in nested.items()]
        found.append(Table(caption, ["", *map(_words, columns)], rows))
    else:
        found += [table for name, each in nested.items() for table in tables(each, f"{caption} {_words(name)}.")]
    return found


def _results(part: Section, material: Material, metrics: str, plots: str, stage: str) -> None:
    """Figures, numbers and the terms that occur in them."""
    value = material.json(metrics)
    folder = material.plots / plots
    pictures = sorted(folder.rglob("*.png"))
    if not pictures:
        part.blocks.append(missing("figures", folder, stage))
    for path in pictures:
        words = _words(path.relative_to(folder).with_suffix("").as_posix())
        alt = f"Figure: {words}. Its numbers are in the tables of {folder} and, in part, below."
        part.blocks.append(Figure(material.budget.embed(path), str(path), alt, words.capitalize()))
    if value is None:
        part.blocks.append(missing("numbers", material.metrics / f"{metrics}.json", stage))
        return
    known = str(value).lower()
    found = dict.fromkeys(meaning for key, meaning in MEASURES.items() if key in known)
    if found:
        part.blocks.append(Terms(list(found)))
    made = tables(value, f"Numbers of {metrics}.json.")
    part.blocks.extend(made if sum(len(table.rows) for table in made) <= 40 else [Details("All numbers", list(made))])


def _settings(part: Section, root: Path, section: str) -> None:
    """With what the methods explained and were measured: a number means nothing without it."""
    values = versions.parameters(root / "params.yaml", None)
    for name, title in (("attribution", "How the methods explained"), (section, "How this was measured")):
        start = f"engagement.{name}."
        told = [f"{key.removeprefix(start)} {value}" for key, value in values if key.startswith(start)]
        if told:
            part.blocks.append(Text(f"{title} ({start[:-1]}): {'; '.join(told)}."))


def _chosen(snippets: pd.DataFrame, paintings: Paintings, most: int) -> pd.DataFrame:
    """Snippets in rounds of every task, behaviour and label; those with the most to see come first."""
    painters = snippets["snippet"].map(lambda name: len(paintings.folders.get(name, {})))
    ordered = snippets.assign(seen=painters + snippets["explained"])
    ordered = ordered.sort_values(["seen", "snippet"], ascending=[False, True])
    group = ["task", "variable", "label"]
    ordered["round"] = ordered.groupby(group).cumcount()
    return ordered.sort_values(["round", *group], ascending=[True, True, True, False]).head(most)


def _machine(overlays: Path, name: str) -> list[Path]:
    single = overlays / f"{name}.mp4"
    return [single] if single.is_file() else sorted((overlays / name).glob("*.mp4"))


def _video(material: Material, path: Path, snippet: str) -> Video:
    source = material.budget.embed(path)
    if path.stem == snippet:
        alt = "The clip with the attention of the model by each method, matching class above, opposite class below."
        return Video(source, str(path), alt, "Model: a column for each method, a row for each class", wide=True)
    method, _, target = path.stem.rpartition("__")
    words = f"{_words(method)}, {target} class"
    return Video(source, str(path), f"The clip with the attention of the model: {words}.", f"Model: {words}")


def _human(material: Material, shown: Shown, row: Mapping[Any, Any]) -> list[Video]:
    painters = shown.paintings.folders.get(row["snippet"], {})
    if not painters:
        return []
    named = {shown.names.get(name, "painter"): folder for name, folder in painters.items()}
    named = dict(sorted(named.items()))
    content, others = shown.paintings.video(row["session"], int(row["start_ms"]), named)
    seen = ", ".join(name for name in named if name not in others)
    told = f"People: {seen}" if seen else "People"
    if others:
        told += f" (left out, painted on frames of another number or size: {', '.join(others)})"
    if not seen:
        return [Video(None, told, "", told)]
    source = material.budget.embed(Path(f"painted by {seen}.mp4"), content)
    return [Video(source, "the painted maps of the raw data", f"The clip with what was painted by {seen}.", told)]


def _words(name: str) -> str:
    return name.replace("__", ", ").replace("_", " ").replace("/", ": ")


def _depth(value: Any) -> int:
    return 1 + max(map(_depth, value.values()), default=0) if isinstance(value, dict) else 0
