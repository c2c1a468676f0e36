"""The same sharing over a server that speaks S3 and over SSH."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from attune import sharing
from tests.sharing.conftest import Clone, clone, push_at_once, share

pytestmark = pytest.mark.services


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"nothing listens on port {port}")


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a server that speaks S3 and holds the bucket ``team``."""
    pytest.importorskip("moto.server", reason="moto[server] is not installed (make test-all)")
    import boto3

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    port = free_port()
    process = subprocess.Popen(
        ["moto_server", "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(port)
        address = f"http://127.0.0.1:{port}"
        boto3.client("s3", endpoint_url=address).create_bucket(Bucket="team")
        yield address
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Settings of a remote on an SSH server of this test's own, with its own keys."""
    server = shutil.which("sshd") or "/usr/sbin/sshd"
    if not Path(server).exists():
        pytest.skip("openssh-server is not installed (make test-all)")
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name)], check=True)
    shutil.copy2(keys / "user.pub", keys / "authorized")
    port = free_port()
    (keys / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {keys}/host\nAuthorizedKeysFile {keys}/authorized\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        f"PidFile {keys}/pid\nSubsystem sftp internal-sftp\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True) if os.geteuid() == 0 else None
    process = subprocess.Popen([server, "-D", "-e", "-f", str(keys / "config")], stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
        yield {"url": f"ssh://{user}@127.0.0.1{tmp_path}/remote", "port": str(port), "keyfile": str(keys / "user")}
    finally:
        process.kill()
        process.wait()


def test_over_s3(first: Clone, tmp_path: Path, s3: str) -> None:
    share(first, "s3://team/attune", endpointurl=s3)
    second = clone(tmp_path / "origin", tmp_path / "second")
    holds_what_was_promised(first, second)


def test_over_ssh(first: Clone, tmp_path: Path, ssh: dict[str, str]) -> None:
    url = ssh.pop("url")
    share(first, url, **ssh)
    second = clone(tmp_path / "origin", tmp_path / "second")
    holds_what_was_promised(first, second)


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
