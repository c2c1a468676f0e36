"""Record the demo: plan the sessions, code them, render them, and write down the truth."""

import datetime
import os
import re
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import as_completed
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from attune import artifacts, processes
from attune.annotation.protocol import Protocol
from attune.demo import annotators, elan, implied, motion, scene, truth, video
from attune.demo.behaviour import CHAINS, Session, simulate
from attune.demo.canvas import MASK_SCALE, Image
from attune.demo.config import DemoConfig, Style
from attune.problems import InputError, Problem

FOLDERS = ("engagement", "video", "truth")
EXPERIMENTER_2_EVERY = 3
MOST_WORKERS = 16


@dataclass(frozen=True)
class Plan:
    """One session to be recorded.

    Attributes:
        index: its number, from 0; with the seed it decides upon everything random.
        experimenter: 1 or 2.
        coders: the annotators who code it.
    """

    name: str
    index: int
    experimenter: int
    coders: tuple[str, ...]
    date: datetime.date


def record(
    out: Path,
    config: DemoConfig,
    protocol: Protocol,
    workers: int | None = None,
    finished: Callable[[str], object] | None = None,
) -> None:
    """Write ``out/engagement``, ``out/video`` and ``out/truth``, each whole or not at all.

    Args:
        out: folder of the recordings.
        config: how many sessions of which length, and the annotators' styles.
        protocol: names of annotators, tasks and tiers; needs the variables of the demo.
        workers: number of processes, as many as processors by default; 1 renders in this process.
        finished: is told the name of every session that is rendered.

    Raises:
        InputError: the protocol does not fit the demo.
        OSError: a file could not be written.
    """
    check_protocol(protocol, config)
    plans = plan(config, protocol)
    with ExitStack() as stack:
        engagement, videos, known = (stack.enter_context(artifacts.replacing_folder(out / name)) for name in FOLDERS)
        (known / "masks").mkdir()
        sessions = {item.name: behave(item, config, protocol) for item in plans}
        for item in plans:
            write_codings(engagement, item, code(item, sessions[item.name], config, protocol), config.seed, protocol)
        _write_truth(known, plans, sessions, config, protocol)
        workers = min(workers or min(os.cpu_count() or 1, MOST_WORKERS), len(plans))
        with closing(_render_all(plans, sessions, config.seed, videos, known / "masks", workers)) as rendered:
            for name in rendered:
                if finished:
                    finished(name)


def check_protocol(protocol: Protocol, config: DemoConfig) -> None:
    """Refuse a protocol that the demo cannot follow.

    Raises:
        InputError: a variable or value is missing, or a session's name does not match.
    """
    cure = "Put the demo's own protocol back, or leave the demo out: `dvc repro` alone builds your own recordings."
    problems = []
    for variable, chain in CHAINS.items():
        values = protocol.variables[variable].values if variable in protocol.variables else ()
        if missing := sorted(set(chain) - {*values, "no"}):
            place = f"engagement.protocol.variables.{variable}"
            problems.append(Problem("params.yaml", place, f"{list(values)}", f"the values {missing}", cure))
    if strangers := sorted(set(protocol.variables) - set(CHAINS)):
        place = "engagement.protocol.variables"
        problems.append(Problem("params.yaml", place, ", ".join(strangers), f"only {' and '.join(CHAINS)}", cure))
    allowed = protocol.sessions
    for index in range(config.sessions):
        name = _name(index)
        if not (re.fullmatch(allowed, name) if isinstance(allowed, str) else name in allowed):
            place = "engagement.protocol.sessions"
            problems.append(Problem("params.yaml", place, f"{allowed!r}", f"a rule that allows {name}", cure))
            break
    if problems:
        raise InputError(problems)


