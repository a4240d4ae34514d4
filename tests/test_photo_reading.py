"""Every kind of upload, good and bad, as real files made here. Each test notices one thing going wrong."""

import time
import warnings
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from fashionflow.photo.reading import MAX_PIXELS, MIN_SIDE, PhotoError, crop_box, fit, read_photo


CLIP = Path(__file__).parent / "data" / "clips" / "001007.mp4"
SIZE = (96, 128)
GREY = (120, 120, 120)


def picture(mode: str = "RGB", size: tuple[int, int] = SIZE) -> Image.Image:
    """Red above blue: which way is up can be seen."""
    image = Image.new("RGB", size, "red")
    image.paste("blue", (0, size[1] // 2, size[0], size[1]))
    return image.convert(mode)


def saved(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """The start of a PNG of this size, whose pixels never follow."""
    fields = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\x00\x00\x00"
    chunk = b"IHDR" + fields
    start = b"\x89PNG\r\n\x1a\n" + len(fields).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    return start + (1000).to_bytes(4, "big") + b"IDAT"


def refusal(source) -> str:
    """The sentence that refuses an upload, after checking that it is one."""
    with pytest.raises(PhotoError) as caught:
        read_photo(source)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message and ". " not in message
    for jargon in ("PIL", "object at 0x", "Error", "errno"):
        assert jargon not in message
    return message


def assert_colour(image: Image.Image, at: tuple[int, int], colour: tuple[int, int, int], tolerance: int = 3) -> None:
    np.testing.assert_allclose(image.getpixel(at), colour, atol=tolerance)


@pytest.mark.parametrize("kind", ["path", "text", "bytes", "file", "stream", "image"])
def test_every_kind_of_source(tmp_path, kind):
    content = saved(picture())
    path = tmp_path / "dress.png"
    path.write_bytes(content)
    read_to_its_end = BytesIO(content)
    read_to_its_end.read()

    class Stream(BytesIO):
        def seekable(self):
            return False

        def seek(self, *_):
            raise OSError("cannot seek")

    sources = {
        "path": path,
        "text": str(path),
        "bytes": content,
        "file": read_to_its_end,
        "stream": Stream(content),
        "image": picture(),
    }
    photo = read_photo(sources[kind])
    assert photo.mode == "RGB" and photo.size == SIZE
    assert np.array_equal(np.asarray(photo), np.asarray(picture()))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "AVIF", "HEIF", "MPO"])
def test_content_decides_and_not_the_name(tmp_path, kind):
    path = tmp_path / "dress.jpg"
    path.write_bytes(saved(picture(), kind))
    photo = read_photo(path)
    assert_colour(photo, (48, 20), (255, 0, 0), tolerance=8)
    assert_colour(photo, (48, 108), (0, 0, 255), tolerance=8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photo_stands_upright(orientation):
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    upright = picture()
    upright.paste("lime", (0, 0, 30, 30))
    stored = upright.transpose(turn[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = read_photo(saved(stored, exif=exif))
    assert np.array_equal(np.asarray(photo), np.asarray(upright))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_camera_notes_do_not_matter():
    photo = read_photo(saved(picture(), exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7f"))
    assert photo.size == SIZE


def test_transparent_parts_become_studio_white():
    cut_out = picture("RGBA")
    cut_out.putpixel((0, 0), (0, 0, 0, 0))
    cut_out.putpixel((1, 0), (0, 0, 0, 128))
    photo = read_photo(saved(cut_out))
    assert photo.getpixel((0, 0)) == (255, 255, 255)
    assert_colour(photo, (1, 0), (127, 127, 127))
    assert photo.getpixel((48, 20)) == (255, 0, 0)


@pytest.mark.parametrize("mode", ["LA", "P", "L", "RGB"])
def test_every_way_to_say_transparent(mode):
    """A second channel, a palette entry, or one colour that is declared to be see-through."""
    if mode == "LA":
        image, options = Image.new("LA", SIZE, (0, 0)), {}
    else:
        image, options = Image.new(mode, SIZE), {"transparency": (0, 0, 0) if mode == "RGB" else 0}
    assert read_photo(saved(image, **options)).getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK"])
def test_every_colour_mode(mode):
    kind = "PNG" if mode in "1LP" else "TIFF"
    photo = read_photo(saved(Image.new("RGB", SIZE, "white").convert(mode), kind))
    assert photo.mode == "RGB"
    assert_colour(photo, (5, 5), (255, 255, 255))


@pytest.mark.parametrize(
    "kind, levels",
    [
        ("PNG", np.uint16([0, 32768, 65535])),
        ("TIFF", np.uint16([0, 32768, 65535])),
        ("TIFF", np.int32([0, 32768, 65535])),
        ("TIFF", np.int32([0, 128, 255])),
        ("TIFF", np.float32([0, 0.5, 1])),
        ("TIFF", np.float32([0, 127.5, 255])),
        ("TIFF", np.float32([np.nan, 50_000, 100_000])),
    ],
)
def test_16_and_32_bit_pictures_keep_their_greys(kind, levels):
    image = Image.fromarray(np.repeat(np.repeat(levels, 40)[None], 80, axis=0))
    photo = read_photo(saved(image, kind))
    for column, grey in ((20, 0), (60, 128), (100, 255)):
        assert_colour(photo, (column, 40), (grey,) * 3, tolerance=1)


def test_dark_16_bit_picture_stays_dark():
    photo = read_photo(saved(Image.fromarray(np.full((80, 80), 200, np.uint16))))
    assert_colour(photo, (5, 5), (1, 1, 1), tolerance=1)


def test_animated_picture_gives_its_first_frame():
    for kind in ("GIF", "WEBP", "PNG"):
        content = saved(picture(), kind, save_all=True, append_images=[Image.new("RGB", SIZE, "lime")] * 2)
        assert_colour(read_photo(content), (48, 20), (255, 0, 0), tolerance=8)


def test_colour_profile_is_converted():
    """A profile whose red and blue are swapped would show the dress in the wrong colour if it were ignored."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = profile.index(b"rXYZ"), profile.index(b"bXYZ")
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    photo = read_photo(saved(picture(), icc_profile=bytes(profile)))
    assert_colour(photo, (48, 20), (0, 0, 255), tolerance=4)
    assert not photo.info


def test_ordinary_or_damaged_profile_changes_nothing():
    usual = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (usual, b"no profile at all"):
        photo = read_photo(saved(Image.new("RGB", SIZE, GREY), icc_profile=profile))
        assert_colour(photo, (5, 5), GREY, tolerance=1)


def test_image_handed_in_is_left_alone():
    image = picture("RGBA")
    image.info["icc_profile"] = b"kept"
    read_photo(image).paste("black", (0, 0, *SIZE))
    assert image.mode == "RGBA" and image.info["icc_profile"] == b"kept"
    assert image.getpixel((48, 20)) == (255, 0, 0, 255)


@pytest.mark.parametrize("source", [None, ""])
def test_no_photo(source):
    assert "No photo was given" in refusal(source)


def test_missing_file_folder_and_impossible_name(tmp_path):
    for name in (tmp_path / "nothing.jpg", tmp_path, "nul\0byte.jpg"):
        assert "There is no photo at" in refusal(name)


def test_empty_file(tmp_path):
    (tmp_path / "dress.jpg").touch()
    for source in (b"", BytesIO(), tmp_path / "dress.jpg"):
        assert "The file is empty" in refusal(source)


@pytest.mark.parametrize(
    "content",
    [
        b"x",
        b"a note about a dress",
        b"<!doctype html><img src=dress.jpg>",
        b"%PDF-1.7\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
    ],
)
def test_not_a_picture(tmp_path, content):
    (tmp_path / "dress.jpg").write_bytes(content)
    assert "not a picture" in refusal(tmp_path / "dress.jpg")


def test_formats_that_start_other_programs_are_not_even_opened():
    assert "not a picture" in refusal(saved(picture(), "EPS"))


def test_a_video_is_named_and_a_broken_photo_of_an_iphone_is_no_video():
    assert "is a video" in refusal(CLIP)
    assert "damaged" in refusal(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00" + bytes(100))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
@pytest.mark.parametrize("kept", [0.99, 0.5, 0.02])
def test_truncated_picture(kind, kept):
    pixels = np.random.default_rng(0).integers(0, 256, (128, 96, 3), np.uint8)
    content = saved(Image.fromarray(pixels), kind)
    message = refusal(content[: max(1, int(len(content) * kept))])
    assert "damaged" in message or "not a picture" in message


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_flipped_bits_never_show_a_library_error():
    generator = np.random.default_rng(0)
    for kind in ("JPEG", "PNG", "GIF", "TIFF", "WEBP"):
        content = np.frombuffer(saved(picture(), kind), np.uint8)
        for _ in range(40):
            broken = content.copy()
            broken[generator.integers(0, min(200, len(broken)), 8)] ^= generator.integers(1, 256, 8, np.uint8)
            try:
                read_photo(broken.tobytes())
            except PhotoError as error:
                assert "\n" not in str(error)


@pytest.mark.parametrize("size", [(1, 1), (MIN_SIDE - 1, 500), (500, MIN_SIDE - 1)])
def test_too_small(size):
    assert f"{size[0]} x {size[1]} pixels" in refusal(saved(picture(size=size)))


def test_smallest_photo_is_taken():
    assert read_photo(saved(picture(size=(MIN_SIDE, MIN_SIDE)))).size == (MIN_SIDE, MIN_SIDE)


@pytest.mark.parametrize("width, height", [(20_000, 20_000), (10_000, 10_000), (MAX_PIXELS // 100 + 1, 100)])
def test_too_large_is_refused_by_its_header(width, height):
    """There are no pixels in the file: decoding them would fail with another sentence."""
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        message = refusal(png_header(width, height))
    assert "64 million is the most" in message
    assert time.perf_counter() - start < 0.5


def test_too_large_image_in_memory():
    assert "8000 x 8001 pixels" in refusal(Image.new("1", (8000, 8001)))


def test_a_phones_largest_photo_is_taken_and_decoded_at_half_its_size():
    photo = read_photo(saved(picture("L", (8192, 6144)), "JPEG"))
    assert photo.size == (4096, 3072) and photo.mode == "RGB"


def display_p3() -> bytes:
    """The profile of today's phones: sRGB's with wider primaries, CIE XYZ under D50 as 16.16 fixed-point numbers."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    primaries = {
        b"rXYZ": (0.51512, 0.24120, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.15710, 0.06657, 0.78407),
    }
    for tag, colour in primaries.items():
        entry = profile.index(tag)
        data = int.from_bytes(profile[entry + 4 : entry + 8], "big") + 8
        profile[data : data + 12] = b"".join(round(v * 65536).to_bytes(4, "big", signed=True) for v in colour)
    return bytes(profile)


def test_a_wide_gamut_photo_keeps_its_colour():
    """A Display P3 photo: its (234, 51, 35) is the reddest red of sRGB."""
    photo = read_photo(saved(Image.new("RGB", SIZE, (234, 51, 35)), "JPEG", quality=100, icc_profile=display_p3()))
    assert_colour(photo, (40, 40), (255, 0, 0), tolerance=4)


@pytest.mark.parametrize("kind", ["text", "profile"])
def test_a_png_with_megabytes_beside_its_pixels_is_read(kind):
    much = "x" * (3 * 2**20)
    notes = PngImagePlugin.PngInfo()
    notes.add_text("XML:com.adobe.xmp", much, zip=True)
    options = {"pnginfo": notes} if kind == "text" else {"icc_profile": much.encode()}
    assert read_photo(saved(picture(), **options)).getpixel((48, 20)) == (255, 0, 0)


def test_something_else_altogether_is_the_programmers_mistake():
    for source in (7, np.zeros((80, 80, 3), np.uint8)):
        with pytest.raises(TypeError, match="`source` must be a path, bytes, an open file or a PIL image, got"):
            read_photo(source)


@pytest.mark.parametrize(
    "size, aspect, box",
    [
        ((100, 200), 0.5, (0, 0, 100, 200)),
        ((100, 200), 1.0, (0, 50, 100, 150)),
        ((300, 100), 0.8, (110, 0, 190, 100)),
        ((101, 100), 1.0, (0, 0, 100, 100)),
        ((64, 64), 100.0, (0, 31, 64, 32)),
    ],
)
def test_crop_box_is_the_largest_and_central(size, aspect, box):
    assert crop_box(size, aspect) == box


@pytest.mark.parametrize("aspect", [0, -1.0, float("nan")])
def test_crop_box_refuses_an_impossible_aspect(aspect):
    with pytest.raises(ValueError, match="`aspect` must be above 0"):
        crop_box((10, 10), aspect)


def test_crop_keeps_shapes_and_pad_keeps_everything():
    wide = Image.new("RGB", (300, 100), GREY)
    wide.paste("red", (0, 20, 20, 80))
    cropped = np.asarray(fit(wide, 80, 100, "crop"))
    assert cropped.shape == (100, 80, 3) and (cropped == GREY).all()
    padded = fit(wide, 80, 100, "pad")
    assert padded.size == (80, 100)
    assert_colour(padded, (2, 50), (255, 0, 0), tolerance=12)
    for corner in ((0, 0), (79, 0), (0, 99), (79, 99)):
        assert padded.getpixel(corner) == GREY


def test_stretch_uses_the_whole_width():
    image = Image.new("RGB", (300, 100), "red")
    image.paste("blue", (150, 0, 300, 100))
    stretched = fit(image, 80, 100, "stretch")
    assert stretched.size == (80, 100)
    assert stretched.getpixel((2, 50)) == (255, 0, 0) and stretched.getpixel((77, 50)) == (0, 0, 255)


@pytest.mark.parametrize("mode", ["crop", "pad", "stretch"])
def test_fine_fabric_turns_grey_and_not_striped(mode):
    """Reducing without antialiasing picks single threads of the weave."""
    weave = np.indices((400, 320)).sum(axis=0) % 2 * 255
    reduced = np.asarray(fit(Image.fromarray(weave.astype(np.uint8)).convert("RGB"), 50, 70, mode))
    np.testing.assert_allclose(reduced[10:-10, 10:-10], 127.5, atol=12)


def test_unknown_fit_is_refused():
    with pytest.raises(ValueError, match="`mode` must be crop, pad or stretch, got 'cover'"):
        fit(picture(), 64, 80, "cover")
