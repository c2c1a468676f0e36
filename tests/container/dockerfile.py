"""What a Dockerfile says: the few instructions that this project uses, and no others."""

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

KNOWN = {"FROM", "SHELL", "ARG", "ENV", "WORKDIR", "COPY", "RUN", "USER", "CMD"}


@dataclass(frozen=True)
class Instruction:
    """One instruction, continued lines joined and comments left out; `line` is where it begins."""

    name: str
    text: str
    line: int

    def words(self) -> list[str]:
        """The arguments, from either form: a JSON list or words of a shell."""
        return list(json.loads(self.text)) if self.text.startswith("[") else shlex.split(self.text)


def read(path: Path) -> list[Instruction]:
    """All instructions in order; an unknown one is an error."""
    found, pending, start = [], "", 0
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.lstrip().startswith("#") or (not line.strip() and not pending):
            continue
        start = start if pending else number
        pending += line.strip()
        if pending.endswith("\\"):
            pending = pending[:-1]
            continue
        name, _, text = pending.partition(" ")
        if name not in KNOWN:
            raise ValueError(f"{path.name}:{start}: {name} is not one of {sorted(KNOWN)}")
        found.append(Instruction(name, text.strip(), start))
        pending = ""
    return found


def substitute(text: str, values: dict[str, str]) -> str:
    """Replace `$NAME` and `${NAME}` as Docker does in ENV, COPY, WORKDIR and USER: what is unknown becomes empty."""
    return re.sub(r"\$(?:(\w+)|\{(\w+)\})", lambda match: values.get(match[1] or match[2], ""), text)


def pairs(instruction: Instruction, values: dict[str, str]) -> dict[str, str]:
    """The `NAME=value` of ENV or ARG; all of one instruction see the values from before it."""
    return {
        name: substitute(value, values)
        for name, _, value in (word.partition("=") for word in shlex.split(instruction.text))
    }
