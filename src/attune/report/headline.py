"""The section that is read first: a few numbers of the models, against chance and against people."""

from typing import Any

from attune.report.blocks import Number, Numbers, Section, Text, interval, number
from attune.report.material import Material, missing

INTERVALS = (
    "Numbers in brackets are 95 % intervals, unless the parameters say another share: whole sessions were drawn with "
    "replacement, because clips of one child resemble each other. Few sessions make them wide."
)


def headline(material: Material) -> Section:
    """The few numbers that are read first, against chance and against people."""
    part = Section("headline", "In short")
    summary, machine = material.json("summary"), material.json("machine_reliability")
    if summary is None:
        part.blocks.append(missing("the models' scores", material.metrics / "summary.json", "summarise_learning"))
    else:
        part.blocks.append(Numbers(_learned(summary)))
    if machine is None:
        path = material.metrics / "machine_reliability.json"
        part.blocks.append(missing("agreement of models and people", path, "measure_machine_reliability"))
    else:
        part.blocks.append(Numbers(_machine(machine)))
    part.blocks.append(Text(INTERVALS))
    return part


def _learned(summary: dict[str, Any]) -> list[Number]:
    chance, human = number(summary.get("test_chance_f1")), number(summary.get("test_human_f1"))
    models = sum(name.endswith("_f1") for name in summary) - 5
    return [
        Number(
            "F1 of the models on new sessions",
            number(summary.get("test_f1")),
            f"chance {chance}, one annotator against another {human}",
            "How well the models tell engaged clips of sessions that played no part in training, averaged over tasks "
            "and behaviours. “Chance” is the best that can be reached without looking.",
        ),
        Number(
            "Balanced accuracy",
            number(summary.get("test_balanced_accuracy")),
            "chance 0.50",
            "The mean of two shares: engaged clips that were recognised, and not engaged ones. It does not depend on "
            "how often children are engaged.",
        ),
        Number(
            "Models better than chance",
            number(summary.get("above_chance")),
            f"of {models}" if models > 0 else "",
            "Models whose whole interval lies above what chance can reach.",
        ),
    ]


def _machine(numbers: dict[str, Any]) -> list[Number]:
    names = [name.removesuffix("_model_kappa") for name in numbers if name.endswith("_model_kappa")]
    found = []
    for name in names:
        model, human = (
            interval(*(numbers.get(f"{name}_{kind}_kappa{end}") for end in ("", "_low", "_high")))
            for kind in ("model", "humans")
        )
        difference = [numbers.get(f"{name}_difference{end}") for end in ("", "_low", "_high")]
        found.append(
            Number(
                f"Kappa of model and annotators, {name}",
                model,
                f"annotators with each other {human}",
                _verdict(difference),
            )
        )
    return found


def _verdict(difference: list[Any]) -> str:
    """What a difference of kappas with its interval says, in words."""
    value, low, high = difference
    if value is None:
        return "It cannot be compared: no clips that two annotators labelled."
    told = f"The model's kappa less the annotators' is {interval(value, low, high)}. "
    if low is None or high is None:
        return told + "One session allows no interval."
    if low > 0:
        return told + "Annotators agree with the model better than with each other."
    if high < 0:
        return told + "Annotators agree with each other better than with the model."
    return told + "The interval holds 0: these sessions do not tell the two apart."
