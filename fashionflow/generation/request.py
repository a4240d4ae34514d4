"""What can be asked of a studio, and what it tells while it works."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from .. import __version__
from ..pipelines import ClipGuide, FashionFlowPipeline
from ..pipelines.motions import LARGEST_TURN, MOTIONS, motion_rows, turns_past_the_side
from ..pipelines.schedulers import SAMPLERS
from ..runtime.memory import AUTOMATIC, MEMORY_CHOICES
from ..video.decoding import playing_frames, playing_rate


MOST_FRAMES = 280
MOST_STEPS = 1000
DEFAULT_STEPS = 4
LARGEST_SEED = 2**32 - 1
DEFAULT_QUALITY = 18
FRAME_RATES = (1, 60)
MOST_INTERPOLATION = 8
LARGEST_GUIDANCE = 5.0


@dataclass(frozen=True)
class AnimationRequest:
    """What one visitor wants.

    Args:
        photo: the garment photo, upright, mode "RGB"; best as `fit_photo` returns it, because requests in line are kept.
        frames: frames that the denoiser makes, the photo included.
        steps: denoising steps.
        seed: makes the clip reproducible.
        motion: a name from `fashionflow.pipelines.motions.MOTIONS`; `None` leaves the motion to the model.
        turn_angle: degrees, in [-360, 360]; `None` takes the motion's own.
        sampler: a name from `fashionflow.pipelines.schedulers.SAMPLERS`.
        guidance: how far the denoiser is pushed towards the motion asked for, 1 (not at all) to 5; above 1 every step
            takes twice as long.
        frame_rate: denoised frames shown a second, 1 to 60; `None` takes the model's own. Others play slower or faster.
        interpolation: frames shown for each denoised one, 1 (none between them) to 8; `None` takes what looks smooth.
        quality: x264's CRF, 1 (best, largest) to 51.
        memory: a mode from `fashionflow.runtime.memory.MEMORY_CHOICES`, which changes nothing but how much memory and time a clip takes.
        back_photo: a photo of the back of the same garment or person, as `photo`; without it the back is guessed from the front.
    """

    photo: Image.Image
    frames: int
    steps: int
    seed: int
    motion: str | None = None
    turn_angle: float | None = None
    sampler: str = next(iter(SAMPLERS))
    guidance: float = 1.0
    frame_rate: float | None = None
    interpolation: int | None = None
    quality: int = DEFAULT_QUALITY
    memory: str = AUTOMATIC
    back_photo: Image.Image | None = None

    def check(self, pipe: FashionFlowPipeline) -> None:
        """Raises a `ValueError` of one sentence for what this pipeline cannot do, before anybody waits for it."""
        multiple = pipe.unet.frame_multiple
        fewest = max(2, multiple)
        if not _is_whole(self.frames, fewest, MOST_FRAMES) or self.frames % multiple:
            kind = "a whole number" if multiple == 1 else f"a multiple of {multiple}"
            raise ValueError(f"`frames` must be {kind} from {fewest} to {MOST_FRAMES}, got {self.frames!r}.")
        if not _is_whole(self.steps, 1, MOST_STEPS):
            raise ValueError(f"`steps` must be a whole number from 1 to {MOST_STEPS}, got {self.steps!r}.")
        if not _is_whole(self.seed, 0, LARGEST_SEED):
            raise ValueError(f"`seed` must be a whole number from 0 to {LARGEST_SEED}, got {self.seed!r}.")
        if self.motion is not None and not pipe.has_motion:
            raise ValueError(f"`motion` must be empty for this model, which moves as it likes, got {self.motion!r}.")
        if self.motion is not None and self.motion not in MOTIONS:
            raise ValueError(f"`motion` must be one of {', '.join(MOTIONS)}, got {self.motion!r}.")
        if self.turn_angle is not None:
            if self.motion is None:
                raise ValueError(f"`turn_angle` must be empty where no motion is chosen, got {self.turn_angle!r}.")
            if not _is_number(self.turn_angle, -LARGEST_TURN, LARGEST_TURN):
                raise ValueError(f"`turn_angle` must be between -360 and 360 degrees, got {self.turn_angle!r}.")
        if self.sampler not in tuple(SAMPLERS):
            raise ValueError(f"`sampler` must be one of {', '.join(SAMPLERS)}, got {self.sampler!r}.")
        if not _is_number(self.guidance, 1, LARGEST_GUIDANCE):
            raise ValueError(f"`guidance` must be between 1 and {LARGEST_GUIDANCE:g}, got {self.guidance!r}.")
        if self.guidance != 1 and self.motion is None:
            raise ValueError(f"`guidance` must be 1 where no motion is chosen, got {self.guidance!r}.")
        if self.frame_rate is not None and not _is_number(self.frame_rate, *FRAME_RATES):
            raise ValueError(f"`frame_rate` must be between 1 and 60, got {self.frame_rate!r}.")
        if self.interpolation is not None and not _is_whole(self.interpolation, 1, MOST_INTERPOLATION):
            raise ValueError(
                f"`interpolation` must be a whole number from 1 to {MOST_INTERPOLATION}, got {self.interpolation!r}."
            )
        if not _is_whole(self.quality, 1, 51):
            raise ValueError(f"`quality` must be a whole number from 1 to 51, got {self.quality!r}.")
        if self.memory not in MEMORY_CHOICES:
            raise ValueError(f"`memory` must be one of {', '.join(MEMORY_CHOICES)}, got {self.memory!r}.")
        if self.back_photo is not None and not pipe.has_geometry:
            raise ValueError("`back_photo` must be empty for this model, which uses one photo only.")

    @property
    def guesses_the_back(self) -> bool:
        """Whether the clip shows what is in no photo."""
        if self.back_photo is not None or self.motion is None:
            return False
        return turns_past_the_side(self.motion, self.turn_angle, self.seed)

    def playing_rate(self, pipe: FashionFlowPipeline) -> tuple[int, float]:
        """Frames shown for each frame that the denoiser makes, and frames a second."""
        factor, _ = playing_rate(pipe)
        factor = self.interpolation or factor
        return factor, (self.frame_rate or pipe.config.frame_rate) * factor

    def guide(self, pipe: FashionFlowPipeline) -> ClipGuide | None:
        """What is known of every frame before anything is denoised, or `None` for a model without geometry."""
        if not pipe.has_geometry:
            return None
        motion = motion_rows(self.motion, self.frames, self.turn_angle, self.seed) if self.motion else None
        return pipe.guide(self.photo, motion, self.frames, self.back_photo)

    def playing_frames(
        self,
        pipe: FashionFlowPipeline,
        latents: torch.Tensor,
        start: int = 0,
        chunk_frames: int = 4,
        guide: ClipGuide | None = None,
    ) -> Iterator[np.ndarray]:
        """The clip's frames as they are shown, uint8 RGB, [height, width, 3], each made only when it is asked for.

        Args:
            pipe: the pipeline that made the latents.
            latents: what `denoise` returned, [1, C, F, H, W].
            start: frames at the beginning that are left out.
            chunk_frames: frames that are decoded at a time.
            guide: what `guide` returned; made again where it is not given.
        """
        factor, _ = self.playing_rate(pipe)
        guide = self.guide(pipe) if guide is None else guide
        return playing_frames(pipe, latents, factor, self.photo, guide, start, chunk_frames)

    def denoise(
        self,
        pipe: FashionFlowPipeline,
        on_step_end: Callable[..., dict] | None = None,
        guide: ClipGuide | None = None,
    ) -> torch.Tensor:
        """The clip's latents, [1, C, F, H, W].

        Args:
            pipe: the pipeline that `check` was asked about.
            on_step_end: called after every step, as diffusers calls its `callback_on_step_end`.
            guide: what `guide` returned; made again where it is not given.
        """
        return pipe(
            self.photo,
            num_frames=self.frames,
            num_inference_steps=self.steps,
            motion=self.motion,
            turn_angle=self.turn_angle,
            sampler=self.sampler,
            motion_guidance=float(self.guidance),
            # On the processor, whatever the device, so that a seed means the same clip everywhere.
            generator=torch.Generator().manual_seed(self.seed),
            output_type="latent",
            guide=self.guide(pipe) if guide is None else guide,
            callback_on_step_end=on_step_end,
        ).frames

    def settings(self, pipe: FashionFlowPipeline) -> dict[str, str | int | float | None]:
        """What goes into the finished file, so that the clip can be made again. Nothing in it tells whose photo it was."""
        settings = {name: getattr(self, name) for name in SETTINGS}
        if self.back_photo is not None:
            settings[WITH_BACK_PHOTO] = True
        return settings | {
            "model": pipe.model_name,
            "model_hash": pipe.model_hash,
            "version": __version__,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }


SETTINGS = tuple(field.name for field in fields(AnimationRequest) if field.name not in ("photo", "back_photo"))
"""What a visitor sets besides the photos."""

WITH_BACK_PHOTO = "with_back_photo"
"""What a clip's file calls it that a photo of the back was given, too; `True`, or absent."""


