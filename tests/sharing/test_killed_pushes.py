"""Pushes that are killed at any moment leave whole objects, and the next one brings the rest."""

import hashlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from attune import sharing
from tests.sharing.conftest import STAGE, Clone, clone, share
from tests.sharing.relay import Relay, relay

# Many objects, for a push of twelve brings them all at the same time.
MANY = STAGE.replace("range(12)", "range(60)").replace("300_000", "60_000")
TRIES = 3  # pushes of the same data; what is missing then is left to the last one
Cut = Callable[[subprocess.Popen[bytes]], bool]  # kills at some moment; whether there was anything left to kill


@pytest.fixture
def first(first: Clone) -> Clone:
    (first.folder / "make.py").write_text(MANY)
    return first


@pytest.mark.slow
@pytest.mark.endurance
@pytest.mark.parametrize("times", [8, 50])
def test_nothing_is_lost_in_a_folder(first: Clone, tmp_path: Path, times: int) -> None:
    """Kills fall into the transfer: some time after its first object."""
    share(first, str(tmp_path / "remote"))
    moments = random.Random(7)

    def cut(process: subprocess.Popen[bytes]) -> bool:
        there = objects(tmp_path / "remote")
        deadline = time.monotonic() + 20
        while objects(tmp_path / "remote") == there and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.02))
        return kill(process)

    killed_pushes(first, tmp_path, times, cut)
    second = clone(tmp_path / "origin", tmp_path / "second")
    second.run("dvc", "fetch", "--all-commits")
    assert objects(second.folder / ".dvc/cache") == objects(tmp_path / "remote")


@pytest.mark.services
@pytest.mark.endurance
def test_nothing_is_lost_over_s3(first: Clone, tmp_path: Path, s3: str) -> None:
    with relay(int(urlsplit(s3).port or 0)) as between:
        share(first, "s3://team/attune", endpointurl=f"http://127.0.0.1:{between.port}")
        killed_pushes(first, tmp_path, 50, after_bytes(first, between))


@pytest.mark.services
@pytest.mark.endurance
def test_nothing_is_lost_over_ssh(first: Clone, tmp_path: Path, ssh: dict[str, str]) -> None:
    with relay(int(ssh["port"])) as between:
        share(first, ssh["url"], keyfile=ssh["keyfile"], port=str(between.port))
        killed_pushes(first, tmp_path, 50, after_bytes(first, between))


def after_bytes(person: Clone, between: Relay) -> Cut:
    """Kills after any number of bytes, up to what a whole push takes: within logging in, objects and answers."""
    between.allow(None)
    compute(person, seed=99)
    person.run("dvc", "push")
    whole, moments = between.sent, random.Random(7)
    assert whole > sum(map(len, person.content().values()))

    def cut(process: subprocess.Popen[bytes]) -> bool:
        between.allow(moments.randrange(whole))
        while not between.spent.wait(0.01) and process.poll() is None:
            pass
        running = kill(process)
        between.allow(None)
        return running

    return cut


def kill(process: subprocess.Popen[bytes]) -> bool:
    """Whether it was still running."""
    if process.poll() is not None:
        return False
    os.killpg(process.pid, signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def killed_pushes(person: Clone, folder: Path, times: int, cut: Cut) -> None:
    """Every push is killed at another moment; each leaves only whole objects, and the last one, undisturbed, all."""
    cut_short, in_part, tries = 0, 0, TRIES
    there = sharing.inspect(person.folder, None, repair=False)
    for seed in range(100, 100 + times):
        if tries == TRIES:
            compute(person, seed)
            tries = 0
        process = subprocess.Popen(
            ["dvc", "push", "--quiet"], cwd=person.folder, env=person.environment(), start_new_session=True
        )
        running = cut(process)
        left = sharing.inspect(person.folder, None, repair=False)
        assert left.damaged == ()
        cut_short += running
        in_part += running and left.objects > there.objects
        tries, there = tries + 1 if running else TRIES, left
    assert cut_short > times // 2
    assert in_part > times // 4
    wanted = person.content()
    person.run("git", "push", "--quiet", "origin", "main")
    person.run("dvc", "push", "--all-commits")
    second = clone(folder / "origin", folder / "fresh")
    second.run("dvc", "pull", "--all-commits")
    assert second.content() == wanted
    assert objects(second.folder / ".dvc/cache") == objects(person.folder / ".dvc/cache")
    for path in (second.folder / ".dvc/cache/files/md5").glob("??/*"):
        digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        assert digest == path.parent.name + path.name.removesuffix(".dir")
    assert sharing.inspect(person.folder, None, repair=False).objects == len(objects(person.folder / ".dvc/cache"))


def compute(person: Clone, seed: int) -> None:
    """Another version of the data, with a commit."""
    (person.folder / "params.yaml").write_text(f"seed: {seed}\n")
    person.run("dvc", "repro", "--quiet")
    person.commit(f"Seed {seed}")


def objects(folder: Path) -> set[str]:
    """Whole objects, temporary files of a killed transfer left out."""
    return {path.name for path in (folder / "files/md5").glob("??/*") if len(path.name.split(".")[0]) == 30}
