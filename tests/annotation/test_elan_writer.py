"""Tiers written into ELAN files: read back by two readers, and nothing of the original lost."""

from collections import Counter
from pathlib import Path

import pympi
import pytest
from defusedxml import ElementTree

from attune.annotation import eaf, elan_writer
from attune.annotation.eaf import Annotation
from attune.annotation.elan_writer import NewTier
from attune.problems import InputError

TIERS = [
    NewTier("attending_model", [Annotation(0, 2500, "engaged"), Annotation(4000, 9000, "engaged")]),
    NewTier("attending_probability", [Annotation(0, 9000, "0.61")]),
]
# The order of a document's children in the format's schema.
ORDER = ["HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE", "LOCALE", "LANGUAGE", "CONSTRAINT"]


@pytest.fixture
def human(tmp_path: Path) -> Path:
    file = pympi.Elan.Eaf(author="A & B")
    file.add_linked_file("file:///far/fp01.mp4", relpath="../video/fp01.mp4", mimetype="video/mp4")
    file.add_tier("attending")
    file.add_annotation("attending", 1000, 3000, "attending <é>")
    file.add_annotation("attending", 5000, 6000, "  ")
    file.to_file(tmp_path / "human.eaf")
    return tmp_path / "human.eaf"


def test_a_new_file_reads_back(tmp_path: Path) -> None:
    video = tmp_path / "videos" / "fp 01 ü.mp4"
    path = tmp_path / "out" / "fp01.eaf"
    elan_writer.write(path, video, TIERS)
    document = eaf.read(path)
    assert [medium.name for medium in document.media] == ["fp 01 ü.mp4"]
    assert {tier.name: tier.annotations for tier in document.tiers} == {t.name: tuple(t.spans) for t in TIERS}
    assert document.warnings == ()
    assert 'RELATIVE_MEDIA_URL="./../videos/fp 01 ü.mp4"' in path.read_text(encoding="utf-8")
    other = pympi.Elan.Eaf(path)
    assert other.get_annotation_data_for_tier("attending_model") == [(0, 2500, "engaged"), (4000, 9000, "engaged")]


