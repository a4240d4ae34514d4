"""Exports a finished clip in the forms that people share: mp4, GIF, WebP or single frames; upright or square; looped.

Frames are uint8 RGB, [height, width, 3]. F is the number of frames of a clip.
"""

import json
import math
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image, PngImagePlugin

from .ffmpeg import FfmpegError, encode, source
from .files import written_whole
from .io import TITLE, read_frames, read_rate, read_settings, write_clip
from .metadata import FIRST_FRAME_FILE, SETTINGS_FILE, USER_COMMENT_ENCODING, describe, mark, sign, xmp
from .shapes import place, reshape


FORMATS = ("mp4", "gif", "webp", "zip")
PLAYS = ("once", "loop", "boomerang")
SHAPES: dict[str, tuple[int, int] | None] = {"as-made": None, "9:16": (1080, 1920), "1:1": (1080, 1080)}
"""Shapes by name, width and height in pixels."""

LONGEST_FADE = 0.4  # seconds at the end of a clip in which it fades to its first frame

LEAST_SECONDS = 4.0  # of an mp4 for social media; Pinterest takes none under 4, Instagram and TikTok none under 3
LEAST_RATE = 23.0  # its frames per second; Instagram and TikTok take 23 to 60

MOST_RATES = {"gif": 12.5, "webp": 50.0}
"""The most frames per second. A GIF counts time in hundredths of a second, and a frame takes 8 of them, which keeps it small. Browsers show
a WebP's frames of 10 ms or less for 100 ms, and WebP counts whole milliseconds, so 20 ms are safe."""

GIF_SCALE = 0.5  # of a shape's sides; in full size, a GIF has four times the bytes, 9 MB for 3 seconds
WEBP_QUALITY = 85


@dataclass(frozen=True)
class Export:
    """The form in which a clip is exported.

    Args:
        format: "mp4", "gif", "webp", or "zip" for the frames as PNG files.
        shape: "as-made", or "9:16" or "1:1" for social media: the whole clip, its background extended.
        play: "once"; "loop", where the end fades into the beginning; or "boomerang", forwards and backwards.
        mark: whether the frames show a visible mark that they are AI-generated.
    """

    format: str
    shape: str = "as-made"
    play: str = "once"
    mark: bool = False

    @property
    def is_for_social_media(self) -> bool:
        """Whether it is a video that platforms must take. A video of the clip as made stays as it is, also with a mark, and GIF and WebP play
        again by themselves."""
        return self.format == "mp4" and (self.shape != "as-made" or self.play != "once")

    def check(self) -> None:
        """Raises a `ValueError` with one sentence if a value is not supported."""
        for name, choices in (("format", FORMATS), ("shape", SHAPES), ("play", PLAYS)):
            if getattr(self, name) not in tuple(choices):
                raise ValueError(f"`{name}` must be one of {', '.join(choices)}, got {getattr(self, name)!r}.")
        if not isinstance(self.mark, bool):
            raise ValueError(f"`mark` must be true or false, got {self.mark!r}.")

    def file_name(self, clip: Path | str) -> str:
        """The name of the file that is made from `clip`."""
        parts = [Path(clip).stem]
        parts += [self.shape.replace(":", "x")] * (self.shape != "as-made")
        parts += [self.play] * (self.play != "once") + ["marked"] * self.mark
        return f"{'-'.join(parts)}.{self.format}"


def export(clip: Path | str, wanted: Export, folder: Path | str) -> Path:
    """Makes a file from a finished clip, or finds the file if it was made before. The file contains the clip's settings, which
    `generation.saved_settings.read_provenance` reads back; the file is signed if a certificate is configured.

    Args:
        clip: an mp4 file that `write_clip` wrote.
        wanted: the form of the export.
        folder: an existing folder for the file. If anything goes wrong, no half-written file is left there.

    Raises:
        ValueError: with one sentence, if a value in `wanted` is not supported or `clip` is not a video.
        OSError: if the file cannot be written.
    """
    wanted.check()
    clip = Path(clip)
    path = Path(folder) / wanted.file_name(clip)
    if clip.is_file() and path.is_file() and path.stat().st_mtime >= clip.stat().st_mtime:
        return path
    settings, fps = read_settings(clip), read_rate(clip)
    with written_whole(path) as unfinished:
        if wanted == Export("mp4"):
            shutil.copyfile(clip, unfinished)
        else:
            frames = read_frames(clip)
            height, width = frames.shape[1:3]
            asked = {"shape": wanted.shape, "play": wanted.play, "size": [width, height]}
            try:
                _write(unfinished, frames, fps, wanted, describe(settings or {}) | asked)
            except FfmpegError as error:
                said = f"ffmpeg cannot write a {wanted.format} file in {str(path.parent)!r}{error.reason}."
                raise FfmpegError(said, error.errno) from error
            sign(unfinished)
    return path


def arrange(frames: np.ndarray, fps: float, play: str) -> Iterable[np.ndarray]:
    """A clip's frames, [F, height, width, 3], in the order in which they are shown; the first frame stays the first."""
    if play == "boomerang":  # neither end frame is shown twice, not even when the clip starts again
        return chain(frames, frames[-2:0:-1])
    return chain(frames) if play == "once" else _loop(frames, fps)


