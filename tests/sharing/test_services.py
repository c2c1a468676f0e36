"""The same sharing over a server that speaks S3 and over SSH."""

import shutil
from pathlib import Path

import pytest

from attune import sharing
from tests.sharing.conftest import Clone, clone, push_at_once, serve_ssh, share

pytestmark = pytest.mark.services


def test_over_s3(first: Clone, tmp_path: Path, s3: str) -> None:
    share(first, "s3://team/attune", endpointurl=s3)
    second = clone(tmp_path / "origin", tmp_path / "second")
    holds_what_was_promised(first, second)


def test_over_ssh(first: Clone, tmp_path: Path, ssh: dict[str, str]) -> None:
    url = ssh.pop("url")
    share(first, url, **ssh)
    second = clone(tmp_path / "origin", tmp_path / "second")
    holds_what_was_promised(first, second)


HALF = """\
#!/bin/sh
head -c $(($(stat -c %s "$1") / 2)) "$1" > "$2"
exit 1
"""


def test_half_an_object_is_found_and_repaired(first: Clone, tmp_path: Path) -> None:
    """A server that cannot rename onto a name copies instead; here its disk fills up within every copy."""
    sick = tmp_path / "bin/cp"
    sick.parent.mkdir()
    sick.write_text(HALF)
    sick.chmod(0o755)
    options = f"Subsystem sftp internal-sftp -P posix-rename\nSetEnv PATH={sick.parent}:/usr/bin:/bin\n"
    with serve_ssh(tmp_path, options) as settings:
        first.run("dvc", "remote", "add", "--default", "team", settings.pop("url"))
        for name, value in settings.items():
            first.run("dvc", "remote", "modify", "team", name, value)
        assert "failed to transfer" in first.run("dvc", "push", check=False)
        sick.unlink()
        first.run("dvc", "push")
        damaged = sharing.inspect(first.folder, None, repair=False).damaged
        assert len(damaged) == len(first.content())  # a push alone passes over them
        assert {item.size for item in damaged} == {150_000}
        assert damaged[0].path in first.run("attune", "verify", "--repair")
        first.run("dvc", "push")
        assert sharing.inspect(first.folder, None, repair=False).damaged == ()
        first.commit("Share")
        first.run("git", "push", "--quiet", "origin", "main")
        second = clone(tmp_path / "origin", tmp_path / "second")
        second.run("dvc", "pull")
        assert second.content() == first.content()


@pytest.mark.parametrize("kind", ["s3", "ssh"])
def test_two_push_at_once(first: Clone, tmp_path: Path, kind: str, request: pytest.FixtureRequest) -> None:
    served = request.getfixturevalue(kind)
    url, settings = ("s3://team/attune", {"endpointurl": served}) if kind == "s3" else (served.pop("url"), served)
    share(first, url, **settings)
    push_at_once([first, clone(tmp_path / "origin", tmp_path / "second")])


def test_server_side_encryption_is_asked_for(first: Clone, s3: str) -> None:
    import boto3

    share(first, "s3://team/attune", endpointurl=s3, sse="AES256")
    client = boto3.client("s3", endpoint_url=s3)
    objects = [entry["Key"] for entry in client.list_objects_v2(Bucket="team")["Contents"] if "/md5/" in entry["Key"]]
    assert objects
    heads = [client.head_object(Bucket="team", Key=key) for key in objects]
    assert {head.get("ServerSideEncryption") for head in heads} == {"AES256"}


def holds_what_was_promised(first: Clone, second: Clone) -> None:
    """Pull without computing; the run-cache travels; damage is found, and a push mends it."""
    before = first.content()
    second.run("dvc", "pull", "--run-cache")
    assert second.content() == before
    assert "up to date" in second.run("dvc", "repro")
    assert second.times_run() == 0
    (second.folder / "params.yaml").write_text("seed: 2\n")
    second.run("dvc", "repro", "--quiet")
    second.commit("Another seed")
    second.run("dvc", "push", "--run-cache")
    shutil.rmtree(first.folder / ".dvc/cache")
    first.run("dvc", "pull", "--run-cache")
    (first.folder / "params.yaml").write_text("seed: 2\n")
    times = first.times_run()
    first.run("dvc", "repro", "--pull")
    assert first.times_run() == times
    assert first.content() == second.content()
    damage_one(second)
    (damaged,) = sharing.inspect(second.folder, None, repair=True).damaged
    assert damaged.files
    second.run("dvc", "push")
    assert sharing.inspect(second.folder, None, repair=False).damaged == ()


def damage_one(person: Clone) -> None:
    """Overwrite one object on the remote, through DVC's own connection to it."""
    from dvc.repo import Repo

    with Repo(str(person.folder)) as repo:
        store = repo.cloud.get_remote_odb(None)
        entry = next(entry for key, entry in repo.index.data["repo"].iteritems() if key[-1].endswith(".bin"))
        with store.fs.open(store.oid_to_path(entry.hash_info.value), "wb") as file:
            file.write(b"damaged")
