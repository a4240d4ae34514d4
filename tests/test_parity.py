"""The same numbers as the released code, which was run on the same stand-in weights (tests/data/parity)."""

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from PIL import Image
from safetensors.torch import load_file
from transformers import CLIPImageProcessorPil

from fashionflow import FashionFlowPipeline
from fashionflow.models.processor_fast_paths import WinogradConv2d
from fashionflow.pipelines.convert_checkpoint import RELEASED_RESCALE_FACTOR, unet_and_conditioner
from fashionflow.pipelines.schedulers import make_scheduler, training_betas, training_scheduler

from . import released


EXPECTED = load_file(released.PARITY / "expected.safetensors")
UNET_CASES = {
    "unet_tiny": ((1, 4, 2, 16, 16), [500]),
    "unet_batch": ((2, 4, 8, 32, 16), [3, 998]),
    "unet_wide": ((1, 4, 6, 16, 48), [120]),
}


@pytest.fixture(scope="module")
def models():
    return unet_and_conditioner(released.checkpoint())


@pytest.fixture(scope="module")
def pipe(models):
    """The released pipeline as `convert` puts it together; the parts that the numbers do not depend on are thin."""
    unet, conditioner = models
    pipe = FashionFlowPipeline(
        image_encoder=released.image_encoder(),
        image_processor=CLIPImageProcessorPil(rescale_factor=RELEASED_RESCALE_FACTOR),
        conditioner=conditioner,
        unet=unet,
        vae=released.vae(),
        scheduler=training_scheduler("epsilon"),
        frame_rate=25.0,
        default_num_frames=70,
        signed_pixels=False,
        photo_fit="stretch",
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def difference(name: str, output: torch.Tensor) -> float:
    expected = EXPECTED[f"{name}.output"]
    assert output.shape == expected.shape
    return (output - expected).abs().max().item()


@pytest.mark.parametrize("fewer_multiplications", [False, True])
@pytest.mark.parametrize("name", UNET_CASES)
def test_the_denoiser_predicts_what_the_released_one_predicts(
    models, name, fewer_multiplications, monkeypatch, winograd_used
):
    shape, timesteps = UNET_CASES[name]
    monkeypatch.setattr(WinogradConv2d, "winograd", fewer_multiplications)
    sample = released.draw(f"{name}.sample", shape)
    context = released.draw(f"{name}.context", (shape[0], 50, 768))
    with torch.no_grad():
        output = models[0](sample, torch.tensor(timesteps), context).sample
    assert difference(name, output) <= 1e-4
    assert set(winograd_used) == ({"conv_space", "conv_time"} if fewer_multiplications else set())


@pytest.mark.parametrize(("name", "batch"), [("adapter_one", 1), ("adapter_two", 2)])
def test_the_conditioner_gives_the_released_tokens(models, name, batch):
    clip_tokens = released.draw(f"{name}.clip", (batch, 50, 768))
    latents = released.draw(f"{name}.latent", (batch, 4, 80, 64))
    with torch.no_grad():
        assert difference(name, models[1](clip_tokens, latents)) <= 1e-4


def test_the_noise_schedule_is_the_released_one():
    betas = torch.tensor(training_betas(), dtype=torch.float64)
    assert (betas - EXPECTED["betas"].double()).abs().max() <= 1e-8
    assert training_scheduler().betas.numpy() == pytest.approx(EXPECTED["betas"].numpy(), abs=1e-8)


@pytest.mark.parametrize(("name", "timesteps"), [("sampler_start", [999, 998, 997]), ("sampler_end", [2, 1, 0])])
def test_ancestral_sampling_leaves_the_released_trace(pipe, monkeypatch, name, timesteps):
    """The pipeline's own loop over three of the released sampler's thousand steps, with the noise that was drawn then."""
    shape = (1, 6, 4, 16, 16)  # [B, F, C, H, W], as the released code lays latents out
    first_frame = released.draw(f"{name}.first_frame", (1, 1, *shape[2:])).transpose(1, 2)
    context = released.draw(f"{name}.context", (1, 50, 768))
    drawn = iter([released.draw(f"{name}.noise.{timestep}", shape) for timestep in timesteps])

    class FewSteps(DDPMScheduler):
        def set_timesteps(self, num_inference_steps, device=None):
            super().set_timesteps(1000, device=device)
            start = self.timesteps.tolist().index(timesteps[0])
            self.timesteps = self.timesteps[start : start + len(timesteps) + 1]  # one more says where the third leads

    def stop_after_three(pipe, step, timestep, tensors):
        pipe._interrupt = step == len(timesteps) - 1
        return tensors

    scheduler = FewSteps.from_config(make_scheduler("ddpm", pipe.scheduler.config).config)
    monkeypatch.setattr(pipe, "scheduler", scheduler)
    monkeypatch.setattr(pipe, "encode_image", lambda image, generator: (context, first_frame))
    monkeypatch.setattr(
        "diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *_, **__: next(drawn).transpose(1, 2)[:, :, 1:]
    )
    output = pipe(
        Image.new("RGB", (8, 8)),
        num_frames=6,
        latents=released.draw(f"{name}.sample", shape).transpose(1, 2)[:, :, 1:],
        output_type="latent",
        callback_on_step_end=stop_after_three,
    ).frames
    assert torch.equal(output[:, :, :1], first_frame)
    assert difference(name, output.transpose(1, 2)) <= 1e-3


def test_clip_sees_the_released_pixels(pipe):
    texture = np.kron(released.draw("photo", (40, 32, 3)).numpy(), np.ones((16, 16, 1)))
    photo = Image.fromarray(np.round(255 * np.clip(0.5 + 0.25 * texture, 0, 1)).astype(np.uint8))
    assert photo.size == (512, 640)
    pixels = pipe.image_processor(images=pipe.fit_photo(photo), return_tensors="pt").pixel_values
    assert torch.equal(pixels, EXPECTED["clip_pixels.output"])
