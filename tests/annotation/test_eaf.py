"""Reading single EAF files: what ELAN computes, and refusals."""

import itertools
import random
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attune.annotation import eaf
from attune.annotation.eaf import Annotation, Medium
from attune.problems import InputError
from tests.annotation.eaf_builder import (
    HEADER,
    TYPES,
    aligned,
    coded,
    document,
    media,
    referring,
    tier,
    tiers,
    time_order,
)

DATA = Path(__file__).parent / "data"


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str | bytes], eaf.Document]:
    def write_and_read(content: str | bytes) -> eaf.Document:
        path = tmp_path / "x.eaf"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return eaf.read(path)

    return write_and_read


def spans(document: eaf.Document, name: str) -> list[tuple[int, int, str]]:
    (tier,) = [tier for tier in document.tiers if tier.name == name]
    return [(a.start_ms, a.end_ms, a.value) for a in tier.annotations]


def test_annotations_are_sorted_by_time_whatever_their_order(read):
    found = read(coded([("b", [(30, 40, "z"), (10, 20, "y")]), ("a", [])]))
    assert spans(found, "b") == [(10, 20, "y"), (30, 40, "z")]
    assert spans(found, "a") == []
    assert [tier.name for tier in found.tiers] == ["b", "a"]
    assert found.warnings == ()


@pytest.mark.parametrize("name", ["old_2.6.eaf", "new_3.0.eaf"])
def test_hand_written_files_of_both_generations(name):
    found = eaf.read(DATA / name)
    assert spans(found, "attending") == [(1000, 3000, "attending"), (7000, 8000, "excited")]
    assert spans(found, "remark") == [(1000, 3000, "looks at the tower")]
    assert spans(found, "part") == [(7000, 7333, "a"), (7333, 7666, "b"), (7666, 8000, "c")]


def test_slots_without_a_time_divide_the_chain_equally(read):
    order = time_order({"t1": 1000, "t2": None, "t3": None, "t4": 2001})
    chain = aligned("a", "t1", "t2", "x") + aligned("b", "t2", "t3", "y") + aligned("c", "t3", "t4", "z")
    found = read(document(order + tier("words", chain)))
    # ELAN's step is (2001 - 1000) / 3 rounded down
    assert spans(found, "words") == [(1000, 1333, "x"), (1333, 1666, "y"), (1666, 2001, "z")]


def test_interleaved_slots_of_other_chains_do_not_count(read):
    slots = {"t1": 0, "u1": 0, "t2": None, "u2": None, "u3": None, "t3": 100, "u4": 100}
    first = aligned("a", "t1", "t2", "x") + aligned("b", "t2", "t3", "y")
    second = aligned("c", "u1", "u2", "x") + aligned("d", "u2", "u3", "y") + aligned("e", "u3", "u4", "z")
    found = read(document(time_order(slots) + tier("one", first) + tier("two", second)))
    assert spans(found, "one") == [(0, 50, "x"), (50, 100, "y")]
    assert spans(found, "two") == [(0, 33, "x"), (33, 66, "y"), (66, 100, "z")]


def test_child_tier_divides_what_its_parent_tier_interpolated(read):
    order = time_order({"t1": 0, "t2": None, "t3": None, "t4": 100})
    parent = aligned("a", "t1", "t3", "x") + aligned("b", "t3", "t4", "y")
    child = aligned("c", "t1", "t2", "p") + aligned("d", "t2", "t3", "q")
    body = order + tier("child", child, parent="parent") + tier("parent", parent)
    found = read(document(body))
    assert spans(found, "parent") == [(0, 50, "x"), (50, 100, "y")]
    assert spans(found, "child") == [(0, 25, "p"), (25, 50, "q")]


def test_lonely_slot_lies_between_its_neighbours_in_time_order(read):
    order = time_order({"t1": 100, "t2": None, "t3": 300, "t4": 400})
    found = read(document(order + tier("one", aligned("a", "t2", "t4", "x"))))
    assert spans(found, "one") == [(200, 400, "x")]


def test_minus_one_is_a_slot_without_a_time(read):
    order = time_order({"t1": 100, "t2": -1, "t3": 300})
    found = read(document(order + tier("one", aligned("a", "t1", "t2", "x") + aligned("b", "t2", "t3", "y"))))
    assert spans(found, "one") == [(100, 200, "x"), (200, 300, "y")]


