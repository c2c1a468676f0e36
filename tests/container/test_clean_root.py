"""The Dockerfile's steps in a clean root, and the project at work in what they make."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from attune.annotation import chance, spans
from tests.conftest import ROOT
from tests.container import run_steps
from tests.container.run_steps import Image

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("container")]

STRATIFIED = """\
session,annotator,task,variable,fold,engaged,start_ms,end_ms
fp01,ew,eggs,attending,0,1,0,3000
fp01,ew,eggs,attending,0,0,3000,4000
fp02,ew,eggs,attending,1,1,500,1500
"""
# The default command's stage here: everything big can be imported in so small a system, and ffmpeg runs.
SMALL = """\
stages:
  look:
    cmd: >-
      python -c "import attune.learning.models, attune.attention.app, attune.attention.comparison, cv2, av, dvc_s3,
      dvc_ssh, torchvision, imageio_ffmpeg, subprocess;
      subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), '-version'], check=True);
      open('seen', 'w').write(attune.__file__)"
    outs: [seen]
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    if os.geteuid() != 0:
        pytest.skip("a clean root needs root")
    if not shutil.which("debootstrap"):
        pytest.skip("debootstrap is not installed (make test-all)")
    root = tmp_path_factory.mktemp("clean") / "root"
    try:
        run_steps.clean_root(root)
        yield run_steps.build(root, ROOT)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def succeed(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def owned(folder: Path, uid: int, gid: int) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, uid, gid, follow_symlinks=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A fresh clone of this repository, with the one result that the cheapest stage reads; user 1000 owns it."""
    folder = tmp_path / "project"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder)], check=True)
    (folder / "data/processed/engagement").mkdir(parents=True)
    (folder / "data/processed/engagement/stratified_annotation_spans.csv").write_text(STRATIFIED)
    owned(folder, 1000, 1000)
    return folder


def test_holds_programs_and_no_data(image: Image) -> None:
    there = {path.name for path in (image.root / "opt/source").iterdir()}
    assert there <= run_steps.sent(ROOT) | {"src"}
    assert not any((image.root / "project").iterdir())
    assert not any((image.root / "home/attune").rglob("*.whl"))
    listed = succeed(image.run("pip", "freeze", "--exclude", "attune"))
    pinned = {line.lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().split()}
    loose = {line.lower().replace("_", "-") for line in listed.split() if "==" in line} - pinned
    assert {name for name in loose if not name.startswith(("cuda-", "nvidia-", "triton"))} == set()  # torch pins those


def test_the_project_works_for_the_images_user(image: Image, project: Path) -> None:
    mounts = {project: "/project"}
    assert "uid=1000(attune) gid=1000(attune)" in succeed(image.run("id", mounts=mounts))
    assert "score_chance" in succeed(image.run("dvc", "stage", "list", "--all", mounts=mounts))
    assert "validate" in succeed(image.run("attune", "--help", mounts=mounts))
    assert "metrics/engagement/" in succeed(image.run("attune", "where", mounts=mounts))
    before = (project / "dvc.lock").read_text()
    succeed(image.run("dvc", "repro", "--single-item", "score_chance", mounts=mounts))
    assert (project / "dvc.lock").read_text() != before
    stratified = project / "data/processed/engagement/stratified_annotation_spans.csv"
    expected = chance.score_chance(spans.read_parts(stratified, spans.STRATIFIED))
    assert f'"f1": {expected["eggs"]["attending"]["f1"]}' in (project / "metrics/engagement/chance.json").read_text()
    assert {path.lstat().st_uid for path in project.rglob("*")} == {1000}


@pytest.mark.parametrize("user", ["1000:1000", "54321:54321"])
def test_the_default_command(image: Image, tmp_path: Path, user: str) -> None:
    """Also for a user whom the image does not know, and in a repository that belongs to another one."""
    folder = tmp_path / "small"
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "dvc.yaml").write_text(SMALL)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    owned(folder, *map(int, user.split(":")))
    mounts = {folder: "/project"}
    succeed(image.run("dvc", "init", "--quiet", mounts=mounts, user=user))
    for place in (folder, folder / ".git"):
        os.chown(place, 0, 0)
        place.chmod(0o777)
    out = succeed(image.run(mounts=mounts, user=user))
    assert "All results on one page" in out
    assert (folder / "seen").read_text() == "/project/src/attune/__init__.py"
    (folder / "dvc.yaml").write_text("stages: {fail: {cmd: exit 3}}\n")
    assert image.run(mounts=mounts, user=user).returncode != 0