def test_a_video_that_is_a_link_into_the_cache_keeps_its_name(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/6dea77").write_bytes(b"pixels")
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/fp01.mp4").symlink_to(tmp_path / "cache/6dea77")
    elan_writer.write(tmp_path / "out/fp01.eaf", tmp_path / "videos/fp01.mp4", TIERS)
    text = (tmp_path / "out/fp01.eaf").read_text(encoding="utf-8")
    assert 'RELATIVE_MEDIA_URL="./../videos/fp01.mp4"' in text
    assert f'MEDIA_URL="{(tmp_path / "videos/fp01.mp4").as_uri()}"' in text


def test_children_stand_in_the_order_of_the_format(tmp_path: Path, human: Path) -> None:
    elan_writer.write(tmp_path / "new.eaf", tmp_path / "v.mp4", TIERS)
    elan_writer.write_copy(tmp_path / "copy.eaf", human, "fp01.mp4", TIERS)
    for name in ("new.eaf", "copy.eaf"):
        tags = [ORDER.index(child.tag) for child in ElementTree.parse(tmp_path / name).getroot()]
        assert tags == sorted(tags)


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.eaf", "b.eaf"):
        elan_writer.write(tmp_path / name, tmp_path / "v.mp4", TIERS)
    assert (tmp_path / "a.eaf").read_bytes() == (tmp_path / "b.eaf").read_bytes()


def test_a_copy_holds_the_original_and_the_new_tiers(tmp_path: Path, human: Path) -> None:
    before = human.read_bytes()
    elan_writer.write_copy(tmp_path / "copy.eaf", human, "fp01.mp4", TIERS)
    assert human.read_bytes() == before
    held, added = eaf.read(human), eaf.read(tmp_path / "copy.eaf")
    assert added.tiers[: len(held.tiers)] == held.tiers
    assert [tier.name for tier in added.tiers[len(held.tiers) :]] == [tier.name for tier in TIERS]
    assert added.tiers[-2].annotations == tuple(TIERS[0].spans)
    assert added.media == held.media
    assert ElementTree.parse(tmp_path / "copy.eaf").getroot().get("AUTHOR") == "A & B"


def test_ids_are_unique_and_the_last_one_is_noted(tmp_path: Path, human: Path) -> None:
    elan_writer.write_copy(tmp_path / "copy.eaf", human, "fp01.mp4", TIERS)
    root = ElementTree.parse(tmp_path / "copy.eaf").getroot()
    for attribute in ("ANNOTATION_ID", "TIME_SLOT_ID", "LINGUISTIC_TYPE_ID"):
        found = Counter(element.get(attribute) for element in root.iter() if element.get(attribute))
        assert max(found.values()) == 1
    noted = [entry.text for entry in root.iter("PROPERTY") if entry.get("NAME") == "lastUsedAnnotationId"]
    largest = max(int(element.get("ANNOTATION_ID", "a0")[1:]) for element in root.iter())
    assert noted == [str(largest)]


def test_a_number_that_elan_has_given_is_not_given_again(tmp_path: Path, human: Path) -> None:
    note = '<PROPERTY NAME="lastUsedAnnotationId">700</PROPERTY></HEADER>'
    human.write_text(human.read_text(encoding="utf-8").replace("</HEADER>", note), encoding="utf-8")
    elan_writer.write_copy(tmp_path / "copy.eaf", human, "fp01.mp4", TIERS)
    text = (tmp_path / "copy.eaf").read_text(encoding="utf-8")
    assert 'ANNOTATION_ID="a701"' in text
    assert '"lastUsedAnnotationId">703<' in text


def test_more_tiers_can_follow_those_of_an_earlier_copy(tmp_path: Path, human: Path) -> None:
    elan_writer.write_copy(tmp_path / "one.eaf", human, "fp01.mp4", TIERS[:1])
    elan_writer.write_copy(tmp_path / "two.eaf", tmp_path / "one.eaf", "fp01.mp4", TIERS[1:])
    assert {tier.name for tier in TIERS} <= {tier.name for tier in eaf.read(tmp_path / "two.eaf").tiers}
    assert (tmp_path / "two.eaf").read_text(encoding="utf-8").count('LINGUISTIC_TYPE_ID="attune"') == 1


def test_times_move_by_the_offset_of_the_linked_video(tmp_path: Path, human: Path) -> None:
    text = human.read_text(encoding="utf-8").replace("MIME_TYPE=", 'TIME_ORIGIN="3000" MIME_TYPE=')
    human.write_text(text, encoding="utf-8")
    elan_writer.write_copy(tmp_path / "copy.eaf", human, "fp01.mp4", TIERS)
    found = {tier.name: tier.annotations for tier in eaf.read(tmp_path / "copy.eaf").tiers}
    assert found["attending_model"] == (Annotation(1000, 6000, "engaged"),)  # the first one lies before the start
    elan_writer.write_copy(tmp_path / "other.eaf", human, "another.mp4", TIERS)
    found = {tier.name: tier.annotations for tier in eaf.read(tmp_path / "other.eaf").tiers}
    assert found["attending_model"] == tuple(TIERS[0].spans)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('TIER_ID="attending"', 'TIER_ID="attending_model"', "tier attending_model: expected none yet"),
        ("<HEADER>", '<HEADER TIME_UNITS="PAL-frames">', "TIME_UNITS 'PAL-frames'"),
        ("</ANNOTATION_DOCUMENT>", "", "broken XML"),
    ],
)
def test_an_original_that_cannot_be_extended_is_refused(
    old: str, new: str, words: str, tmp_path: Path, human: Path
) -> None:
    human.write_text(human.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=words):
        elan_writer.write_copy(tmp_path / "copy.eaf", human, "fp01.mp4", TIERS)
    assert not (tmp_path / "copy.eaf").exists()


def test_an_original_is_never_replaced(human: Path) -> None:
    before = human.read_bytes()
    with pytest.raises(InputError, match="its copy would be written"):
        elan_writer.write_copy(human, human, "fp01.mp4", TIERS)
    assert human.read_bytes() == before


def test_real_files_keep_everything_in_a_copy(tmp_path: Path, real_data: Path) -> None:
    copied = 0
    for original in sorted((real_data / "eaf").glob("*.eaf")):
        try:
            held = eaf.read(original)
            elan_writer.write_copy(tmp_path / original.name, original, "none.mp4", TIERS)
        except InputError:
            assert not (tmp_path / original.name).exists()
            continue
        added = eaf.read(tmp_path / original.name)
        assert [tier for tier in added.tiers if tier.name not in {t.name for t in TIERS}] == list(held.tiers)
        assert added.media == held.media
        assert counts(original) <= counts(tmp_path / original.name)
        copied += 1
    assert copied > 30


def counts(path: Path) -> Counter[tuple[str, str, str | None]]:
    """Every attribute of a file and how often it occurs."""
    root = ElementTree.parse(path).getroot()
    return Counter((element.tag, name, value) for element in root.iter() for name, value in element.items())