def test_association_takes_the_whole_span_and_subdivision_an_equal_part(read):
    words = referring("p2", "a", "b", "p1") + referring("p1", "a", "a") + referring("p3", "a", "c", "p2")
    body = (
        time_order({"t1": 0, "t2": 1000})
        + tier("note", referring("n", "p2", "whole part"), "same", "word")
        + tier("word", words, "part", "top")
        + tier("letter", referring("l1", "p2", "x") + referring("l2", "p2", "y", "l1"), "part", "word")
        + tier("top", aligned("a", "t1", "t2", "abc"))
    )
    found = read(document(body))
    assert spans(found, "word") == [(0, 333, "a"), (333, 666, "b"), (666, 1000, "c")]
    assert spans(found, "note") == [(333, 666, "whole part")]
    assert spans(found, "letter") == [(333, 499, "x"), (499, 666, "y")]


@given(st.integers(0, 10**6), st.integers(0, 10**5), st.integers(1, 12), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_subdivision_covers_its_parent_exactly(tmp_path, start, length, parts, rng: random.Random):
    children = [referring(f"c{i}", "a", f"{i:02}", f"c{i - 1}" if i else "") for i in range(parts)]
    rng.shuffle(children)
    body = time_order({"t1": start, "t2": start + length}) + tier("top", aligned("a", "t1", "t2", "x"))
    path = tmp_path / "x.eaf"
    path.write_text(document(body + tier("part", "".join(children), "part", "top")))
    found = sorted(spans(eaf.read(path), "part"), key=lambda span: span[2])
    assert [found[0][0], found[-1][1]] == [start, start + length]
    assert all(one[1] == two[0] for one, two in itertools.pairwise(found))
    assert all(abs((end - begin) - length / parts) <= 1 for begin, end, _ in found)


def test_long_chain_of_references_needs_no_recursion(read):
    count = 3000
    levels = [tier(f"t{i}", referring(f"a{i}", f"a{i + 1}", "x"), "same", f"t{i + 1}") for i in range(count)]
    top = tier(f"t{count}", aligned(f"a{count}", "s1", "s2", "x"))
    found = read(document(time_order({"s1": 5, "s2": 9}) + "".join(levels) + top))
    assert {spans(found, name)[0] for name in ("t0", "t1500", f"t{count}")} == {(5, 9, "x")}


def test_empty_value_takes_the_entry_of_its_vocabulary(read):
    vocabularies = """
      <CONTROLLED_VOCABULARY CV_ID="other"><CV_ENTRY_ML CVE_ID="e1"><CVE_VALUE LANG_REF="und">wrong</CVE_VALUE>
      </CV_ENTRY_ML></CONTROLLED_VOCABULARY>
      <CONTROLLED_VOCABULARY CV_ID="cv"><CV_ENTRY_ML CVE_ID="e1"><CVE_VALUE LANG_REF="und">excited</CVE_VALUE>
      <CVE_VALUE LANG_REF="deu">aufgeregt</CVE_VALUE></CV_ENTRY_ML></CONTROLLED_VOCABULARY>"""
    content = (
        aligned("a", "t1", "t2", "", ' CVE_REF="e1"')
        + aligned("b", "t2", "t3", "kept", ' CVE_REF="e1"')
        + aligned("c", "t3", "t4", "", ' CVE_REF="gone"')
    )
    order = time_order({"t1": 1, "t2": 2, "t3": 3, "t4": 4})
    found = read(document(order + tier("attending", content, "coded"), types=TYPES + vocabularies))
    assert [value for *_, value in spans(found, "attending")] == ["excited", "kept", ""]


def test_media_keep_their_origins_and_names(read):
    found = read(document(time_order({}), media(("sound.wav", None), ("fp%2001.mp4", 1251), ("b.mp4", "-40"))))
    assert found.media == (Medium("sound.wav", 0, sound=True), Medium("fp 01.mp4", 1251), Medium("b.mp4", -40))
    windows = HEADER.replace("/>", '><MEDIA_DESCRIPTOR MEDIA_URL="C:\\lab\\fp01.mp4" MIME_TYPE="video/mp4"/></HEADER>')
    assert read(document("", windows)).media == (Medium("fp01.mp4", 0),)


@pytest.mark.parametrize(
    ("unit", "times"),
    [("milliseconds", (100, 250)), ("PAL-frames", (4000, 10000)), ("NTSC-frames", (3337, 8342))],
)
def test_times_in_frames_become_milliseconds(read, unit, times):
    found = read(coded([("a", [(100, 250, "x")])], f'<HEADER TIME_UNITS="{unit}"/>'))
    assert spans(found, "a") == [(*times, "x")]


@pytest.mark.parametrize("header", ["", "<HEADER/>", '<HEADER TIME_UNITS=""/>'])
def test_missing_time_units_are_milliseconds_with_a_warning(read, header):
    found = read(coded([("a", [(100, 250, "x")])], header))
    assert spans(found, "a") == [(100, 250, "x")]
    assert ["TIME_UNITS" in str(problem) for problem in found.warnings] == [True]


def test_names_and_values_are_nfc(read):
    name = unicodedata.normalize("NFD", "élan")
    assert read(coded([(name, [(1, 2, name)])])).tiers[0] == eaf.Tier("élan", (Annotation(1, 2, "élan"),))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "iso-8859-1", "windows-1252"])
