"""A small picture of the clip so far: before the first step from the guide, and after every step from the denoiser's prediction."""

from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image

from ..models import GarmentAutoencoder
from ..pipelines import ClipGuide, FashionFlowPipeline
from .decoding import ClipDecoder
from .interpolation import interpolate


MOMENTS = 4
"""The number of the clip's frames in a preview: two rows of two, so that the preview has the clip's own shape."""

# Red, green and blue in about [-1, 1] from the four channels of Stable Diffusion's latents: a published linear fit, good enough for a
# preview without running the decoder.
COLOURS_OF_STABLE_DIFFUSION = (
    (0.3512, 0.2297, 0.3227),
    (0.3250, 0.4974, 0.2350),
    (-0.2829, 0.1762, 0.2721),
    (-0.2120, -0.2616, -0.7177),
)


class Preview:
    """Observes a pipeline's denoiser while it is open, and shows the clean clip that the last output predicts. Before the first output,
    it shows only the guide, if there is one: the photo's own pixels, moved by the motion.

    Use it as a context manager, on the thread that runs the pipeline.

    Args:
        pipe: the pipeline.
        guide: the guide of the clip, for a model with geometry.
    """

    def __init__(self, pipe: FashionFlowPipeline, guide: ClipGuide | None = None):
        self.pipe, self.guide = pipe, guide
        self._last_output = None
        self._hook = None

    def __enter__(self) -> "Preview":
        self._hook = self.pipe.unet.register_forward_hook(self._keep_output)
        return self

    def __exit__(self, *_) -> None:
        self._hook.remove()
        self._last_output = None

    @property
    def has_seen(self) -> bool:
        """Whether the denoiser has given an output yet."""
        return self._last_output is not None

    @torch.no_grad()
    def picture(self) -> Image.Image:
        """`MOMENTS` frames, evenly spaced in time, the photo first, left to right and top to bottom."""
        num_frames = self._last_output[0].shape[2] if self.has_seen else len(self.guide.motion)
        moments = torch.linspace(0, num_frames - 1, MOMENTS).round().long().tolist()
        frames = self._frames(moments)  # [MOMENTS, height, width, 3]
        picture = Image.fromarray(np.concatenate([np.concatenate(list(row), 1) for row in np.split(frames, 2)], 0))
        return picture if picture.height >= self.pipe.height else picture.resize((self.pipe.width, self.pipe.height))

    def frames(self, factor: int = 1) -> Iterator[np.ndarray]:
        """Every frame at the pipeline's size, uint8 RGB, [height, width, 3]: the clip as it would be if denoising ended now.

        Args:
            factor: frames shown for each frame of the denoiser, as for `ClipDecoder`.
        """
        if self.guide is not None:
            return ClipDecoder(self.pipe, self._clean_latents(), factor, guide=self.guide).frames()
        return interpolate(self._keyframes(), factor)

    @torch.no_grad()
    def _keyframes(self) -> Iterator[np.ndarray]:
        for start in range(0, self._last_output[0].shape[2], MOMENTS):
            for frame in self._frames(list(range(self._last_output[0].shape[2]))[start : start + MOMENTS]):
                yield np.asarray(Image.fromarray(frame).resize((self.pipe.width, self.pipe.height)))

    def _frames(self, moments: list[int]) -> np.ndarray:
        """The frames with these indices, uint8 RGB, [f, height, width, 3]; they are smaller if their pixels are estimated."""
        if not self.has_seen:
            frames = self.guide.frames(torch.tensor(moments), self.pipe.code_size).pixels.permute(0, 2, 3, 1)
            return (frames * 255).round().byte().cpu().numpy()
        clean = self._clean_latents()[:, :, moments]  # [1, C, f, H, W]
        if self.guide is not None:
            guide = ClipGuide(self.guide.layers, self.guide.motion[moments])
            decoded = self.pipe.decode_guided(clean, guide, chunk_frames=len(moments), size=self.pipe.code_size)
            frames = torch.cat(list(decoded), dim=2)[0].permute(1, 2, 3, 0)
        else:
            frames = self._pixels(clean)[0].permute(1, 2, 3, 0)  # [f, height, width, 3]
        return (frames * 255).round().byte().cpu().numpy()

    @torch.no_grad()
    def _clean_latents(self) -> torch.Tensor:
        """The clean latents that the last output predicts, [1, C, F, H, W]."""
        sample, timestep, prediction = self._last_output
        seen = sample[:1].float()
        clean = self._clean(seen, timestep, prediction[:1].float())
        if self.pipe.config.first_frame_given:
            clean[:, :, 0] = seen[:, :, 0]  # the photo is never noisy
        return clean

    def _keep_output(self, unet: torch.nn.Module, inputs: tuple, output: tuple) -> None:
        self._last_output = inputs[0], inputs[1], output[0]

    def _clean(self, seen: torch.Tensor, timestep: torch.Tensor, prediction: torch.Tensor) -> torch.Tensor:
        """The clean latents, computed from noisy ones according to the prediction type in the scheduler's config."""
        scheduler = self.pipe.scheduler
        if scheduler.config.prediction_type == "sample":
            return prediction.clone()
        # The denoiser receives variance-preserving latents, whatever scale the sampler itself uses.
        kept = scheduler.alphas_cumprod[int(timestep)].to(seen)
        if scheduler.config.prediction_type == "v_prediction":
            return kept.sqrt() * seen - (1 - kept).sqrt() * prediction
        return (seen - (1 - kept).sqrt() * prediction) / kept.sqrt()

    def _pixels(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents, [1, C, f, H, W], as colours in [0, 1], [1, 3, f, height, width]: exact if that is cheap, otherwise approximate."""
        if isinstance(self.pipe.vae, GarmentAutoencoder):
            return torch.cat(list(self.pipe.decode_latents(latents, chunk_frames=latents.shape[2])), dim=2)
        if self.pipe.tiny_decoder is not None:
            return torch.cat(list(self.pipe.decode_latents(latents, chunk_frames=latents.shape[2], tiny=True)), dim=2)
        colours = torch.einsum("bcfhw,cr->brfhw", latents, latents.new_tensor(COLOURS_OF_STABLE_DIFFUSION))
        return (colours / 2 + 0.5 if self.pipe.config.signed_pixels else colours).clamp(0, 1)
