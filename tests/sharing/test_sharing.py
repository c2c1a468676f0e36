"""Two people share results through git and a remote that is a folder."""

import shutil
from pathlib import Path

import pytest

from attune import sharing
from attune.problems import InputError
from tests.sharing.conftest import Clone, clone, push_at_once, share

pytestmark = pytest.mark.slow


def test_a_colleague_pulls_and_nothing_runs(first: Clone, tmp_path: Path) -> None:
    share(first, str(tmp_path / "remote"))
    second = clone(tmp_path / "origin", tmp_path / "second")
    second.run("dvc", "pull", "--run-cache")
    assert "up to date" in second.run("dvc", "repro")
    assert second.times_run() == 0
    assert second.content() == first.content()


def test_the_run_cache_travels(first: Clone, tmp_path: Path) -> None:
    """A colleague who changes a parameter back gets that result without computing."""
    before = first.content()
    share(first, str(tmp_path / "remote"))
    (first.folder / "params.yaml").write_text("seed: 2\n")
    first.run("dvc", "repro", "--quiet")
    first.commit("Another seed")
    first.run("git", "push", "--quiet", "origin", "main")
    first.run("dvc", "push", "--run-cache")
    second = clone(tmp_path / "origin", tmp_path / "second")
    second.run("dvc", "pull", "--run-cache")
    (second.folder / "params.yaml").write_text("seed: 1\n")
    # What the older version left is on the remote too; DVC fetches what the run-cache names.
    second.run("dvc", "repro", "--pull")
    assert second.times_run() == 0
    assert second.content() == before


@pytest.mark.endurance
def test_two_push_at_once(first: Clone, tmp_path: Path) -> None:
    share(first, str(tmp_path / "remote"))
    push_at_once([first, clone(tmp_path / "origin", tmp_path / "second")])


def test_a_damaged_object_is_found_named_and_repaired(first: Clone, tmp_path: Path) -> None:
    share(first, str(tmp_path / "remote"))
    victim = next(path for path in sorted((tmp_path / "remote/files/md5").glob("??/*")) if path.suffix != ".dir")
    victim.chmod(0o644)
    victim.write_bytes(victim.read_bytes()[:-1] + b"?")
    found = first.run("attune", "verify", check=False)
    assert victim.name in found
    assert ".bin" in found
    assert "1 damaged" in found
    first.run("dvc", "push")
    assert sharing.inspect(first.folder, None, repair=False).damaged  # a push alone does not notice
    assert "removed" in first.run("attune", "verify", "--repair")
    assert not victim.exists()
    first.run("dvc", "push")
    assert sharing.inspect(first.folder, None, repair=False).damaged == ()
    second = clone(tmp_path / "origin", tmp_path / "second")
    second.run("dvc", "pull")
    assert second.content() == first.content()


def test_a_damaged_listing_is_found(first: Clone, tmp_path: Path) -> None:
    share(first, str(tmp_path / "remote"))
    listing = next((tmp_path / "remote/files/md5").glob("??/*.dir"))
    listing.chmod(0o644)
    listing.write_bytes(b"[]")
    (damaged,) = sharing.inspect(first.folder, None, repair=True).damaged
    assert damaged.files == ("out",)
    first.run("dvc", "push")
    assert sharing.inspect(first.folder, None, repair=False).damaged == ()


def test_an_unknown_remote_is_named(first: Clone) -> None:
    with pytest.raises(InputError, match="nowhere"):
        sharing.inspect(first.folder, "nowhere", repair=False)
    answer = first.run("attune", "verify", check=False)
    assert "dvc remote" in answer
    assert "Traceback" not in answer


@pytest.mark.endurance
def test_people_on_one_machine_share_a_cache(first: Clone, tmp_path: Path) -> None:
    share(first, str(tmp_path / "remote"))
    people = [first, clone(tmp_path / "origin", tmp_path / "second")]
    for person in people:
        person.run("dvc", "cache", "dir", "--local", str(tmp_path / "shared"))
        person.run("dvc", "config", "--local", "cache.shared", "group")
        person.run("dvc", "config", "--local", "cache.type", "reflink,symlink")
    first.run("dvc", "pull")
    shutil.rmtree(first.folder / ".dvc/cache", ignore_errors=True)
    first.run("dvc", "checkout", "--relink")
    shutil.rmtree(tmp_path / "remote")  # from here on, only the shared cache has the data
    people[1].run("dvc", "checkout")
    one, other = (person.folder / "out/0.bin" for person in people)
    assert one.read_bytes() == other.read_bytes()
    if one.is_symlink():  # a file system with reflinks copies on write instead
        assert one.stat().st_ino == other.stat().st_ino
        assert one.stat().st_mode & 0o222 == 0
    held = [path for path in (tmp_path / "shared/files/md5").glob("*/*") if path.is_file()]
    assert held
    assert [path for path in held if path.stat().st_mode & 0o222] == []  # whatever the kind of link
    folders = [path for path in (tmp_path / "shared/files/md5").iterdir() if path.is_dir()]
    assert folders
    assert all(path.stat().st_mode & 0o2070 == 0o2070 for path in folders)
    # A new result of one person is there for the other, and the linked file of the other stays what it was.
    (first.folder / "params.yaml").write_text("seed: 2\n")
    first.run("dvc", "repro", "--quiet")
    (people[1].folder / "params.yaml").write_text("seed: 2\n")
    shutil.copy2(first.folder / "dvc.lock", people[1].folder / "dvc.lock")
    before = people[1].content()
    assert before != first.content()
    people[1].run("dvc", "checkout")
    assert people[1].content() == first.content()
    assert people[1].times_run() == 0
