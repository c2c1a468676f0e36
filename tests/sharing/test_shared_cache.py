"""Two real users of one machine, members of one group, share a cache as docs/team.md says."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from tests.conftest import ROOT
from tests.sharing.conftest import PIPELINE, STAGE, Clone

pytestmark = [
    pytest.mark.endurance,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may act as two other users"),
]
GROUP = 64_000
UMASK = 0o027  # files are not for others, and the group may read, not write, them


def as_user(number: int) -> list[str]:
    """Before a command: without root's rights, in a group of its own and in the common one."""
    return ["setpriv", f"--reuid={number}", f"--regid={number}", f"--groups={GROUP}"]


@dataclass(frozen=True)
class User(Clone):
    """A clone of a user of its own, in the user's home."""

    umask: ClassVar[int] = UMASK
    number: int
    home: Path

    def before(self) -> list[str]:
        return as_user(self.number)

    def environment(self) -> dict[str, str]:
        return super().environment() | {
            "HOME": str(self.home),
            "LOGNAME": self.home.name,
            "USER": self.home.name,
            "PATH": f"{self.home.parent / 'bin'}{os.pathsep}{os.environ['PATH']}",
        }

    def begin(self, origin: Path) -> None:
        User(self.home, self.number, self.home).run("git", "clone", "--quiet", str(origin), self.folder.name)

    def write(self, name: str, text: str) -> None:
        self.run("sh", "-c", 'printf "%s" "$2" > "$1"', "sh", name, text)

    def push(self, message: str) -> None:
        self.commit(message)
        self.run("git", "push", "--quiet", "origin", "HEAD:main")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user can reach, which those of pytest are not, with the programs in ``bin``."""
    if not shutil.which("setpriv"):
        pytest.skip("setpriv of util-linux is not installed")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        install(folder / "bin")
        yield folder


def install(folder: Path) -> None:
    """Programs ``python`` and ``dvc``, by a Python of this version that may be run by all, as one of root's may not."""
    folder.mkdir()
    packages = sysconfig.get_path("purelib")
    for python in (sys.executable, f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"):
        for name, module in (("python", ""), ("dvc", " -m dvc")):
            (folder / name).write_text(f'#!/bin/sh\nPYTHONPATH={packages} exec {python}{module} "$@"\n')
            (folder / name).chmod(0o755)
        command = [*as_user(GROUP), "sh", "-c", f"{folder / 'dvc'} --version"]
        if not subprocess.run(command, check=False, capture_output=True).returncode:
            return
    pytest.skip("there is no Python that other users can run")


@pytest.fixture
def users(place: Path) -> list[User]:
    """Two users with a clone each of a repository that their group may write."""
    git = ["git", "init", "--quiet", "--bare", "--shared=group", "--initial-branch=main", str(place / "origin")]
    subprocess.run(git, check=True)
    people = []
    for name, number in (("one", GROUP + 1), ("two", GROUP + 2)):
        home = place / name
        home.mkdir()
        home.chmod(0o750)
        shutil.chown(home, number, number)
        User(home, number, home).run("git", "config", "--global", "--add", "safe.directory", str(place / "origin"))
        people.append(User(home / "clone", number, home))
    for path in [place / "origin", *(place / "origin").rglob("*")]:
        shutil.chown(path, GROUP + 1, GROUP)
        path.chmod(path.stat().st_mode | (0o2070 if path.is_dir() else 0o060))
    return people


def commands(place: Path) -> list[str]:
    """What docs/team.md has each person do, with another place for the cache."""
    text = (ROOT / "docs/team.md").read_text(encoding="utf-8").split("## Several people on one machine")[1]
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    assert blocks[0].startswith("sudo install -d -m 2770 -g study /srv/attune-cache")
    subprocess.run(["install", "-d", "-m", "2770", "-g", str(GROUP), str(place / "cache")], check=True)
    return [line for line in blocks[1].replace("/srv/attune-cache", str(place / "cache")).splitlines() if line]


def test_two_users_share_a_cache(users: list[User], place: Path) -> None:
    one, two = users
    steps = commands(place)
    one.begin(place / "origin")
    one.write("make.py", STAGE)
    one.write("dvc.yaml", PIPELINE)
    one.write("params.yaml", "seed: 1\n")
    one.write(".gitignore", "ran.txt\n")
    one.run("dvc", "init", "--quiet")
    one.run("dvc", "remote", "add", "--default", "team", str(place / "remote"))
    (place / "remote").mkdir()
    shutil.chown(place / "remote", one.number, GROUP)
    (place / "remote").chmod(0o2770)
    one.run("dvc", "repro", "--quiet")
    one.run("dvc", "push")
    one.push("Start")
    for step in steps:
        one.run("sh", "-c", step)
    shutil.rmtree(place / "remote")  # from here on, only the shared cache has the data
    (place / "remote").mkdir(mode=0o755)

    two.begin(place / "origin")
    for step in steps:
        two.run("sh", "-c", step)
    assert two.content() == one.content()
    assert "up to date" in two.run("dvc", "repro")
    objects_are_read_only(place / "cache")

    # Neither a file of the clone nor one of the cache can be changed by the other, nor is by mistake by who owns it.
    before = one.content()
    for person in users:
        if (person.folder / "out/0.bin").is_symlink():  # a file system with reflinks copies on write instead
            assert "ermission denied" in person.run("sh", "-c", "echo x >> out/0.bin", check=False)
    victim = next(path for path in (place / "cache/files/md5").glob("*/*") if path.stat().st_uid == one.number)
    assert "ermission denied" in two.run("sh", "-c", f"echo x >> {victim}", check=False)
    two.run("rm", "out/0.bin")
    assert one.content() == before
    two.run("dvc", "checkout", "--force")

    # What the second one adds and computes, the first one gets, from the cache alone.
    two.write("notes.csv", "session,remark\nfp01,loud\n")
    two.run("dvc", "add", "notes.csv")
    two.write("params.yaml", "seed: 2\n")
    two.run("dvc", "repro", "--quiet")
    two.push("Another seed, and notes")
    one.run("git", "pull", "--quiet", "origin", "main")
    times = one.times_run()
    one.run("dvc", "checkout")
    assert (one.folder / "notes.csv").read_text() == "session,remark\nfp01,loud\n"
    assert one.content() == two.content() != before
    assert "up to date" in one.run("dvc", "repro")
    objects_are_read_only(place / "cache")

    # And back again: the first one computes into folders that the second one has made.
    one.write("params.yaml", "seed: 3\n")
    one.run("dvc", "repro", "--quiet")
    assert one.times_run() == times + 1
    one.push("A third seed")
    two.run("git", "pull", "--quiet", "origin", "main")
    two.run("dvc", "checkout")
    assert two.content() == one.content()


def objects_are_read_only(cache: Path) -> None:
    """Nobody may write them, the group may read them and add to every folder."""
    held = list((cache / "files/md5").glob("*/*"))
    assert held
    assert [path for path in held if path.stat().st_mode & 0o222] == []
    assert [path for path in held if path.stat().st_gid != GROUP or not path.stat().st_mode & 0o040] == []
    folders = [path for path in cache.rglob("*") if path.is_dir()]
    assert [path for path in folders if path.stat().st_mode & 0o2070 != 0o2070] == []
