"""The guard on repositories: what is staged, tracked, or anywhere in the history; and on this one."""

import base64
import hashlib
import subprocess
from pathlib import Path

import pytest

from attune.privacy import guard
from attune.problems import InputError

ROOT = Path(__file__).parents[2]
VIDEO = b"\x00\x00\x00\x20ftypisom" + bytes(64)
NAMES = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(folder), *NAMES, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "notes.md").write_text("plain\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "notes")
    return tmp_path


def _put(folder: Path, name: str, data: bytes) -> None:
    (folder / name).write_bytes(data)
    git(folder, "add", "-f", name)


def _run(folder: Path, *arguments: str) -> int:
    return guard.main([*arguments, "--folder", str(folder)])


def test_a_clean_repository_passes(repository: Path) -> None:
    assert [_run(repository, *how) for how in ((), ("--staged",), ("--history",))] == [0, 0, 0]


def test_the_staged_content_counts_not_the_file(repository: Path) -> None:
    _put(repository, "innocent name.txt", VIDEO)
    (repository / "innocent name.txt").write_text("plain again, but staged as a video")
    assert [_run(repository, *how) for how in ((), ("--staged",), ("--history",))] == [1, 1, 1]


def test_what_was_removed_is_still_in_the_history(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _put(repository, "a\nb.md", VIDEO)
    git(repository, "commit", "-qm", "add")
    git(repository, "rm", "-q", "a\nb.md")
    git(repository, "commit", "-qm", "remove")
    assert [_run(repository, *how) for how in ((), ("--staged",))] == [0, 0]
    assert _run(repository, "--history") == 1
    assert "an MP4 or QuickTime video" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["branch", "tag", "stash", "older stash", "experiment"])
def test_every_place_of_the_history(repository: Path, place: str) -> None:
    _put(repository, "x.txt", VIDEO)
    if place.endswith("stash"):
        git(repository, "stash")
        if place == "older stash":  # stash@{1}, which no reference names
            (repository / "notes.md").write_text("changed\n")
            git(repository, "stash")
    else:
        git(repository, "switch", "-qc", "other")
        git(repository, "commit", "-qm", "add")
        git(repository, "switch", "-q", "main")
        if place != "branch":
            git(repository, "update-ref", "refs/tags/t" if place == "tag" else "refs/exps/ab/cdef/name", "other")
            git(repository, "branch", "-qD", "other")
    assert _run(repository) == 0
    assert _run(repository, "--history") == 1


def test_messages_and_links_are_read(repository: Path) -> None:
    git(repository, "commit", "-q", "--allow-empty", "-m", "copied from /home/" + "anna/data")
    assert (_run(repository), _run(repository, "--history")) == (0, 1)
    (repository / "data").symlink_to("/home/" + "anna/data")
    git(repository, "add", "data")
    assert _run(repository, "--staged") == 1


def test_an_exception_holds_for_one_content_and_needs_a_reason(repository: Path) -> None:
    _put(repository, "x.txt", VIDEO)
    line = f"{hashlib.sha256(VIDEO).hexdigest()}  x.txt"
    (repository / guard.ALLOWED).write_text(f"{line}  # made up\n")
    assert _run(repository) == 0
    _put(repository, "x.txt", VIDEO + b"\x01")
    assert _run(repository) == 1
    (repository / guard.ALLOWED).write_text(f"{line}\n")
    with pytest.raises(InputError, match="reason"):
        guard.read_allowed(repository)


def test_the_line_to_allow_is_printed(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _put(repository, "page.html", b'<img src="data:image/jpeg;base64,' + base64.b64encode(b"\xff\xd8\xff" * 99) + b'">')
    assert _run(repository) == 1
    sha256 = hashlib.sha256((repository / "page.html").read_bytes()).hexdigest()
    message = capsys.readouterr().err
    assert "page.html: a JPEG photograph, embedded as base64" in message
    assert f"{sha256}  page.html  # " in message


def test_outside_a_repository(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(tmp_path) == 1
    assert "git repository" in capsys.readouterr().err


def test_this_repository_and_its_history_pass() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("a copy without its history")
    assert guard.check(ROOT, guard.history(ROOT, "HEAD"), guard.read_allowed(ROOT)) == []
