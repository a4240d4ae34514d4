"""What the page says, and the small pieces of HTML that say it."""

from html import escape

from ..animation import Finished, Segment, Step, Waiting
from ..studio import KEEP_SECONDS


INTRODUCTION = f"""
<header class="introduction">
  <h1>FashionFlow</h1>
  <p>One photo of a garment becomes a short clip of it in motion. Choose a photo, choose a motion, press Animate.</p>
  <p class="privacy">Photos and clips are deleted after {KEEP_SECONDS // 3600} hour.</p>
</header>
"""

BEFORE_ANY_CLIP = "Your clip appears here."
NO_LIVE_PLAYBACK = (
    f"{BEFORE_ANY_CLIP} It is shown once it is finished, because ffmpeg and ffprobe are not installed on this machine."
)
# Asked for more than once, because a browser gives up a smooth scroll when the page changes under it, as it now does.
SCROLL_TO_THE_CLIP = """() => {
  const scroll = () => document.querySelector("#status").scrollIntoView({block: "nearest", behavior: "smooth"});
  [0, 400, 1000].forEach((wait) => setTimeout(scroll, wait));
}"""
STOPPED = "Stopped."
FAILED = "The clip could not be made because of an error on our side; try again, or choose fewer frames."
FULL = "Too many clips are being made at the moment; try again in a few minutes."
GONE = "The photo has been deleted in the meantime; choose it again."


def status(headline: str, detail: str = "", done: float | None = None, problem: bool = False) -> str:
    """The lines under the picture. `done`, in [0, 1], adds a bar."""
    bar = "" if done is None else f'<div class="bar"><div style="width: {100 * done:.1f}%"></div></div>'
    role, kind = ("alert", "status problem") if problem else ("status", "status")
    return (
        f'<div class="{kind}" role="{role}">{bar}'
        f"<p><strong>{escape(headline)}</strong> <span>{escape(detail)}</span></p></div>"
    )


def waiting(event: Waiting) -> str:
    if event.ahead == 0:
        return status("Looking at the photo", done=0)
    clips = "1 clip is" if event.ahead == 1 else f"{event.ahead} clips are"
    return status("In line", f"{clips} made before yours.")


def step(event: Step) -> str:
    detail = f"{duration(event.elapsed)} elapsed · about {duration(event.remaining)} left"
    return status(f"Step {event.index} of {event.total}", detail, event.index / event.total)


def segment(event: Segment) -> str:
    return status("Decoding the clip", f"{duration(event.elapsed)} elapsed", 1)


def finished(event: Finished) -> str:
    clip = f"{event.frames / event.fps:.1f} s clip made in {duration(event.seconds)} · seed {event.seed}"
    return status("Done", clip)


def duration(seconds: float) -> str:
    """Seconds as people say them: "8 s", "2 min 5 s"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
