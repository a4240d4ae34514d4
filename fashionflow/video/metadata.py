"""The source of a clip: the metadata in its file, a signature if there is a certificate, and a visible mark.
`generation/saved_settings.py` reads the metadata back.

Frames are uint8 RGB, [height, width, 3].
"""

import hashlib
import logging
import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .. import __version__
from .files import written_whole
from .io import TITLE


GENERATOR = "FashionFlow"
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's term for pictures made by a trained model."""

SETTINGS_FILE = "settings.json"
FIRST_FRAME_FILE = "0001.png"
USER_COMMENT_ENCODING = b"ASCII\0\0\0"  # stands before the text of EXIF's UserComment

WHOLE_FILE = 2**25  # bytes; weights in larger files are sampled for the model's hash
SAMPLES, SAMPLE_SIZE = 64, 2**16

MARK = "AI-generated"
MARK_SHARE = 0.025  # the share of the picture's area that the mark may cover

CERTIFICATE_VARIABLE = "FASHIONFLOW_C2PA_CERTIFICATE"
KEY_VARIABLE = "FASHIONFLOW_C2PA_KEY"

# All network access is off. Thumbnails are off, too, because they would be one more copy of the picture.
C2PA_SETTINGS = {
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
}
SIGNED_TYPES = {".mp4": "video/mp4", ".gif": "image/gif", ".webp": "image/webp"}

logger = logging.getLogger(__name__)


def describe(settings: dict) -> dict:
    """The metadata of a finished file: the settings, the generator, and the statement that a trained model made it."""
    return settings | {"generator": GENERATOR, "ai_generated": True, "digital_source_type": SOURCE_TYPE}


