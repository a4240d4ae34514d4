"""Any upload becomes a photo that the model can use, or one plain sentence says why it cannot."""

import threading
import warnings
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageCms, ImageOps


MIN_SIDE = 64
"""The shortest side of a photo that still shows a garment, in pixels."""

MAX_PIXELS = 50_000_000
"""The most pixels that are worth decoding: more than any phone delivers, and 150 MB once decoded."""

STUDIO_WHITE = (255, 255, 255)
"""What shows through the transparent parts of a cut-out garment, sRGB."""

# The picture formats that people upload. Pillow knows more, but some of those run other programs (EPS) or match nearly
# any bytes (TGA); "HEIF" is there once the optional package pillow-heif has been registered.
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "AVIF", "HEIF", "GIF", "TIFF", "BMP", "JPEG2000", "PPM")

# Python's warning filters belong to the whole process; two threads changing them at once could leave them changed.
_OPENING = threading.Lock()


class PhotoError(ValueError):
    """The upload cannot be used; the message tells its owner why, and what to do, in one sentence."""


def read_photo(source: str | Path | bytes | BinaryIO | Image.Image) -> Image.Image:
    """An upload as an upright sRGB photo of mode "RGB", whatever kind of picture it was.

    The camera's rotation is applied, transparent parts become studio white, an embedded colour profile is converted to
    sRGB, and of an animated picture the first frame is taken. What the file said about itself (place, camera) is dropped.

    Raises:
        PhotoError: if there is no picture, it is damaged, its shorter side has fewer than `MIN_SIDE` pixels, or it has
            more than `MAX_PIXELS` pixels, which its header tells before anything is decoded.
        TypeError: if `source` is of no kind that could hold a picture.
    """
    if isinstance(source, Image.Image):
        return _decode(source)
    if isinstance(source, bytes):
        return _read_file(BytesIO(source))
    if source is None or isinstance(source, str) and not source:
        raise PhotoError("No photo was given; choose a photo first.")
    if isinstance(source, (str, Path)):
        try:
            with Path(source).open("rb") as file:
                return _read_file(file)
        except PhotoError:
            raise
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
            raise PhotoError(f"There is no photo at {str(source)!r}; check the name and choose it again.") from error
    if not hasattr(source, "read"):
        raise TypeError(f"`source` must be a path, bytes, an open file or a PIL image, got {type(source).__name__}.")
    # A stream that cannot go back, such as an upload still arriving, is taken into memory first.
    return _read_file(source if source.seekable() else BytesIO(source.read()))


def crop_box(size: tuple[int, int], aspect: float) -> tuple[int, int, int, int]:
    """The largest centred part of a picture that has the aspect wanted, as (left, top, right, bottom) in pixels.

    Args:
        size: the picture's width and height, pixels.
        aspect: width divided by height, above 0.

    Raises:
        ValueError: if `aspect` is not above 0.
    """
    if not aspect > 0:
        raise ValueError(f"`aspect` must be above 0, got {aspect}.")
    width, height = size
    box_width = min(width, max(1, round(height * aspect)))
    box_height = min(height, max(1, round(width / aspect)))
    left, top = (width - box_width) // 2, (height - box_height) // 2
    return left, top, left + box_width, top + box_height


