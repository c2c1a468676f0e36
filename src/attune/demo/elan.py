"""Write one annotator's coding as an ELAN file, with the small slips that people make."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pympi.Elan import Eaf

from attune.annotation.protocol import Protocol
from attune.demo.behaviour import Span

TYPO_SHARE = UPPER_SHARE = BLANK_SHARE = 0.02
_DATE = "2022-12-31T12:00:00+00:00"  # fixed, where pympi would write the current time
_LANGUAGE = ("und", "http://cdb.iso.org/lg/CDB-00130975-001", "undetermined (und)")


def write(
    path: Path, coded: Mapping[str, Sequence[Span]], video: str, protocol: Protocol, rng: np.random.Generator
) -> None:
    """Write an EAF file.

    Args:
        path: the new file.
        coded: spans of every tier, from :func:`attune.demo.annotators.code`.
        video: the video's place relative to the file's folder.
        protocol: names of the tiers, their vocabularies and known typos.
        rng: decides upon slips.
    """
    eaf = Eaf(author="")
    eaf.adocument["DATE"] = _DATE
    eaf.header = {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"}
    eaf.add_linked_file(f"file:///video/{Path(video).name}", relpath=video, mimetype="video/mp4")
    eaf.add_language(*_LANGUAGE)
    for name, (tier, values, corrections) in _tiers(protocol).items():
        _add_vocabulary(eaf, tier, values)
        eaf.add_tier(tier, ling=tier)
        for span in coded[name]:
            eaf.add_annotation(tier, span.start_ms, span.end_ms, _slip(span.value, corrections, rng))
    eaf.remove_tier("default")
    eaf.remove_linguistic_type("default-lt")
    eaf.properties = [("lastUsedAnnotationId", sum(len(tier[0]) for tier in eaf.tiers.values()))]
    _sort_time_slots(eaf)
    eaf.to_file(str(path))


def _tiers(protocol: Protocol) -> dict[str, tuple[str, Sequence[str], Mapping[str, str]]]:
    """Per kind of span: the tier's name, its vocabulary and the typos that the protocol knows."""
    variables = {
        name: (name, variable.values, variable.corrections)
        for name, variable in sorted(protocol.variables.items(), reverse=True)
    }
    return {
        **variables,
        "task": (protocol.task_tier, protocol.tasks, protocol.task_corrections),
        "ignore": (protocol.ignore_tier, ("ignore",), {}),
    }


def _add_vocabulary(eaf: Eaf, tier: str, values: Sequence[str]) -> None:
    eaf.add_controlled_vocabulary(tier)
    eaf.add_cv_description(tier, _LANGUAGE[0])
    for value in values:
        eaf.add_cv_entry(tier, f"cve_{tier}_{value}", [(value, _LANGUAGE[0], None)])
    eaf.add_linguistic_type(tier)
    eaf.linguistic_types[tier]["CONTROLLED_VOCABULARY_REF"] = tier


def _slip(value: str, corrections: Mapping[str, str], rng: np.random.Generator) -> str:
    chance, pick = rng.random(), rng.random()
    typos = sorted(typo for typo, meant in corrections.items() if meant == value)
    if chance < TYPO_SHARE:
        return typos[int(pick * len(typos))] if typos else value
    if chance < TYPO_SHARE + UPPER_SHARE:
        return value.upper() if pick < 0.5 else value.capitalize()
    if chance < TYPO_SHARE + UPPER_SHARE + BLANK_SHARE:
        return f" {value}" if pick < 0.5 else f"{value} "
    return value


def _sort_time_slots(eaf: Eaf) -> None:
    """Number the time slots in order of time, as ELAN does; pympi numbers them as they come."""
    order = sorted(eaf.timeslots, key=lambda slot: (eaf.timeslots[slot], int(slot[2:])))
    names = {old: f"ts{number}" for number, old in enumerate(order, 1)}
    eaf.timeslots = {names[old]: eaf.timeslots[old] for old in order}
    for annotations, _, _, _ in eaf.tiers.values():
        for key, (start, end, value, reference) in annotations.items():
            annotations[key] = (names[start], names[end], value, reference)