def test_other_encodings(read, encoding):
    declared = encoding if encoding.startswith(("iso", "win")) else encoding.upper().removesuffix("-SIG")
    text = coded([("é", [(1, 2, "ü")])]).replace('encoding="UTF-8"', f'encoding="{declared}"')
    assert spans(read(text.encode(encoding)), "é") == [(1, 2, "ü")]


def test_annotations_without_an_id_and_nested_ones_are_read(read):
    inner = aligned("b", "t3", "t4", "inner")
    content = (
        aligned("", "t1", "t2", "x").replace(' ANNOTATION_ID=""', "").replace("</ANNOTATION>", inner + "</ANNOTATION>")
    )
    found = read(document(time_order({"t1": 1, "t2": 2, "t3": 3, "t4": 4}) + tier("a", content)))
    assert spans(found, "a") == [(1, 2, "x"), (3, 4, "inner")]


def test_unknown_parent_tier_is_a_warning(read):
    found = read(document(time_order({"t1": 1, "t2": 2}) + tier("a", aligned("a", "t1", "t2", "x"), parent="gone")))
    assert "gone" in str(found.warnings[0])


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'
EXTERNAL = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
ONE = time_order({"t1": 1, "t2": 2})


def with_doctype(doctype: str) -> str:
    return coded([("a", [])]).replace("?>", f"?>{doctype}", 1)