def plan(config: DemoConfig, protocol: Protocol) -> list[Plan]:
    """Decide who leads and who codes each session, and when it took place."""
    size = min(max(2, protocol.min_annotators), len(protocol.annotators))
    groups = list(combinations(protocol.annotators, size))
    if size < len(protocol.annotators):
        groups.append(protocol.annotators)
    days = (protocol.last_date - protocol.first_date).days
    return [
        Plan(
            name=_name(index),
            index=index,
            experimenter=2 if (index + 1) % EXPERIMENTER_2_EVERY == 0 else 1,
            coders=protocol.assigned.get(_name(index), groups[index % len(groups)]),
            date=protocol.first_date + datetime.timedelta(days=days * (index + 1) // (config.sessions + 1)),
        )
        for index in range(config.sessions)
    ]


def _name(index: int) -> str:
    return f"fp{index + 1:02d}"


def styles(config: DemoConfig, protocol: Protocol) -> dict[str, Style]:
    """The style of each annotator; with more annotators than styles they are shared in turn."""
    return {name: config.styles[index % len(config.styles)] for index, name in enumerate(protocol.annotators)}


def behave(item: Plan, config: DemoConfig, protocol: Protocol) -> Session:
    """The truth about one planned session."""
    return simulate(config, protocol.tasks, np.random.default_rng([config.seed, 0, item.index]))


def code(item: Plan, session: Session, config: DemoConfig, protocol: Protocol) -> dict[str, annotators.Coding]:
    """What each of a session's annotators codes."""
    chosen = styles(config, protocol)
    return {
        coder: annotators.code(
            session,
            chosen[coder],
            np.random.default_rng([config.seed, 1, item.index, protocol.annotators.index(coder)]),
        )
        for coder in item.coders
    }


def write_codings(
    folder: Path, item: Plan, codings: dict[str, annotators.Coding], seed: int, protocol: Protocol
) -> None:
    """Write one session's ELAN files, with the slips that people make."""
    date = item.date.strftime(protocol.date_format)
    for coder, coded in codings.items():
        name = protocol.file_name.format(session=item.name, annotator=coder, date=date)
        slips = np.random.default_rng([seed, 2, item.index, protocol.annotators.index(coder)])
        elan.write(folder / f"{name}.eaf", coded, f"../video/{item.name}.mp4", protocol, slips)


def _write_truth(
    folder: Path, plans: list[Plan], sessions: dict[str, Session], config: DemoConfig, protocol: Protocol
) -> None:
    chosen = styles(config, protocol)
    rows = [(item.name, item.experimenter, " ".join(item.coders), item.date.isoformat()) for item in plans]
    table = pd.DataFrame(rows, columns=["session", "experimenter", "annotators", "date"])
    artifacts.write_table(folder / "sessions.csv", table)
    artifacts.write_table(folder / "behaviour.csv", truth.tabulate_behaviour(sessions))
    artifacts.write_table(folder / "tasks.csv", truth.tabulate_tasks(sessions))
    artifacts.write_json(folder / "styles.json", {name: style.model_dump() for name, style in chosen.items()})
    expected = implied.expect_agreement(config, protocol, chosen, [item.coders for item in plans])
    artifacts.write_json(folder / "agreement.json", expected)


def _render_all(
    plans: list[Plan], sessions: dict[str, Session], seed: int, videos: Path, masks: Path, workers: int
) -> Generator[str, None, None]:
    """Render every session and yield its name when it is done."""
    if workers == 1:
        yield from (_render(item, sessions[item.name], seed, videos, masks) for item in plans)
        return
    with processes.pool(workers, _use_one_thread) as pool:
        longest_first = sorted(plans, key=lambda item: -sessions[item.name].duration_ms)
        jobs = [pool.submit(_render, item, sessions[item.name], seed, videos, masks) for item in longest_first]
        for job in as_completed(jobs):
            yield job.result()


def _use_one_thread() -> None:
    cv2.setNumThreads(1)


def _render(item: Plan, session: Session, seed: int, videos: Path, masks: Path) -> str:
    movement = motion.animate(session, np.random.default_rng([seed, 3, item.index]))
    rng = np.random.default_rng([seed, 4, item.index])
    stage = scene.Scene(scene.draw_look(item.experimenter - 1, rng), movement, rng)
    count = len(movement.task)
    packed: list[Image] = []

    def frames() -> Iterator[Image]:
        for frame in range(count):
            picture, mask = stage.paint(frame)
            packed.append(truth.pack(mask))
            yield picture

    video.encode(videos / f"{item.name}.mp4", frames(), count, seed + item.index)
    truth.write_masks(masks / f"{item.name}.npz", packed, (scene.HEIGHT // MASK_SCALE, scene.WIDTH // MASK_SCALE))
    return item.name