def _loop(frames: np.ndarray, fps: float) -> Iterator[np.ndarray]:
    """Fades the last frames to the first frame. The fade takes as many frames as the clip itself would need to move so far: a clip that
    ends where it began hardly fades, a clip that ends elsewhere fades for `LONGEST_FADE`."""
    steps = [_distance(frames[index], frames[index + 1]) for index in range(len(frames) - 1)]
    step, jump = float(np.mean(steps or [0.0])), _distance(frames[-1], frames[0])
    longest = min(round(LONGEST_FADE * fps), len(frames) // 2)
    count = min(longest, max(0, round(jump / step) - 1)) if step > 0 else 0
    yield from frames[: len(frames) - count]
    for index, frame in enumerate(frames[len(frames) - count :]):
        progress = (index + 1) / (count + 1)
        share = progress * progress * (3 - 2 * progress)
        yield cv2.addWeighted(frames[0], share, frame, 1 - share, 0)


def _distance(frame: np.ndarray, other: np.ndarray) -> float:
    return float(cv2.absdiff(frame, other).mean())


def _write(path: Path, frames: np.ndarray, fps: float, wanted: Export, settings: dict) -> None:
    """Writes a clip's frames in the wanted form, one by one, so that large shapes need no more memory."""
    every = math.ceil(fps / MOST_RATES.get(wanted.format, fps))
    frames, fps = frames[::every], fps / every
    size = SHAPES[wanted.shape]
    if size is not None and wanted.format == "gif":
        size = (round(size[0] * GIF_SCALE), round(size[1] * GIF_SCALE))
    placement = place(frames, size) if size is not None else None
    if placement is not None:
        settings = settings | {"place": placement.place}
    times, each = _repeats(len(frames), fps, wanted.play) if wanted.is_for_social_media else (1, 1)

    def pictures() -> Iterator[np.ndarray]:
        arranged = chain.from_iterable(arrange(frames, fps, wanted.play) for _ in range(times))
        shaped = arranged if placement is None else (reshape(frame, placement) for frame in arranged)
        marked = mark(shaped) if wanted.mark else shaped
        return (frame for frame in marked for _ in range(each))

    again = wanted.play != "once"
    if wanted.format == "mp4":
        write_clip(path, pictures(), fps * each, settings=settings)
    elif wanted.format == "zip":
        _write_zip(path, pictures(), settings | {"fps": fps})
    elif wanted.format == "gif":
        _write_gif(path, pictures(), mark(frames) if wanted.mark else frames, fps, again, settings)
    else:
        _write_webp(path, pictures(), fps, again, settings)


def _repeats(num_frames: int, fps: float, play: str) -> tuple[int, int]:
    """How often a clip is played in a video for social media, always whole, and how often each of its frames is shown."""
    shown = max(num_frames, 2 * num_frames - 2) if play == "boomerang" else num_frames
    return math.ceil(LEAST_SECONDS * fps / shown), math.ceil(LEAST_RATE / fps)


def _write_zip(path: Path, frames: Iterable[np.ndarray], settings: dict) -> None:
    """Writes numbered PNG files and their settings. Each picture also contains its own source."""
    information = PngImagePlugin.PngInfo()
    information.add_text("Description", TITLE)
    information.add_itxt("XML:com.adobe.xmp", xmp())
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(SETTINGS_FILE, json.dumps(settings, indent=2))
        for number, frame in enumerate(frames, 1):
            file = BytesIO()
            Image.fromarray(frame).save(file, "PNG", compress_level=3, pnginfo=information)
            archive.writestr(f"{number:0{len(Path(FIRST_FRAME_FILE).stem)}}.png", file.getvalue())


def _write_gif(
    path: Path,
    frames: Iterable[np.ndarray],
    examples: Iterable[np.ndarray],
    fps: float,
    again: bool,
    settings: dict,
) -> None:
    """Writes a GIF with one palette for the whole clip, taken from `examples`, and with error diffusion, which keeps the colours of
    garments best: Pillow's own palettes are off by twice as much, in files half as large again. The settings go into a comment, because
    ffmpeg has no place for them."""
    with tempfile.TemporaryDirectory() as folder:
        palette = Path(folder) / "palette.png"
        encode(palette, examples, fps, ["-vf", "palettegen=stats_mode=full", "-frames:v", "1", "-update", "1"])
        dithered = "[0][1]paletteuse=dither=sierra2_4a:diff_mode=rectangle"
        arguments = [*source(palette), "-filter_complex", dithered, "-loop", "0" if again else "-1"]
        encode(path, frames, fps, arguments)
    content = path.read_bytes()
    colours, has_colours = content[10] & 7, content[10] >> 7
    end = 13 + has_colours * 3 * 2 ** (colours + 1)  # the end of the header with its palette
    end += 19 * (content[end : end + 2] == b"\x21\xff")  # the block that says how often the GIF plays
    text = json.dumps(settings).encode()
    blocks = (text[start : start + 255] for start in range(0, len(text), 255))
    comment = b"\x21\xfe" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"
    path.write_bytes(content[:end] + comment + content[end:])


def _write_webp(path: Path, frames: Iterable[np.ndarray], fps: float, again: bool, settings: dict) -> None:
    """Writes an animation with the settings in EXIF's user comment, and with XMP for programs that look for the source type there.
    ffmpeg writes no metadata into such a file. Pillow does, but it would hold all frames in memory."""
    arguments = ["-c:v", "libwebp_anim", "-quality", str(WEBP_QUALITY), "-loop", "0" if again else "1"]
    encode(path, frames, fps, arguments)
    with Image.open(path) as picture:
        width, height = picture.size
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = TITLE
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.UserComment: USER_COMMENT_ENCODING + json.dumps(settings).encode()}
    chunks, flags = path.read_bytes()[12:], 0
    if chunks.startswith(b"VP8X"):
        chunks, flags = chunks[18:], chunks[8]
    header = bytes([flags | 0x0C, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunks = _chunk(b"VP8X", header) + chunks + _chunk(b"EXIF", exif.tobytes()[6:]) + _chunk(b"XMP ", xmp().encode())
    path.write_bytes(_chunk(b"RIFF", b"WEBP" + chunks))


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
