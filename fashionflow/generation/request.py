"""The request for a clip: the photos, the settings, and the calls of the pipeline that make the clip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from PIL import Image

from .. import __version__
from .settings import ClipSettings


if TYPE_CHECKING:
    import torch

    from ..pipelines import ClipGuide, FashionFlowPipeline
    from ..runtime.model_folder import ModelDescription
    from ..video.decoding import ClipDecoder


WITH_BACK_PHOTO = "with_back_photo"
"""The setting in a clip's file that says that a back photo was given, too; `True`, or absent."""


@dataclass(frozen=True)
class ClipRequest:
    """One clip to make.

    Args:
        photo: the garment photo, upright, mode "RGB"; best as `fit_photo` returns it, because the queue keeps waiting requests.
        settings: everything else that determines the content of the clip.
        back_photo: a photo of the back of the same garment or person, like `photo`; without it, the back is guessed from the front.
    """

    photo: Image.Image
    settings: ClipSettings
    back_photo: Image.Image | None = None

    def check(self, model: ModelDescription) -> None:
        """Raises a `ValueError` with one sentence if this model cannot make the clip, before anybody waits for it."""
        self.settings.check(model)
        if self.back_photo is not None and not model.has_geometry:
            raise ValueError("`back_photo` must be empty for this model, which uses one photo only.")

    def with_settings(self, **changes) -> ClipRequest:
        """The same request with some settings changed."""
        return replace(self, settings=replace(self.settings, **changes))

    def guide(self, pipe: FashionFlowPipeline) -> ClipGuide | None:
        """The guide: the known part of every frame, before denoising; `None` for a model without geometry."""
        if not pipe.has_geometry:
            return None
        return pipe.guide(self.photo, self.settings.motion_rows(), self.settings.frames, self.back_photo)

    def denoise(
        self, pipe: FashionFlowPipeline, guide: ClipGuide | None, on_step_end: Callable[..., dict] | None = None
    ) -> torch.Tensor:
        """The clip's latents, [1, C, F, H, W].

        Args:
            pipe: the pipeline of the model that was passed to `check`.
            guide: the result of `guide`.
            on_step_end: called after every step, as diffusers calls its `callback_on_step_end`.
        """
        import torch  # the page and the command line take requests before PyTorch is needed

        settings = self.settings
        return pipe(
            self.photo,
            num_frames=settings.frames,
            num_inference_steps=settings.steps,
            motion=settings.motion_rows(),
            sampler=settings.sampler,
            motion_guidance=float(settings.guidance),
            # On the processor for every device, so that a seed gives the same clip everywhere.
            generator=torch.Generator().manual_seed(settings.seed),
            output_type="latent",
            guide=guide,
            callback_on_step_end=on_step_end,
        ).frames

    def decoder(self, pipe: FashionFlowPipeline, latents: torch.Tensor, guide: ClipGuide | None) -> ClipDecoder:
        """The decoder of the result of `denoise`."""
        from ..video.decoding import ClipDecoder

        factor, _ = self.settings.playing_rate(pipe.config.frame_rate)
        return ClipDecoder(pipe, latents, factor, self.photo, guide)

    def metadata(self, pipe: FashionFlowPipeline) -> dict[str, str | int | float | bool | None]:
        """The settings to store in the finished file, so that the clip can be made again. They do not tell whose photo it was."""
        settings = asdict(self.settings)
        if self.back_photo is not None:
            settings[WITH_BACK_PHOTO] = True
        return settings | {
            "model": pipe.model_name,
            "model_hash": pipe.model_hash,
            "version": __version__,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }
