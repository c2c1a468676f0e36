"""A keyed mapping from names to codes.

The code of a name is made of the last decimal digits of HMAC-SHA256(key, kind and name): the same key gives the same
code on every run and machine, and without the key nobody finds the name, not even by trying all initials (which a
plain hash would allow). Codes hold no letters but the first, so they cannot resemble a name by chance. Two names with
one code are refused.
"""

import datetime
import hashlib
import hmac
import os
import secrets
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path

from attune.problems import InputError, Problem

KEY = Path("~/.config/attune/key")
BYTES = 32
DIGITS = {"session": 10, "annotator": 8}


def read_key(path: Path) -> bytes:
    """The secret key of a file; a new one is made, readable by its owner alone, if there is none.

    Raises:
        InputError: the file lies in a git repository that does not ignore it, is too short, or may be read by others.
    """
    path = path.expanduser()
    _outside_git(path)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(BYTES) + "\n")
    if os.name == "posix" and (mode := stat.S_IMODE(path.stat().st_mode)) & 0o077:
        cure = f"Run `chmod 600` on it: who has the key can find every name, {path}."
        raise InputError(Problem(str(path), "", f"permissions {mode:o}", "a key that its owner alone can read", cure))
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError:
        key = b""
    if len(key) < BYTES:
        expected = f"{2 * BYTES} hexadecimal digits"
        raise InputError(Problem(str(path), "", "something else", expected, "Name another file; a new key is made."))
    return key


def codes(names: Iterable[str], kind: str, key: bytes, digits: int | None = None) -> dict[str, str]:
    """The code of every name.

    Args:
        names: what is to be replaced.
        kind: ``session`` or ``annotator``; its first letter begins the codes.
        key: the secret.
        digits: length of a code.

    Raises:
        InputError: two names have the same code.
    """
    length = digits or DIGITS[kind]
    found: dict[str, str] = {}
    owners: dict[str, str] = {}
    for name in sorted(set(names)):
        code = f"{kind[0]}{_number(key, kind, name) % 10**length:0{length}d}"
        if (other := owners.setdefault(code, name)) != name:
            expected = "different codes"
            cure = "Use another key, or rename one of them; copies made with this key keep their codes."
            raise InputError(Problem(f"{kind} {name}", "", f"the code of {other}", expected, cure))
        found[name] = code
    return found


def shifted(date: datetime.date, session: str, key: bytes, most_days: int) -> datetime.date:
    """A date moved by a number of days, up to ``most_days`` either way, that depends on the session and the key."""
    days = _number(key, "date", session) % (2 * most_days + 1) - most_days
    return date + datetime.timedelta(days=days)


def _number(key: bytes, kind: str, name: str) -> int:
    return int.from_bytes(hmac.digest(key, f"{kind}:{name}".encode(), hashlib.sha256), "big")


def _outside_git(path: Path) -> None:
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    inside = subprocess.run(["git", "-C", str(folder), "rev-parse", "--git-dir"], capture_output=True, check=False)
    if inside.returncode:
        return
    ignored = ["git", "-C", str(folder), "check-ignore", "--quiet", str(path.absolute())]
    if subprocess.run(ignored, capture_output=True, check=False).returncode:
        cure = f"Keep the key elsewhere, such as {KEY}, with a copy in your institution's safe."
        raise InputError(Problem(str(path), "", "a path inside a git repository", "a path outside it", cure))
