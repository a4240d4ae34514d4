"""From one garment photo to a short clip of it in motion (FashionFlow, arXiv 2310.00106).

`__call__` goes from step to step: the arguments are checked (`argument_checks.py`), the photo is cropped and taken apart
(`photo_preparation.py`), encoded and denoised here, and the latents are drawn (`clip_decoding.py`).

Shape letters used in this file:
    B batch   C latent channels   F frames   H, W latent cells   height, width pixels   N tokens
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, AutoencoderTiny, DiffusionPipeline, SchedulerMixin
from diffusers.utils import BaseOutput
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image
from transformers import CLIPImageProcessorPil, CLIPVisionModel

from ..models import GarmentAutoencoder, GarmentConditioner, GarmentGeometry, SpaceTimeUNet
from .argument_checks import ArgumentChecks
from .clip_decoding import ClipDecoding
from .guide import ClipGuide, guide_frames
from .motions import motion_rows
from .photo_preparation import PhotoPreparation
from .schedulers import make_scheduler


@dataclass
class FashionFlowPipelineOutput(BaseOutput):
    """frames: `output_type="np"` float32 in [0, 1], [B, F, height, width, 3]; `"pt"` [B, F, 3, height, width];
    `"pil"` a list of lists of images; `"latent"` [B, C, F, H, W]."""

    frames: torch.Tensor | np.ndarray | list[list[Image.Image]]


class FashionFlowPipeline(DiffusionPipeline, ArgumentChecks, PhotoPreparation, ClipDecoding):
    """Turns one photo into a clip whose first frame is that photo.

    Args:
        image_encoder: CLIP's vision tower; its tokens describe the garment.
        image_processor: what CLIP's pixels go through.
        conditioner: merges CLIP's tokens with the photo's latent.
        unet: the denoiser.
        vae: pictures to latents and back; diffusers' `AutoencoderKL` or our `GarmentAutoencoder`.
        scheduler: the noise schedule that the denoiser was trained on, and the default sampler.
        geometry: predicts the photo's shape, from which every frame gets a guide: the photo as the motion takes it. `None` for
            weights without, such as the released ones.
        frame_rate: frames a second of the clips that the denoiser was trained on.
        default_num_frames: frames of a clip unless the caller asks for another number.
        signed_pixels: the autoencoder takes pixels in [-1, 1]; the released weights were trained with [0, 1] instead.
        noise_scale: what the starting noise is multiplied by. Below 1 a clip keeps to what the denoiser is sure of, smooth
            rather than grainy; an ancestral sampler ("ddpm") adds noise of its own on the way and gains nothing by it.
        photo_fit: how a photo gets the clip's aspect: "crop", "pad" or "stretch" (the released weights: "stretch"); or "figure", a crop
            round the figure, for a model with geometry.
        first_frame_given: frame 0 is the photo's latent, clean at every step. Otherwise every frame starts as noise and the
            photo is in the tokens only (the paper's ablation).
        deep_interval: steps from one in which the whole U-Net runs to the next; in those between, its coarser levels lend what
            they last gave (DeepCache, Ma et al. 2023). 1 for weights for which nobody has measured what that costs.
        clip_scale: how many times as high and wide as the autoencoder's pictures a guided clip is; the photo's own pixels fill it.
    """

    model_cpu_offload_seq = "geometry->image_encoder->conditioner->unet->vae"
    _optional_components = ["geometry"]
    _callback_tensor_inputs = ["latents"]

    def __init__(
        self,
        image_encoder: CLIPVisionModel,
        image_processor: CLIPImageProcessorPil,
        conditioner: GarmentConditioner,
        unet: SpaceTimeUNet,
        vae: AutoencoderKL | GarmentAutoencoder,
        scheduler: SchedulerMixin,
        geometry: GarmentGeometry | None = None,
        frame_rate: float = 25.0,
        default_num_frames: int = 70,
        signed_pixels: bool = False,
        photo_fit: str = "stretch",
        noise_scale: float = 1.0,
        first_frame_given: bool = True,
        deep_interval: int = 1,
        clip_scale: int = 1,
    ):
        super().__init__()
        if geometry is None and (clip_scale != 1 or unet.config.guide_channels):
            raise ValueError(
                "`geometry` must be given for a denoiser with guide channels or a `clip_scale` above 1, got None with "
                f"{unet.config.guide_channels} and {clip_scale}."
            )
        self.register_modules(
            image_encoder=image_encoder,
            image_processor=image_processor,
            conditioner=conditioner,
            unet=unet,
            vae=vae,
            scheduler=scheduler,
            geometry=geometry,
        )
        self.register_to_config(
            frame_rate=frame_rate,
            default_num_frames=default_num_frames,
            signed_pixels=signed_pixels,
            photo_fit=photo_fit,
            noise_scale=noise_scale,
            first_frame_given=first_frame_given,
            deep_interval=deep_interval,
            clip_scale=clip_scale,
        )
        if isinstance(vae, GarmentAutoencoder):
            self.vae_scale_factor = vae.config.block_size
        else:
            self.vae_scale_factor = 2 ** (len(vae.config.block_out_channels) - 1)
        # Pixels of the autoencoder's pictures. The conditioner's linear layers fix them, so they are no arguments of `__call__`.
        self.code_size = tuple(side * self.vae_scale_factor for side in conditioner.config.latent_size)
        self.height, self.width = (side * clip_scale for side in self.code_size)  # of the clip
        # What whoever loaded the pipeline calls it, and what its files hash to; both go into the files that it makes.
        self.model_name = self.model_hash = None
        # A small decoder of the same latents, if whoever loaded the pipeline has one: for previews, and in a hurry for clips.
        self.tiny_decoder: AutoencoderTiny | None = None
        self.tiny_clips = False
        self._interrupt = False

    @property
    def has_motion(self) -> bool:
        """Whether the denoiser can be told how to move."""
        return self.unet.config.motion_channels > 0

    @property
    def has_geometry(self) -> bool:
        """Whether every frame is guided by the photo's own pixels, moved by its shape."""
        return self.geometry is not None

    @property
    def execution_device(self) -> torch.device:
        """The device on which the models run, also while their weights wait in another memory."""
        return self._execution_device

    @property
    def interrupt(self) -> bool:
        """Set `pipe._interrupt = True` in a callback to stop after that step; the clip so far is decoded."""
        return self._interrupt

    @property
    def current_timestep(self) -> int | None:
        """The timestep at work, for diffusers' caches; `None` between calls."""
        return getattr(self, "_current_timestep", None)

    def guide(
        self, image: Image.Image, motion: torch.Tensor | None, num_frames: int, back_image: Image.Image | None = None
    ) -> ClipGuide | None:
        """What is known of every frame of a clip, or `None` for a model without geometry.

        Args:
            image, back_image: as for `take_apart`.
            motion: rows, [F, motion_channels]; `None` leaves the motion to the model, whose guide then stands still.
            num_frames: of the clip, F.
        """
        if self.geometry is None:
            return None
        if motion is None:
            motion = torch.tensor([[0.0, 1.0, 0.0]]).expand(num_frames, -1)
        return ClipGuide(self.take_apart(image, back_image), motion.cpu())

    def encode_guide(self, guide: ClipGuide) -> torch.Tensor:
        """A guide as the denoiser takes it, latents and how they are known, [1, C + 4, F, H, W]."""
        warped = guide.frames(torch.arange(len(guide.motion)), self.code_size)
        pixels = guide_frames(warped).pixels if self.config.signed_pixels else warped.pixels
        latents = torch.cat([self.vae.encode(part.to(self.vae.dtype)).latents for part in pixels.split(4)])
        known = F.avg_pool2d(warped.known, self.vae_scale_factor)  # [F, 4, H, W]
        scaled = latents.float() * self.vae.config.scaling_factor
        return torch.cat([scaled, known], dim=1).transpose(0, 1)[None].to(self.unet.dtype)

    def encode_image(
        self, image: Image.Image, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The garment's tokens, [1, N, context_channels], and the first frame's latent, [1, C, 1, H, W]."""
        device, dtype = self._execution_device, self.unet.dtype
        image = self.fit_photo(image)
        encoded = self.vae.encode(self.photo_pixels(image))
        if isinstance(self.vae, GarmentAutoencoder):
            first_frame = seen_by_conditioner = encoded.latents
        else:  # frame 0 and the conditioner were trained on two independent samples of the posterior
            first_frame = encoded.latent_dist.sample(generator)
            seen_by_conditioner = encoded.latent_dist.sample(generator)
        scale = self.vae.config.scaling_factor
        pixel_values = self.image_processor(images=image, return_tensors="pt").pixel_values
        clip_tokens = self.image_encoder(pixel_values.to(device, self.image_encoder.dtype)).last_hidden_state
        context = self.conditioner(clip_tokens.to(dtype), (seen_by_conditioner * scale).to(dtype))
        return context, (first_frame * scale).float()[:, :, None]

    def prepare_latents(
        self,
        first_frame: torch.Tensor,
        num_frames: int,
        scheduler: SchedulerMixin,
        generator: torch.Generator | None = None,
        latents: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Noise for every frame that is not given, [B, C, F - 1, H, W], or [B, C, F, H, W] where the first is not given."""
        batch, channels, _, height, width = first_frame.shape
        shape = (batch, channels, num_frames - self.config.first_frame_given, height, width)
        if latents is None:
            latents = randn_tensor(shape, generator=generator, device=first_frame.device, dtype=torch.float32)
            latents = latents * self.config.noise_scale
        elif latents.shape != shape:
            raise ValueError(f"`latents` must have shape {shape}, got {tuple(latents.shape)}.")
        return latents.to(first_frame) * scheduler.init_noise_sigma

    @torch.no_grad()
    def __call__(
        self,
        image: Image.Image,
        num_frames: int | None = None,
        num_inference_steps: int = 20,
        motion: str | torch.Tensor | None = None,
        turn_angle: float | None = None,
        sampler: str | None = None,
        motion_guidance: float = 1.0,
        deep_interval: int | None = None,
        generator: torch.Generator | None = None,
        latents: torch.Tensor | None = None,
        output_type: str = "np",
        return_dict: bool = True,
        back_image: Image.Image | None = None,
        guide: ClipGuide | None = None,
        callback_on_step_end: Callable[[DiffusionPipeline, int, int, dict], dict] | None = None,
        callback_on_step_end_tensor_inputs: tuple[str, ...] = ("latents",),
    ) -> FashionFlowPipelineOutput | tuple:
        """
        Args:
            image: the garment photo. It is fitted to the clip's size and becomes frame 0.
            num_frames: frames of the clip, the photo included; the model's own number by default.
            num_inference_steps: denoising steps, from 1 to 1000.
            motion: a name from `fashionflow.pipelines.motions.MOTIONS`, or rows of numbers, [F, motion_channels]; `None` leaves the
                motion to the model.
            turn_angle: degrees for a named motion, in [-360, 360]; its own angle by default.
            sampler: a name from `fashionflow.pipelines.schedulers.SAMPLERS`; the pipeline's scheduler by default.
            motion_guidance: how far the prediction is pushed away from that without a motion, at least 1, which is not at
                all; above 1 every step takes two passes (classifier-free guidance, Ho and Salimans 2022).
            deep_interval: at least 1, every step in full; by default what the pipeline's config says.
            generator: makes the clip reproducible.
            latents: starting noise, [1, C, F - 1, H, W], or F frames of it where the first is not given; drawn from
                `generator` by default.
            output_type: "np", "pt", "pil" or "latent".
            return_dict: return a `FashionFlowPipelineOutput` rather than a one-element tuple.
            back_image: a photo of the garment's back, for a model with geometry; without it the back is guessed from the front.
            guide: what `guide` gave for the same photos, motion and number of frames; made here by default.
            callback_on_step_end: called after every step with `(pipeline, step, timestep, tensors)`; returns `tensors`.
                "latents" are the noisy frames only, as many as those of `latents` above.
            callback_on_step_end_tensor_inputs: names of the tensors handed to the callback.

        Raises:
            TypeError, ValueError: one sentence that names the argument, its value and what is allowed.
        """
        num_frames = self.config.default_num_frames if num_frames is None else num_frames
        deep_interval = self.config.deep_interval if deep_interval is None else deep_interval
        self.check_inputs(
            image,
            back_image,
            num_frames,
            num_inference_steps,
            motion,
            turn_angle,
            sampler,
            motion_guidance,
            deep_interval,
            generator,
            latents,
            output_type,
            callback_on_step_end_tensor_inputs,
        )
        scheduler = make_scheduler(sampler, self.scheduler.config) if sampler else self.scheduler
        if isinstance(motion, str):
            seed = generator.initial_seed() if generator is not None else torch.initial_seed()
            motion = motion_rows(motion, num_frames, turn_angle, seed % 2**63)
        device = self._execution_device
        self._interrupt = False
        try:
            if guide is None:
                guide = self.guide(image, motion, num_frames, back_image)
            encoded_guide = self.encode_guide(guide) if self.unet.config.guide_channels else None
            context, first_frame = self.encode_image(image, generator)
            given = first_frame[:, :, : int(self.config.first_frame_given)]  # [B, C, 1 or 0, H, W]
            latents = self.prepare_latents(first_frame, num_frames, scheduler, generator, latents)
            motion = None if motion is None else motion.to(device, self.unet.dtype)[None]  # [1, F, motion_channels]
            scheduler.set_timesteps(num_inference_steps, device=device)
            latents = self._denoise(
                latents,
                given,
                scheduler,
                {"context": context, "motion": motion, "guide": encoded_guide, "motion_guidance": motion_guidance},
                deep_interval,
                generator,
                callback_on_step_end,
                callback_on_step_end_tensor_inputs,
            )
            frames = latents if output_type == "latent" else self._postprocess(latents, guide, output_type)
        finally:
            self._current_timestep = None
            self.maybe_free_model_hooks()
        return FashionFlowPipelineOutput(frames=frames) if return_dict else (frames,)

    def _denoise(
        self,
        latents: torch.Tensor,
        given: torch.Tensor,
        scheduler: SchedulerMixin,
        conditions: dict,
        deep_interval: int,
        generator: torch.Generator | None,
        callback_on_step_end: Callable[[DiffusionPipeline, int, int, dict], dict] | None,
        callback_tensor_inputs: tuple[str, ...],
    ) -> torch.Tensor:
        """All steps of a clip, whose latents it returns, [B, C, F, H, W].

        The scheduler only ever sees the frames that carry noise. Frame 0 stays clean, so any scheduler can be used.

        Args:
            latents: the frames that carry noise, as `prepare_latents` makes them.
            given: the frame that does not, [B, C, 1, H, W], or none, [B, C, 0, H, W].
            scheduler: with its timesteps set.
            conditions: what `_predict` takes besides the clip.
            deep_interval, generator, callback_on_step_end, callback_tensor_inputs: as `__call__` takes them.
        """
        accepts_generator = "generator" in inspect.signature(scheduler.step).parameters
        step_kwargs = {"generator": generator} if accepts_generator else {}
        with self.progress_bar(total=len(scheduler.timesteps)) as progress:
            for step, timestep in enumerate(scheduler.timesteps):
                self._current_timestep = timestep
                if step % deep_interval == 0:
                    deep_features = (None, None)
                noisy_frames = scheduler.scale_model_input(latents, timestep)
                clip = torch.cat([given, noisy_frames], dim=2).to(self.unet.dtype)  # [B, C, F, H, W]
                prediction, deep_features = self._predict(clip, timestep, deep_features, **conditions)
                prediction = prediction[:, :, given.shape[2] :].float()
                latents = scheduler.step(prediction, timestep, latents, **step_kwargs).prev_sample
                if callback_on_step_end is not None:
                    tensors = {}
                    for name in callback_tensor_inputs:
                        tensors[name] = locals()[name]
                    latents = callback_on_step_end(self, step, timestep, tensors).pop("latents", latents)
                progress.update()
                if self._interrupt:
                    break
        return torch.cat([given, latents], dim=2)

    def _predict(
        self,
        clip: torch.Tensor,
        timestep: torch.Tensor,
        deep_features: tuple[torch.Tensor | None, torch.Tensor | None],
        context: torch.Tensor,
        motion: torch.Tensor | None,
        guide: torch.Tensor | None,
        motion_guidance: float,
    ) -> tuple[torch.Tensor, tuple[torch.Tensor | None, torch.Tensor | None]]:
        """What the denoiser answers, [B, C, F, H, W], and the deep features for the next step: those of the pass with the motion, and
        those of the pass that leaves it to the model."""
        told, free = deep_features
        if motion_guidance == 1:
            answer = self.unet(clip, timestep, context, motion=motion, deep_features=told, guide=guide)
            return answer.sample, (answer.deep_features, None)
        zeros = torch.zeros_like(motion)  # they leave the motion to the model
        unguided = self.unet(clip, timestep, context, motion=zeros, deep_features=free, guide=guide)
        answer = self.unet(clip, timestep, context, motion=motion, deep_features=told, guide=guide)
        prediction = unguided.sample + motion_guidance * (answer.sample - unguided.sample)
        return prediction, (answer.deep_features, unguided.deep_features)
