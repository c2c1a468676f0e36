import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from attune.learning import checkpoints, training
from attune.learning.checkpoints import Checkpoint
from attune.learning.steps import Examples, Stepper
from attune.learning.training import Material, fit
from attune.learning.training_config import FinetuneSettings, TrainingConfig
from attune.problems import InputError

SETTINGS = FinetuneSettings(learning_rate=0.02, decay=0.05, weight_decay=0.01)


class Net(nn.Module):
    """Three parts and a head; the middle one has a normalisation that must not move."""

    def __init__(self, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.first = nn.Linear(5, 8)
            self.second = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5))
            self.third = nn.Linear(8, 8)
            self.head = nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.third(self.second(self.first(x))))

    @property
    def parts(self):
        return [self.first, self.second, self.third]


def examples(seed, n=40, annotators=3):
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.normal(size=(n, 5)).astype(np.float32))
    labels = (rng.random((n, annotators)) < 1 / (1 + np.exp(-3 * x[:, :1].numpy()))).astype(np.int8)
    labels[rng.random(labels.shape) < 0.2] = -1
    return Examples(labels, lambda rows: (x[rows],))


def material(class_weights=(1.0, 1.0)):
    return Material(lambda epoch: examples(epoch), examples(999), class_weights)


def config(**changes):
    values = {"epochs": 5, "batch_size": 8, "clips_per_session": 4, "freeze": {1: 0}, "window": 2, "patience": 9}
    return TrainingConfig.model_validate({**values, "augment": False} | changes)


def run(net=None, settings=SETTINGS, given=None, on_epoch=lambda _: None, checkpoint=None, **changes):
    net = net or Net()
    fitted = fit(
        net,
        net.parts,
        given or material(),
        settings,
        config(**changes),
        seed=3,
        checkpoint=checkpoint,
        on_epoch=on_epoch,
    )
    return net, fitted


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_it_is_adam_with_exponential_decay_on_every_label():
    net, _ = run(window=5, epochs=5, patience=99, given=material((0.7, 1.6)))
    # The oracle repeats a clip once per label, as the samples of a plain loop.
    plain = Net().eval()
    optimiser = torch.optim.Adam(plain.parameters(), lr=0.02, weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.95)
    scores, states = [], []
    for epoch in range(6):
        if epoch:
            data = examples(epoch)
            order = np.random.default_rng([3, epoch]).permutation(data.coded())
            for start in range(0, len(order), 8):
                rows = order[start : start + 8]
                clip, annotator = np.nonzero(data.labels[rows] >= 0)
                truth = torch.from_numpy(data.labels[rows][clip, annotator].astype(np.int64))
                loss = nn.functional.cross_entropy(plain(data.read(rows[clip])[0]), truth, torch.tensor([0.7, 1.6]))
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            scheduler.step()
        data = examples(999)
        predicted = plain(data.read(np.arange(40))[0]).argmax(1).detach().numpy()[:, None]
        hits = ((data.labels == 1) & (predicted == 1)).sum()
        f1 = 2 * hits / (((data.labels >= 0) & (predicted == 1)).sum() + (data.labels == 1).sum())
        scores.append(f1)
        states.append({name: tensor.clone() for name, tensor in plain.state_dict().items()})
    means = [np.mean(scores[at - 4 : at + 1]) for at in (4, 5)]
    best = 4 + int(np.argmax(means))
    for name, tensor in net.state_dict().items():
        torch.testing.assert_close(tensor, states[best][name], rtol=1e-4, atol=1e-5)


def test_two_runs_are_identical_and_the_global_random_state_does_not_matter():
    first = run()
    torch.manual_seed(77)
    np.random.seed(77)
    second = run()
    assert first[1].history.equals(second[1].history)
    assert same(first[0], second[0])


def test_the_network_leaves_with_the_weights_of_the_best_epoch():
    net, fitted = run(epochs=8, window=3)
    history = fitted.history
    smoothed = history["validation_f1"].rolling(3).mean()
    assert fitted.best_epoch == smoothed.idxmax()
    assert fitted.score == pytest.approx(smoothed.max())
    np.testing.assert_allclose(history["smoothed_f1"], smoothed)
    stepper = Stepper(net.eval(), torch.ones(2), 8)
    scored = training.predict(stepper, examples(999), 8)
    assert scored.averages(torch.ones(2))[1] == pytest.approx(history["validation_f1"][fitted.best_epoch])


def test_epoch_0_is_the_untouched_network():
    _, fitted = run()
    stepper = Stepper(Net().eval(), torch.ones(2), 8)
    assert training.predict(stepper, examples(999), 8).averages(torch.ones(2))[1] == fitted.history["validation_f1"][0]
    assert fitted.history.loc[0, ["train_loss", "learning_rate"]].isna().all()


def test_frozen_parts_and_statistics_stand_still():
    net, start = run(freeze={1: 2}, window=5, patience=99)[0], Net()
    assert same(net.first, start.first) and same(net.second, start.second)
    assert not same(net.third, start.third) and not same(net.head, start.head)
    thawed = run(freeze={1: -1, 3: 0}, window=5, patience=99)[0]
    assert not same(thawed.first, start.first)
    assert torch.equal(thawed.second[1].running_mean, start.second[1].running_mean)


def test_every_module_is_put_back_into_its_own_mode():
    net = Net()
    net.second.eval()
    before = [module.training for module in net.modules()]
    run(net)
    assert [module.training for module in net.modules()] == before
    assert len(set(before)) == 2


def test_a_part_thaws_at_its_epoch():
    weights = []
    net = Net()
    run(net, freeze={1: 3, 3: 0}, on_epoch=lambda row: weights.append(net.first.weight.detach().clone()), window=5)
    moved = [not torch.equal(weights[0], weight) for weight in weights]
    assert moved == [False, False, False, True, True, True]  # epochs 0 to 5


