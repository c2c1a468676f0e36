"""The sections about people and models: learning, search, and how far raters agree.

Only files of metrics/ and plots/ are read. Every part that is not there is said, and the rest is shown.
"""

from typing import Any

import pandas as pd

from attune.report.blocks import Details, Section, Table, Terms, Text, interval, number
from attune.report.material import Material, missing

ALL = "all"
F1 = (
    "F1 joins two questions in one number from 0 to 1: of the clips that were called engaged, how many were "
    "(precision), and of those that were engaged, how many were found (recall). 1 is perfect."
)
KAPPA = (
    "Kappa is agreement beyond chance: 0 is what two raters reach who guess, each at their own rate, and 1 is "
    "agreement everywhere. Landis and Koch call it moderate above 0.4, substantial above 0.6 and almost perfect above "
    "0.8; where a behaviour is very rare or very frequent, kappa is low even among raters who seldom disagree."
)


def learning(material: Material) -> Section:
    """Scores of every model and the curves of their training."""
    part = Section("learning", "What the models have learned", [Text(F1)])
    scores = material.table("training/scores.csv")
    if scores is None:
        part.blocks.append(
            missing("scores of every model", material.plots / "training/scores.csv", "summarise_learning")
        )
    else:
        part.blocks.append(_scores(scores[scores["metric"] == "f1"]))
    part.blocks.append(
        material.figure(
            "training/scores.png",
            "For each task and behaviour, F1 and balanced accuracy of the model and of one annotator against another, "
            "with intervals, and a mark for chance; the table above holds the values of F1.",
            "Test scores with intervals, beside chance and people.",
            "summarise_learning",
        )
    )
    curves = sorted(path.stem for path in (material.plots / "training").glob("*.png") if path.stem != "scores")
    figures = [
        material.figure(
            f"training/{name}.png",
            f"Curves of loss and F1 over the epochs for {name}, training the head and then fine-tuning.",
            f"{name}: one epoch is one pass over newly drawn clips. The best epoch is chosen on validation sessions.",
            "summarise_learning",
        )
        for name in curves
    ]
    words = (
        "A curve of the validation that falls while that of the training rises would be a model that learns by heart."
    )
    if figures:
        part.blocks.append(Details("Learning curves", [Text(words), *figures]))
    return part


def _scores(rows: pd.DataFrame) -> Table:
    cells = []
    for row in rows.to_dict("records"):
        cells.append(
            [
                str(row["task"]),
                str(row["variable"]),
                interval(row["value"], row["low"], row["high"]),
                number(row["chance"]),
                interval(row["human_value"], row["human_low"], row["human_high"]),
            ]
        )
    head = ["Task", "Behaviour", "Model", "Best by chance", "One annotator against another"]
    return Table("F1 on the test sessions, which no choice had looked at.", head, cells, headers=2)


def searches(material: Material) -> Section:
    """Figures of both searches."""
    part = Section("search", "How the settings were found")
    part.blocks.append(
        Text(
            "Settings of the learning (such as how large its steps are) were drawn at random and tried on the training "
            "sessions only, each fold in turn standing for new sessions. In the figures every dot is one setting; a "
            "clear hump means that the range was wide enough, a rise towards an edge that it was not."
        )
    )
    found = False
    for folder, title in (("finetune_search", "Fine-tuning"), ("head_search", "Head")):
        groups = sorted({path.parent for path in (material.plots / folder).rglob("*.png")})
        for group in groups:
            found = True
            name = group.relative_to(material.plots / folder).as_posix()
            label = title if name == "." else f"{title} of {name}"
            figures = [
                material.figure(
                    path.relative_to(material.plots).as_posix(),
                    f"{label}: validation F1 of every setting against {path.stem.replace('_', ' ')}.",
                    f"{label}: {path.stem.replace('_', ' ')}",
                    "summarise_learning",
                )
                for path in sorted(group.glob("*.png"))
            ]
            part.blocks.append(Details(label, list(figures)))
    if not found:
        part.blocks.append(missing("figures of the searches", material.plots / "head_search", "summarise_learning"))
    return part


