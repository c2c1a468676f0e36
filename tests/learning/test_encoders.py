"""Every encoder keeps the interface, and the pre-trained one knows what it sees."""

import copy
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from matplotlib import cbook
from pydantic import ValidationError
from safetensors.torch import load_model, save_model
from sklearn.datasets import load_sample_image

from attune.learning import device, weights
from attune.learning.encoder_base import Encoder
from attune.learning.encoders import ENCODERS, EncoderConfig, FrameEncoder, build, stages_of
from attune.learning.pooling import Moments, TemporalTransformer
from attune.problems import InputError
from attune.video import transforms

LITE = "timm/tf_efficientnet_lite0"
# Name, size of the clips, feature size, and the shape of the map for Grad-CAM of two clips of 6 frames.
FORMS = [
    ("mc3_18", 32, 512, (2, 512, 6, 2, 2)),
    ("r3d_18", 32, 512, (2, 512, 1, 2, 2)),
    pytest.param("r2plus1d_18", 32, 512, (2, 512, 1, 2, 2), marks=pytest.mark.slow),
    ("s3d", 64, 1024, (2, 1024, 1, 2, 2)),
    pytest.param("mvit_v2_s", 64, 768, (2, 768, 3, 2, 2), marks=pytest.mark.slow),
    pytest.param("swin3d_t", 64, 768, (2, 768, 3, 2, 2), marks=pytest.mark.slow),
    (LITE, 64, 3840, (12, 1280, 2, 2)),
    ("timm/mobilenetv3_small_050", 64, 3072, (12, 288, 2, 2)),  # its last layer comes after the map
    ("timm/resnet10t", 64, 1536, (12, 512, 2, 2)),
    ("timm/vit_tiny_patch16_224", 64, 576, (12, 192, 4, 4)),  # a class token
    ("timm/xcit_nano_12_p16_224", 64, 384, (12, 128, 4, 4)),  # a class token that is added behind the blocks
    pytest.param("timm/cait_xxs24_224", 64, 576, (12, 192, 4, 4), marks=pytest.mark.slow),  # likewise
    pytest.param("timm/swin_tiny_patch4_window7_224", 64, 2304, (12, 768, 2, 2), marks=pytest.mark.slow),
]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def make(name: str, **settings: object) -> Encoder:
    return build(EncoderConfig.model_validate({"name": name, "weights": "none", **settings}))


@pytest.mark.parametrize(("name", "size", "feature_size", "map_shape"), FORMS)
def test_every_encoder_keeps_the_interface(
    name: str, size: int, feature_size: int, map_shape: tuple[int, ...], tmp_path: Path
) -> None:
    encoder = make(name, input_size=size)
    assert not encoder.training
    assert (encoder.feature_size, encoder.input_size) == (feature_size, size)
    assert encoder.per_frame == name.startswith("timm/") == isinstance(encoder, FrameEncoder)
    assert len(encoder.mean) == len(encoder.std) == 3
    clips = torch.randn(2, 3, 6, size, size)

    maps: list[torch.Tensor] = []
    hook = encoder.gradcam_layer.register_forward_hook(lambda _module, _inputs, output: maps.append(output))
    features = encoder(clips)
    hook.remove()
    assert features.shape == (2, feature_size)
    assert maps[0].shape == map_shape
    (slope,) = torch.autograd.grad(features.square().sum(), maps[0])
    assert slope.abs().flatten(1).sum(dim=1).gt(0).all()

    owned = [id(parameter) for stage in stages_of(encoder) for parameter in stage.parameters()]
    assert sorted(owned) == sorted(id(parameter) for parameter in encoder.parameters())
    assert len(stages_of(encoder)) >= 4

    save_model(encoder, str(tmp_path / "encoder.safetensors"))
    other = make(name, input_size=size, seed=1)
    with torch.no_grad():
        assert not torch.equal(other(clips), features)
        load_model(other, str(tmp_path / "encoder.safetensors"))
        torch.testing.assert_close(other(clips), features, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["mc3_18", LITE])
def test_the_feature_depends_on_the_clip_through_the_map_alone(name: str) -> None:
    encoder = make(name, input_size=32)
    encoder.gradcam_layer.register_forward_hook(lambda _module, _inputs, output: torch.ones_like(output))
    with torch.no_grad():
        first, second = encoder(torch.randn(2, 3, 4, 32, 32))
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_a_copy_is_independent() -> None:
    encoder = make("timm/vit_tiny_patch16_224", input_size=32)
    other = copy.deepcopy(encoder)
    seen: list[int] = []
    other.gradcam_layer.register_forward_hook(lambda *_: seen.append(1))
    with torch.no_grad():
        encoder(torch.zeros(1, 3, 2, 32, 32))
        assert not seen
        other(torch.zeros(1, 3, 2, 32, 32))
    assert seen


