"""ELAN's time line: slots with and without a time, and how a time is written.

Times are integer milliseconds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


def clock(time_ms: int) -> str:
    """A time as ELAN shows it, ``hh:mm:ss.mmm``."""
    seconds, milliseconds = divmod(abs(time_ms), 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{'-' if time_ms < 0 else ''}{hours:02}:{minutes:02}:{seconds:02}.{milliseconds:03}"


@dataclass(slots=True)
class TimeLine:
    """The time slots of a document.

    Attributes:
        times: time of every slot by its id, in the order of the document's TIME_ORDER; None while it has none.
    """

    times: dict[str, int | None] = field(default_factory=dict)

    def interpolate(self, tiers: Iterable[Iterable[tuple[str, str]]]) -> None:
        """Give a time to the slots without one, as ELAN's ``TimeProposer`` does.

        Annotations of a tier that follow each other share their slots, so a chain of them leads from one slot with a
        time to the next; the slots between divide that stretch into equal steps of whole milliseconds (rounded down).
        The order of TIME_ORDER counts only for slots outside such a chain, since programs are free to interleave it.

        Args:
            tiers: the slots at which every tier's annotations begin and end, parent tiers before their children.
        """
        if None not in self.times.values():
            return
        for pairs in tiers:
            following = {start: end for start, end in pairs if start in self.times and end in self.times}
            for start in [slot for slot in following if self.times[slot] is not None]:
                self._divide(self._chain(start, following))
        self._divide(list(self.times))

    def _chain(self, start: str, following: dict[str, str]) -> list[str]:
        """The slots from one with a time to the next one with a time, or to the end of the chain."""
        chain = {start: None}
        while (slot := following.get(next(reversed(chain)))) is not None and slot not in chain:
            chain[slot] = None
            if self.times[slot] is not None:
                break
        return list(chain)

    def _divide(self, slots: Sequence[str]) -> None:
        """Fill every run of slots without a time that lies between two with one."""
        last: tuple[int, int] | None = None
        for position, slot in enumerate(slots):
            time = self.times[slot]
            if time is None:
                continue
            if last is not None:
                first, start = last
                step = (time - start) // (position - first)
                for between in range(first + 1, position):
                    self.times[slots[between]] = start + (between - first) * step
            last = position, time
