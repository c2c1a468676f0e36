"""EAF documents and small labs for tests."""

from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from attune.annotation.protocol import Protocol

Span = tuple[int, int, str]
HEADER = '<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"/>'
TYPES = """
  <LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true"/>
  <LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="part" CONSTRAINTS="Symbolic_Subdivision" TIME_ALIGNABLE="false"/>
  <LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="same" CONSTRAINTS="Symbolic_Association" TIME_ALIGNABLE="false"/>
  <LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="coded" CONTROLLED_VOCABULARY_REF="cv" TIME_ALIGNABLE="true"/>"""
TASKS: list[Span] = [(1000, 5000, "people"), (6000, 9000, "eggs"), (10000, 14000, "drums")]


def document(body: str, header: str = HEADER, types: str = TYPES) -> str:
    """An EAF document around its time order and tiers."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<ANNOTATION_DOCUMENT AUTHOR="" DATE="2022-03-01T12:00:00+00:00" FORMAT="3.0" VERSION="3.0">\n'
        f"{header}{body}{types}\n</ANNOTATION_DOCUMENT>\n"
    )


def time_order(slots: dict[str, int | str | None]) -> str:
    rows = (
        f'<TIME_SLOT TIME_SLOT_ID="{name}"{"" if time is None else f" TIME_VALUE={quoteattr(str(time))}"}/>'
        for name, time in slots.items()
    )
    return f"<TIME_ORDER>{''.join(rows)}</TIME_ORDER>"


def aligned(name: str, start: str, end: str, value: str, more: str = "") -> str:
    slots = f'TIME_SLOT_REF1="{start}" TIME_SLOT_REF2="{end}"'
    return (
        f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="{name}" {slots}{more}>'
        f"<ANNOTATION_VALUE>{escape(value)}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
    )


def referring(name: str, parent: str, value: str, previous: str = "") -> str:
    chain = f' PREVIOUS_ANNOTATION="{previous}"' if previous else ""
    return (
        f'<ANNOTATION><REF_ANNOTATION ANNOTATION_ID="{name}" ANNOTATION_REF="{parent}"{chain}>'
        f"<ANNOTATION_VALUE>{escape(value)}</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>"
    )


def tier(name: str, content: str = "", kind: str = "default-lt", parent: str = "") -> str:
    above = f" PARENT_REF={quoteattr(parent)}" if parent else ""
    return f'<TIER LINGUISTIC_TYPE_REF="{kind}" TIER_ID={quoteattr(name)}{above}>{content}</TIER>'


def coded(tiers: list[tuple[str, list[Span]]], header: str = HEADER) -> str:
    """A document with aligned annotations; tiers and spans in the given order."""
    slots: dict[str, int | str | None] = {}
    body = ""
    for name, spans in tiers:
        content = ""
        for start, end, value in spans:
            first, second = f"ts{len(slots) + 1}", f"ts{len(slots) + 2}"
            slots |= {first: start, second: end}
            content += aligned(f"a{len(slots)}", first, second, value)
        body += tier(name, content)
    return document(time_order(slots) + body, header)


def media(*descriptors: tuple[str, int | str | None]) -> str:
    rows = "".join(
        f'<MEDIA_DESCRIPTOR MEDIA_URL="file:///D:/lab/{name}" MIME_TYPE="video/mp4"'
        f"{'' if origin is None else f' TIME_ORIGIN={quoteattr(str(origin))}'}/>"
        for name, origin in descriptors
    )
    return f'<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">{rows}</HEADER>'


def protocol(**changes: object) -> Protocol:
    """The protocol of the test lab."""
    values: dict[str, object] = {
        "first_date": "2022-01-01",
        "last_date": "2022-12-31",
        "sessions": "fp[0-9]{2}",
        "annotators": ["ew", "kb", "mt"],
        "tasks": ["people", "eggs", "drums"],
        "task_corrections": {"peple": "people"},
        "variables": {
            "attending": {"values": ["attending", "excited"], "corrections": {"exited": "excited"}},
            "participating": {"values": ["self", "joint"]},
        },
    }
    return Protocol.model_validate(values | changes)


def tiers(**changes: list[Span]) -> list[tuple[str, list[Span]]]:
    """The tiers of a valid coding, some of them changed."""
    valid: dict[str, list[Span]] = {
        "participating": [(1500, 2500, "self"), (10500, 13000, "joint")],
        "attending": [(1000, 3000, "attending"), (7000, 8000, "excited")],
        "task": TASKS,
        "ignore": [],
    }
    return list((valid | changes).items())


def write_lab(folder: Path, **changes: list[Span]) -> Path:
    """Two valid sessions of two annotators each; ``changes`` are those of fp01_ew."""
    folder.mkdir(parents=True, exist_ok=True)
    for session in ("fp01", "fp02"):
        for annotator in ("ew", "kb"):
            first = (session, annotator) == ("fp01", "ew")
            text = coded(tiers(**changes) if first else tiers())
            (folder / f"{session}_{annotator}_20220301.eaf").write_text(text, encoding="utf-8")
    return folder
