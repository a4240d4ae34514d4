"""What programs may send the page: unusual photos become clips, and whatever is wrong gets one plain sentence."""

import zlib
from pathlib import Path

import httpx
import pytest
from gradio_client import Client
from PIL import Image

from fashionflow.generation.queue import JobQueue
from fashionflow.video.io import read_frames

from . import tiny
from .programs import animate, refused_photo
from .serve import serve


@pytest.fixture(scope="module")
def url():
    with serve(JobQueue(tiny.pipeline())) as url:
        yield url


@pytest.fixture(scope="module")
def client(url, tmp_path_factory):
    return Client(url, verbose=False, download_files=tmp_path_factory.mktemp("downloads"))


def png_of_20000_pixels() -> bytes:
    header = b"IHDR" + (20_000).to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00"
    start = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0d" + header + zlib.crc32(header).to_bytes(4, "big")
    return start + b"\x00\x00\x03\xe8IDAT"


def bad_upload(kind: str, path: Path) -> Path:
    if kind == "not an image":
        path.write_text("This is a letter, not a picture.")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "too large":
        path.write_bytes(png_of_20000_pixels())
    elif kind == "too small":
        Image.new("RGB", (1, 1)).save(path)
    else:
        tiny.photo().save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


BAD_UPLOADS = {
    "not an image": "not a picture",
    "empty": "file is empty",
    "too large": "64 million is the most",
    "too small": "too small",
    "truncated": "damaged",
}


@pytest.mark.parametrize("kind", BAD_UPLOADS)
def test_bad_uploads_get_one_sentence_and_the_next_job_works(client, dress, tmp_path, capfd, kind):
    sentence = refused_photo(client, bad_upload(kind, tmp_path / "upload.png"))
    assert BAD_UPLOADS[kind] in sentence
    assert "Traceback" not in capfd.readouterr().err
    animate(client, dress)


@pytest.mark.parametrize("meta", [{"meta": {"_type": "gradio.FileData"}}, {}])
def test_no_file_of_the_server_can_be_named_as_a_photo(url, dress, meta):
    """The path comes from the visitor. Only what was uploaded may be opened, or photos could be fetched by their path."""
    inputs = [{"path": str(dress), "orig_name": "photo.png", **meta}, "spin", None, 1, 4, 3, "dpm++"]
    call = httpx.post(f"{url}gradio_api/call/animate", json={"data": inputs})
    told = httpx.get(f"{url}gradio_api/call/animate/{call.json()['event_id']}", timeout=60).text
    assert "event: error" in told and ".mp4" not in told


def test_no_photo_gets_one_sentence(client, capfd):
    assert "choose a photo" in refused_photo(client, None)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"frames": 1}, "`frames`"),
        ({"frames": 1000}, "`frames`"),
        ({"frames": 4.5}, "`frames`"),
        ({"steps": 0}, "`steps`"),
        ({"steps": 100_000}, "`steps`"),
        ({"seed": -2}, "`seed`"),
        ({"seed": 2**40}, "`seed`"),
        ({"seed": "first"}, "`seed`"),
        ({"motion": "fly"}, "`motion`"),
        ({"motion": 5}, "`motion`"),
        ({"turn_angle": 1e9}, "`turn_angle`"),
        ({"sampler": "magic"}, "`sampler`"),
        ({"sampler": ["ddim"]}, "`sampler`"),
    ],
)
def test_values_out_of_range_get_one_sentence(client, dress, capfd, changes, named):
    assert named in refused_photo(client, dress, **changes)
    assert "Traceback" not in capfd.readouterr().err


def good_upload(kind: str, folder: Path) -> Path:
    picture = tiny.photo()
    if kind == "wrong extension":
        picture.save(folder / "photo.png")
        return (folder / "photo.png").rename(folder / "photo.jpg")
    if kind == "no extension":
        picture.save(folder / "photo.png")
        return (folder / "photo.png").rename(folder / "photo")
    if kind == "16 bits":
        Image.new("I;16", (96, 128), 40_000).save(folder / "photo.png")
    elif kind == "palette with alpha":
        picture.quantize(16).save(folder / "photo.png", transparency=3)
    elif kind == "CMYK":
        picture.convert("CMYK").save(folder / "photo.jpg")
    elif kind == "animated":
        picture.save(folder / "photo.gif", save_all=True, append_images=[picture.rotate(180)])
    else:
        exif = Image.Exif()
        exif[274] = 6
        picture.save(folder / "photo.jpg", exif=exif)
    return next(folder.glob("photo*"))


@pytest.mark.parametrize(
    "kind", ["wrong extension", "no extension", "16 bits", "palette with alpha", "CMYK", "animated", "rotated"]
)
def test_unusual_photos_become_clips(client, tmp_path, kind):
    clip, _ = animate(client, good_upload(kind, tmp_path))
    assert len(read_frames(clip)) >= 4
