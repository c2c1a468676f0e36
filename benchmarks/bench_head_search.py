"""Head search: all runs at once against one `torch.optim.Adam` per run.

Published sizes: 250 settings x 4 folds x 4 repetitions x 20 epochs over 1,600 samples of 512 features. The search is
run whole; of the sequential loop a few runs are timed and multiplied. The loop is written as fast as it can be without
changing what it is: features and labels are ready tensors, no data loader, one thread (more only slow it down).
"""

import argparse
import time

import numpy as np
import torch

from attune.learning import head_search, heads, search
from attune.learning.head_config import HeadSearchConfig, HeadSettings
from attune.learning.head_search import Fold
from attune.learning.heads import Clips

SAMPLES, FEATURES, FOLDS = 1600, 512, 4
PUBLISHED_RUN_S = 3.7  # reported for the published loop, with its data loader
PUBLISHED = HeadSearchConfig.model_validate(
    {
        "settings": 250,
        "repetitions": 4,
        "epochs": 20,
        "batch_size": 16,
        "window": 8,
        "seed": 0,
        "space": {
            "learning_rate": {"log_uniform": [1e-5, 1]},
            "decay": {"mixture": [{"weight": 1, "value": 0}, {"weight": 4, "log_uniform": [1e-3, 0.1]}]},
            "weight_decay": {"mixture": [{"weight": 1, "value": 0}, {"weight": 4, "log_uniform": [1e-4, 10]}]},
            "class_weights": {"choice": [True, False]},
        },
    }
)


def folds() -> list[Fold]:
    """Features after a ReLU, as an encoder gives them; three of the four folds hold the published 1,600 samples."""
    rng = np.random.default_rng(0)
    size = -(-SAMPLES // (FOLDS - 1))
    direction = rng.normal(size=FEATURES) / FEATURES**0.5
    made = []
    for _ in range(FOLDS):
        features = np.maximum(rng.normal(size=(size, FEATURES)), 0).astype(np.float32)
        labels = (features @ direction + rng.normal(0, 0.5, size) > 0).astype(np.int8)[:, None]
        clips = Clips(features, labels, np.zeros(size, dtype=np.int32))
        made.append(Fold(clips, clips))
    return made


def sequential(train: Clips, validation: Clips, settings: HeadSettings, seed: int) -> list[float]:
    """One run, as everyone writes it; the validation F1 of every epoch."""
    features, labels = torch.from_numpy(train.features), torch.from_numpy(train.labels[:, 0]).long()
    seen, truth = torch.from_numpy(validation.features), torch.from_numpy(validation.labels[:, 0]).long()
    head = heads.linear(*heads.initial(FEATURES, PUBLISHED.seed, seed))
    weights = torch.from_numpy(heads.class_weights(train.labels[:, 0])).float() if settings.class_weights else None
    loss = torch.nn.CrossEntropyLoss(weights)
    adam = torch.optim.Adam(head.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.ExponentialLR(adam, gamma=1 - settings.decay)
    f1 = []
    for epoch in range(PUBLISHED.epochs):
        for batch in torch.from_numpy(heads.order(len(labels), PUBLISHED.seed, seed, epoch)).split(
            PUBLISHED.batch_size
        ):
            adam.zero_grad()
            loss(head(features[batch]), labels[batch]).backward()
            adam.step()
        schedule.step()
        with torch.no_grad():
            answer = head(seen).argmax(dim=1)
        f1.append(float(2 * (answer * truth).sum() / max(1, int(answer.sum() + truth.sum()))))
    return f1


def main() -> None:
    """Print seconds of both, their ratio, and how far the scores of the timed runs differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=PUBLISHED.repetitions, help="of the search, 4 as published")
    parser.add_argument("--runs", type=int, default=8, help="sequential runs that are timed")
    arguments = parser.parse_args()
    config = PUBLISHED.model_copy(update={"repetitions": arguments.repetitions})
    given = folds()

    torch.set_num_threads(1)
    others = Clips.concatenate([fold.augmented for fold in given[1:]])
    train = Clips(np.concatenate([fold.augmented.features for fold in given[1:]]), others.labels, others.epoch)
    drawn = [HeadSettings.model_validate(search.draw(config.space, i, config.seed)) for i in range(arguments.runs)]
    sequential(train, given[0].plain, drawn[0], 0)
    start, processor = time.perf_counter(), time.process_time()
    for settings in drawn:
        sequential(train, given[0].plain, settings, 0)
    loop_s = (time.perf_counter() - start) / arguments.runs
    loop_cpu_s = (time.process_time() - processor) / arguments.runs

    runs = head_search.total_runs(config, FOLDS)
    start, processor = time.perf_counter(), time.process_time()
    head_search.search_heads(given, config, name="benchmark")
    search_s, search_cpu_s = time.perf_counter() - start, time.process_time() - processor

    print(f"head search, {SAMPLES} samples x {FEATURES} features, {config.epochs} epochs, batch {config.batch_size}")
    print(f"  one Adam per run: {loop_s:.2f} s per run ({arguments.runs} timed); {runs} runs would take", end=" ")
    print(f"{loop_s * runs:.0f} s ({PUBLISHED_RUN_S * runs:.0f} s at the published {PUBLISHED_RUN_S} s per run)")
    print(f"  all at once: {search_s:.1f} s for {runs} runs ({search_s / runs * 1000:.1f} ms per run)")
    print(f"  ratio: {loop_s * runs / search_s:.0f} in time, {loop_cpu_s * runs / search_cpu_s:.0f} in processor time")


if __name__ == "__main__":
    main()
