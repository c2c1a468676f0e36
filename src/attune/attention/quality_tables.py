"""The tables of the explanations' quality, and the numbers of them that people compare; see :mod:`.quality`."""

import math

import pandas as pd

SNIPPET = {"snippet": "str", "session": "str", "task": "str", "variable": "str", "label": "int64"}
MEASURES = {**SNIPPET, "method": "str", "measure": "str", "value": "float64"}
CURVES = {**SNIPPET, "method": "str", "curve": "str", "step": "int64", "name": "str", "value": "float64"}
SUMMARY = {
    "variable": "str",
    "method": "str",
    "measure": "str",
    "mean": "float64",
    "low": "float64",
    "high": "float64",
    "snippets": "int64",
    "sessions": "int64",
}
HEADLINE = ("deletion", "insertion", "mprt", "emprt", "smprt", "pointing_game", "mass_inside", "mass_inside_randomised")
WITH_INTERVAL = ("mass_above_centre", "mass_lost")
ENDS = {"": "mean", "_low": "low"}  # of a variable's numbers
ALL = "all"
CENTRE, RANDOM = "centre", "random"


def headline(summary: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Per method: the means of :data:`HEADLINE`; those of :data:`WITH_INTERVAL` with their intervals.

    Of methods that explained randomised models, the latter are told for each variable, too, as mean and lower bound.
    What is not defined, or was not measured, is left out.
    """
    whole = summary[summary["variable"] == ALL].set_index(["method", "measure"])
    wanted = [(name, name, "mean") for name in HEADLINE]
    for name in WITH_INTERVAL:
        wanted += [(name, name, "mean"), (f"{name}_low", name, "low"), (f"{name}_high", name, "high")]
    found: dict[str, dict[str, float]] = {}
    for method in dict.fromkeys(whole.index.get_level_values(0)):
        numbers = {shown: float(whole[column].get((method, name), math.nan)) for shown, name, column in wanted}
        found[method] = {shown: number for shown, number in numbers.items() if math.isfinite(number)}
    parts = summary[(summary["variable"] != ALL) & summary["measure"].isin(WITH_INTERVAL)]
    for row in parts.to_dict("records"):
        if "mass_lost" in found.get(row["method"], {}):
            told = {f"{row['measure']}_{row['variable']}{end}": row[column] for end, column in ENDS.items()}
            found[row["method"]] |= {name: value for name, value in told.items() if math.isfinite(value)}
    return found
