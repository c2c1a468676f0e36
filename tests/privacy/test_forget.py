"""Erasing one session: in a real DVC repository of several commits, with a cache, a remote and an experiment's ref."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.cli import main

from attune.privacy import forgetting
from attune.privacy.forgetting import Name
from attune.problems import InputError

pytestmark = pytest.mark.slow
SECRET, OTHER = b"pixels of kid1", b"pixels of kid2"
PIPELINE = """
stages:
  frames:
    cmd: mkdir -p data/processed/frames models && for s in data/raw/video/*; do
      cp $s data/processed/frames/$(basename $s .mp4).npy; done && ls data/raw/video > data/processed/spans.csv &&
      cat data/raw/video/* > models/a.safetensors && wc -c data/raw/video/* | tail -n 1 > data/processed/size
    deps: [data/raw]
    outs: [data/processed/frames, data/processed/spans.csv, data/processed/size, models/a.safetensors]
  measure:
    cmd: tr -d ' ' < data/processed/size > data/processed/features
    deps: [data/processed/size]
    outs: [data/processed/features]
"""


def run(folder: Path, *command: str) -> str:
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def dvc(folder: Path, *arguments: str) -> None:
    """In this process, since starting DVC takes seconds."""
    assert main(["--cd", str(folder), *arguments]) == 0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lab") / "project"
    (folder / "data/raw/video").mkdir(parents=True)
    (folder / "data/work").mkdir()
    (folder / "data/work/4711.npy").write_bytes(b"half done")
    (folder / "params.yaml").write_text("groups: [kid1, kid2]\n")
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / ".gitignore").write_text("/data/work\n")
    run(folder, "git", "init", "-q")
    run(folder, "git", "config", "user.name", "a")
    run(folder, "git", "config", "user.email", "a@b")
    dvc(folder, "init", "-q")
    dvc(folder, "remote", "add", "-q", "-d", "team", str(folder.parent / "remote"))
    dvc(folder, "remote", "add", "-q", "far", "s3://bucket/lab")
    for version in (b" once", b" twice"):
        videos = {"kid1": SECRET + version, "kid2": OTHER, "kid1_b": b"another child", "kid3": b"twin", "kid4": b"twin"}
        for session, data in videos.items():
            (folder / f"data/raw/video/{session}.mp4").write_bytes(data)
        dvc(folder, "add", "-q", "data/raw")
        dvc(folder, "repro", "-q")
        run(folder, "git", "add", "-A")
        run(folder, "git", "commit", "-qm", version.decode())
    dvc(folder, "push", "-q", "-r", "team", "--all-commits")
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made.parent, tmp_path / "lab", symlinks=True)
    folder = tmp_path / "lab" / "project"
    dvc(folder, "remote", "modify", "-q", "team", "url", str(tmp_path / "lab" / "remote"))
    return folder


def _holding(folder: Path, *words: bytes) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file() and ".git/" not in path.as_posix()]
    return sorted(p.as_posix() for p in files if any(w in p.read_bytes() or w in p.name.encode() for w in words))


def test_a_dry_run_changes_nothing_and_names_all(project: Path) -> None:
    before = {path: path.read_bytes() for path in project.parent.rglob("*") if path.is_file()}
    traces = forgetting.find(project, "kid1")
    after = {path: path.read_bytes() for path in project.parent.rglob("*") if path.is_file()}
    assert {path for path in before if ".dvc/tmp" not in path.as_posix()} <= set(after)
    names = {path.relative_to(project).as_posix() for path in traces.workspace}
    assert names == {"data/raw/video/kid1.mp4", "data/processed/frames/kid1.npy", "data/work"}
    assert [path.name for path in traces.mixed] == ["spans.csv"]
    assert traces.models == {"models/a.safetensors": 2}
    assert traces.derived == {"data/processed/size": 2, "data/processed/features": 2}
    assert traces.in_git == ["params.yaml"]
    assert traces.lines == ["1: groups: [kid1, kid2]"]
    assert {name for name, _, _ in traces.remotes} == {"team", "far"}
    whats = sorted(traces.objects.values())
    assert sum("kid1." in what for what in whats) == 2  # both versions; frames and video are the same bytes
    assert sum("list of files" in what for what in whats) == 4  # data/raw and frames, twice
    assert "data/processed/spans.csv (mentions it)" in whats


def test_nothing_of_the_child_remains_and_all_else_does(project: Path) -> None:
    traces = forgetting.find(project, "kid1")
    forgetting.erase(traces, remotes=True)
    rest = [path for path in _holding(project.parent, SECRET) if "models" not in path]
    models = {path.read_bytes() for path in (project / "models").iterdir()}
    assert [path for path in rest if Path(path).read_bytes() not in models and b"another child" not in
            Path(path).read_bytes()] == []  # fmt: skip
    for store in (project / ".dvc/cache", project.parent / "remote"):
        contents = {path.read_bytes() for path in store.rglob("*") if path.is_file()}
        assert {OTHER, b"another child", b"twin"} <= contents
        assert not {SECRET + b" once", SECRET + b" twice"} & contents
    assert (project / "data/raw/video/kid1_b.mp4").read_bytes() == b"another child"


def test_the_pipeline_goes_on_without_the_session(project: Path) -> None:
    forgetting.erase(forgetting.find(project, "kid1"), remotes=True)
    dvc(project, "add", "-q", "data/raw")
    dvc(project, "repro", "-q")
    dvc(project, "push", "-q", "-r", "team")
    frames = sorted(path.name for path in (project / "data/processed/frames").iterdir())
    assert frames == ["kid1_b.npy", "kid2.npy", "kid3.npy", "kid4.npy"]
    again = forgetting.find(project, "kid1")
    assert (again.workspace, again.mixed, again.caches) == ([], [], [])


def test_equal_content_of_another_session_stays(project: Path) -> None:
    traces = forgetting.find(project, "kid3")
    assert list(traces.shared.values()) == ["data/processed/frames/kid3.npy"]
    forgetting.erase(traces, remotes=True)
    assert b"twin" in {path.read_bytes() for path in (project / ".dvc/cache").rglob("*") if path.is_file()}


def test_versions_that_only_an_experiment_or_a_stash_names_are_found(project: Path) -> None:
    for number, place in enumerate(("refs/exps/ab/cdef/name", "stash")):
        data = SECRET + str(number).encode()
        (project / "data/raw/video/kid1.mp4").write_bytes(data)
        dvc(project, "add", "-q", "data/raw")
        if place == "stash":
            run(project, "git", "stash", "-q")
        else:
            run(project, "git", "commit", "-qam", "tried")
            run(project, "git", "update-ref", place, "HEAD")
            run(project, "git", "reset", "-q", "--hard", "HEAD~1")
        forgetting.erase(forgetting.find(project, "kid1"), remotes=False)
        assert data not in {path.read_bytes() for path in (project / ".dvc/cache").rglob("*") if path.is_file()}
        (project / "data/raw/video/kid1.mp4").write_bytes(b"new")


def test_the_command_tells_what_to_do_on_other_remotes(project: Path) -> None:
    code = "from attune.cli import main; main()"
    shown = run(project, sys.executable, "-c", code, "forget", "kid1")
    md5 = next(iter(forgetting.find(project, "kid1").objects))
    assert f"aws s3 rm s3://bucket/lab/files/md5/{md5[:2]}/{md5[2:]}" in shown
    assert "Nothing was changed" in shown
    assert (project / "data/raw/video/kid1.mp4").exists()
    assert "Erased" in run(project, sys.executable, "-c", code, "forget", "kid1", "--yes")
    assert not (project / "data/raw/video/kid1.mp4").exists()


def test_records_of_runs_go_too_and_uncommitted_runs_are_searched(project: Path) -> None:
    video = project / "data/raw/video/kid1.mp4"
    before = video.read_bytes()
    for data in (SECRET + b" never committed", before):
        video.write_bytes(data)
        dvc(project, "add", "-q", "data/raw")
        dvc(project, "repro", "-q")
    runs = project / ".dvc/cache/runs"
    frames = [path for path in runs.glob("*/*/*") if b"data/raw" in path.read_bytes()]
    assert len(frames) == 3
    forgetting.erase(forgetting.find(project, "kid1"), remotes=False)
    assert not any(path.exists() for path in frames)
    contents = {path.read_bytes() for path in (project / ".dvc/cache").rglob("*") if path.is_file()}
    assert not {SECRET + b" never committed", before} & contents


def test_a_second_search_says_what_nobody_can_know_any_more(project: Path) -> None:
    forgetting.erase(forgetting.find(project, "kid1"), remotes=True)
    again = forgetting.find(project, "kid1")
    assert again.models == {}
    assert again.lost == 4
    code = "from attune.cli import main; main()"
    assert "Unknown: 4 version(s) of folders" in run(project, sys.executable, "-c", code, "forget", "kid1")


def test_an_unknown_session_is_refused_with_those_that_are_known(project: Path) -> None:
    with pytest.raises(InputError, match=r"expected kid1, kid1_b, kid2, kid3, kid4, found no trace of 'kid9'"):
        forgetting.find(project, "kid9")
    assert len(forgetting.find(project, "KID1").objects) == len(forgetting.find(project, "kid1").objects) > 0


def test_tables_anywhere_and_left_copies_of_experiments_are_found(project: Path) -> None:
    copy = project / ".dvc/tmp/exps/standard/tmp1"
    copy.mkdir(parents=True)
    for path in (project / "notes.csv", project / "data/deep/er/table.csv", copy / "left.csv", copy / "kid1.npy"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("kid1,3")
    with (project / "data/long.csv").open("wb") as file:
        file.seek(510_000_000)
        file.write(b",kid1,")
    traces = forgetting.find(project, "kid1")
    assert {project / "notes.csv", project / "data/deep/er/table.csv", project / "data/long.csv"} <= {*traces.mixed}
    assert {copy / "left.csv", copy / "kid1.npy"} <= {*traces.workspace}


def test_names_are_equal_whatever_their_case_and_encoding() -> None:
    name = Name("Zoé-1", ["Zoé-1", "zoe\u0301-1", "zoé-12"])
    assert name.in_path("a/zoe\u0301-1.mp4") and name.in_path("ZOÉ-1_x") and not name.in_path("zoé-12")
    assert name.in_bytes("x,zoe\u0301-1,".encode()) and name.in_bytes("ZOé-1".encode())


def test_names_are_told_apart() -> None:
    name = Name("kid1", ["kid1", "kid1_b", "kid12"])
    assert [path for path in ("a/kid1.mp4", "kid1_ew_2022.eaf", "kid1-people-a-0001.npz", "kid1_b.mp4", "kid12.mp4",
                              "xkid1.mp4", "kid1_b_kid1.txt") if name.in_path(path)] == [
        "a/kid1.mp4", "kid1_ew_2022.eaf", "kid1-people-a-0001.npz", "kid1_b_kid1.txt"]  # fmt: skip
    assert name.in_bytes(b"x,kid1,y") and not name.in_bytes(b"x,kid1_b,kid12")


def test_names_across_the_pieces_of_a_long_content(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "PIECE", 64)
    monkeypatch.setattr(forgetting, "MARGIN", 16)
    name = Name("kid1", ["kid1_b"])
    for place in range(150):
        data = bytearray(b"." * 200)
        data[place : place + 6] = b"kid1_b"
        assert not name.in_bytes(bytes(data))
        data[place + 4 : place + 6] = b",,"
        assert name.in_bytes(bytes(data))


def test_outside_a_repository(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="DVC repository"):
        forgetting.find(tmp_path, "kid1")