@dataclass(frozen=True)
class Waiting:
    """`ahead` clips are made first, which takes `seconds` more or less; 0 says that this job begins, or goes on."""

    ahead: int
    seconds: float


@dataclass(frozen=True)
class Step:
    """Step `index` of `total` of clip `clip` is done; 0 says that none is, and comes first for a model with geometry. `elapsed` and
    `remaining` are seconds from its start and to its end; `preview` is the clip as it looks now."""

    index: int
    total: int
    elapsed: float
    remaining: float
    preview: Image.Image
    clip: int = 0


@dataclass(frozen=True)
class Segment:
    """Piece `index` of clip `clip` is at `path`, `elapsed` seconds after its start; it can be played by itself."""

    path: Path
    index: int
    elapsed: float
    remaining: float
    clip: int = 0


@dataclass(frozen=True)
class SteppedDown:
    """Memory ran out while clip `clip` was made, and it is now made in the leaner mode `memory`: its steps from the first one again,
    its frames from the one reached. Nothing is made before it, as in `Waiting(0, 0.0)`."""

    memory: str
    clip: int = 0
    ahead: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Finished:
    """Clip `clip` of the job is at `path`: `frames` frames at `fps`, made in `seconds` from `seed`. `whole` is false for what
    there was when the job was stopped. `promised` is how many seconds were announced for the job's first clip when it was
    asked for, `waited` how many passed before its device was free. `memory` is the mode that it was made in, and `stepped_down`
    says whether memory had run out in another."""

    path: Path
    seed: int
    seconds: float
    fps: float
    frames: int
    clip: int = 0
    whole: bool = True
    promised: float | None = None
    waited: float = 0.0
    memory: str | None = None
    stepped_down: bool = False


Event = Waiting | Step | Segment | SteppedDown | Finished


def _is_whole(number: object, smallest: int, largest: int) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and smallest <= number <= largest


def _is_number(number: object, smallest: float, largest: float) -> bool:
    return isinstance(number, (int, float)) and not isinstance(number, bool) and smallest <= number <= largest
