import numpy as np
import pytest
import sklearn.metrics
import sklearn.utils.class_weight
import torch

from attune.learning import head_training, heads
from attune.learning.head_config import HeadSettings
from attune.learning.head_data import HeadData
from attune.learning.head_training import train_heads
from attune.learning.heads import Clips

SETTINGS = [
    HeadSettings(learning_rate=rate, decay=decay, weight_decay=weight_decay, class_weights=class_weights)
    for rate, decay, weight_decay, class_weights in [
        (1e-3, 0, 0, False),
        (1e-2, 0.1, 0, True),
        (1e-1, 0.01, 1e-3, False),
        (1e-4, 0, 10, True),
        (1.0, 0.05, 0.5, True),
    ]
]


def clips(seed, n=70, features=6, annotators=3, epochs=2, dtype=np.float32):
    """Learnable clips; some annotators are absent."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, features)).astype(dtype)
    chance = 1 / (1 + np.exp(-(1.5 * x[:, 0] - x[:, 1] + 0.8)))
    labels = (rng.random((n, annotators)) < chance[:, None]).astype(np.int8)
    labels[rng.random((n, annotators)) < 0.2] = -1
    return Clips(x, labels, rng.integers(0, epochs, n).astype(np.int32))


def order(count, epoch):
    return heads.order(count, 7, 0, epoch)


def run(train, validation, settings=SETTINGS, epochs=5, batch_size=8, seed=7):
    first = heads.initial(train.features.shape[1], seed, 0)
    return train_heads(
        HeadData.of(train, validation), settings, epochs=epochs, batch_size=batch_size, initial=first, order=order
    )


def alone(train, validation, settings, epochs=5, batch_size=8, seed=7):
    """One run as everyone writes it."""
    dtype = torch.from_numpy(train.features).dtype
    head = heads.linear(*(part.to(dtype) for part in heads.initial(train.features.shape[1], seed, 0)))
    everything = train.labels[train.labels >= 0]
    weights = sklearn.utils.class_weight.compute_class_weight("balanced", classes=np.array([0, 1]), y=everything)
    loss = torch.nn.CrossEntropyLoss(torch.tensor(weights, dtype=dtype) if settings.class_weights else None)
    adam = torch.optim.Adam(head.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.ExponentialLR(adam, gamma=1 - settings.decay)
    f1 = []
    for epoch in range(epochs):
        here = np.flatnonzero(train.epoch == epoch % 2)
        pairs = [(i, train.labels[i, a]) for i in here for a in range(train.labels.shape[1]) if train.labels[i, a] >= 0]
        taken = order(len(pairs), epoch)
        for start in range(0, len(pairs), batch_size):
            batch = [pairs[i] for i in taken[start : start + batch_size]]
            logits = head(torch.from_numpy(train.features[[i for i, _ in batch]]))
            adam.zero_grad()
            loss(logits, torch.tensor([int(label) for _, label in batch])).backward()
            adam.step()
        schedule.step()
        there = validation.epoch == epoch % 2
        answer = head(torch.from_numpy(validation.features[there])).argmax(dim=1).numpy()
        repeated = np.repeat(answer[:, None], validation.labels.shape[1], axis=1)
        coded = validation.labels[there] >= 0
        truth = validation.labels[there][coded]
        f1.append(sklearn.metrics.f1_score(truth, repeated[coded], zero_division=0))
    return head, f1


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_all_at_once_equals_one_adam_per_run(dtype, tolerance):
    train, validation = clips(0, dtype=dtype), clips(1, dtype=dtype)
    together = run(train, validation)
    for place, settings in enumerate(SETTINGS):
        head, f1 = alone(train, validation, settings)
        torch.testing.assert_close(together.weight[place], head.weight.detach(), rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(together.bias[place], head.bias.detach(), rtol=tolerance, atol=tolerance)
        assert together.f1[place] == pytest.approx(f1, abs=1e-12)
    assert not together.diverged.any()
    assert together.f1.max() > 0.75  # there is something to learn


@pytest.mark.slow
def test_all_at_once_equals_one_adam_per_run_at_the_published_size():
    rng = np.random.default_rng(0)
    features = np.maximum(rng.normal(size=(1600, 512)), 0).astype(np.float32)
    labels = (features[:, :1] > 0.4).astype(np.int8)
    train = Clips(features, labels, np.repeat([0, 1], 800).astype(np.int32))
    together = run(train, train, SETTINGS[:3], epochs=2, batch_size=16)
    for place, settings in enumerate(SETTINGS[:3]):
        head, _ = alone(train, train, settings, epochs=2, batch_size=16)
        torch.testing.assert_close(together.weight[place], head.weight.detach(), rtol=1e-5, atol=1e-5)


def test_a_run_does_not_depend_on_its_neighbours():
    train, validation = clips(0), clips(1)
    together, single = run(train, validation), run(train, validation, SETTINGS[2:3])
    torch.testing.assert_close(together.weight[2], single.weight[0], rtol=1e-5, atol=1e-6)


def test_a_diverging_run_scores_nothing_and_spares_its_neighbours():
    wild = HeadSettings(learning_rate=1e38, decay=0, weight_decay=0, class_weights=False)
    train, validation = clips(0), clips(1)
    together = run(train, validation, [SETTINGS[1], wild, SETTINGS[2]])
    assert list(together.diverged) == [False, True, False]
    assert (together.f1[1] == 0).all()
    calm = run(train, validation, [SETTINGS[1], SETTINGS[2]])
    torch.testing.assert_close(together.weight[[0, 2]], calm.weight)


@pytest.mark.parametrize("label", [0, 1])
def test_a_single_class_in_training_is_learned_as_such(label):
    train = clips(0)
    train = Clips(train.features, np.where(train.labels >= 0, label, -1).astype(np.int8), train.epoch)
    result = run(train, clips(1))
    assert np.isfinite(result.weight.numpy()).all() and not result.diverged.any()


def test_no_validation_clip_and_no_positive_one_score_zero():
    train = clips(0)
    empty = Clips(train.features[:0], train.labels[:0], train.epoch[:0])
    assert (run(train, empty).f1 == 0).all()
    negative = Clips(train.features, np.zeros_like(train.labels), train.epoch)
    assert (run(train, negative).f1 == 0).all()


def test_no_training_clip_leaves_the_first_weights():
    train = clips(0)
    empty = Clips(train.features[:0], train.labels[:0], train.epoch[:0])
    result = run(empty, clips(1))
    torch.testing.assert_close(result.weight[0], heads.initial(6, 7, 0)[0])


def test_first_weights_are_those_of_a_linear_layer():
    weight, bias = heads.initial(12, seed=3, repetition=1)
    key = int(np.random.SeedSequence([3, 1]).generate_state(1, np.uint64)[0] >> np.uint64(1))
    torch.manual_seed(key)
    layer = torch.nn.Linear(12, 2)
    assert torch.equal(weight, layer.weight) and torch.equal(bias, layer.bias)
    assert not torch.equal(weight, heads.initial(12, seed=3, repetition=2)[0])


def test_annotators_are_pooled_in_a_stable_order():
    labels = np.array([[1, -1, 0], [-1, -1, -1], [0, 0, 1]], dtype=np.int8)
    samples = heads.samples_by_epoch(Clips(np.zeros((3, 1), np.float32), labels, np.array([4, 4, 9], np.int32)))
    assert [list(part.rows) for part in samples] == [[0, 0], [2, 2, 2]]
    assert [list(part.labels) for part in samples] == [[1, 0], [0, 0, 1]]


def test_class_weights_are_scikit_learns_balanced():
    labels = np.array([0, 0, 0, 1])
    expected = sklearn.utils.class_weight.compute_class_weight("balanced", classes=np.array([0, 1]), y=labels)
    assert heads.class_weights(labels) == pytest.approx(expected)
    assert list(heads.class_weights(np.array([1, 1]))) == [1, 1]
    assert list(heads.class_weights(np.array([], dtype=int))) == [1, 1]


def test_the_memory_bound_counts_every_array_of_a_run():
    adam = head_training._Adam(torch.zeros(513, 2), SETTINGS[:1])
    arrays = [value for value in vars(adam).values() if isinstance(value, torch.Tensor) and value.shape == (513, 2)]
    size = sum(array.numel() * array.element_size() for array in arrays)
    assert head_training.runs_within(10 * size / 1e6, 512) == 10
    assert head_training.runs_within(1e-6, 512) == 1
