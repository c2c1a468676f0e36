"""The demo scale and the published scale: one command writes either into params.yaml, where git shows the difference.

Only the values that differ are touched, in their place in the text, so that comments and order stay.
"""

from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from attune import artifacts, params
from attune.problems import InputError, Problem

NAMES = ("demo", "published")
TABLE = Path(__file__).with_name("scales.yaml")


def values(name: str) -> dict[str, str]:
    """Full key of every parameter that belongs to a scale, and its value there as it is written in YAML."""
    text = TABLE.read_text(encoding="utf-8")
    chosen = {key.value: _find(choice, [name]) for key, choice in YAML(pure=True).compose(text).value}
    return {key: _text(text, node) for key, node in chosen.items() if node is not None}


def switch(name: str, file: Path = params.FILE) -> list[str]:
    """Write a scale into a parameter file.

    Returns:
        The keys whose values changed.

    Raises:
        InputError: the file is missing or lacks a key of the scale.
    """
    params.load("engagement", _Anything, file)  # a missing or broken file gets its own message
    text = file.read_text(encoding="utf-8")
    root = YAML(pure=True).compose(text)
    edits, problems = [], []
    for key, value in values(name).items():
        node = _find(root, key.split("."))
        if node is None:
            problems.append(Problem(str(file), key, "nothing", "a value", "Add the key, as in the committed file."))
        elif _text(text, node) != value:
            edits.append((node.start_mark.index, node.end_mark.index, value, key))
    if problems:
        raise InputError(problems)
    for start, end, new, _ in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    if edits:
        artifacts.write_text(file, text)
    return [key for *_, key in sorted(edits)]


class _Anything(params.Params, extra="allow"):
    pass


def _find(node: Node | None, path: list[str]) -> Node | None:
    if not path or node is None:
        return node
    first, *rest = path
    if isinstance(node, MappingNode):
        return next((_find(value, rest) for key, value in node.value if key.value == first), None)
    if isinstance(node, SequenceNode) and first.isdigit() and int(first) < len(node.value):
        return _find(node.value[int(first)], rest)
    return None


def _text(text: str, node: Node) -> str:
    return text[node.start_mark.index : node.end_mark.index]
