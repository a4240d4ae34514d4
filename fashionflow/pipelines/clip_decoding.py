"""From latents to a clip's pixels, a few frames at a time: by the decoder alone, or with the photo's own pixels.

Shape letters used in this file:
    B batch   C latent channels   F frames   f frames of one part   N moments   H, W latent cells   height, width pixels
"""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from ..models.guide_fusion import with_certainty
from .guide import ClipGuide, guide_frames


OUTPUT_TYPES = ("np", "pt", "pil", "latent")


class ClipDecoding:
    """The part of `FashionFlowPipeline` that draws the frames."""

    @torch.no_grad()
    def decode_latents(
        self, latents: torch.Tensor, chunk_frames: int = 4, tiny: bool | None = None
    ) -> Iterator[torch.Tensor]:
        """Yields pixels in [0, 1], [B, 3, f, height, width], at most `chunk_frames` frames at a time, of the autoencoder's size.

        With `tiny`, which is `tiny_clips` by default, the small decoder draws instead: about 17 times less work, and softer.
        """
        tiny = self.tiny_clips if tiny is None else tiny
        # The small one takes latents as the denoiser has them.
        decoder, scaling_factor = (self.tiny_decoder, 1.0) if tiny else (self.vae, self.vae.config.scaling_factor)
        for chunk in latents.split(chunk_frames, dim=2):
            frames = chunk.transpose(1, 2).flatten(0, 1) / scaling_factor  # [B*f, C, H, W]
            frames = decoder.decode(frames.to(decoder.dtype), return_dict=False)[0].float()
            if self.config.signed_pixels:
                frames = (frames + 1) / 2
            frames = frames.clamp(0, 1).unflatten(0, (chunk.shape[0], chunk.shape[2]))  # [B, f, 3, height, width]
            yield frames.transpose(1, 2)

    @torch.no_grad()
    def decode_guided(
        self,
        latents: torch.Tensor,
        guide: ClipGuide,
        moments: torch.Tensor | None = None,
        chunk_frames: int = 4,
        size: tuple[int, int] | None = None,
    ) -> Iterator[torch.Tensor]:
        """Yields a guided clip's pixels in [0, 1], [1, 3, f, height, width], at most `chunk_frames` frames at a time.

        The photo's own pixels come from the guide at the clip's size; what it does not know is drawn by the decoder. Between the
        denoiser's frames the guide is exact, and the latents are mixed.

        Args:
            latents: of the denoiser's frames, [1, C, F, H, W].
            guide: of the same clip.
            moments: of the frames wanted, in frames of the denoiser, [N]; all of its own by default.
            size: height and width of the frames, pixels; the clip's by default.
        """
        moments = torch.arange(latents.shape[2], dtype=torch.float32) if moments is None else moments
        size = (self.height, self.width) if size is None else size
        layers = guide.layers if size == (self.height, self.width) else guide.layers.resized(*size)
        guide = ClipGuide(layers, guide.motion)
        shrink = tuple(size) != self.code_size
        for chunk in moments.split(chunk_frames):
            warped = guide.frames(chunk)
            small = guide_frames(warped)
            if shrink:
                small.pixels, small.known = (mean_shrunk(part, self.code_size) for part in (small.pixels, small.known))
            frames = latents_at(latents, chunk) / self.vae.config.scaling_factor  # [f, C, H, W]
            small.pixels, small.known = (part.to(self.vae.dtype) for part in (small.pixels, small.known))
            drawn, belief = (part.float() for part in self.vae.decode_guided(frames.to(self.vae.dtype), small))
            if shrink:
                drawn, belief = (
                    F.interpolate(part, tuple(size), mode="bilinear", align_corners=False) for part in (drawn, belief)
                )
            belief = with_certainty(belief, warped.known)
            pixels = torch.lerp((drawn + 1) / 2, warped.pixels, belief)
            yield pixels.clamp(0, 1).transpose(0, 1)[None]

    def _postprocess(
        self, latents: torch.Tensor, guide: ClipGuide | None, output_type: str
    ) -> torch.Tensor | np.ndarray | list:
        """The whole clip in the form that `output_type` names."""
        decoded = self.decode_latents(latents) if guide is None else self.decode_guided(latents, guide)
        video = torch.cat(list(decoded), dim=2).transpose(1, 2)  # [B, F, 3, height, width]
        if output_type == "pt":
            return video
        video = video.permute(0, 1, 3, 4, 2).cpu().numpy()  # [B, F, height, width, 3]
        if output_type == "np":
            return video
        return [[Image.fromarray(frame) for frame in clip] for clip in (video * 255).round().astype(np.uint8)]


def latents_at(latents: torch.Tensor, moments: torch.Tensor) -> torch.Tensor:
    """Latents of a clip, [1, C, F, H, W], at moments between its frames, [N], mixed from the two neighbours; [N, C, H, W]."""
    before = moments.floor().long().clamp(0, latents.shape[2] - 1)
    after = (before + 1).clamp(max=latents.shape[2] - 1)
    share = (moments - before).to(latents)[None, None, :, None, None]
    return torch.lerp(latents[:, :, before], latents[:, :, after], share)[0].transpose(0, 1)


def mean_shrunk(pictures: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Pictures, [N, C, H, W], at a smaller size: each pixel is the mean of those that it stands for."""
    down, across = (length // new for length, new in zip(pictures.shape[2:], size, strict=True))
    if (down * size[0], across * size[1]) == tuple(pictures.shape[2:]):
        return F.avg_pool2d(pictures, (down, across))  # much quicker than the general way
    return F.interpolate(pictures, size, mode="area")
