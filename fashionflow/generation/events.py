"""The events with which the job queue reports its progress."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image


@dataclass(frozen=True)
class Waiting:
    """`ahead` clips are made first, which takes about `seconds`; 0 means that this job begins, or continues."""

    ahead: int
    seconds: float


@dataclass(frozen=True)
class Step:
    """Step `index` of `total` of clip `clip` is done. Index 0 means that no step is done; a model with geometry sends it first.
    `elapsed` and `remaining` are the seconds since the clip's start and until its end; `preview` shows the clip in its current state."""

    index: int
    total: int
    elapsed: float
    remaining: float
    preview: Image.Image
    clip: int = 0


@dataclass(frozen=True)
class Segment:
    """Segment `index` of clip `clip` is at `path`, `elapsed` seconds after the clip's start; it can be played by itself."""

    path: Path
    index: int
    elapsed: float
    remaining: float
    clip: int = 0


@dataclass(frozen=True)
class SteppedDown:
    """Memory ran out while clip `clip` was made, and the clip is now made in the leaner mode `memory`: denoising starts again at the first
    step, decoding continues at the frame that was reached. No other clip is made first, as in `Waiting(0, 0.0)`."""

    memory: str
    clip: int = 0
    ahead: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Finished:
    """Clip `clip` of the job is at `path`: `frames` frames at `fps`, made in `seconds` from `seed`. `whole` is false if the job was
    stopped before the clip was complete. `time_estimate` is the number of seconds that was estimated for the job's first clip
    when the job was requested; `waited` is the number of seconds before the device was free. `memory` is the mode in which the clip was made, and
    `stepped_down` tells whether memory had run out in another mode."""

    path: Path
    seed: int
    seconds: float
    fps: float
    frames: int
    clip: int = 0
    whole: bool = True
    time_estimate: float | None = None
    waited: float = 0.0
    memory: str | None = None
    stepped_down: bool = False


Event = Waiting | Step | Segment | SteppedDown | Finished
