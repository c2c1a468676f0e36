"""Stage scripts as processes whose every descendant can be found again, writing where a test wants them to."""

import os
import shlex
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT

MARK = "ATTUNE_ENDURANCE_RUN"
GONE_S = 30.0
needs_linux = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc to find processes")
needs_root = pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root can mount a disk")


@dataclass
class Run:
    """Commands that run one after the other until one of them fails; ``stop`` ends the one that is running."""

    commands: Sequence[Sequence[str]]
    cwd: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    code: int = 0
    errors: str = ""
    seconds: float = 0.0

    def go(self, stop: Callable[[subprocess.Popen[str]], object] | None = None, after_s: float = 0.0) -> "Run":
        """Run to the end; after so many seconds in all, ``stop`` is called once with the running process."""
        begin = time.monotonic()
        source = {"PYTHONPATH": os.pathsep.join(filter(None, [self.environment.get("PYTHONPATH"), str(ROOT / "src")]))}
        environment = {**os.environ, **self.environment, **source, MARK: self.mark}
        for command in self.commands:
            process = subprocess.Popen(
                command, cwd=self.cwd, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
            try:
                left = None if stop is None else max(0.0, after_s - (time.monotonic() - begin))
                _, said = process.communicate(timeout=left)
            except subprocess.TimeoutExpired:
                assert stop
                stop(process)
                stop = None
                _, said = process.communicate()
            self.errors += said
            self.code = process.returncode
            if self.code:
                break
        self.seconds = time.monotonic() - begin
        return self

    def left(self, patience_s: float = GONE_S) -> list[str]:
        """Command lines of the processes that are still there after a while."""
        end = time.monotonic() + patience_s
        while (found := marked(self.mark)) and time.monotonic() < end:
            time.sleep(0.02)
        return found


def marked(mark: str) -> list[str]:
    """Command lines of all living processes that come from a run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:  # gone meanwhile, or a zombie
            continue
    return found


def kill(process: subprocess.Popen[str]) -> None:
    """As ``kill -9`` of the stage's own process; its children get nothing."""
    process.kill()


def terminate(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)


@dataclass(frozen=True)
class StageCommand:
    """A stage as the pipeline runs it.

    Attributes:
        commands: its command lines.
        outs: its outputs, relative to the project.
        project: the folder of the project.
    """

    commands: tuple[tuple[str, ...], ...]
    outs: tuple[str, ...]
    project: Path

    def run(self, disk: Path, environment: Mapping[str, str] | None = None) -> Run:
        """The stage with its outputs and its work folder on another disk, its inputs as they are."""
        moved = [
            [str(disk / token) if self._written(token) else token for token in command] for command in self.commands
        ]
        return Run([[sys.executable, *command[1:]] for command in moved], self.project, environment or {})

    def _written(self, token: str) -> bool:
        path = Path(token)
        inside = any(path == Path(out) or path in Path(out).parents for out in self.outs)
        return "/" in token and (inside or token.startswith("data/work/"))

    def clear(self, disk: Path) -> None:
        """Remove the outputs, as DVC does before it runs a stage."""
        for out in self.outs:
            remove(disk / out)

    def results(self, disk: Path) -> dict[str, dict[str, bytes]]:
        """Content of every output that is there."""
        return {out: contents(disk / out) for out in self.outs if (disk / out).exists()}


def read_stage(project: Path, name: str) -> StageCommand:
    """A stage of a built project, from what DVC wrote down."""
    for lock in (project / "dvc.lock", *project.glob("stages/*/dvc.lock")):
        stages: dict[str, Any] = YAML(typ="safe").load(lock)["stages"]
        if name in stages:
            lines = [stages[name]["cmd"]] if isinstance(stages[name]["cmd"], str) else stages[name]["cmd"]
            outs = tuple(out["path"] for out in stages[name]["outs"])
            return StageCommand(tuple(tuple(shlex.split(line)) for line in lines), outs, project)
    raise LookupError(name)


def contents(path: Path) -> dict[str, bytes]:
    """Bytes of a file, or of every file in a folder."""
    files = [path] if path.is_file() else [file for file in sorted(path.rglob("*")) if file.is_file()]
    return {file.relative_to(path.parent).as_posix(): file.read_bytes() for file in files}


def half_written(disk: Path) -> list[str]:
    """What a run has left under a temporary name."""
    return [path.relative_to(disk).as_posix() for path in disk.rglob("*.partial") if ".lock." not in path.name]


def remove(path: Path) -> None:
    """Delete, also while somebody is writing there."""
    for _ in range(1000):
        subprocess.run(["rm", "-rf", str(path)], check=False, stderr=subprocess.DEVNULL)
        if not path.exists():
            return
    raise AssertionError(f"{path} cannot be removed")


class Disk:
    """A small disk in memory."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)

    def change(self, option: str) -> None:
        """Such as ``size=1000000`` or ``ro``."""
        subprocess.run(["mount", "-o", f"remount,{option}", str(self.folder)], check=True)

    def __enter__(self) -> Path:
        return self.folder

    def __exit__(self, *error: object) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)
