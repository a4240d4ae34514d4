"""The page's messages as short HTML texts, in the visitor's language."""

from html import escape

from ..errors import NoGPU, NotWritten, NoWorker
from ..generation.events import Finished, Segment, Step, SteppedDown, Waiting
from ..generation.queue import Estimate
from ..runtime.memory_modes import OutOfMemory
from .languages import Words


def status(headline: str, detail: str = "", done: float | None = None, problem: bool = False, note: str = "") -> str:
    """The lines under the picture. `done`, in [0, 1], adds a progress bar, and on a stage a number; `note` adds a sentence below."""
    bar = "" if done is None else f'<div class="bar" style="--done: {100 * done:.0f}"><div></div></div>'
    # scripts/everyone.js reads messages that are not problems to screen readers, though not every step.
    kind = 'class="status problem" role="alert"' if problem else 'class="status"'
    below = f"<p><span>{escape(note)}</span></p>" if note else ""
    return f"<div {kind}>{bar}<p><strong>{escape(headline)}</strong> <span>{escape(detail)}</span></p>{below}</div>"


def advice(sentences: list[str]) -> str:
    """Warnings under a photo."""
    lines = "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)
    return f'<div class="advice">{lines}</div>'


def loading(words: Words) -> str:
    """The status of a job whose model is still being loaded."""
    return status(words("status.loading"), done=0)


def waiting(words: Words, event: Waiting) -> str:
    if event.ahead == 0:
        return status(words("status.looking"), done=0)
    time = duration(words, event.seconds)
    key = "status.ahead_one" if event.ahead == 1 else "status.ahead_many"
    return status(words("status.in_line"), words(key, count=event.ahead, time=time))


def step(words: Words, event: Step, note: str = "") -> str:
    headline = words("status.step", index=event.index, total=event.total)
    return status(headline, times(words, event), share(event), note=note)


def segment(words: Words, event: Segment, note: str = "") -> str:
    return status(words("status.decoding"), times(words, event), share(event), note=note)


def stepped_down(words: Words, event: SteppedDown) -> str:
    return status(words("status.stepped_down"), memory_ran_out(words, event))


def memory_ran_out(words: Words, event: SteppedDown | Finished) -> str:
    """A sentence on the leaner memory mode in which a clip is or was made; empty if memory has not run out."""
    if isinstance(event, Finished) and not event.stepped_down:
        return ""
    return words("status.leaner", mode=words(f"advanced.memory_{event.memory}"))


def share(event: Step | Segment) -> float:
    """The share of a clip's time that has passed. Steps are not counted, because decoding comes after the last one."""
    return event.elapsed / max(event.elapsed + event.remaining, 1e-6)


def times(words: Words, event: Step | Segment) -> str:
    elapsed, remaining = duration(words, event.elapsed), duration(words, event.remaining)
    return words("status.times", elapsed=elapsed, remaining=remaining)


def finished(words: Words, event: Finished) -> str:
    took = event.seconds + event.waited
    length = f"{event.frames / event.fps:.1f}"
    clip = words("status.clip", length=length, time=duration(words, took), seed=event.seed)
    note = memory_ran_out(words, event)
    if not event.whole:
        return status(words("status.stopped_kept"), clip, note=note)
    if event.time_estimate:
        clip += " · " + words("status.time_estimate", time=duration(words, event.time_estimate))
    return status(words("status.done"), clip, note=note)


def failure(words: Words, error: Exception | None) -> str:
    """One sentence about the error of a job, and what to do."""
    if isinstance(error, NoGPU):
        return words(f"gpu.{error.key}")
    if isinstance(error, NoWorker):
        return words(f"no_worker.{error.key}")
    if isinstance(error, NotWritten):
        return words(f"not_written.{error.key}")
    return words("status.out_of_memory" if isinstance(error, OutOfMemory) else "status.failed")


def time_estimate(words: Words, estimate: Estimate) -> str:
    """The text beside the button, before it is pressed."""
    keys = {0: "time_estimate.alone", 1: "time_estimate.line_one"}
    sentence = words(
        keys.get(estimate.ahead, "time_estimate.line_many"),
        time=duration(words, estimate.seconds),
        count=estimate.ahead,
        wait=duration(words, estimate.ahead_seconds),
    )
    return beside_the_button(sentence)


def beside_the_button(sentence: str) -> str:
    return f'<p class="time-estimate">{escape(sentence)}</p>'


def duration(words: Words, seconds: float) -> str:
    """A time as text for people: "8 s", "2 min 5 s"."""
    minutes, rest = divmod(max(1, round(seconds)), 60)
    return words("time.minutes", minutes=minutes, seconds=rest) if minutes else words("time.seconds", seconds=rest)
