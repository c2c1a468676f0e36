from pathlib import Path

import numpy as np
import pytest
from defusedxml import ElementTree
from pympi.Elan import Eaf

from attune.annotation.protocol import Protocol
from attune.demo import elan
from attune.demo.behaviour import Span

CODED = {
    "participating": [Span("self", 1000, 2000), Span("joint", 2000, 3500)],
    "attending": [Span("excited", 500, 1500)],
    "task": [Span("people", 400, 5000)],
    "ignore": [],
}


def written(folder: Path, protocol: Protocol, coded: dict[str, list[Span]] = CODED) -> Path:
    path = folder / "fp01_ew_20220101.eaf"
    elan.write(path, coded, "../video/fp01.mp4", protocol, np.random.default_rng(0))
    return path


def test_tiers_types_and_vocabularies(tmp_path: Path, protocol: Protocol) -> None:
    eaf = Eaf(str(written(tmp_path, protocol)))
    assert list(eaf.get_tier_names()) == ["participating", "attending", "task", "ignore"]
    for tier in eaf.get_tier_names():
        assert eaf.get_parameters_for_tier(tier)["LINGUISTIC_TYPE_REF"] == tier
        assert eaf.linguistic_types[tier]["CONTROLLED_VOCABULARY_REF"] in eaf.controlled_vocabularies
    entries = eaf.controlled_vocabularies["participating"][1].values()
    assert [values[0][0] for values, _ in entries] == ["self", "joint"]


def test_the_video_is_linked_relative_to_the_file(tmp_path: Path, protocol: Protocol) -> None:
    (media,) = Eaf(str(written(tmp_path, protocol))).media_descriptors
    assert media["RELATIVE_MEDIA_URL"] == "../video/fp01.mp4"
    assert media["MIME_TYPE"] == "video/mp4"


def test_nothing_tells_who_or_when(tmp_path: Path, protocol: Protocol) -> None:
    root = ElementTree.parse(written(tmp_path, protocol)).getroot()
    assert root.attrib["AUTHOR"] == ""
    assert root.attrib["DATE"] == "2022-12-31T12:00:00+00:00"


def test_times_survive_and_slots_are_in_order(tmp_path: Path, protocol: Protocol) -> None:
    path = written(tmp_path, protocol)
    eaf = Eaf(str(path))
    times = [(start, end) for start, end, _ in eaf.get_annotation_data_for_tier("participating")]
    assert times == [(1000, 2000), (2000, 3500)]
    slots = [int(slot.attrib["TIME_VALUE"]) for slot in ElementTree.parse(path).iter("TIME_SLOT")]
    assert slots == sorted(slots)


def test_slips_occur_at_their_rates_and_can_all_be_mended(tmp_path: Path, protocol: Protocol) -> None:
    many = {**CODED, "attending": [Span("attending", 10 * i, 10 * i + 10) for i in range(4000)]}
    eaf = Eaf(str(written(tmp_path, protocol, many)))
    values = [value for *_, value in eaf.get_annotation_data_for_tier("attending")]
    corrections = protocol.variables["attending"].corrections
    typos = [value for value in values if value in corrections]
    upper = [value for value in values if value != value.lower()]
    blank = [value for value in values if value != value.strip()]
    for slips, share in ((typos, elan.TYPO_SHARE), (upper, elan.UPPER_SHARE), (blank, elan.BLANK_SHARE)):
        assert len(slips) / 4000 == pytest.approx(share, abs=0.01)
    mended = {corrections.get(value.strip().lower(), value.strip().lower()) for value in values}
    assert mended == {"attending"}
