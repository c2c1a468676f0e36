"""Build what the Dockerfile describes without a Docker engine: its steps, one after the other, in a clean root.

The clean root is Debian bookworm by debootstrap, as in the official image. It differs from that in one thing: Python
is Debian's own 3.11 in /usr/bin, not one compiled into /usr/local. Everything that follows is the Dockerfile's.

Every step runs in mount and process namespaces of its own, so nothing stays mounted and no process stays behind,
whatever happens. Where pip gets packages from on this machine is handed to the steps when they run: never a part of
the Dockerfile. As root, from the project's folder:

    python -m tests.container.run_steps FOLDER      # needs 8 GB
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.container import dockerfile
from tests.container.dockerfile import Instruction

PACKAGES = ["ca-certificates", "python3", "python3-venv", "python-is-python3"]
BASE = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
ENTER = """
set -eu
root=$1; shift
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=1777,size=64m tmpfs "$root/dev/shm"
while [ "$1" != -- ]; do
    if [ -d "$1" ]; then mkdir -p "$root$2"; else mkdir -p "$root$(dirname "$2")"; touch "$root$2"; fi
    mount --bind "$1" "$root$2"
    shift 2
done
shift
exec chroot "$@"
"""


class StepError(Exception):
    """A step of the Dockerfile failed."""


@dataclass
class Image:
    """A root and what the instructions so far have set."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: dict(BASE))
    arguments: dict[str, str] = field(default_factory=dict)
    shell: list[str] = field(default_factory=lambda: ["/bin/sh", "-c"])
    user: str = "0:0"
    folder: str = "/"
    command: list[str] = field(default_factory=list)

    def run(
        self,
        *command: str,
        user: str | None = None,
        mounts: dict[Path, str] | None = None,
        environment: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as `docker run` does: no variable of the outside reaches it.

        Args:
            command: and its arguments; the image's default command if none.
            user: `UID:GID`, the image's user unless given.
            mounts: folders and files of this machine to places inside.
            environment: further variables.
        """
        binds = [text for outer, inner in (mounts or {}).items() for text in (str(outer), inner)]
        variables = [f"{name}={value}" for name, value in (self.environment | (environment or {})).items()]
        inside = [
            f"--userspec={user or self.user}",
            "--groups=",
            str(self.root),
            "env",
            "--ignore-environment",
            f"--chdir={self.folder}",
            *variables,
            *(command or self.command),
        ]
        namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        return subprocess.run(
            [*namespaces, "sh", "-c", ENTER, "enter", str(self.root), *binds, "--", *inside],
            capture_output=True,
            text=True,
            check=False,
        )


def clean_root(folder: Path) -> None:
    """Debian and its Python, nothing of this machine but its name servers."""
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", "bookworm", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StepError(f"debootstrap: {done.stdout[-2000:]}{done.stderr[-2000:]}")


def build(root: Path, project: Path) -> Image:
    """Do what the project's Dockerfile says in a clean root."""
    image = Image(root)
    settings, mounts = package_sources()
    for step in dockerfile.read(project / "Dockerfile"):
        known = image.arguments | image.environment
        match step.name:
            case "SHELL":
                image.shell = step.words()
            case "ARG":
                image.arguments |= dockerfile.pairs(step, known)
            case "ENV":
                image.environment |= dockerfile.pairs(step, known)
            case "WORKDIR":
                image.folder = dockerfile.substitute(step.text, known)
                (root / image.folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
            case "USER":
                image.user = dockerfile.substitute(step.text, known)
            case "CMD":
                image.command = step.words()
            case "COPY":
                copy(image, step, project)
            case "RUN":
                done = image.run(*image.shell, step.text, mounts=mounts, environment=image.arguments | settings)
                if done.returncode:
                    raise StepError(f"Dockerfile:{step.line}: {done.stdout[-2000:]}{done.stderr[-4000:]}")
    return image


def copy(image: Image, step: Instruction, project: Path) -> None:
    """Copy from the project as Docker does: a folder's content, or files; nothing that .dockerignore leaves out."""
    *sources, target = step.words()
    place = image.root / Path(image.folder, target).as_posix().lstrip("/")
    for source in sources:
        if source not in sent(project):
            raise StepError(f"Dockerfile:{step.line}: .dockerignore leaves {source} out")
        if (project / source).is_dir():
            patterns = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(project / source, place, ignore=patterns, dirs_exist_ok=True)
        else:
            shutil.copy2(project / source, place / source)


def sent(project: Path) -> set[str]:
    """What .dockerignore lets through to a build: it leaves all out and names the exceptions."""
    lines = (project / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    if rules[0] != "*":
        raise StepError(".dockerignore: expected * as its first rule")
    return {rule[1:] for rule in rules if rule.startswith("!")}


def package_sources() -> tuple[dict[str, str], dict[Path, str]]:
    """Where pip and TLS find things on this machine: variables, and the files and folders that they name."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    settings = {name: value for name, value in os.environ.items() if re.fullmatch(r"(?i)(https?|no)_proxy", name)}
    for scope, name, value in re.findall(r"^(global|install|:env:)\.([\w-]+)='(.*)'$", listed, re.MULTILINE):
        del scope
        settings[f"PIP_{name.upper().replace('-', '_')}"] = value
    if "SSL_CERT_FILE" in os.environ:
        settings["SSL_CERT_FILE"] = os.environ["SSL_CERT_FILE"]
    words = {word for value in settings.values() for word in value.split()}
    places = {Path(word) for word in words if word.startswith("/")}
    # The links of an index that is a folder lead to files beside it.
    places |= {Path(word.removeprefix("file://")).parent for word in words if word.startswith("file:///")}
    folders = {path for path in places if path.exists()}
    return settings, {path: str(path) for path in sorted(folders)}


def main() -> None:
    """Build in a folder and say what came out."""
    root = Path(sys.argv[1])
    clean_root(root)
    image = build(root, Path.cwd())
    print(f"built in {root}: user {image.user}, in {image.folder}, runs {image.command}")


if __name__ == "__main__":
    main()
