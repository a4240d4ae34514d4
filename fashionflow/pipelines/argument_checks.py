"""What a pipeline says of arguments that it cannot use, in one sentence, before anything is computed."""

import torch
from PIL import Image

from .clip_decoding import OUTPUT_TYPES
from .schedulers import SAMPLERS


class ArgumentChecks:
    """The part of `FashionFlowPipeline` that looks at what `__call__` was given."""

    def check_inputs(
        self,
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
        if back_image is not None and not self.has_geometry:
            raise ValueError("`back_image` must be None for a model without geometry.")
