import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from attune.learning import activations, encoders, material, models
from attune.learning.activations import Activations, Stretch
from attune.learning.encoders import EncoderConfig
from attune.learning.models import Configuration, Network
from attune.problems import InputError
from attune.video.clips import ClipConfig
from attune.video.files import VideoConfig
from attune.video.reading import ClipReader
from tests.learning import tiny

FRAMES = EncoderConfig(name="timm/test_efficientnet", weights="none", input_size=32)
CONFIGURATION = Configuration(
    task="play",
    variable="looking",
    encoder=FRAMES.model_copy(
        update={"weights": "somewhere.safetensors", "weights_sha256": 64 * "0"}
    ),  # not needed any more
    clips=ClipConfig(**tiny.CLIPS),
    video=VideoConfig.model_validate(tiny.VIDEO),
    view="square",
    mean=(0.5, 0.4, 0.3),
    std=(0.2, 0.2, 0.2),
    training={"seed": 3},
)


@pytest.fixture(scope="module")
def network():
    encoder = encoders.build(FRAMES)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return Network(encoder, torch.nn.Linear(encoder.feature_size, 2)).eval()


def test_a_saved_model_answers_as_before_and_knows_its_configuration(tmp_path, network):
    path = tmp_path / "model.safetensors"
    models.save(path, network, CONFIGURATION)
    loaded, configuration = models.load(path)
    assert configuration == CONFIGURATION
    assert str(configuration.video.frame_rate) == "25/8"
    assert not loaded.training
    clips = models.prepare(
        np.random.default_rng(0).integers(0, 256, (2, 4, 40, 60, 3), dtype=np.uint8), 32, configuration
    )
    with torch.no_grad():
        assert torch.equal(loaded(clips), network(clips))


def test_equal_models_give_equal_bytes_without_pickles(tmp_path, network):
    for name in ("one", "two"):
        models.save(tmp_path / f"{name}.safetensors", network, CONFIGURATION)
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    with safe_open(tmp_path / "one.safetensors", framework="np") as file:
        assert {name.split(".")[0] for name in file.keys()} == {"encoder", "head"}  # noqa: SIM118
        assert json.loads(file.metadata()["attune"])["configuration"]["task"] == "play"


@pytest.mark.parametrize("kind", ["missing", "text", "cut", "other", "newer", "tensors", "broken"])
def test_what_is_no_model_is_refused_by_name(tmp_path, network, kind):
    path = tmp_path / "model.safetensors"
    if kind != "missing":
        models.save(path, network, CONFIGURATION)
    content = {"format": models.FORMAT, "configuration": CONFIGURATION.model_dump(mode="json")}
    if kind == "text":
        path.write_text("hello")
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    elif kind == "other":
        save_file({"a": torch.zeros(1)}, path)
    elif kind == "newer":
        save_file({"a": torch.zeros(1)}, path, {"attune": json.dumps(content | {"format": "attune model 9"})})
    elif kind == "tensors":
        save_file({"a": torch.zeros(1)}, path, {"attune": json.dumps(content)})
    elif kind == "broken":
        content["configuration"]["clips"]["duration_s"] = -1
        save_file({"a": torch.zeros(1)}, path, {"attune": json.dumps(content)})
    with pytest.raises(InputError) as error:
        models.load(path)
    assert error.value.problems[0].file == str(path)


def test_a_picture_is_cut_and_normalised_as_the_configuration_says():
    pixels = np.full((1, 2, 40, 60, 3), 255, dtype=np.uint8)
    prepared = models.prepare(pixels, 32, CONFIGURATION)
    assert prepared.shape == (1, 3, 2, 32, 32)
    torch.testing.assert_close(prepared[0, :, 0, 0, 0], torch.tensor([2.5, 3.0, 3.5]))


# Activations of frozen parts


