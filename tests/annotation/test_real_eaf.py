"""Files that others published: each is read or refused with one clear message, and known facts are found again.

The folder's PROVENANCE.md names the origin of every file.
"""

import itertools
import os
import unicodedata
import warnings
from collections import Counter
from pathlib import Path

import pympi
import pytest
from defusedxml import ElementTree

from attune.annotation import eaf
from attune.problems import InputError

FOLDER = Path(os.environ.get("ATTUNE_REAL_DATA", "/nowhere")) / "eaf"
FILES = sorted(path.name for path in FOLDER.iterdir()) if FOLDER.is_dir() else []
pytestmark = pytest.mark.skipif(not FILES, reason="ATTUNE_REAL_DATA does not name the folder of real material")

REFUSED = {
    "aclew_basic_vocabularies.ecv": "root element CV_RESOURCE",
    "speach_test.ecv": "root element CV_RESOURCE",
    "darcle_LEX_malformed.ecv": "mismatched tag",
    "lingdata_hobgoblin_pos_junk.eaf": "broken XML",
    "sjd_lfs_pointer.eaf": "git lfs pull",
    "sjd_lfs_pointer_b.eaf": "git lfs pull",
}
READ = [name for name in FILES if name not in REFUSED]


def tier(document: eaf.Document, name: str) -> list[tuple[int, int, str]]:
    (found,) = [tier for tier in document.tiers if tier.name == name]
    return [(a.start_ms, a.end_ms, a.value) for a in found.annotations]


def overlaps(spans: list[tuple[int, int, str]]) -> int:
    """Pairs of neighbours that overlap."""
    return sum(later[0] < earlier[1] for earlier, later in itertools.pairwise(spans))


@pytest.mark.parametrize("name", [name for name in FILES if name in REFUSED])
def test_refused_with_one_message(name):
    with pytest.raises(InputError, match=REFUSED[name]) as caught:
        eaf.read(FOLDER / name)
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].file == name


@pytest.mark.parametrize("name", READ)
def test_every_annotation_is_read(name):
    document = eaf.read(FOLDER / name)
    root = ElementTree.parse(FOLDER / name).getroot()
    tags = ("ALIGNABLE_ANNOTATION", "REF_ANNOTATION")
    assert sum(len(tier.annotations) for tier in document.tiers) == sum(len(list(root.iter(tag))) for tag in tags)
    assert len(document.tiers) == len(root.findall("TIER"))
    assert all(a.start_ms < a.end_ms for tier in document.tiers for a in tier.annotations)


@pytest.mark.parametrize("name", READ)
def test_pympi_reads_the_same_times_and_values(name):
    """pympi neither interpolates slots nor resolves references, so only what it has is compared."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            other = pympi.Elan.Eaf(str(FOLDER / name))
        except (KeyError, IndexError, TypeError, ValueError):
            pytest.skip("pympi cannot read this file")
    for found in eaf.read(FOLDER / name).tiers:
        theirs = Counter(
            (other.timeslots[start], other.timeslots[end], unicodedata.normalize("NFC", value))
            for start, end, value, _ in other.tiers[found.name][0].values()
            if other.timeslots[start] is not None and other.timeslots[end] is not None
        )
        assert theirs <= Counter((a.start_ms, a.end_ms, a.value) for a in found.annotations)


def test_media_with_their_origins():
    media = eaf.read(FOLDER / "eac_gaze_4media.eaf").media
    assert [(medium.name, medium.origin_ms) for medium in media] == [
        ("M2U00102.wav", 1),
        ("M2U00102.avi", 0),
        ("2.avi", 5931),
        ("2.avi", 10252),
    ]
    assert [m.origin_ms for m in eaf.read(FOLDER / "evenki_kislokan_origin.eaf").media] == [1000]
    assert [m.origin_ms for m in eaf.read(FOLDER / "evenki_surinda_origin.eaf").media] == [0, 1251, 1251]


def test_counts_that_the_provenance_states():
    counts = {
        "asl_nonmanuals_PoS2.eaf": 855,
        "eac_timecourse2.eaf": 353,
        "eac_timecourse3.eaf": 431,
        "teicorpo_ESLO_ttg.eaf": 2251,
        "teicorpo_test1_to.eaf": 1,
        "teicorpo_template_72tiers.etf": 0,
        "pympi_test.eaf.bak": 8,
    }
    found = {name: eaf.read(FOLDER / name) for name in counts}
    assert {name: sum(len(t.annotations) for t in document.tiers) for name, document in found.items()} == counts
    assert len(found["teicorpo_template_72tiers.etf"].tiers) == 72
    assert len(eaf.read(FOLDER / "frelan_castren.eaf").tiers) == 31
    empty = [a for t in found["teicorpo_ESLO_ttg.eaf"].tiers for a in t.annotations if not a.value]
    assert len(empty) == 648


def test_rater_tiers_with_published_overlap():
    document = eaf.read(FOLDER / "eac_irr.eaf")
    first, second = tier(document, "Rater #1 FACE"), tier(document, "Rater #2 FACE")
    ratios = []
    for start, end, _ in first:
        for other_start, other_end, _ in second:
            overlap = min(end, other_end) - max(start, other_start)
            if overlap > 0:
                ratios.append(overlap / (max(end, other_end) - min(start, other_start)))
    assert ratios == pytest.approx([0.9094388, 0.8816092], abs=1e-7)


def test_overlapping_spans_inside_a_tier_are_kept_as_found():
    converted = eaf.read(FOLDER / "teicorpo_filled_extend.eaf")
    assert sum(overlaps(tier(converted, t.name)) for t in converted.tiers) == 18
    narrative = eaf.read(FOLDER / "na_CRDO_F4_10.eaf").tiers[0]
    assert overlaps([(a.start_ms, a.end_ms, a.value) for a in narrative.annotations]) == 1


@pytest.mark.parametrize("name", ["eopas_elan6.eaf", "pympi_sample_2.7.eaf", "lingdata_hobgoblin_pos.eaf"])
def test_interpolated_chains_leave_no_gap_in_their_parents(name):
    """On a time-subdivision tier ELAN allows no gap inside a parent annotation."""
    root = ElementTree.parse(FOLDER / name).getroot()
    divided = {
        kind.get("LINGUISTIC_TYPE_ID")
        for kind in root.iter("LINGUISTIC_TYPE")
        if kind.get("CONSTRAINTS") == "Time_Subdivision"
    }
    document = eaf.read(FOLDER / name)
    checked = 0
    for element in root.iter("TIER"):
        if element.get("LINGUISTIC_TYPE_REF") not in divided:
            continue
        children = tier(document, element.get("TIER_ID"))
        starts, ends = {span[0] for span in children}, {span[1] for span in children}
        for start, end, _ in tier(document, element.get("PARENT_REF")):
            inside = [span for span in children if start <= span[0] and span[1] <= end]
            if inside:
                checked += len(inside)
                assert start in starts
                assert end in ends
                assert sum(span[1] - span[0] for span in inside) == end - start
    assert checked > 50


def test_controlled_values_of_sign_phonology():
    values = {a.value for t in eaf.read(FOLDER / "rsl_sign_10093.eaf").tiers for a in t.annotations}
    assert values
    assert "" not in values
