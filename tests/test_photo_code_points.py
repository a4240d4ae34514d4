"""Pictures that name their colours by two numbers instead of a profile."""

import struct
import zlib
from io import BytesIO

import pillow_heif
import pytest
from PIL import Image, ImageCms

from fashionflow.photo.reading import read_photo


P3, BT_2020, SRGB, LINEAR, PQ, HLG = 12, 9, 13, 8, 16, 18
NEARLY = 3  # what compression and rounding change


def picture(kind: str, colour: tuple, primaries: int, transfer: int, **options) -> bytes:
    """A file of one colour that names its primaries and its transfer function."""
    pillow_heif.register_heif_opener()
    file = BytesIO()
    Image.new("RGB", (96, 96), colour).save(file, kind, quality=100, **options)
    content = bytearray(file.getvalue())
    if kind == "PNG":
        chunk = b"cICP" + bytes([primaries, transfer, 0, 1])
        content[33:33] = struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    else:
        struct.pack_into(">HH", content, content.index(b"colrnclx") + 8, primaries, transfer)
    return bytes(content)


def shown(content: bytes) -> tuple:
    return read_photo(content).getpixel((50, 50))


@pytest.mark.parametrize("kind", ["PNG", "AVIF", "HEIF"])
@pytest.mark.parametrize(
    ("colour", "primaries", "transfer", "meant"),
    [
        ((234, 51, 35), P3, SRGB, (255, 0, 0)),
        ((234, 51, 35), 1, SRGB, (234, 51, 35)),
        ((128, 128, 128), P3, SRGB, (128, 128, 128)),
        ((128, 128, 128), 1, LINEAR, (188, 188, 188)),
        ((97, 97, 97), BT_2020, PQ, (100, 100, 100)),  # a grey card, and white, as BT.2408 has them
        ((148, 148, 148), BT_2020, PQ, (255, 255, 255)),
        ((97, 97, 97), BT_2020, HLG, (100, 100, 100)),
        ((191, 191, 191), BT_2020, HLG, (255, 255, 255)),
    ],
)
def test_colours_named_by_number_are_shown_as_they_are_meant(kind, colour, primaries, transfer, meant):
    got = shown(picture(kind, colour, primaries, transfer))
    assert max(abs(a - b) for a, b in zip(got, meant, strict=True)) <= NEARLY, got


def test_a_profile_counts_more_and_an_unknown_number_changes_nothing():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert shown(picture("PNG", (234, 51, 35), P3, SRGB, icc_profile=profile))[0] <= 235
    assert shown(picture("PNG", (234, 51, 35), 77, SRGB)) == (234, 51, 35)
    assert shown(picture("PNG", (234, 51, 35), P3, 99)) == (234, 51, 35)
