"""Photos drawn here, good and bad, and the advice that they get, for tests of what a photo is checked for."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from fashionflow.photo import background
from fashionflow.photo.checks import advise
from fashionflow.photo.reading import Crop


WIDTH, HEIGHT = 256, 320
TEAL, SKIN = (20, 120, 130), (214, 160, 130)


@pytest.fixture(autouse=True)
def no_network(tmp_path, monkeypatch):
    """Whatever matting networks this machine may have, GrabCut is at work here."""
    monkeypatch.setenv("U2NET_HOME", str(tmp_path))
    background._make_session.cache_clear()
    yield
    background._make_session.cache_clear()


def studio(width: int = 512, height: int = 640) -> Image.Image:
    """A plain backdrop, a little darker below."""
    shades = np.linspace(250, 225, height).round().astype(np.uint8)
    return Image.fromarray(np.broadcast_to(shades[:, None, None], (height, width, 3)).copy())


def carpet(width: int = 512, height: int = 640) -> Image.Image:
    """Blotches of red, cream and brown; nothing of the garment's colour."""
    colours = np.uint8([(150, 40, 40), (225, 205, 170), (90, 60, 40), (190, 110, 70)])
    blotches = np.random.default_rng(2).integers(0, 4, (height // 24, width // 24))
    return Image.fromarray(colours[blotches]).resize((width, height), Image.Resampling.BICUBIC)


def person(ground: Image.Image, at: tuple[int, int] = (256, 60), tall: int = 520, dress=TEAL) -> Image.Image:
    """Someone in a dress: `at` is the top of the head, `tall` the height in pixels. May run out of the picture."""
    photo = ground.copy()
    draw = ImageDraw.Draw(photo)
    unit = tall / 100

    def place(*points):
        return [(at[0] + x * unit, at[1] + y * unit) for x, y in points]

    draw.rectangle(place((-6, 60), (-2, 100)), fill=SKIN)
    draw.rectangle(place((2, 60), (6, 100)), fill=SKIN)
    draw.polygon(place((-9, 17), (9, 17), (7, 38), (16, 72), (-16, 72), (-7, 38)), fill=dress)
    draw.line(place((-10, 18), (-16, 48)), fill=SKIN, width=round(4 * unit))
    draw.line(place((10, 18), (16, 48)), fill=SKIN, width=round(4 * unit))
    draw.ellipse(place((-6, 0), (6, 15)), fill=(90, 60, 40))
    draw.rectangle(place((-3, 13), (3, 18)), fill=SKIN)
    for y in range(20, 72, 8):
        draw.line(place((-6, y), (6, y)), fill=(240, 230, 120), width=round(unit))
    return photo.filter(ImageFilter.GaussianBlur(0.7))


def covered(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """The coverage of upright figures, (left, top, right, bottom) each, in a photo of 512 x 640 pixels."""
    coverage = np.zeros((640, 512), np.float32)
    for left, top, right, bottom in boxes:
        coverage[top:bottom, left:right] = 1
    return coverage


def seen_in(photo: Image.Image) -> np.ndarray:
    """The coverage of what differs from a plain ground."""
    ground = np.asarray(photo)[:, :1].astype(int)
    return (np.abs(np.asarray(photo) - ground).max(axis=-1) > 30).astype(np.float32)


def keys(photo: Image.Image, crop: Crop = Crop()) -> list[str]:  # noqa: B008  (it cannot be changed)
    return [advice.key for advice in advise(photo, WIDTH, HEIGHT, crop)]


def remedy_of(photo: Image.Image, key: str, crop: Crop = Crop()) -> str | None:  # noqa: B008
    (advice,) = [advice for advice in advise(photo, WIDTH, HEIGHT, crop) if advice.key == key]
    return advice.remedy
