"""One self-contained HTML page of all results: no server, no network, equal input gives equal bytes.

Every picture and video is within the page, up to a budget; what does not fit is named where it would be, and counted.
All words from files are escaped by the template, and a content security policy within the page forbids it to load
anything or to run any script but its own, which only starts the videos of a row together.
"""

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import Field

from attune.annotation import reliability_tables
from attune.annotation.protocol import Protocol
from attune.params import Params
from attune.report import explanations, results, versions
from attune.report.blocks import Section
from attune.report.embedding import MEGABYTE, Budget
from attune.report.explanations import Shown
from attune.report.headline import headline
from attune.report.material import Material
from attune.report.painted import Paintings, read_snippets
from attune.video import clips
from attune.video.clips import ClipConfig
from attune.video.files import VideoConfig

SCRIPT = """\
for (const row of document.querySelectorAll(".row")) {
  const videos = [...row.querySelectorAll("video")];
  if (!videos.length) continue;
  const button = document.createElement("button");
  const playing = () => videos.some((video) => !video.paused);
  const say = () => { button.textContent = playing() ? "Pause" : "Play together"; };
  button.type = "button";
  button.addEventListener("click", () => {
    const stop = playing();
    for (const video of videos) {
      if (stop) { video.pause(); } else { video.currentTime = 0; video.play(); }
    }
  });
  for (const video of videos) { video.addEventListener("play", say); video.addEventListener("pause", say); }
  say();
  row.querySelector("h3").after(button);
}
"""


class ReportConfig(Params):
    """What the page holds.

    Attributes:
        budget_mb: megabytes of embedded pictures and videos.
        snippets: clips of which videos are shown.
    """

    budget_mb: float = Field(default=15, gt=0)
    snippets: int = Field(default=8, ge=0)


@dataclass(frozen=True)
class Sources:
    """Where everything is; whatever is not there is said on the page.

    Attributes:
        metrics: folder of the numbers that people compare.
        plots: folder of the figures and tables that people compare.
        overlays: folder of the overlay videos.
        snippets: the table of candidate snippets.
        paintings: folder of the painted maps.
        frames: folder of the frame stores.
        root: the project's folder, with params.yaml, dvc.lock and git.
    """

    metrics: Path
    plots: Path
    overlays: Path
    snippets: Path
    paintings: Path
    frames: Path
    root: Path = Path()


def build(
    sources: Sources, config: ReportConfig, protocol: Protocol, names: str, clip: ClipConfig, video: VideoConfig
) -> str:
    """The page.

    Args:
        sources: where everything is.
        config: what the page holds.
        protocol: names the annotators.
        names: what stands for them, ``anonymous`` or ``initials``.
        clip: length of a clip.
        video: rate of its frames.

    Raises:
        InputError: a file is damaged.
    """
    material = Material(sources.metrics, sources.plots, Budget(config.budget_mb))
    people = reliability_tables.annotators(protocol, names)
    shown = Shown(
        read_snippets(sources.snippets),
        sources.overlays,
        Paintings.find(sources.paintings, sources.frames, video.frame_rate, clips.num_frames(clip, video.frame_rate)),
        dict(zip(people["annotator"], people["shown"], strict=True)),
        config.snippets,
    )
    sections = [
        headline(material),
        results.reliability(material),
        results.learning(material),
        explanations.videos(material, shown),
        explanations.similarity(material, sources.root),
        explanations.quality(material, sources.root),
        results.searches(material),
        results.sessions(material),
        versions.section(sources.root, protocol if names == "anonymous" else None),
        Section("words", "Words", [results.terms()]),
    ]
    return render(sections, material.budget)


def render(sections: list[Section], budget: Budget) -> str:
    """Lay out sections as a page.

    Args:
        sections: what to show.
        budget: with what was embedded and left out.
    """
    environment = Environment(
        loader=PackageLoader("attune.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    left_out = [str(path) for path in budget.left_out]
    page: str = environment.get_template("page.html").render(
        sections=sections, script=SCRIPT, digest=digest, left_out=left_out, megabytes=f"{budget.used / MEGABYTE:.1f}"
    )
    return page