REFUSED: dict[str, tuple[str | bytes, str]] = {
    "empty": (b"", "an empty file"),
    "white space": (b"  \n", "broken XML"),
    "not XML": (b"Session 1, tape 2", "broken XML"),
    "binary": (bytes(range(256)), "broken XML"),
    "LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n", "git lfs pull"),
    "truncated": (coded(tiers())[:900], "broken XML"),
    "text before": ("d" + coded(tiers()), "broken XML"),
    "other root": ("<TEI/>", "ANNOTATION_DOCUMENT"),
    "entity bomb": (with_doctype(BOMB), "entity"),
    "external entity": (with_doctype(EXTERNAL), "entity"),
    "unknown encoding": (coded([]).replace("UTF-8", "klingon"), "x.eaf"),
    "bad bytes": (coded([("a", [])]).encode().replace(b'TIER_ID="a"', b'TIER_ID="\xff"'), "broken XML"),
    "unknown unit": (coded([], '<HEADER TIME_UNITS="fortnights"/>'), "PAL-frames"),
    "time is a word": (document(time_order({"t1": "soon"})), "TIME_VALUE 'soon'"),
    "time is a fraction": (document(time_order({"t1": "1.5"})), "TIME_VALUE '1.5'"),
    "time is negative": (document(time_order({"t1": -7})), "not negative"),
    "time is huge": (document(time_order({"t1": 10**30})), "whole number"),
    "slot twice": (document("<TIME_ORDER>" + 2 * '<TIME_SLOT TIME_SLOT_ID="t1"/>' + "</TIME_ORDER>"), "it twice"),
    "slot without id": (document("<TIME_ORDER><TIME_SLOT TIME_VALUE='1'/></TIME_ORDER>"), "no id"),
    "dangling slot": (document(ONE + tier("a", aligned("a1", "t1", "t9", "x"))), "'t9'"),
    "no slot at all": (document(ONE + tier("a", aligned("a1", "", "", "x"))), "time slot ''"),
    "nothing to interpolate": (
        document(time_order({"t1": 5, "t2": None}) + tier("a", aligned("a1", "t1", "t2", "x"))),
        "without a time around it",
    ),
    "dangling reference": (document(ONE + tier("a", referring("a1", "a9", "x"))), "'a9', which is not in the file"),
    "cycle of references": (
        document(ONE + tier("a", referring("a1", "a2", "x") + referring("a2", "a1", "y"))),
        "a cycle of references",
    ),
    "annotation refers to itself": (document(ONE + tier("a", referring("a1", "a1", "x"))), "a cycle of references"),
    "reference to a twice used id": (
        document(ONE + tier("a", 2 * aligned("a1", "t1", "t2", "x")) + tier("b", referring("b1", "a1", "y"))),
        "2 times in the file",
    ),
    "cycle of tiers": (document(tier("a", parent="b") + tier("b", parent="a")), "a cycle through the tier"),
    "tier without name": (document("<TIER/>"), "no TIER_ID"),
    "origin is a word": (coded([], media(("a.mp4", "noon"))), "TIME_ORIGIN 'noon'"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_with_one_clear_message(read, kind):
    content, expected = REFUSED[kind]
    with pytest.raises(InputError) as caught:
        read(content)
    assert expected in str(caught.value)
    assert all(problem.file == "x.eaf" and problem.cure for problem in caught.value.problems)


def test_every_contradiction_of_a_file_is_listed(read):
    body = time_order({"t1": "soon"}) + tier("a", referring("a1", "a9", "x") + aligned("a2", "t8", "t9", "x"))
    with pytest.raises(InputError) as caught:
        read(document(body, '<HEADER TIME_UNITS="x"/>'))
    assert len(caught.value.problems) == 5


def test_missing_file_and_folder_are_refused(tmp_path):
    for path in (tmp_path / "gone.eaf", tmp_path):
        with pytest.raises(InputError, match="Check the file"):
            eaf.read(path)


def test_order_of_tiers_and_annotations_does_not_matter(read):
    rng = random.Random(1)
    given = tiers()
    expected = {name: spans(read(coded(given)), name) for name, _ in given}
    for _ in range(5):
        shuffled = [(name, rng.sample(rows, len(rows))) for name, rows in rng.sample(given, len(given))]
        found = read(coded(shuffled))
        assert {name: spans(found, name) for name, _ in given} == expected


SEEDS = [(DATA / name).read_bytes() for name in ("old_2.6.eaf", "new_3.0.eaf")] + [coded(tiers()).encode()]


@given(st.sampled_from(SEEDS), st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_bytes_give_a_document_or_a_refusal(tmp_path, seed: bytes, data: st.DataObject):
    content = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 6))):
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, min(len(content), start + 40)))
        insert = data.draw(
            st.binary(max_size=8) | st.sampled_from([b"-1", b"99999999999999", b"ts1", b"a1", b"<TIER>", b""])
        )
        content[start:end] = insert
    path = tmp_path / "x.eaf"
    path.write_bytes(content)
    try:
        assert isinstance(eaf.read(path), eaf.Document)
    except InputError as error:
        assert error.problems


TOKENS = st.sampled_from(["ts1", "ts2", "ts9", "a1", "a2", "a3", "attending", "part", "", "-1", "7", "x"])


@given(st.lists(st.tuples(st.integers(0, 200), TOKENS), min_size=1, max_size=8))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_exchanged_attributes_give_a_document_or_a_refusal(tmp_path, changes):
    pieces = SEEDS[1].decode().split('"')  # attribute values are the odd pieces
    for position, token in changes:
        pieces[2 * (position % (len(pieces) // 2)) + 1] = token
    path = tmp_path / "x.eaf"
    path.write_text('"'.join(pieces), encoding="utf-8")
    try:
        assert isinstance(eaf.read(path), eaf.Document)
    except InputError as error:
        assert error.problems
