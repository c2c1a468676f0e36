"""A tiny lab: eight sessions of noise in which brightness shows engagement, with spans, folds, frames and features."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from attune import artifacts
from attune.annotation import spans
from attune.learning import baking, encoders, features
from attune.learning.pieces import Look, PieceStore
from attune.video import clips, recipes, store

ENCODER = {"name": "timm/test_efficientnet", "weights": "none", "input_size": 32}
VIDEO = {"height": 32, "width_multiple": 16, "frame_rate": "25/8"}
CLIPS = {"duration_s": 2.0, "per_session": 4}
PIXELS = {"view": "square"}
BAKE = {"test_clips": 4, "plain_epochs": 2, "train_epochs": 0, "batch_frames": 32, "seed": 0}
RATE = Fraction(25, 8)
SESSIONS = tuple(f"s{number:02d}" for number in range(8))
NUM_FOLDS = 4  # the last one is the test fold


@dataclass(frozen=True)
class Lab:
    """Where everything is."""

    folder: Path
    tasks: Path
    stratified: Path
    statistics: Path
    frames: Path
    baked: Path

    @property
    def sessions(self) -> dict[int, tuple[str, ...]]:
        """Sessions of each fold."""
        return {fold: SESSIONS[2 * fold : 2 * fold + 2] for fold in range(NUM_FOLDS)}


def lab_of(folder: Path) -> Lab:
    """The lab in a folder."""
    names = ("task_spans.csv", "stratified.csv", "fold_statistics.json", "frames", "baked/training")
    return Lab(folder, *(folder / name for name in names))


def make(folder: Path, *, seed: int = 0) -> Lab:
    """Write the whole lab into a folder."""
    lab = lab_of(folder)
    rng = np.random.default_rng(seed)
    lab.frames.mkdir(parents=True)
    tasks, labels = [], []
    for number, session in enumerate(SESSIONS):
        engaged = _write_frames(lab.frames / f"{session}.npy", rng)
        for annotator in ("ann", "bob"):
            tasks.append((session, annotator, "play", 1000, 19_000))
            for start_ms, value in engaged:
                labels.append((session, annotator, "play", "looking", number // 2, value, start_ms, start_ms + 3000))
    stratified = pd.DataFrame(labels, columns=list(spans.STRATIFIED))
    artifacts.write_table(lab.tasks, pd.DataFrame(tasks, columns=list(spans.TASKS)))
    artifacts.write_table(lab.stratified, stratified)
    artifacts.write_json(lab.statistics, _statistics(stratified, lab))
    bake(lab)
    return lab


def _write_frames(path: Path, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Twenty seconds of noise, bright and moving where engaged; the spans' starts and values."""
    pixels = rng.integers(0, 60, (63, 32, 48, 3)).astype(np.int64)
    values = rng.permutation([0, 1, 0, 1, 0, 1])
    spans_of = [(1000 + 3000 * index, int(value)) for index, value in enumerate(values)]
    for start_ms, value in spans_of:
        if value:
            first, end = store.frame_index(start_ms, RATE), store.frame_index(start_ms + 3000, RATE)
            pixels[first:end, 8:24, 16:32, rng.integers(0, 3)] += 150
    np.save(path, pixels.clip(0, 255).astype(np.uint8))
    return spans_of


def _statistics(stratified: pd.DataFrame, lab: Lab) -> dict[str, object]:
    def part(sessions: tuple[str, ...]) -> dict[str, object]:
        rows = stratified[stratified["session"].isin(sessions)]
        return {
            "sessions": sessions,
            "annotated_ms": 1,
            "empirical_probability": {"play": {"looking": float(rows["engaged"].mean())}},
            "groups": {},
        }

    pixels = {"count": 1, "mean": (0.4, 0.4, 0.4), "std": (0.2, 0.2, 0.2)}
    folds = [part(names) | {"score": 0.0, "pixel_values": pixels} for names in lab.sessions.values()]
    return {
        "num_folds": NUM_FOLDS,
        "test_fold": NUM_FOLDS - 1,
        "score": 0.0,
        "method": "none",
        "tries": 1,
        "all_sessions": part(SESSIONS),
        "folds": folds,
    }


