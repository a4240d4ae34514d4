"""The counted work of every row that has a roofline."""

from collections.abc import Callable

import torch
from diffusers import AutoencoderKL, AutoencoderTiny

from fashionflow import FashionFlowPipeline, SpaceTimeUNet
from fashionflow.generation.settings import DEFAULT_STEPS
from fashionflow.models.guide_fusion import KNOWN_CHANNELS, GuideFrames
from fashionflow.video.playing_rate import frames_shown_for_each
from fashionflow.video.preview import MOMENTS

from . import parts, subjects
from .clips import FULL_STEPS
from .roofline import Count, count
from .rows import BATCHES, DECODED_TOGETHER, FRAME_COUNTS, SIDE_FACTORS
from .session import Session


META = torch.device("meta")  # tensors with a shape but without numbers


def count_step(unet: SpaceTimeUNet, inputs: dict[str, torch.Tensor]) -> Count:
    return count(parts.one_step(unet, inputs, META), unet)


def count_encode(pipe: FashionFlowPipeline) -> Count:
    """Counts the photo through the autoencoder, CLIP and the conditioner; for a model with geometry, also the photo through the geometry
    network and the guide of a clip through the autoencoder. `pipe` is on `META`. Warping is left out, because no network does it."""
    latent_channels, size = pipe.unet.config.in_channels, pipe.conditioner.config.latent_size
    side = pipe.image_encoder.config.image_size

    def work() -> None:
        pipe.vae.encode(_pictures(pipe))
        tokens = pipe.image_encoder(torch.empty(1, 3, side, side, device=META)).last_hidden_state
        pipe.conditioner(tokens, torch.empty(1, latent_channels, *size, device=META))
        if pipe.unet.config.guide_channels:
            pipe.vae.encode(_pictures(pipe, pipe.config.default_num_frames))

    encoded = count(work, *networks(pipe))
    return together((encoded, 1), (count_shape(pipe), 1)) if pipe.has_geometry else encoded


def count_decode(pipe: FashionFlowPipeline, frames: int = 1) -> Count:
    """Counts frames through the decoder, with their guide if the decoder takes one. `pipe` is on `META`."""
    latents = torch.empty(frames, pipe.unet.config.in_channels, *pipe.conditioner.config.latent_size, device=META)
    guide = {}
    if pipe.has_geometry:
        known = torch.empty(frames, KNOWN_CHANNELS, *pipe.code_size, device=META)
        guide["guide"] = GuideFrames(_pictures(pipe, frames), known)
    return count(lambda: pipe.vae.decode(latents, **guide), pipe.vae)


def count_shape(pipe: FashionFlowPipeline) -> Count:
    """Counts the prediction of the photo's shape from the photo and its mirror image. `pipe` is on `META`."""
    photos = torch.empty(2, 3, *pipe.geometry.config.sample_size, device=META)
    return count(lambda: pipe.geometry(photos), pipe.geometry)


def networks(pipe: FashionFlowPipeline) -> list[torch.nn.Module]:
    """All parts of a pipeline that have weights, except the denoiser."""
    parts = [pipe.vae, pipe.image_encoder, pipe.conditioner]
    return [*parts, pipe.geometry] if pipe.has_geometry else parts


def count_rows(session: Session, names: list[str]) -> dict[str, Count]:
    """The counts of those rows among `names` that have one, by name.

    For a model with geometry, a preview counts as the prediction of the photo's shape. For other models, it counts as encoding the photo,
    one step, and decoding the preview's frames. A clip counts as encoding the photo, its steps, and decoding its frames. For a model with
    geometry these are the frames that are shown. For other models they are the denoiser's frames, and the other frames are interpolated.
    Warping, interpolation and writing are left out, because no network does them.
    """
    pipe = session.baseline.pipeline
    pipe.unet = pipe.unet.unet  # the baseline has our parameters, and only our own computation counts
    for part in (pipe.unet, *networks(pipe)):
        part.to(META)
    with META:
        full_unet, sd, tiny = SpaceTimeUNet(), AutoencoderKL(**subjects.SD_CONFIG), AutoencoderTiny()
    full_latents = torch.empty(1, 4, *subjects.FULL_LATENT_SIZE, device=META)
    full_photo = torch.empty(1, 3, *subjects.FULL_PIXELS, device=META)
    frames = pipe.config.default_num_frames
    decoded = frames_shown_for_each(pipe.config.frame_rate) * (frames - 1) + 1 if pipe.has_geometry else frames

    def step(**changes) -> Count:
        return count_step(pipe.unet, parts.unet_inputs(pipe, **changes))

    def preview() -> Count:
        if pipe.has_geometry:
            return count_shape(pipe)
        return together((count_encode(pipe), 1), (step(), 1), (count_decode(pipe, MOMENTS), 1))

    counts: dict[str, Callable[[], Count]] = {
        "step-full": lambda: count_step(full_unet, parts.full_inputs()),
        "step": step,
        "encode": lambda: count_encode(pipe),
        "decode": lambda: count_decode(pipe),
        "sd-encode": lambda: count(lambda: sd.encode(full_photo), sd),
        "sd-decode": lambda: count(lambda: sd.decode(full_latents), sd),
        "tiny-decode": lambda: count(lambda: tiny.decode(full_latents), tiny),
        "preview": preview,
        "clip": lambda: together((count_encode(pipe), 1), (step(), DEFAULT_STEPS), (count_decode(pipe), decoded)),
        "clip-full": lambda: together(
            (counts["sd-encode"](), 1),
            (counts["step-full"](), FULL_STEPS),
            (counts["sd-decode"](), subjects.FULL_FRAMES),
        ),
        **{f"frames-{count}": lambda count=count: step(frames=count) for count in FRAME_COUNTS},
        **{f"size-{factor:g}": lambda factor=factor: step(factor=factor) for factor in SIDE_FACTORS},
        **{f"batch-{batch}": lambda batch=batch: step(batch=batch) for batch in BATCHES},
        **{f"decode-{number}": lambda number=number: count_decode(pipe, number) for number in DECODED_TOGETHER},
    }
    return {name: counts[name]() for name in names if name in counts}


def together(*parts: tuple[Count, int]) -> Count:
    """The sum of counts, each multiplied by its number of times."""
    return Count(
        layers=[layer for counted, times in parts for layer in counted.layers * times],
        between=sum(counted.between * times for counted, times in parts),
    )


def _pictures(pipe: FashionFlowPipeline, number: int = 1) -> torch.Tensor:
    return torch.empty(number, 3, *pipe.code_size, device=META)