def test_it_stops_when_nothing_improves():
    _, fitted = run(settings=FinetuneSettings(learning_rate=1e-12, decay=0, weight_decay=0), epochs=50, patience=4)
    assert len(fitted.history) - 1 < 10
    assert fitted.best_epoch == 1  # the first full window of equal means


def test_a_loss_that_is_not_finite_ends_it_with_score_0():
    def poisoned(epoch):
        good = examples(epoch)
        return Examples(good.labels, lambda rows: (good.read(rows)[0] * (math.nan if epoch == 2 else 1),))

    net, fitted = run(given=Material(poisoned, examples(999)))
    assert fitted.diverged and fitted.score == 0.0
    assert fitted.history["epoch"].tolist() == [0, 1, 2]
    assert all(torch.isfinite(tensor).all() for tensor in net.state_dict().values())


class AbortError(Exception):
    pass


@pytest.mark.parametrize("at", [0, 1, 4])
def test_a_run_that_is_interrupted_and_taken_up_equals_an_undisturbed_one(tmp_path, at):
    def interrupt(row):
        if row["epoch"] == at:
            raise AbortError

    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", "key")
    with pytest.raises(AbortError):
        run(checkpoint=checkpoint, on_epoch=interrupt, freeze={1: 2, 3: 0}, epochs=7)
    seen = []
    net, fitted = run(checkpoint=checkpoint, on_epoch=seen.append, freeze={1: 2, 3: 0}, epochs=7)
    undisturbed, whole = run(freeze={1: 2, 3: 0}, epochs=7)
    assert same(net, undisturbed)
    assert fitted.history.equals(whole.history)
    assert [row["epoch"] for row in seen] == list(range(len(whole.history)))


def test_a_checkpoint_of_something_else_or_a_damaged_one_is_passed_over(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    run(checkpoint=Checkpoint(path, "one"))
    assert Checkpoint(path, "one").load() is not None
    assert Checkpoint(path, "other").load() is None
    path.write_bytes(path.read_bytes()[:100])
    assert Checkpoint(path, "one").load() is None
    assert Checkpoint(tmp_path / "none", "one").load() is None


def test_moments_survive_a_checkpoint():
    net = Net()
    names = [name for name, _ in net.named_parameters()]
    optimiser = torch.optim.Adam(net.parameters(), lr=0.1)
    net(torch.randn(8, 5)).sum().backward()
    optimiser.step()
    other = torch.optim.Adam(net.parameters(), lr=0.5)
    checkpoints.restore_moments(other, names, checkpoints.moments_of(optimiser, names), 0.1)
    assert other.param_groups[0]["lr"] == 0.1
    assert str(other.state_dict()) == str(optimiser.state_dict())


class Tight(Net):
    """Runs out of memory when more than three clips come at once."""

    def forward(self, x):
        if len(x) > 3:
            raise torch.cuda.OutOfMemoryError("no memory")
        return super().forward(x)


def test_a_batch_that_does_not_fit_goes_through_in_pieces_with_the_same_result():
    (tight, fitted), (roomy, whole) = run(Tight()), run(Net())
    for one, other in zip(tight.state_dict().values(), roomy.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(fitted.history["train_loss"], whole.history["train_loss"], rtol=1e-4)
    found = [problem.found for problem in fitted.problems]
    assert found == ["no room for 8 clips at once", "no room for 4 clips at once"]
    assert {problem.severity for problem in fitted.problems} == {"warning"}


def test_a_clip_that_does_not_fit_alone_is_an_error():
    class Full(Net):
        def forward(self, x):
            raise torch.cuda.OutOfMemoryError("no memory")

    with pytest.raises(InputError, match="no room for one clip"):
        run(Full())


@pytest.mark.parametrize("part", [4, -4])
def test_a_part_that_does_not_exist_is_refused(part):
    with pytest.raises(InputError, match="from -3 to 3"):
        run(freeze={1: part})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": 6}, "a window of at most 5"),
        ({"freeze": {2: 0}}, "first epoch is 1"),
        ({"freeze": {}}, "at least 1"),
        ({"freeze": {1: 0, 6: -1}}, "epochs up to 5"),
        ({"batch_size": 0}, "greater than or equal to 1"),
        ({"precision": "float16"}, "float32"),
        ({"learning_rate": 1}, "Extra inputs"),
    ],
)
def test_contradictions_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        config(**changes)


def test_bfloat16_is_refused_where_it_would_be_slow(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False})
    with pytest.raises(InputError, match="float32, because this processor"):
        training.check_precision("bfloat16", torch.device("cpu"))
    training.check_precision("float32", torch.device("cpu"))
    training.check_precision("bfloat16", torch.device("cuda"))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    training.check_precision("bfloat16", torch.device("cpu"))


KILLED = """
import sys, time
from pathlib import Path
from tests.learning.test_training import Checkpoint, run
def slowly(row):
    print(row["epoch"], flush=True)
    time.sleep(60 * (row["epoch"] == 3))
run(checkpoint=Checkpoint(Path(sys.argv[1]), "key"), on_epoch=slowly, epochs=7)
"""


def test_a_killed_run_equals_an_undisturbed_one(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    root = Path(__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], cwd=root, stdout=subprocess.PIPE, text=True)
    lines = []
    deadline = time.monotonic() + 100
    while "3" not in lines and time.monotonic() < deadline:
        lines.append(process.stdout.readline().strip())
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert lines[-1] == "3"
    net, fitted = run(checkpoint=Checkpoint(path, "key"), epochs=7)
    undisturbed, whole = run(epochs=7)
    assert same(net, undisturbed)
    assert fitted.history.equals(whole.history)