@pytest.mark.parametrize("name", ["timm/test_efficientnet", "timm/test_resnet"])
def test_both_sides_of_a_cut_give_what_the_whole_encoder_gives(name):
    encoder = encoders.build(EncoderConfig(name=name, weights="none", input_size=32))
    parts = encoders.stages_of(encoder)
    frames = torch.rand(3, 3, 32, 32)
    for first in range(1, len(parts)):
        cut = activations.cut(encoder, first)
        assert cut and activations.fits(cut, frames)
        inside = {id(weight) for name in cut.before for weight in encoder.model.get_submodule(name).parameters()}
        assert inside == {id(weight) for part in parts[:first] for weight in part.parameters()}
    assert activations.cut(encoder, 0) is None
    assert activations.cut(encoder, len(parts)) is None


def test_an_encoder_with_a_side_path_is_found_out():
    encoder = encoders.build(EncoderConfig(name="timm/test_vit", weights="none"))  # adds places after the patches
    frames = torch.rand(2, 3, encoder.input_size, encoder.input_size)
    cuts = [activations.cut(encoder, first) for first in range(1, len(encoders.stages_of(encoder)))]
    with torch.no_grad():
        whole = encoder.encode_frames(frames)
        for cut in cuts:
            if cut and activations.fits(cut, frames):  # then it is right on other frames as well
                other = torch.rand_like(frames)
                inside = activations.run_up_to(cut, other)
                expected = encoder.encode_frames(other)
                with activations.passed_over(cut):
                    torch.testing.assert_close(encoder.encode_frames(inside), expected, rtol=1e-3, atol=1e-4)
        assert not activations.fits(cuts[1], frames)  # places would be added twice
        assert torch.equal(encoder.encode_frames(frames), whole)  # nothing is left passed over


def test_an_encoder_of_clips_is_not_cut():
    class Other(torch.nn.Module):
        pass

    assert activations.cut(Other(), 1) is None


def test_activations_give_the_logits_of_the_pixels(tmp_path, network):
    frames = tmp_path / "frames"
    frames.mkdir()
    rng = np.random.default_rng(1)
    for session in ("a", "b"):
        np.save(frames / f"{session}.npy", rng.integers(0, 256, (40, 32, 48, 3), dtype=np.uint8))
    cut = activations.cut(network.encoder, 4)
    cache = Activations(tmp_path / "work", frames, tiny.RATE, 6)
    computed = []

    def compute(pixels):
        computed.append(len(pixels))
        clip = models.prepare(torch.from_numpy(np.array(pixels))[None], 32, CONFIGURATION)[0]
        return activations.run_up_to(cut, clip.transpose(0, 1))

    stretches = [Stretch("a", "play", 3, 35), Stretch("b", "play", 0, 99)]  # the second ends after its video
    cache.prepare(stretches, compute, lambda _: None)
    assert sum(computed) == 32 + 40
    cache.prepare(stretches, compute, lambda _: None)
    assert sum(computed) == 32 + 40  # found again

    sessions, start_ms = ["a", "b", "a", "b"], np.array([1000, 0, 1500, 11_500])
    distinct, places = cache.read(sessions, "play", start_ms)
    assert len(distinct) < places.numel() == 24
    reader = ClipReader(frames, tiny.RATE, 6)
    pixels = np.stack([reader.read(session, int(start)) for session, start in zip(sessions, start_ms, strict=True)])
    with torch.no_grad():
        expected = network(models.prepare(pixels, 32, CONFIGURATION))
        found = material.FramesNetwork(network, cut)(distinct, places)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_the_key_of_activations_names_the_frozen_weights_and_the_preparation(network):
    cut = activations.cut(network.encoder, 2)
    key = activations.key_of(cut, {"size": 32})
    assert key == activations.key_of(cut, {"size": 32})
    assert key != activations.key_of(cut, {"size": 64})
    other = encoders.build(FRAMES.model_copy(update={"seed": 1}))
    assert key != activations.key_of(activations.cut(other, 2), {"size": 32})
