"""One annotator's coding of one session, held against the protocol.

Every rule of docs/annotation_rules.md that concerns the content of a file is applied here. Times are integer
milliseconds of the session's video, spans are half-open, ``[start_ms, end_ms)``; in ELAN's files they lie on a common
time line, to which the video's ``TIME_ORIGIN`` is added.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import NamedTuple

from attune.annotation.eaf import Annotation, Document, Medium
from attune.annotation.protocol import NO, Protocol, fold, normalise
from attune.annotation.spans import LATEST_MS
from attune.annotation.times import clock
from attune.problems import Problem, errors

# Players disagree about the length of a video by some frames, so a span may end this much after it.
END_SLACK_MS = 500
DAY_MS = 24 * 3_600_000
ELAN = "Correct it in ELAN."


@dataclass(frozen=True, order=True, slots=True)
class Coding:
    """Who coded what, from the file's name."""

    session: str
    annotator: str
    path: Path


class Row(NamedTuple):
    """A row of the span table, in the order of :data:`attune.annotation.spans.ORIGINAL`."""

    session: str
    annotator: str
    variable: str
    value: str
    start_ms: int
    end_ms: int


def check(
    document: Document, coding: Coding, protocol: Protocol, duration_ms: int | None
) -> tuple[list[Row], list[Problem]]:
    """Apply the protocol to one file.

    Args:
        document: the file's content.
        coding: session and annotator.
        protocol: the rules.
        duration_ms: length of the session's video; None if it is not known, then no span is outside.

    Returns:
        The spans, sorted by variable and time, with normalised values; and all problems, those of reading included.
        With an error among the problems, the spans are of no use.
    """
    work = _Check(document, coding, protocol, duration_ms)
    return work.rows(), sorted(work.problems)


def suggestion(found: str, known: Iterable[str]) -> str:
    """The known name that is nearest to a wrong one, as the end of a sentence; empty if none is near."""
    names = {fold(name): name for name in known}
    near = difflib.get_close_matches(fold(found), sorted(names), n=1)
    return f" (perhaps '{names[near[0]]}')" if near else ""


def listed(names: Iterable[str]) -> str:
    """Names for a message, in the given order."""
    return ", ".join(names) or "none"


def _where(tier: str, span: Annotation) -> str:
    return f"tier {tier}, {clock(span.start_ms)} to {clock(span.end_ms)}"


