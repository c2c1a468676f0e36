"""Two processes through PyTorch's DistributedDataParallel (gloo) against one with the same batches."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from attune.learning import distributed
from attune.learning.checkpoints import Checkpoint
from attune.learning.distributed import Group
from attune.learning.steps import Stepper
from attune.learning.threads import single_threaded
from tests.learning.test_training import Net, examples, run

ROOT = Path(__file__).parents[2]
WORKER = """
import sys
from pathlib import Path
import torch
from attune.learning import distributed
from tests.learning import test_distributed

torch.set_num_threads(1)
out = Path(sys.argv[1])
with distributed.joined() as group:
    torch.save(test_distributed.results(group, out / "checkpoint.safetensors"), out / f"{group.rank}.pt")
"""


def gradients(group):
    """The gradients of some batches; several processes see those of all."""
    net = Net().eval()
    stepper = Stepper(net, torch.tensor([0.7, 1.6]), 4, group=group, together=group.together(net))
    optimiser = torch.optim.SGD(net.parameters(), lr=0.0)
    data, found = examples(1), []
    for rows in (data.coded()[:13], data.coded()[13:20], data.coded()[20:21]):
        stepper.train(data, rows, optimiser)
        found.append({name: weight.grad.clone() for name, weight in net.named_parameters() if weight.grad is not None})
    return found


def results(group, checkpoint):
    net, fitted = run(freeze={1: -1, 3: 0}, epochs=5, batch_size=13, checkpoint=Checkpoint(checkpoint, "key"))
    return {
        "gradients": gradients(group),
        "weights": net.state_dict(),
        "history": fitted.history.to_numpy(float),
        "best": fitted.best_epoch,
    }


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A folder with the checkpoint, and the results of each of two processes."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "worker.py").write_text(WORKER)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*torchrun, str(folder / "worker.py"), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder, [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    with single_threaded():
        return results(distributed.ALONE, tmp_path_factory.mktemp("one") / "checkpoint.safetensors")


@pytest.mark.slow
def test_the_gradients_are_those_of_the_whole_batch(one, two):
    """Also of a batch with fewer clips than processes, and one that is worked off in pieces."""
    for rank in two[1]:
        for expected, found in zip(one["gradients"], rank["gradients"], strict=True):
            assert expected.keys() == found.keys()
            for name, gradient in expected.items():
                torch.testing.assert_close(found[name], gradient, rtol=1e-6, atol=1e-7)


@pytest.mark.slow
def test_both_processes_end_with_the_same_bits(two):
    first, second = two[1]
    assert all(torch.equal(a, b) for a, b in zip(first["weights"].values(), second["weights"].values(), strict=True))
    np.testing.assert_array_equal(first["history"], second["history"])


@pytest.mark.slow
def test_training_is_that_of_one_process_up_to_rounding(one, two):
    found = two[1][0]
    assert found["best"] == one["best"]
    np.testing.assert_allclose(found["history"], one["history"], rtol=1e-6, atol=1e-6)
    for name, weight in one["weights"].items():
        torch.testing.assert_close(found["weights"][name], weight, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_only_the_first_process_keeps_a_checkpoint_and_both_take_it_up(two):
    folder, (first, _) = two
    kept = Checkpoint(folder / "checkpoint.safetensors", "key").load()
    assert kept and len(kept[1]["history"]) == len(first["history"])
    assert not list(folder.glob("*.partial"))
    again = results(distributed.ALONE, folder / "checkpoint.safetensors")["weights"]
    assert all(torch.equal(a, b) for a, b in zip(first["weights"].values(), again.values(), strict=True))


def test_shares_are_disjoint_and_whole():
    rows = np.arange(11)
    shares = [Group(rank, 3).share(rows) for rank in range(3)]
    assert sorted(np.concatenate(shares)) == rows.tolist()
    assert {len(share) for share in shares} == {3, 4}


def test_alone_nothing_is_wrapped_or_joined(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    net = Net()
    with distributed.joined() as group:
        assert group == distributed.ALONE == distributed.current()
    assert group.together(net) is net
    assert group.gather([1, 2], 2) == [1, 2]
    with group.one_after_the_first():
        pass


def test_a_freeze_schedule_wraps_the_network_anew(monkeypatch):
    wrapped = []
    monkeypatch.setattr(Group, "together", lambda self, network: wrapped.append(None) or network)
    run(freeze={1: -1, 3: 0}, epochs=5, patience=9)
    assert len(wrapped) == 2