def reliability(material: Material) -> Section:
    """How far annotators agree, and the model with them."""
    part = Section("reliability", "How far people and models agree", [Text(KAPPA)])
    human = material.json("reliability")
    if human is None:
        part.blocks.append(missing("agreement of annotators", material.metrics / "reliability.json", "summarise"))
    else:
        part.blocks.append(_human(human))
    for labels, words in (("binary", "engaged or not"), ("multi", "every value of the vocabulary")):
        part.blocks.append(
            material.figure(
                f"reliability/kappa_{labels}.png",
                f"Matrices of kappa for every pair of annotators, by behaviour and task; labels: {words}.",
                f"Annotators with each other, all sessions, every tenth of a second ({words}).",
                "summarise",
            )
        )
    part.blocks.append(
        material.figure(
            "reliability/tolerance.png",
            "Kappa against the tolerance in time, one line for each behaviour.",
            "Kappa if borders may differ by so many seconds: a steep rise means that annotators see the same, at "
            "slightly different times.",
            "summarise",
        )
    )
    part.blocks.append(
        Text(
            "The model as one more rater: test sessions were cut into back-to-back clips, and every clip has one label "
            "by each annotator and one by the model. Kappa of clips differs from kappa in time above; only the numbers "
            "below may be compared with each other."
        )
    )
    difference = material.table("machine_reliability/difference.csv")
    if difference is None:
        path = material.plots / "machine_reliability/difference.csv"
        part.blocks.append(missing("kappa of model and annotators", path, "measure_machine_reliability"))
    else:
        part.blocks.append(_kinds(difference))
    for name, alt, caption in (
        ("comparison", "Kappa with intervals of annotators with each other and with the model, by behaviour and task; "
         "the table above holds the values.", "Annotators with each other and with the model."),
        ("kappa", "Matrices of kappa for every pair of raters, the model among them, by behaviour and task.",
         "Every pair of raters on the clips of the test sessions."),
    ):  # fmt: skip
        figure = material.figure(f"machine_reliability/{name}.png", alt, caption, "measure_machine_reliability")
        part.blocks.append(figure)
    return part


def _human(numbers: dict[str, Any]) -> Table:
    names = [name.removesuffix("_kappa_multi") for name in numbers if name.endswith("_kappa_multi")]
    rows = [
        [
            name,
            number(numbers.get(f"{name}_agreement")),
            interval(*(numbers.get(f"{name}_kappa{end}") for end in ("", "_low", "_high"))),
            number(numbers.get(f"{name}_ac1")),
            number(numbers.get(f"{name}_alpha")),
            number(numbers.get(f"{name}_kappa_multi")),
        ]
        for name in names
    ]
    caption = (
        "Agreement of all annotators, all tasks and sessions, engaged or not. Agreement is the plain share of equal "
        "labels; AC1 (Gwet) is steadier where nearly all labels are alike; alpha (Krippendorff) treats all annotators "
        "as interchangeable; the last column tells all values apart."
    )
    return Table(caption, ["Behaviour", "Agreement", "Kappa", "AC1", "Alpha", "Kappa, all values"], rows)


def _kinds(table: pd.DataFrame) -> Table:
    rows = [
        [
            "all behaviours" if row["variable"] == ALL else str(row["variable"]),
            "all tasks" if row["task"] == ALL else str(row["task"]),
            number(row["humans"]),
            number(row["model"]),
            interval(row["difference"], row["difference_low"], row["difference_high"]),
        ]
        for row in table.to_dict("records")
    ]
    caption = (
        "Kappa of clips. A difference above 0 means that annotators agree better with the model than with each other; "
        "where its interval holds 0, these sessions do not tell."
    )
    head = ["Behaviour", "Task", "Annotators", "Annotators and model", "Difference"]
    return Table(caption, head, rows, headers=2)


def sessions(material: Material) -> Section:
    """How alike the folds are."""
    part = Section("folds", "How sessions were divided")
    part.blocks.append(
        Text(
            "Sessions were divided into groups of similar content (folds). Models learn from all but the last fold, "
            "and are judged on the last one."
        )
    )
    part.blocks.append(
        material.figure(
            "folds/balance.png",
            "Share of engaged time in each fold by task and behaviour, beside the share in all sessions.",
            "Share of engaged time per fold: the closer the folds, the fairer the test.",
            "summarise",
        )
    )
    return part


def terms() -> Terms:
    """Words of this field."""
    return Terms(
        [
            ("session", "one recorded visit of one child; never divided between learning and test"),
            ("clip", "a stretch of video of fixed length that a model sees and labels as a whole"),
            ("engaged", "more than half of the clip was coded with any value but “no”"),
            ("chance", "the best score that can be reached without looking at the video"),
            ("annotator", "a person who coded the videos; a rater is an annotator or a model"),
            ("fold", "a group of sessions; the last one is the test fold"),
        ]
    )