@dataclass
class _Check:
    document: Document
    coding: Coding
    protocol: Protocol
    duration_ms: int | None
    problems: list[Problem] = field(default_factory=list)

    def rows(self) -> list[Row]:
        self.problems += self.document.warnings
        tiers = {}
        origin_ms = self._origin()
        for name, annotations in self._tiers().items():
            lookup = self.protocol.lookup(name)
            if origin_ms:
                annotations = tuple(
                    Annotation(span.start_ms + origin_ms, span.end_ms + origin_ms, span.value) for span in annotations
                )
            placed = [kept for span in annotations if (kept := self._place(name, span))]
            valued = [kept for span in placed if (kept := self._value(name, span, lookup))]
            tiers[name] = self._disjoint(name, valued)
        self._tasks(tiers.get(self.protocol.task_tier, []))
        self._outside_tasks(tiers)
        self._say_no(tiers)
        return [
            Row(self.coding.session, self.coding.annotator, name, span.value, span.start_ms, span.end_ms)
            for name in sorted(tiers)
            for span in tiers[name]
        ]

    def _report(self, where: str, found: str, expected: str, cure: str = ELAN, *, warn: bool = False) -> None:
        problem = Problem(self.document.file, where, found, expected, cure, "warning" if warn else "error")
        self.problems.append(problem)

    def _origin(self) -> int:
        """Where ELAN's time line starts in the session's video.

        That is the video of the session's name, or else the first video; sounds count where there is no video.
        """
        media = sorted(self.document.media, key=lambda medium: (medium.sound, not self._own(medium)))
        if not media:
            return 0
        if self._own(media[0]):
            media = [medium for medium in media if self._own(medium)]
        chosen = media[0]
        cure = f"That of {chosen.name} counts: {chosen.origin_ms} ms are added to every time."
        if len({medium.origin_ms for medium in media}) > 1:
            found = f"media with different TIME_ORIGIN, {listed(f'{m.name} {m.origin_ms}' for m in media)}"
            self._report("HEADER", found, f"one medium named {self.coding.session}, or equal origins", cure, warn=True)
        elif chosen.origin_ms:
            found = f"TIME_ORIGIN {chosen.origin_ms}"
            self._report("HEADER", found, "a video that starts with the time line", cure, warn=True)
        return chosen.origin_ms

    def _own(self, medium: Medium) -> bool:
        return fold(PurePath(medium.name).stem) == fold(self.coding.session)

    def _tiers(self) -> dict[str, tuple[Annotation, ...]]:
        """The annotations of every tier of the protocol that the file has."""
        known = {fold(name): name for name in self.protocol.tiers}
        tiers: dict[str, tuple[Annotation, ...]] = {}
        strangers = []
        for tier in sorted(self.document.tiers, key=lambda tier: tier.name):
            name = known.get(fold(tier.name))
            if name is None:
                strangers += [tier.name] if tier.annotations else []  # ELAN makes an empty tier "default"
            elif name in tiers:
                self._report(f"tier {name}", "the tier more than once", "it once", "Merge or remove one in ELAN.")
            else:
                tiers[name] = tier.annotations
        for name, required in self.protocol.tiers.items():
            if required and name not in tiers:
                near = suggestion(name, (tier.name for tier in self.document.tiers))
                self._report(f"tier {name}", f"no such tier{near}", "the tier", "Add or rename it; it may be empty.")
            elif name in self.protocol.variables and name not in tiers:
                cure = "The variable counts as not coded here; add the tier, empty, if there was nothing to code."
                self._report(f"tier {name}", "no such tier", "the optional tier", cure, warn=True)
        if strangers:
            found, expected = f"tiers {listed(strangers)}", f"the tiers {listed(self.protocol.tiers)}"
            self._report("", found, expected, "The others are left out.", warn=True)
        return tiers

    def _place(self, tier: str, span: Annotation) -> Annotation | None:
        """The span inside the video, or None if it covers no time."""
        if span.start_ms == span.end_ms:
            self._report(_where(tier, span), "a span of no length", "end after start", "It is left out.", warn=True)
            return None
        if span.start_ms > span.end_ms:
            self._report(_where(tier, span), "a span that ends before it starts", "end after start")
            return None
        if span.start_ms < 0:
            self._report(_where(tier, span), "a start before the video", "a start inside the video")
            return None
        if span.end_ms > LATEST_MS:
            expected = f"an end within the {LATEST_MS // DAY_MS} days that a recording may last"
            self._report(_where(tier, span), f"an end at {span.end_ms} ms", expected)
            return None
        if self.duration_ms is None or span.end_ms <= self.duration_ms:
            return span
        video = f"a span inside the video ({clock(self.duration_ms)})"
        if span.start_ms >= self.duration_ms or span.end_ms > self.duration_ms + END_SLACK_MS:
            cure = "Correct it in ELAN, or check that this is the session's video and that it is whole."
            self._report(_where(tier, span), "a span outside the video", video, cure)
            return None
        late = span.end_ms - self.duration_ms
        self._report(
            _where(tier, span), f"an end {late} ms after the video", video, "It is cut to the video.", warn=True
        )
        return replace(span, end_ms=self.duration_ms)

    def _value(self, tier: str, span: Annotation, lookup: dict[str, str] | None) -> Annotation | None:
        """The span with the value of the vocabulary that its text stands for."""
        if lookup is not None and span.value in lookup.values():
            return span  # nearly always; the rest is slow
        text = normalise(span.value)
        if lookup is None:
            return replace(span, value=text)
        if value := lookup.get(fold(text)):
            return replace(span, value=value)
        allowed = list(dict.fromkeys(lookup.values()))
        expected = f"one of {listed(sorted(allowed))}{suggestion(text, allowed)}"
        cure = "Correct it in ELAN, or add the typo to the corrections in params.yaml." if text else ELAN
        self._report(_where(tier, span), f"'{text}'" if text else "no value", expected, cure)
        return None

    def _disjoint(self, tier: str, spans: list[Annotation]) -> list[Annotation]:
        """Spans in their order in time; equal ones that overlap are merged, different ones reported."""
        kept: list[Annotation] = []
        for span in spans:
            last = kept[-1] if kept else None
            if last is None or span.start_ms >= last.end_ms:
                kept.append(span)
            elif tier != self.protocol.task_tier and (last.value == span.value or tier == self.protocol.ignore_tier):
                found = f"'{span.value}' twice at once (the other {clock(last.start_ms)} to {clock(last.end_ms)})"
                self._report(_where(tier, span), found, "spans that do not overlap", "They are merged.", warn=True)
                kept[-1] = replace(last, end_ms=max(last.end_ms, span.end_ms))
            else:
                found = f"'{span.value}' and '{last.value}' at once, until {clock(min(last.end_ms, span.end_ms))}"
                self._report(_where(tier, span), found, "spans that do not overlap")
                kept.append(span if span.end_ms > last.end_ms else last)
        return kept

    def _tasks(self, spans: list[Annotation]) -> None:
        """Every task once, in the protocol's order in time."""
        tasks, tier = self.protocol.tasks, self.protocol.task_tier
        if any(f"{problem.where},".startswith(f"tier {tier},") for problem in errors(self.problems)):
            return  # a task that could not be read would be reported again as missing
        order = [span.value for span in spans]
        for task in tasks:
            times = [f"at {clock(span.start_ms)}" for span in spans if span.value == task]
            if not times:
                self._report(f"tier {tier}", f"no task '{task}'", f"the tasks {listed(tasks)}", "Mark it in ELAN.")
            elif len(times) > 1:
                cure = f"Keep one span, and mark interruptions on the tier {self.protocol.ignore_tier}."
                self._report(f"tier {tier}", f"'{task}' {len(times)} times, {listed(times)}", "it once", cure)
        if sorted(order) == sorted(tasks) and order != list(tasks):
            cure = "Correct the names of the tasks in ELAN."
            self._report(f"tier {tier}", f"the order {listed(order)}", f"the order in time {listed(tasks)}", cure)

    def _say_no(self, tiers: dict[str, list[Annotation]]) -> None:
        """Let an empty tier of an optional variable say `no` in every task: the span table knows no empty tiers."""
        for name, variable in self.protocol.variables.items():
            if not variable.required and name in tiers and not tiers[name]:
                tiers[name] = [replace(task, value=NO) for task in tiers.get(self.protocol.task_tier, [])]

    def _outside_tasks(self, tiers: dict[str, list[Annotation]]) -> None:
        tasks = tiers.get(self.protocol.task_tier, [])
        for name in self.protocol.variables:
            outside = [
                span
                for span in tiers.get(name, [])
                if not any(span.start_ms < task.end_ms and task.start_ms < span.end_ms for task in tasks)
            ]
            if tasks and outside:
                found = f"{len(outside)} span(s) outside all tasks, the first at {clock(outside[0].start_ms)}"
                self._report(f"tier {name}", found, "spans inside tasks", "They do not count.", warn=True)
