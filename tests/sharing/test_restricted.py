"""Outputs that show a child go to a remote of their own; who cannot read that one works with the rest."""

from pathlib import Path

import pytest

from tests.sharing.conftest import Clone, begin, clone

pytestmark = pytest.mark.slow

PIPELINE = """\
stages:
  film:
    cmd: mkdir -p frames && echo picture ${seed} > frames/0 && echo film >> ran.txt
    params: [seed]
    outs:
      - frames:
          remote: restricted
  measure:
    cmd: wc -c frames/0 > size && echo seed ${seed} >> size && echo measure >> ran.txt
    params: [seed]
    deps: [frames]
    outs: [size]
"""


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the git repository `origin` and the remotes `team`, `restricted` and `third`.

    Two versions were pushed as `make push` does it, the second one also to the third remote.
    """
    folder = tmp_path_factory.mktemp("team")
    person = begin(folder, PIPELINE)
    person.run("dvc", "remote", "add", "restricted", "restricted")  # inside the project, as it is delivered
    person.run("dvc", "remote", "modify", "--local", "restricted", "url", str(folder / "restricted"))
    person.run("dvc", "remote", "add", "--default", "team", str(folder / "team"))
    for seed in (1, 2):
        (person.folder / "params.yaml").write_text(f"seed: {seed}\n")
        person.run("dvc", "repro", "--quiet")
        person.commit(f"Seed {seed}")
        person.run("dvc", "push", "--run-cache")
    person.run("git", "push", "--quiet", "origin", "main")
    person.run("dvc", "remote", "add", "third", str(folder / "third"))
    person.run("dvc", "push", "--run-cache", "--remote", "third")
    return folder


def with_access(team: Path, folder: Path) -> Clone:
    person = clone(team / "origin", folder / "second")
    person.run("dvc", "remote", "modify", "--local", "restricted", "url", str(team / "restricted"))
    person.run("dvc", "pull", "--run-cache", "--allow-missing")
    return person


def shown(remote: Path) -> list[str]:
    """The numbers of the pictures that a remote holds, in its objects or in what the run-cache says."""
    texts = [path.read_text() for path in remote.rglob("*") if path.is_file()]
    return sorted(text.split()[1] for text in texts if text.startswith("picture"))


def test_each_output_goes_to_its_own_remote_alone(team: Path) -> None:
    assert shown(team / "restricted") == ["1", "2"]
    for remote, sizes in {"team": 2, "third": 1}.items():
        assert shown(team / remote) == []
        assert len([path for path in (team / remote / "files").rglob("*") if path.is_file()]) == sizes
    assert not (team / "restricted/runs").exists()


def test_a_colleague_with_access_runs_nothing(team: Path, tmp_path: Path) -> None:
    second = with_access(team, tmp_path)
    assert "up to date" in second.run("dvc", "repro")
    assert second.times_run() == 0
    assert (second.folder / "frames/0").read_text() == "picture 2\n"


def test_a_colleague_without_access_runs_nothing(team: Path, tmp_path: Path) -> None:
    second = clone(team / "origin", tmp_path / "second")
    second.run("dvc", "pull", "--run-cache", "--allow-missing")
    before = (second.folder / "size").read_text()
    assert before.endswith("seed 2\n")
    assert not (second.folder / "frames").exists()
    assert "up to date" in second.run("dvc", "repro", "--allow-missing")
    assert second.times_run() == 0
    assert (second.folder / "size").read_text() == before


def test_older_restricted_results_come_back_once_fetched(team: Path, tmp_path: Path) -> None:
    """The run-cache knows no remote of an output, so that a commit has to say where the data is."""
    second = with_access(team, tmp_path)
    second.run("dvc", "fetch", "--all-commits")
    (second.folder / "params.yaml").write_text("seed: 1\n")
    second.run("dvc", "repro")
    assert second.times_run() == 0
    assert (second.folder / "frames/0").read_text() == "picture 1\n"
    assert (second.folder / "size").read_text().endswith("seed 1\n")
