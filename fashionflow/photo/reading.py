"""Turns any upload into a photo that the model can use, or says in one plain sentence why this is not possible."""

import threading
import warnings
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from ..errors import PhotoError
from .code_points import LOOKED_AT, profile_of_code_points
from .cropping import MAX_ZOOM, MIN_ZOOM, Crop, crop_box, cropped, figure_crop, fit


__all__ = [
    "MAX_PIXELS",
    "MAX_ZOOM",
    "MIN_SIDE",
    "MIN_ZOOM",
    "PHOTO_SUFFIXES",
    "Crop",
    "PhotoError",
    "crop_box",
    "cropped",
    "figure_crop",
    "fit",
    "read_photo",
    "to_rgb",
]


MIN_SIDE = 64
"""The shortest side of a photo that still shows a garment, in pixels."""

MAX_PIXELS = 64_000_000
"""The most pixels of a photo: those of a phone's camera of "50 megapixels" and of most medium-format cameras; 192 MB once decoded."""

ENOUGH_DETAIL = 3000
"""Both sides of a JPEG that is decoded at a half, a quarter or an eighth of its size stay at least this long, in pixels. A clip shows far
less, and a photo of 8192 x 6144 pixels takes a quarter of the memory."""

MAX_PNG_TEXT = 64 * 2**20
"""The most bytes that a PNG's colour profile or description may have once it is unpacked. Pillow refuses photos with more than 1 MiB."""

STUDIO_WHITE = (255, 255, 255)
"""The colour behind the transparent parts of a cut-out garment, sRGB."""

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".heic", ".heif", ".tif", ".tiff", ".bmp")
"""What a photo's name ends in, in small letters, where a folder is given. A single photo may have any name: its content decides."""

# The picture formats that people upload. Pillow knows more, but some of those run other programs (EPS) or match nearly
# any bytes (TGA).
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "AVIF", "HEIF", "GIF", "TIFF", "BMP", "JPEG2000", "PPM")

# Python's warning filters belong to the whole process; two threads changing them at once could leave them changed.
_OPENING = threading.Lock()


def read_photo(source: str | Path | bytes | BinaryIO | Image.Image) -> Image.Image:
    """An upload as an upright sRGB photo of mode "RGB", whatever kind of picture it was.

    The camera's rotation is applied, transparent parts become studio white, an embedded colour profile, or colours named by number
    (cICP, nclx), are converted to sRGB, and the first frame of an animated picture is used. A large JPEG is decoded at a part of its size
    (`ENOUGH_DETAIL`). The file's metadata (place, camera) is dropped.

    Raises:
        PhotoError: if there is no picture, it is damaged, its shorter side has fewer than `MIN_SIDE` pixels, or it has
            more than `MAX_PIXELS` pixels, which its header tells before anything is decoded.
        TypeError: if `source` has a type that cannot hold a picture.
    """
    if isinstance(source, Image.Image):
        return _decode(source)
    if isinstance(source, bytes):
        return _read_file(BytesIO(source))
    if source is None or isinstance(source, str) and not source:
        raise PhotoError("no-photo")
    if isinstance(source, (str, Path)):
        try:
            with Path(source).open("rb") as file:
                return _read_file(file)
        except PhotoError:
            raise
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
            raise PhotoError("not-there", path=repr(str(source))) from error
    if not hasattr(source, "read"):
        raise TypeError(f"`source` must be a path, bytes, an open file or a PIL image, got {type(source).__name__}.")
    # A stream that cannot go back, such as an upload that is still arriving, is read into memory first.
    return _read_file(source if source.seekable() else BytesIO(source.read()))


def _read_file(file: BinaryIO) -> Image.Image:
    """`read_photo` for an open file that can go back to its start."""
    file.seek(0)
    start = file.read(LOOKED_AT)
    if not start:
        raise PhotoError("empty")
    import pillow_heif  # not needed before the first photo, and the page starts without it

    try:
        with _OPENING, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is the stricter one
            Image.init()
            pillow_heif.register_heif_opener()  # the format of iPhones
            PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = MAX_PNG_TEXT
            image = Image.open(file, formats=[name for name in FORMATS if name in Image.OPEN])
    except Image.DecompressionBombError as error:
        raise PhotoError("far-too-many-pixels", most=MAX_PIXELS // 1_000_000) from error
    except Exception as error:
        # A damaged header makes Pillow's readers raise nearly anything.
        raise PhotoError(_unreadable(start)) from error
    with image:
        if not image.info.get("icc_profile") and (profile := profile_of_code_points(start)):
            image.info["icc_profile"] = profile
        return _decode(image)


def _decode(image: Image.Image) -> Image.Image:
    """The pixels of a picture that has been opened, upright, sRGB, mode "RGB". The given picture stays unchanged."""
    width, height = image.size
    if min(width, height) < MIN_SIDE:
        raise PhotoError("too-small", width=width, height=height, least=MIN_SIDE)
    if width * height > MAX_PIXELS:
        raise PhotoError("too-many-pixels", width=width, height=height, most=MAX_PIXELS // 1_000_000)
    try:
        image.draft(None, (ENOUGH_DETAIL, ENOUGH_DETAIL))  # only JPEG can
        image.load()
        photo = to_rgb(_upright(image))
    except Exception as error:
        raise PhotoError("damaged") from error
    photo.info.clear()  # otherwise a profile that no longer applies would be saved with the picture
    return photo


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # the camera's metadata is damaged, but the picture itself is intact
        return image.copy()


def to_rgb(image: Image.Image) -> Image.Image:
    """A picture of any mode as sRGB of mode "RGB": transparent parts become studio white, an embedded colour profile is converted. The
    given picture stays unchanged."""
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


def _unreadable(start: bytes) -> str:
    """The reason why a file with this start cannot be opened as a picture: a key of `errors.SENTENCES`."""
    if start[4:8] == b"ftyp" and start[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"avif"):
        return "damaged"
    if start[4:8] == b"ftyp" or start[:4] == b"\x1aE\xdf\xa3":
        return "video"
    return "no-picture"
