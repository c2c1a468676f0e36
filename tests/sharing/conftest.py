"""A small versioned project, shared through git and a remote by two people."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

STAGE = """\
import pathlib, random, sys
seed, out = int(sys.argv[1]), pathlib.Path("out")
out.mkdir(exist_ok=True)
print("computing", file=open("ran.txt", "a"))
for index in range(12):
    (out / f"{index}.bin").write_bytes(random.Random(seed * 100 + index).randbytes(300_000))
"""
PIPELINE = """\
stages:
  make:
    cmd: python make.py ${seed}
    params: [seed]
    deps: [make.py]
    outs: [out]
"""


@dataclass(frozen=True)
class Clone:
    """One person's clone."""

    folder: Path

    def run(self, *command: str, check: bool = True, **environment: str) -> str:
        result = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment() | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
        return result.stdout + result.stderr

    def environment(self) -> dict[str, str]:
        tools = str(Path(sys.executable).parent)
        names = {
            f"GIT_{who}_{what}": "test@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        # A place of its own for what DVC remembers of a machine, as two people's machines have.
        site = {"DVC_SITE_CACHE_DIR": str(self.folder.parent / f".{self.folder.name}-site"), "DVC_NO_ANALYTICS": "1"}
        return {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", **names, **site}

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", message)

    def content(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted((self.folder / "out").iterdir())}

    def times_run(self) -> int:
        log = self.folder / "ran.txt"
        return len(log.read_text().splitlines()) if log.exists() else 0


def clone(origin: Path, folder: Path) -> Clone:
    subprocess.run(["git", "clone", "--quiet", str(origin), str(folder)], check=True)
    return Clone(folder)


@pytest.fixture
def first(tmp_path: Path) -> Clone:
    """The clone of who began: a pipeline that has run, committed, in a bare git repository; no remote for data yet."""
    person = begin(tmp_path, PIPELINE)
    (person.folder / "make.py").write_text(STAGE)
    person.run("dvc", "repro", "--quiet")
    person.commit("Start")
    return person


def begin(folder: Path, pipeline: str) -> Clone:
    """A clone of an empty bare git repository, both in the folder, with a pipeline that has not run yet."""
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(folder / "origin")], check=True)
    person = clone(folder / "origin", folder / "first")
    (person.folder / "dvc.yaml").write_text(pipeline)
    (person.folder / "params.yaml").write_text("seed: 1\n")
    (person.folder / ".gitignore").write_text("ran.txt\n")
    person.run("git", "checkout", "-q", "-b", "main")
    person.run("dvc", "init", "--quiet")
    return person


def share(person: Clone, url: str, **settings: str) -> None:
    """Name the team's remote, as the README says, and push code and data to it."""
    person.run("dvc", "remote", "add", "--default", "team", url)
    for name, value in settings.items():
        person.run("dvc", "remote", "modify", "team", name, value)
    person.commit("Share the data")
    person.run("git", "push", "--quiet", "origin", "main")
    person.run("dvc", "push", "--run-cache")


def push_at_once(people: list[Clone]) -> None:
    """Two people push different results at the same time; each gets back all of the own one."""
    for seed, person in enumerate(people, start=10):
        (person.folder / "params.yaml").write_text(f"seed: {seed}\n")
        person.run("dvc", "repro", "--quiet")
    pushing = [
        subprocess.Popen(["dvc", "push"], cwd=person.folder, env=person.environment(), stdout=subprocess.DEVNULL)
        for person in people
    ]
    assert [process.wait() for process in pushing] == [0, 0]
    wanted = [person.content() for person in people]
    for person, content in zip(people, wanted, strict=True):
        shutil.rmtree(person.folder / ".dvc/cache")
        shutil.rmtree(person.folder / "out")
        person.run("dvc", "pull")
        assert person.content() == content
