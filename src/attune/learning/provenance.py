"""The code behind numbers that are kept: part of every key under which they are found again.

A result in a work folder may be taken over only if the same code would compute it again. :func:`made_by` names that
code: the modules that compute, every module of this project that they import, directly or not, and the libraries that
hold the networks. Imports are read from the text, so that naming the code of a training needs no torch.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

LIBRARIES = ("torch", "torchvision", "timm")
PACKAGE = Path(__file__).resolve().parents[1]
NO_NUMBERS = frozenset({"attune.artifacts", "attune.console", "attune.params", "attune.problems"})  # files, messages


@lru_cache(maxsize=16)
def made_by(*modules: str) -> dict[str, Any]:
    """A digest of the code of modules such as ``attune.learning.training``, and the libraries' versions, as JSON.

    What comes after a version's ``+`` (``cpu``, ``cu121``) is left out: rows of one plan may run on both.
    """
    libraries = {name: version(name).partition("+")[0] for name in LIBRARIES}
    return {"code": code_digest(PACKAGE, *modules), "libraries": libraries}


def code_digest(package: Path, *modules: str) -> str:
    """A digest of modules and of those they import, found in the folder of the package ``attune``."""
    digest = hashlib.blake2b(digest_size=16)
    for name, file in sorted(reached(package, *modules).items()):
        digest.update(f"{name} ".encode() + file.read_bytes())
    return digest.hexdigest()


def reached(package: Path, *modules: str) -> dict[str, Path]:
    """The modules and those they import, without :data:`NO_NUMBERS` and packages, and their files."""
    todo, found = list(modules), dict[str, Path]()
    while todo:
        name = todo.pop()
        file = package.parent.joinpath(*name.split(".")).with_suffix(".py")
        if name not in found and name not in NO_NUMBERS and file.is_file():
            found[name] = file
            todo += _imported(file)
    return found


def _imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("attune."))
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "attune":
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