def bake(lab: Lab) -> None:
    """Bake the lab's features."""
    config, clip_config = baking.BakeConfig.model_validate(BAKE), clips.ClipConfig.model_validate(CLIPS)
    encoder_config = encoders.EncoderConfig.model_validate(ENCODER)
    fold_of = {name: fold for fold, names in lab.sessions.items() for name in names}
    tasks = spans.read(lab.tasks, spans.TASKS)
    samples = baking.draw_clips(tasks, fold_of, NUM_FOLDS - 1, config, clip_config)
    encoder = encoders.build(encoder_config)
    look = Look(clips.num_frames(clip_config, RATE), "square", encoder.mean, encoder.std, recipes.Augmentation())
    store_of = PieceStore(encoder, lab.frames, RATE, look, lab.folder / "work" / "bake", config.batch_frames)
    bakery = baking.Bakery(samples, tasks, store_of, config.seed)
    store_of.make(store_of.missing(bakery.pieces), lambda _: None)
    stratified = spans.read(lab.stratified, spans.STRATIFIED)
    labels = baking.label(samples, lambda: [stratified], clip_config)
    baking.pack(bakery, labels, encoder_config.model_dump(mode="json"), lab.baked.parent, NUM_FOLDS - 1)


def write_params(folder: Path, **changes: object) -> None:
    """Write params.yaml with small sections; ``finetune_search__settings=3`` changes a value."""
    course = {
        "epochs": 3,
        "batch_size": 8,
        "clips_per_session": 4,
        "freeze": {1: -2},
        "augment": False,
        "window": 2,
        "patience": 5,
    }
    rates = {"log_uniform": [1e-4, 1e-2]}
    head_space = {"learning_rate": {"value": 0.01}, "decay": {"value": 0.0}, "weight_decay": {"value": 0.0}}
    sections: dict[str, dict[str, object]] = {
        "video": dict(VIDEO),
        "clips": dict(CLIPS),
        "encoder": dict(ENCODER),
        "pixels": dict(PIXELS),
        "augmentation": {},
        "head_search": {
            "settings": 1,
            "repetitions": 1,
            "epochs": 5,
            "batch_size": 8,
            "window": 2,
            "augmentation": "plain",
            "seed": 0,
            "space": head_space | {"class_weights": {"value": True}},
        },
        "finetune_search": {
            "targets": [{"task": "play", "variable": "looking"}],
            "settings": 2,
            "repetitions": 1,
            "seed": 0,
            "space": {"learning_rate": rates, "decay": {"value": 0.01}, "weight_decay": {"value": 0.0}},
            "training": course,
        },
        "train": {
            "head_epochs": 6,
            "head_window": 2,
            "finetuning": course,
            "bootstrap": {"draws": 50},
        },
    }
    for path, value in changes.items():
        *parents, last = path.split("__")
        section: Any = sections
        for name in parents:
            section = section[name]
        section[last] = value
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump({"engagement": sections}, file)


def write_winner(folder: Path) -> None:
    """Write the winner of a head search."""
    settings = {"learning_rate": 0.01, "decay": 0.0, "weight_decay": 0.0, "class_weights": True, "epochs": 5}
    found = {"score": 0.5, "score_std": 0.0, "chance": 0.4, "setting": 0, "runs": 3, "diverged": 0}
    artifacts.write_json(folder / "head_search" / "play-looking" / "winner.json", settings | found)


def whole(given: features.Features) -> np.ndarray:
    """All features in memory, (N, F), wherever they are."""
    out = np.empty(given.shape, given.dtype)
    features.read(given, np.arange(len(out)), out, np.arange(len(out)))
    return out
