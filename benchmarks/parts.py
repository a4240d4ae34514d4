"""Rows about single parts of the models: a denoising step, encoding the photo, decoding frames."""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from PIL import Image

from fashionflow import FashionFlowPipeline
from fashionflow.photo.reading import read_photo
from fashionflow.pipelines import ClipGuide
from fashionflow.pipelines.motions import MOTIONS, motion_rows

from . import subjects
from .machine import peak_memory
from .rows import BATCHES, DECODED_TOGETHER, FRAME_COUNTS, SIDE_FACTORS, Row
from .session import Session, Work
from .timing import cell


PHOTO = Path(__file__).parents[1] / "assets" / "examples" / "striped-dress.jpg"
TIMESTEP = 500

Cells = Iterator[tuple[str, dict]]


def random(*shape: int) -> torch.Tensor:
    """Random numbers of variance 1 that are the same every time, on the processor."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def unet_inputs(
    pipe: FashionFlowPipeline, frames: int | None = None, factor: float = 1, batch: int = 1
) -> dict[str, torch.Tensor]:
    """The inputs of the pipeline's denoiser for one step, as random numbers. The number of frames, the sides and the number of clips can
    be changed."""
    frames = frames or pipe.config.default_num_frames
    height, width = (round(side * factor) for side in pipe.conditioner.config.latent_size)
    config = pipe.unet.config
    inputs = {
        "sample": random(batch, config.in_channels, frames, height, width),
        "encoder_hidden_states": random(batch, pipe.conditioner.config.num_clip_tokens, config.context_channels),
    }
    if config.motion_channels:
        inputs["motion"] = random(batch, frames, config.motion_channels)
    if config.guide_channels:
        inputs["guide"] = random(batch, config.guide_channels, frames, height, width)
    return inputs


def full_inputs() -> dict[str, torch.Tensor]:
    """The inputs of the denoiser for the released size."""
    return {
        "sample": random(1, 4, subjects.FULL_FRAMES, *subjects.FULL_LATENT_SIZE),
        "encoder_hidden_states": random(1, 50, 768),
    }


def one_step(unet: torch.nn.Module, inputs: dict[str, torch.Tensor], device: torch.device) -> Work:
    """One pass of a denoiser."""
    inputs = {name: tensor.to(device, unet.dtype) for name, tensor in inputs.items()}
    timestep = torch.tensor(TIMESTEP, device=device)

    @torch.no_grad()
    def work() -> torch.Tensor:
        return unet(timestep=timestep, return_dict=False, **inputs)[0]

    return work


def shipped_step(**changes) -> Callable[[Session], Work]:
    """Prepares a step of the session's pipeline with the changes of `unet_inputs`."""
    return lambda session: one_step(session.pipeline.unet, unet_inputs(session.pipeline, **changes), session.device)


def full_step(session: Session) -> Work:
    return one_step(subjects.full_unet(session.column, session.device), full_inputs(), session.device)


def encode(session: Session) -> Work:
    """Everything that the pipeline computes from a photo before the first step."""
    pipe = session.pipeline
    photo = pipe.fit_photo(read_photo(PHOTO))

    @torch.no_grad()
    def work() -> torch.Tensor:
        encoded = [*pipe.encode_image(photo, torch.Generator().manual_seed(0))]
        if pipe.has_geometry:
            guide = guide_of(pipe, photo)
            encoded += [pipe.encode_guide(guide)] if pipe.unet.config.guide_channels else []
        return torch.cat([part.flatten().float() for part in encoded])

    return work


def guide_of(pipe: FashionFlowPipeline, photo: Image.Image) -> ClipGuide:
    """The guide of a clip with the model's own length and the first motion of the list."""
    frames = pipe.config.default_num_frames
    return pipe.guide(photo, motion_rows(MOTIONS[0], frames), frames)


def decode(frames: int) -> Callable[[Session], Work]:
    """Prepares the decoding of `frames` frames at once. For a model with geometry they have their guide, whose layers are made once per
    clip and are therefore not timed."""

    def make(session: Session) -> Work:
        pipe, size = session.pipeline, session.pipeline.conditioner.config.latent_size
        if pipe.has_geometry:
            return _decode_guided(pipe, frames)
        vae = pipe.vae
        latents = random(frames, pipe.unet.config.in_channels, *size).to(session.device, vae.dtype)

        @torch.no_grad()
        def work() -> torch.Tensor:
            return vae.decode(latents / vae.config.scaling_factor, return_dict=False)[0]

        return work

    return make


def _decode_guided(pipe: FashionFlowPipeline, frames: int) -> Work:
    guide = guide_of(pipe, pipe.fit_photo(read_photo(PHOTO)))
    length = len(guide.motion)
    latents = random(1, pipe.unet.config.in_channels, length, *pipe.conditioner.config.latent_size).to(pipe.device)
    moments = (torch.arange(frames) + 0.5) / frames * (length - 1)  # turned frames, not the photo itself

    def work() -> torch.Tensor:
        return torch.cat(list(pipe.decode_guided(latents, guide, moments, chunk_frames=frames)), dim=2)

    return work


def sd_encode(session: Session) -> Work:
    vae = subjects.sd_autoencoder(session.column, session.device)
    photo = random(1, 3, *subjects.FULL_PIXELS).clamp(-1, 1).to(session.device, vae.dtype)
    return torch.no_grad()(lambda: vae.encode(photo).latent_dist.mean)


def sd_decode(session: Session) -> Work:
    return _decode_full(subjects.sd_autoencoder(session.column, session.device), session.device)


def tiny_decode(session: Session) -> Work:
    return _decode_full(subjects.tiny_autoencoder(session.column, session.device), session.device)


def _decode_full(vae: torch.nn.Module, device: torch.device) -> Work:
    latents = random(1, 4, *subjects.FULL_LATENT_SIZE).to(device, vae.dtype)
    return torch.no_grad()(lambda: vae.decode(latents, return_dict=False)[0])


WORKS: dict[str, Callable[[Session], Work]] = {
    "step": shipped_step(),
    "encode": encode,
    "decode": decode(1),
    "sd-encode": sd_encode,
    "sd-decode": sd_decode,
    "tiny-decode": tiny_decode,
    **{f"frames-{frames}": shipped_step(frames=frames) for frames in FRAME_COUNTS},
    **{f"size-{factor:g}": shipped_step(factor=factor) for factor in SIDE_FACTORS},
    **{f"batch-{batch}": shipped_step(batch=batch) for batch in BATCHES},
    **{f"decode-{frames}": decode(frames) for frames in DECODED_TOGETHER},
}
"""The work that is timed, by row; `step-full` is in `measure_full`."""


def measure(session: Session, rows: list[Row]) -> Cells:
    for row in rows:
        yield row.name, session.time(row.name, WORKS[row.name])


def measure_full(session: Session, rows: list[Row]) -> Cells:
    """A step of the released size and its memory. The memory is read before the reference output is computed."""
    seconds, output = session.run(full_step(session))
    cells = {"memory-full": cell([peak_memory(session.device)])}
    if any(row.name == "step-full" for row in rows):
        cells["step-full"] = cell(seconds, error=session.error("step-full", output, full_step))
    for row in rows:
        yield row.name, cells[row.name]