def fit(image: Image.Image, width: int, height: int, mode: str) -> Image.Image:
    """A photo brought to the model's size.

    Args:
        image: an RGB photo of any size.
        width, height: the size wanted, pixels.
        mode: "crop" keeps the largest centred part of the right aspect; "pad" keeps the whole photo and extends its
            background; "stretch" ignores the aspect, as the released weights were trained to see it.

    Raises:
        ValueError: if `mode` is none of these.
    """
    if mode == "crop":
        return image.resize((width, height), Image.Resampling.LANCZOS, box=crop_box(image.size, width / height))
    if mode == "stretch":
        return image.resize((width, height), Image.Resampling.BILINEAR)
    if mode == "pad":
        scale = min(width / image.width, height / image.height)
        inner_size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        inner = image.resize(inner_size, Image.Resampling.LANCZOS)
        padded = Image.new("RGB", (width, height), _border_colour(inner))
        padded.paste(inner, ((width - inner.width) // 2, (height - inner.height) // 2))
        return padded
    raise ValueError(f"`mode` must be crop, pad or stretch, got {mode!r}.")


def _read_file(file: BinaryIO) -> Image.Image:
    """`read_photo` for an open file that can go back to its start."""
    file.seek(0)
    start = file.read(32)
    if not start:
        raise PhotoError("The file is empty; choose the photo again.")
    try:
        with _OPENING, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is the stricter one
            Image.init()
            image = Image.open(file, formats=[name for name in FORMATS if name in Image.OPEN])
    except Image.DecompressionBombError as error:
        raise PhotoError(_too_large("more pixels than can be opened safely")) from error
    except Exception as error:
        # A damaged header makes Pillow's readers raise nearly anything.
        raise PhotoError(_unreadable(start)) from error
    with image:
        return _decode(image)


def _decode(image: Image.Image) -> Image.Image:
    """The pixels of a picture that has been opened, upright, sRGB, mode "RGB". The picture handed in stays as it was."""
    width, height = image.size
    if min(width, height) < MIN_SIDE:
        raise PhotoError(
            f"The photo is {width} x {height} pixels, too small to show a garment; "
            f"choose one with at least {MIN_SIDE} pixels on each side."
        )
    if width * height > MAX_PIXELS:
        raise PhotoError(_too_large(f"{width} x {height} pixels"))
    try:
        image.load()
        photo = _to_rgb(_upright(image))
    except Exception as error:
        raise PhotoError(
            "The photo is damaged or was cut off while it was copied; save or export it again and choose the new file."
        ) from error
    photo.info.clear()  # otherwise a profile that no longer applies would be saved with the picture
    return photo


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # the camera's notes are damaged, but the picture itself is sound
        return image.copy()


def _to_rgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if image.mode == "F" or image.mode.startswith("I"):
        image = _to_8_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        backdrop = Image.new("RGBA", image.size, STUDIO_WHITE)
        image = Image.alpha_composite(backdrop, image).convert("RGB")
    elif image.mode not in ("RGB", "CMYK", "L"):
        image = image.convert("RGB")
    if profile:
        try:
            return ImageCms.profileToProfile(
                image, ImageCms.ImageCmsProfile(BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
        except (ImageCms.PyCMSError, OSError):
            pass  # a damaged profile, or one for another kind of picture: the plain conversion is the best there is
    return image.convert("RGB")


def _to_8_bits(image: Image.Image) -> Image.Image:
    """A grey picture with 16 or 32 bits a pixel, mode "L". Pillow's own `convert` would clip it to white."""
    levels = np.nan_to_num(np.asarray(image, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    if image.mode.startswith("I;16"):
        white = 65535.0
    else:
        # 32-bit files do not say where white is: take the smallest of the usual ranges that holds every pixel.
        brightest = float(levels.max())
        usual = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
        white = next((limit for limit in usual if brightest <= limit), brightest)
    return Image.fromarray((levels / white * 255).round().clip(0, 255).astype(np.uint8))


def _border_colour(image: Image.Image) -> tuple[int, int, int]:
    """The median colour along the four edges: the studio's backdrop, unless the garment fills the picture."""
    pixels = np.asarray(image)
    edges = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = np.median(edges, axis=0).round().astype(int)
    return int(red), int(green), int(blue)


def _too_large(what: str) -> str:
    return (
        f"The photo has {what}, and {MAX_PIXELS // 1_000_000} million is the most; "
        "save a copy with about 4,000 pixels on its longer side and choose that."
    )


def _unreadable(start: bytes) -> str:
    """Why a file with these first bytes is no picture that can be opened."""
    if start[4:8] == b"ftyp" and start[8:12] in (b"heic", b"heix", b"mif1", b"msf1"):
        return "The photo is in the HEIC format, which cannot be read here; export it as JPEG and choose that."
    if start[4:8] == b"ftyp" or start[:4] == b"\x1aE\xdf\xa3":
        return "The file is a video, not a photo; choose a still picture such as a JPEG or PNG."
    return "The file is not a picture that can be read here; choose a JPEG, PNG or WebP photo."
