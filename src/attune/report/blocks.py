"""What a page is made of: sections of blocks, plain values that the template lays out and escapes."""

from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    words: str
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Missing:
    """Something that the page would show if it were there, and what makes it."""

    what: str
    path: str
    cure: str
    kind: ClassVar[str] = "missing"


@dataclass(frozen=True)
class Number:
    """One number with its name, what it is compared with, and a sentence that says what it means."""

    name: str
    value: str
    beside: str
    meaning: str


@dataclass(frozen=True)
class Numbers:
    """Numbers that are read first."""

    numbers: list[Number]
    kind: ClassVar[str] = "numbers"


@dataclass(frozen=True)
class Table:
    """A table; the first ``headers`` columns of each row name it, the others are ``numeric`` or words."""

    caption: str
    head: list[str]
    rows: list[list[str]]
    headers: int = 1
    numeric: bool = True
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Figure:
    """A picture: ``source`` is a data URI, None if it was left out to keep the page small."""

    source: str | None
    path: str
    alt: str
    caption: str
    kind: ClassVar[str] = "figure"


@dataclass(frozen=True)
class Video:
    """A short video; ``source`` as in :class:`Figure`, ``alt`` says what it shows."""

    source: str | None
    path: str
    alt: str
    caption: str
    wide: bool = False


@dataclass(frozen=True)
class Videos:
    """Videos of one clip, side by side."""

    title: str
    words: str
    videos: list[Video]
    kind: ClassVar[str] = "videos"


@dataclass(frozen=True)
class Terms:
    """Words and what they mean."""

    terms: list[tuple[str, str]]
    kind: ClassVar[str] = "terms"


@dataclass(frozen=True)
class Details:
    """Blocks that are folded away under a title."""

    title: str
    blocks: list[Any]
    kind: ClassVar[str] = "details"


@dataclass(frozen=True)
class Section:
    """A part of the page; ``name`` is its anchor."""

    name: str
    title: str
    blocks: list[Any] = field(default_factory=list)


def number(value: object, digits: int = 2) -> str:
    """A number as the page writes it; a dash where it is undefined."""
    if value is None or isinstance(value, str) or value != value:
        return str(value) if isinstance(value, str) and value else "\N{EN DASH}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\N{THIN SPACE}")
    assert isinstance(value, float)  # noqa: S101 - JSON and tables hold nothing else
    text = f"{value:.{digits}f}" if abs(value) < 1000 else f"{value:.0f}"
    return text.replace("-", "\N{MINUS SIGN}")


def interval(value: object, low: object, high: object) -> str:
    """A number with its interval in brackets, if it has one."""
    if value is None or value != value or low is None or low != low:
        return number(value)
    return f"{number(value)} [{number(low)}, {number(high)}]"
