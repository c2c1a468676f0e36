"""Refuse a folder of recordings that the stages could not read, before any of them gets its name."""

from pathlib import Path

from attune import artifacts, console, params, raw_folder
from attune.problems import InputError


def main(made: Path, out: Path) -> None:
    """Write a file that is always the same, so that what depends on it runs again only for reasons of its own."""
    if problem := raw_folder.check(params.load("engagement.raw", raw_folder.RawFolder).value, made):
        raise InputError(problem)
    artifacts.write_text(out, "The folder of recordings can be read.\n")


if __name__ == "__main__":
    console.run(main)