def xmp() -> str:
    """An XMP packet that names IPTC's digital source type, for the programs that look for it there."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
        'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
        f'<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{TITLE}</rdf:li></rdf:Alt></dc:description>'
        f"<xmp:CreatorTool>{GENERATOR} {__version__}</xmp:CreatorTool>"
        f"<Iptc4xmpExt:DigitalSourceType>{SOURCE_TYPE}</Iptc4xmpExt:DigitalSourceType>"
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    )


def model_hash(folder: Path | str) -> str:
    """16 hexadecimal digits that identify the weights and configs in a model folder; computed once in a process.

    The SHA-256 covers the sorted names, sizes and contents of all *.safetensors and *.json files. Files above 32 MiB (the shipped model
    has none) contribute only their header and 64 pieces of 64 KiB, evenly spaced from start to end. This is enough, because training
    changes every tensor, and it makes the hash of 5 GB of released weights quick.

    Raises:
        ValueError: if the folder holds no such file.
    """
    return _model_hash(Path(folder).resolve())


@lru_cache
def _model_hash(folder: Path) -> str:
    files = sorted(
        (path.relative_to(folder).as_posix(), path)
        for path in folder.rglob("*")
        if path.suffix in (".json", ".safetensors") and path.is_file()
    )
    if not files:
        raise ValueError(f"There is no model in the folder {str(folder)!r}.")
    digest = hashlib.sha256()
    for name, path in files:
        size = path.stat().st_size
        digest.update(f"{name}\0{size}\0".encode())
        with path.open("rb") as file:
            if size <= WHOLE_FILE:
                digest.update(file.read())
                continue
            header = int.from_bytes(file.read(8), "little")  # the length of safetensors' table of tensors
            digest.update(file.read(min(header, WHOLE_FILE)))
            for start in np.linspace(0, size - SAMPLE_SIZE, SAMPLES).astype(int):
                file.seek(start)
                digest.update(file.read(SAMPLE_SIZE))
    return digest.hexdigest()[:16]


def check_signing() -> bool:
    """Whether finished files are signed, that is, whether the environment names a certificate and its key. One small picture is signed
    as a test, so that a wrong certificate is noticed when the program starts and not when a clip is finished.

    Raises:
        ValueError: with one sentence, if a certificate or a key is named and they cannot sign.
    """
    if not (os.environ.get(CERTIFICATE_VARIABLE) or os.environ.get(KEY_VARIABLE)):
        return False
    picture = BytesIO()
    Image.new("RGB", (16, 16)).save(picture, "GIF")
    _sign(picture, BytesIO(), SIGNED_TYPES[".gif"])
    return True


def sign(path: Path | str) -> Path:
    """Adds C2PA content credentials to a finished mp4, GIF or WebP file, in place, if a certificate is configured.

    The certificate chain (the own certificate first) and the key are PEM files, named by FASHIONFLOW_C2PA_CERTIFICATE and
    FASHIONFLOW_C2PA_KEY. No network is used, so no timestamp authority confirms the time. Files of other kinds stay unchanged, and
    without a certificate all files do. A file that cannot be signed also stays unchanged, and the log says why.

    Returns:
        `path`.
    """
    path = Path(path)
    if path.suffix not in SIGNED_TYPES or not (os.environ.get(CERTIFICATE_VARIABLE) or os.environ.get(KEY_VARIABLE)):
        return path
    try:
        with written_whole(path) as unfinished, path.open("rb") as source, unfinished.open("w+b") as target:
            _sign(source, target, SIGNED_TYPES[path.suffix])
    except (ValueError, OSError) as error:
        logger.warning("%s was not signed: %s", path.name, error)
    return path


def _sign(source: BinaryIO, target: BinaryIO, media_type: str) -> None:
    """Copies a file and adds its content credentials.

    Raises:
        ValueError: with one sentence, if that fails.
    """
    try:
        import c2pa
    except ImportError as error:
        raise ValueError(
            f"Signing needs the package c2pa-python; install it, or unset {CERTIFICATE_VARIABLE} and {KEY_VARIABLE}."
        ) from error
    action = {"action": "c2pa.created", "digitalSourceType": SOURCE_TYPE}
    manifest = {
        "claim_generator_info": [{"name": GENERATOR, "version": __version__}],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
    }
    certificate, key = _pem(CERTIFICATE_VARIABLE), _pem(KEY_VARIABLE)
    try:
        algorithm, key = _algorithm_and_key(key)
        signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(algorithm, certificate, key, None))
        context = c2pa.Context(c2pa.Settings.from_dict(C2PA_SETTINGS), signer)
        with context, c2pa.Builder(manifest, context) as builder:
            builder.sign(media_type, source, target)
    # ValueError and TypeError: the key is not a key, or it has a password.
    except (c2pa.C2paError, ValueError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ValueError(
            f"The certificate in {CERTIFICATE_VARIABLE} and the key in {KEY_VARIABLE} cannot sign ({reason}); give a C2PA "
            "signing certificate with its chain and its own key without a password, both as PEM files."
        ) from error


def _pem(variable: str) -> bytes:
    try:
        return Path(os.environ.get(variable, "")).read_bytes()
    except OSError as error:
        raise ValueError(f"{variable} must name a PEM file, got {os.environ.get(variable, '')!r}.") from error


def _algorithm_and_key(key: bytes) -> tuple[str, bytes]:
    """The name of a PEM key's signing algorithm in C2PA, and the key in the form that c2pa reads (PKCS 8)."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    private = serialization.load_pem_private_key(key, password=None)
    algorithm = "ps256"  # for RSA
    if isinstance(private, ed25519.Ed25519PrivateKey):
        algorithm = "ed25519"
    elif isinstance(private, ec.EllipticCurvePrivateKey):
        algorithm = {256: "es256", 384: "es384", 521: "es512"}.get(private.curve.key_size, "es256")
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return algorithm, private.private_bytes(*form)


def mark(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The frames, all of one size, with a small "AI-generated" mark in the upper left corner, where neither a player's control bar nor
    the buttons of social apps are. The mark covers at most `MARK_SHARE` of the picture."""
    plate = None
    for frame in frames:
        if plate is None:
            plate = _plate(frame.shape[1], frame.shape[0])
        picture = Image.fromarray(frame)
        margin = min(picture.size) // 40
        picture.paste(plate.convert("RGB"), (margin, margin), plate.getchannel("A"))
        yield np.asarray(picture)


def _plate(width: int, height: int) -> Image.Image:
    """White text on a dark, half-transparent plate, RGBA: legible on light and on dark pictures."""
    for size in range(max(4, height // 24), 3, -1):
        font = ImageFont.load_default(size)
        left, top, right, bottom = (round(side) for side in font.getbbox(MARK))
        pad = max(1, size // 3)
        wide, high = right - left + 2 * pad, bottom - top + 2 * pad
        if wide * high <= MARK_SHARE * width * height:
            break
    plate = Image.new("RGBA", (wide, high), (24, 24, 24, 150))
    ImageDraw.Draw(plate).text((pad - left, pad - top), MARK, (255, 255, 255, 255), font)
    return plate