@pytest.mark.parametrize("name", ["mc3_18", pytest.param("swin3d_t", marks=pytest.mark.slow)])
def test_features_are_what_the_library_classifies(name: str) -> None:
    from torchvision.models import video

    _same_as_library(name, video, torch.randn(1, 3, 8, 64, 64))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["s3d", "mvit_v2_s"])
def test_features_at_the_native_size_are_what_the_library_classifies(name: str) -> None:
    from torchvision.models import video

    _same_as_library(name, video, torch.randn(1, 3, 16, 224, 224))


@torch.no_grad()
def _same_as_library(name: str, video: object, clips: torch.Tensor) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        library = getattr(video, name)().eval()
    encoder = make(name, seed=0)
    classify = library.fc if name == "mc3_18" else library.classifier if name == "s3d" else library.head
    features = encoder(clips)
    scores = classify(features[..., None, None, None]).flatten(1) if name == "s3d" else classify(features)
    torch.testing.assert_close(scores, library(clips))


@torch.no_grad()
def best_classes(image: np.ndarray, count: int = 5) -> list[int]:
    """ImageNet classes of a picture by the bundled weights, the most likely first."""
    encoder = build(EncoderConfig(name=LITE, weights="bundled", input_size=224))
    assert isinstance(encoder, FrameEncoder)
    scale = 256 / min(image.shape[:2])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    clip = transforms.normalise(transforms.evaluate(small[None, None], 224, "square"), encoder.mean, encoder.std)
    state = weights.bundled()
    scores = encoder.encode_frames(clip[:, :, 0]) @ state["_fc.weight"].T + state["_fc.bias"]
    return scores[0].topk(count).indices.tolist()


def _grace_hopper() -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))), cv2.COLOR_BGR2RGB)


def test_the_bundled_model_knows_photographs() -> None:
    assert 985 in best_classes(load_sample_image("flower.jpg"))  # daisy
    assert 698 in best_classes(load_sample_image("china.jpg"))  # palace
    assert 652 in best_classes(_grace_hopper())  # military uniform


def test_the_bundled_model_knows_a_video(real_data: Path) -> None:
    capture = cv2.VideoCapture(str(real_data / "video" / "imageio_cockatoo.mp4"))
    _, frame = capture.read()
    assert 89 in best_classes(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))  # sulphur-crested cockatoo


def test_each_frame_is_encoded_by_itself() -> None:
    encoder = make(LITE, input_size=32)
    assert isinstance(encoder, FrameEncoder)
    clips = torch.randn(2, 3, 5, 32, 32)
    with torch.no_grad():
        frames = torch.stack([encoder.encode_frames(clips[:, :, t]) for t in range(5)], dim=1)
        torch.testing.assert_close(encoder.pool(frames), encoder(clips))


def test_moments_are_mean_deviation_and_motion() -> None:
    features = torch.randn(4, 7, 3, dtype=torch.float64)
    array = features.numpy()
    expected = np.concatenate([array.mean(1), array.std(1), np.abs(np.diff(array, axis=1)).mean(1)], axis=1)
    np.testing.assert_allclose(Moments(3)(features), expected, atol=1e-5)
    still = features[:, :1].expand(4, 7, 3).clone().requires_grad_()
    pooled = Moments(3)(still)
    assert pooled[:, 6:].abs().max() == 0
    pooled.sum().backward()
    assert still.grad is not None
    assert still.grad.isfinite().all()
    assert Moments(3)(features[:, :1]).isfinite().all()  # a single frame does not move


def test_order_of_frames_matters_to_both_poolings() -> None:
    features = torch.randn(2, 6, 8)
    mixed = features[:, [0, 3, 1, 4, 2, 5]]
    torch.testing.assert_close(Moments(8)(features)[:, :16], Moments(8)(mixed)[:, :16])
    assert not torch.allclose(Moments(8)(features)[:, 16:], Moments(8)(mixed)[:, 16:])
    pooling = TemporalTransformer(8).eval()
    with torch.no_grad():
        assert not torch.allclose(pooling(features), pooling(mixed), atol=1e-3)
        assert pooling(torch.randn(3, 20, 8)).shape == (3, pooling.feature_size)


