"""From one garment photo to a short clip of it in motion (FashionFlow, arXiv 2310.00106)."""

import inspect
from collections.abc import Callable, Iterator
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
from ..models.guide_fusion import with_certainty
from ..photo.matte import CLEAR, without_small_pieces
from ..photo.reading import Crop, cropped, figure_crop, fit
from .back_photo import LEAST_MATCH, fit_back, outline_match
from .guide import ClipGuide, guide_frames
from .motions import motion_rows
from .photo_layers import PhotoLayers, take_apart
from .schedulers import SAMPLERS, make_scheduler


FIGURE = "figure"
"""The `photo_fit` of models with geometry: a crop round the figure that they see."""
SMALLEST_FIGURE = 0.01  # of the photo that a figure covers

OUTPUT_TYPES = ("np", "pt", "pil", "latent")


@dataclass
class FashionFlowPipelineOutput(BaseOutput):
    """frames: `output_type="np"` float32 in [0, 1], [B, F, height, width, 3]; `"pt"` [B, F, 3, height, width];
    `"pil"` a list of lists of images; `"latent"` [B, C, F, H, W]."""

    frames: torch.Tensor | np.ndarray | list[list[Image.Image]]


class FashionFlowPipeline(DiffusionPipeline):
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
    def interrupt(self) -> bool:
        """Set `pipe._interrupt = True` in a callback to stop after that step; the clip so far is decoded."""
        return self._interrupt

    @property
    def current_timestep(self) -> int | None:
        """The timestep at work, for diffusers' caches; `None` between calls."""
        return getattr(self, "_current_timestep", None)

    def check_inputs(
        self,
        image,
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
        callback_tensor_inputs,
    ) -> None:
        """Raises a `TypeError` or `ValueError` of one sentence for arguments that the pipeline cannot use."""
        if not isinstance(image, Image.Image):
            raise TypeError(f"`image` must be a PIL image, got {type(image).__name__}.")
        multiple = self.unet.frame_multiple
        if not isinstance(num_frames, int) or num_frames < 2 or num_frames % multiple:
            what = f"a multiple of {multiple} and at least 2" if multiple > 1 else "at least 2"
            raise ValueError(f"`num_frames` must be {what}, got {num_frames!r}.")
        num_train_timesteps = self.scheduler.config.num_train_timesteps
        if not isinstance(num_inference_steps, int) or not 1 <= num_inference_steps <= num_train_timesteps:
            raise ValueError(
                f"`num_inference_steps` must be between 1 and {num_train_timesteps}, got {num_inference_steps!r}."
            )
        if motion is not None and not self.has_motion:
            raise ValueError(f"`motion` must be None for a model without a motion input, got {motion!r}.")
        if motion is not None and not isinstance(motion, (str, torch.Tensor)):
            raise TypeError(f"`motion` must be a name, a tensor or None, got {type(motion).__name__}.")
        if turn_angle is not None and not isinstance(motion, str):
            raise ValueError(f"`turn_angle` needs `motion` to be the name of a motion, got {motion!r}.")
        if turn_angle is not None and (not isinstance(turn_angle, (int, float)) or isinstance(turn_angle, bool)):
            raise TypeError(f"`turn_angle` must be a number of degrees, got {turn_angle!r}.")
        if isinstance(motion, torch.Tensor) and motion.shape != (num_frames, self.unet.config.motion_channels):
            expected = (num_frames, self.unet.config.motion_channels)
            raise ValueError(f"`motion` must have shape {expected}, got {tuple(motion.shape)}.")
        if sampler is not None and sampler not in tuple(SAMPLERS):
            raise ValueError(f"`sampler` must be one of {', '.join(SAMPLERS)}, got {sampler!r}.")
        if not isinstance(motion_guidance, (int, float)) or not motion_guidance >= 1:
            raise ValueError(f"`motion_guidance` must be at least 1, got {motion_guidance!r}.")
        if motion_guidance > 1 and motion is None:
            raise ValueError(f"`motion_guidance` needs a `motion`, got {motion_guidance!r} without one.")
        if not isinstance(deep_interval, int) or deep_interval < 1:
            raise ValueError(f"`deep_interval` must be a whole number from 1 on, got {deep_interval!r}.")
        if generator is not None and not isinstance(generator, torch.Generator):
            raise TypeError(f"`generator` must be one torch.Generator, got {type(generator).__name__}.")
        if latents is not None and not isinstance(latents, torch.Tensor):
            raise TypeError(f"`latents` must be a tensor, got {type(latents).__name__}.")
        if output_type not in OUTPUT_TYPES:
            raise ValueError(f"`output_type` must be one of {', '.join(OUTPUT_TYPES)}, got {output_type!r}.")
        unknown = set(callback_tensor_inputs) - set(self._callback_tensor_inputs)
        if unknown:
            raise ValueError(
                f"`callback_on_step_end_tensor_inputs` must be among {self._callback_tensor_inputs}, "
                f"got {sorted(unknown)}."
            )

    def fit_photo(self, image: Image.Image) -> Image.Image:
        """The photo at the clip's size, as frame 0 will show it."""
        image = image.convert("RGB")
        if self.config.photo_fit == FIGURE:
            return cropped(image, self.width, self.height, self.crop_of(image))
        return fit(image, self.width, self.height, self.config.photo_fit)

    @torch.no_grad()
    def coverage_of(self, image: Image.Image) -> np.ndarray | None:
        """Where this model sees the figure in a whole photo, in [0, 1], float32 [h, w], the photo shrunk to the size that its geometry
        works at; `None` for a model without geometry."""
        if self.geometry is None:
            return None
        height, width = self.geometry.config.sample_size
        frame = fit(image.convert("RGB"), width, height, "pad")
        pixels = torch.from_numpy(np.array(frame)).permute(2, 0, 1)[None].float() / 127.5 - 1
        coverage = self.geometry.predict(pixels.to(self._execution_device)).coverage[0, 0].cpu().numpy()
        coverage = without_small_pieces(coverage)
        scale = min(width / image.width, height / image.height)
        rows, columns = max(1, round(image.height * scale)), max(1, round(image.width * scale))
        top, left = (height - rows) // 2, (width - columns) // 2
        return coverage[top : top + rows, left : left + columns]

    def crop_of(self, image: Image.Image, coverage: np.ndarray | None = None) -> Crop:
        """The crop that this model takes of a photo by itself: round the figure that it sees, or else the centre.

        Args:
            image: the photo.
            coverage: what `coverage_of` says of it, where that is known already.
        """
        if self.config.photo_fit != FIGURE or image.size == (self.width, self.height):
            return Crop()
        coverage = self.coverage_of(image) if coverage is None else coverage
        figure = np.argwhere(coverage > CLEAR)
        if len(figure) < SMALLEST_FIGURE * coverage.size:
            return Crop()
        ends = np.array(coverage.shape) - 1
        # At the photo's edge, or a pixel from it, the figure is cut off there.
        first, last = figure.min(0), figure.max(0)
        first, last = np.where(first <= 1, 0, first), np.where(last >= ends - 1, ends, last) + 1
        scale = np.array([image.height, image.width]) / coverage.shape
        (top, left), (bottom, right) = first * scale, last * scale
        return figure_crop(image.size, self.width / self.height, (left, top, right, bottom))

    def photo_pixels(self, image: Image.Image) -> torch.Tensor:
        """The fitted photo as the autoencoder takes it, [1, 3, height, width], in [-1, 1] or [0, 1] (`signed_pixels`)."""
        image = self.fit_photo(image)
        if image.size != self.code_size[::-1]:
            image = image.resize(self.code_size[::-1], Image.Resampling.BOX)
        photo = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
        if self.config.signed_pixels:
            photo = photo * 2 - 1
        return photo.to(self._execution_device, self.vae.dtype)

    def take_apart(self, image: Image.Image, back_image: Image.Image | None = None) -> PhotoLayers:
        """The layers of a photo, of the clip's size, by the shape that is predicted for it.

        Args:
            image: the garment photo.
            back_image: a photo of its back, of any size, which is fitted to the photo's outline.

        Raises:
            ValueError: if this model has no geometry.
        """
        if self.geometry is None:
            raise ValueError("`take_apart` needs a model with geometry, which this one has not.")
        photo = np.array(self.fit_photo(image))
        layers = take_apart(photo, self._geometry_of(photo))
        if back_image is not None:
            back = np.array(self.fit_photo(back_image))
            layers = fit_back(layers, take_apart(back, self._geometry_of(back)))
        return layers.to(self._execution_device)

    def backs_match(self, image: Image.Image, back_image: Image.Image) -> bool:
        """Whether the outline of a photo of the back fits that of the photo, so that it can be laid over it.

        Raises:
            ValueError: if this model has no geometry.
        """
        return outline_match(self.take_apart(image), self.take_apart(back_image)) >= LEAST_MATCH

    def _geometry_of(self, photo: np.ndarray):
        """The predicted shape of a fitted photo, uint8 [height, width, 3]."""
        pixels = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 127.5 - 1
        return self.geometry.predict(pixels.to(self._execution_device))

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
            yield frames.clamp(0, 1).unflatten(0, (chunk.shape[0], chunk.shape[2])).transpose(1, 2)

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
        if back_image is not None and not self.has_geometry:
            raise ValueError("`back_image` must be None for a model without geometry.")
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

            # The scheduler only ever sees the frames that carry noise. Frame 0 stays clean, so any scheduler can be used.
            scheduler.set_timesteps(num_inference_steps, device=device)
            accepts_generator = "generator" in inspect.signature(scheduler.step).parameters
            step_kwargs = {"generator": generator} if accepts_generator else {}
            with self.progress_bar(total=len(scheduler.timesteps)) as progress:
                for step, timestep in enumerate(scheduler.timesteps):
                    self._current_timestep = timestep
                    noisy_frames = scheduler.scale_model_input(latents, timestep)
                    clip = torch.cat([given, noisy_frames], dim=2).to(self.unet.dtype)  # [B, C, F, H, W]
                    if step % deep_interval == 0:
                        deep_features = free_deep_features = None
                    if motion_guidance > 1:  # rows of zeros leave the motion to the model
                        free, free_deep_features = self._predict(
                            clip, timestep, context, torch.zeros_like(motion), free_deep_features, encoded_guide
                        )
                    prediction, deep_features = self._predict(
                        clip, timestep, context, motion, deep_features, encoded_guide
                    )
                    if motion_guidance > 1:
                        prediction = free + motion_guidance * (prediction - free)
                    prediction = prediction[:, :, given.shape[2] :]
                    latents = scheduler.step(prediction.float(), timestep, latents, **step_kwargs).prev_sample
                    if callback_on_step_end is not None:
                        tensors = {}
                        for name in callback_on_step_end_tensor_inputs:
                            tensors[name] = locals()[name]
                        latents = callback_on_step_end(self, step, timestep, tensors).pop("latents", latents)
                    progress.update()
                    if self._interrupt:
                        break

            latents = torch.cat([given, latents], dim=2)
            frames = latents if output_type == "latent" else self._postprocess(latents, guide, output_type)
        finally:
            self._current_timestep = None
            self.maybe_free_model_hooks()
        return FashionFlowPipelineOutput(frames=frames) if return_dict else (frames,)

    def _predict(
        self,
        clip: torch.Tensor,
        timestep: torch.Tensor,
        context: torch.Tensor,
        motion: torch.Tensor | None,
        deep_features: torch.Tensor | None,
        guide: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What the denoiser answers, [B, C, F, H, W], and its deep features for the next step."""
        output = self.unet(clip, timestep, context, motion=motion, deep_features=deep_features, guide=guide)
        return output.sample, output.deep_features

    def _postprocess(
        self, latents: torch.Tensor, guide: ClipGuide | None, output_type: str
    ) -> torch.Tensor | np.ndarray | list:
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
