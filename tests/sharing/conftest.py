"""A small versioned project, shared through git and a remote by two people."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

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

    umask: ClassVar[int] = -1  # that of the tests
    folder: Path

    def run(self, *command: str, check: bool = True, **environment: str) -> str:
        result = subprocess.run(
            [*self.before(), *command],
            cwd=self.folder,
            env=self.environment() | environment,
            capture_output=True,
            text=True,
            check=False,
            umask=self.umask,
        )
        assert not check or result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
        return result.stdout + result.stderr

    def before(self) -> list[str]:
        """What makes a command that of another user."""
        return []

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
    with serve_ssh(tmp_path, "Subsystem sftp internal-sftp\n") as settings:
        yield settings


@contextmanager
def serve_ssh(tmp_path: Path, options: str) -> Iterator[dict[str, str]]:
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
        f"PidFile {keys}/pid\n{options}"
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