def test_random_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    settings = {"input_size": 32, "pooling": "transformer"}
    first = make(LITE, **settings).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(6)
    again, other = make(LITE, **settings).state_dict(), make(LITE, seed=1, **settings).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    for name in ("model.conv_stem.weight", "pooling.project.weight"):
        assert not torch.equal(first[name], other[name])
    one, two = (first[f"pooling.layers.layers.{layer}.linear1.weight"] for layer in (0, 1))
    assert not torch.equal(one, two)


def test_the_transformer_learns() -> None:
    """Half of the clips rise, half fall: no statistic of single frames tells them apart."""
    torch.manual_seed(0)
    pooling = TemporalTransformer(4)
    head = torch.nn.Linear(pooling.feature_size, 2)
    time = torch.linspace(-1, 1, 8)[None, :, None].expand(32, 8, 4)
    labels = torch.arange(32) % 2
    features = torch.where(labels[:, None, None] == 1, time, -time) + 0.1 * torch.randn(32, 8, 4)
    optimiser = torch.optim.Adam([*pooling.parameters(), *head.parameters()], lr=1e-3)
    for _ in range(40):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(head(pooling(features)), labels)
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.1


def test_clips_that_do_not_fit_are_refused() -> None:
    encoder = make("s3d", input_size=32)
    with pytest.raises(InputError, match=r"encoder, clips: expected \(B, 3, T, H, W\) with T >= 5 and H, W >= 32"):
        encoder(torch.zeros(1, 3, 4, 32, 32))
    encoder.check((1, 3, 5, 32, 32))
    for shape in [(1, 3, 5, 31, 32), (1, 5, 3, 32, 32), (3, 5, 32, 32)]:
        with pytest.raises(InputError):
            encoder.check(shape)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"name": "mc4_18"}, "one of mc3_18, r3d_18, r2plus1d_18, s3d, mvit_v2_s, swin3d_t, timm/<model>"),
        ({"name": "mc3_18", "weights": "default"}, "DEFAULT, none, bundled or the path of a .safetensors file"),
        ({"name": "mc3_18", "weights": "bundled"}, "bundled with name: timm/tf_efficientnet_lite0 alone, not mc3_18"),
        ({"name": "s3d", "input_size": 16}, "input_size of at least 32 for s3d"),
        ({"name": LITE, "weights": "my.safetensors"}, "weights_sha256 with a .safetensors file"),
        ({"name": LITE, "weights": "none", "weights_sha256": 64 * "0"}, "weights_sha256 with a .safetensors file"),
        ({"name": LITE, "weights": "my.safetensors", "weights_sha256": "0"}, "weights_sha256"),
        ({"name": LITE, "pooling": "mean"}, "'moments' or 'transformer'"),
        ({"name": LITE, "input_size": 0}, "greater than or equal to 16"),
        ({"name": LITE, "colour": "grey"}, "colour"),
    ],
)
def test_contradictory_settings_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError) as raised:
        EncoderConfig.model_validate(settings)
    assert words in str(raised.value)


def test_an_unknown_image_model_is_refused_with_its_neighbours() -> None:
    with pytest.raises(InputError, match=r"found timm/tf_efficientnet_lite9\. Did you mean tf_efficientnet_lite"):
        make("timm/tf_efficientnet_lite9")
    with pytest.raises(InputError, match=r"encoder, name: .* found timm/resnet18.nothing"):
        make("timm/resnet18.nothing")


@pytest.mark.parametrize(
    ("name", "found"),
    [("timm/tnt_s_patch16_224", "whose last block takes something else"), ("timm/coat_tiny", "of several branches")],
)
def test_a_model_that_cannot_be_tapped_is_refused_when_it_is_built(name: str, found: str) -> None:
    with pytest.raises(InputError, match=f"encoder, name: expected a model whose .* found {name}.* {found}"):
        make(name, input_size=64 if "tnt" in name else None)


def test_a_size_that_the_model_cannot_take_is_refused() -> None:
    with pytest.raises(InputError, match=r"encoder, input_size: expected a size that timm/inception_v3 takes"):
        make("timm/inception_v3", input_size=32)


def test_libraries_are_imported_when_an_encoder_is_built() -> None:
    code = (
        "import sys, attune.learning.encoders as e; e.EncoderConfig(name='mc3_18');"
        "print([name for name in ('timm', 'torchvision') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_table_of_encoders() -> None:
    assert [name for name in ENCODERS if not name.startswith("timm/")] == [
        "mc3_18",
        "r3d_18",
        "r2plus1d_18",
        "s3d",
        "mvit_v2_s",
        "swin3d_t",
    ]


def test_device(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, name in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert device.device() == torch.device(name)
