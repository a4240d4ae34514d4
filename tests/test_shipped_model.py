"""The weights that ship, on clips of people and garments that they were never trained on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fashionflow import FashionFlowPipeline
from fashionflow.evaluation.clip_labels import read_labels
from fashionflow.evaluation.quick import evaluate_clip
from fashionflow.runtime.loading import load_pipeline
from fashionflow.runtime.model_folder import SHIPPED_MODEL
from fashionflow.video.io import read_frames


CLIPS = Path(__file__).parent / "data" / "clips"


@pytest.fixture(scope="module")
def pipe() -> FashionFlowPipeline:
    pipe = load_pipeline(SHIPPED_MODEL, "cpu")
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def scores(pipe) -> dict[str, dict[str, float]]:
    labels = read_labels(CLIPS)
    return {
        name: evaluate_clip(pipe, read_frames(CLIPS / f"{name}.mp4"), label, clip_rate=8.0, steps=4, sampler=None)[0]
        for name, label in labels.items()
    }


def test_every_file_is_small_safetensors_and_says_where_it_comes_from():
    files = [path for path in SHIPPED_MODEL.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 40e6
    assert max(path.stat().st_size for path in files) < 10e6
    assert {path.suffix for path in files} == {".safetensors", ".json", ".md"}
    card = (SHIPPED_MODEL / "README.md").read_text()
    for word in ("Data", "Steps", "Seed", "Hardware", "Scores", "Limits", "Licence"):
        assert word in card


def test_autoencoder_keeps_the_photo_and_its_colours(scores):
    assert np.median([score["autoencoder_first_frame_psnr"] for score in scores.values()]) >= 30
    assert np.median([score["autoencoder_first_frame_delta_e"] for score in scores.values()]) < 3


def test_clips_are_nearer_to_the_truth_than_the_still_photo(scores):
    """On average: these clips' arms also move to another pose, which no photo tells, and sharp edges elsewhere cost more than soft ones."""
    ours, still = (np.mean([score[name] for score in scores.values()]) for name in ("psnr", "psnr_still_photo"))
    assert ours > still


def test_garment_keeps_its_colour_to_the_last_frame(scores):
    assert np.median([score["garment_delta_e"] for score in scores.values()]) < 6


def test_motion_is_obeyed_and_the_background_stays_clean(pipe):
    photo = Image.fromarray(read_frames(CLIPS / "001007.mp4")[0])
    clips = {}
    for motion in ("turn-left", "turn-right"):
        generator = torch.Generator().manual_seed(0)
        clips[motion] = pipe(photo, motion=motion, num_inference_steps=4, generator=generator).frames[0]
    person = slice(160, 352)
    apart = np.abs(clips["turn-left"][-1] - clips["turn-right"][-1])[:, person].mean()
    noise = np.abs(clips["turn-left"][-1] - clips["turn-left"][0])[:500, :60].mean()
    assert apart > 0.02, "turning left and turning right must not look the same"
    assert noise < 0.02, "nothing moves at the picture's border"
    # Turned by about 40 degrees. A turn squeezes a picture across, so only differences down its columns are compared.
    first, turned = (np.abs(np.diff(clips["turn-right"][index][:, person], axis=0)).mean() for index in (0, 5))
    assert turned > 0.75 * first, "the photo's own pixels stay sharp"
