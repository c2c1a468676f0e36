"""Explain the final models' decisions on every snippet, by several methods, for both classes."""

from pathlib import Path

from tqdm import tqdm

from attune import console, params
from attune.attention import machine


def main(snippets: Path, frames: Path, models: Path, out_maps: Path, out_overlays: Path, work: Path) -> None:
    """Write maps and overlay videos; snippets that an earlier run finished are taken from the work folder."""
    config = params.load("engagement.attribution", machine.MachineConfig)
    gallery = machine.Gallery(machine.read_snippets(snippets), frames, models, config, work)
    missing = gallery.missing
    with tqdm(total=len(missing), desc="attribute", unit="snippet", disable=None) as bar:
        gallery.make(missing, bar.update)
    gallery.write(out_maps, out_overlays)


if __name__ == "__main__":
    console.run(main)
