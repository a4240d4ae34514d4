"""The crop that can be moved and zoomed: where it lies, what it shows, and what it makes of the space beyond the photo."""

import numpy as np
import pytest
from PIL import Image

from fashionflow.photo.reading import Crop, crop_box, cropped, fit


WIDTH, HEIGHT = 64, 80


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def studio(leg: bool = False) -> Image.Image:
    """A backdrop that darkens downwards, 160 x 200, with a red garment, and a leg that the lower edge cuts off."""
    shades = np.linspace(240, 180, 200).round().astype(np.uint8)
    photo = Image.fromarray(np.broadcast_to(shades[:, None, None], (200, 160, 3)).copy())
    photo.paste("red", (60, 60, 100, 140))
    if leg:
        photo.paste("black", (74, 140, 86, 200))
    return photo


@pytest.mark.parametrize("size", [(64, 80), (401, 533), (533, 400), (97, 300), (50, 64), (1001, 77)])
def test_an_untouched_crop_is_the_usual_one(size):
    photo = noise(*size)
    np.testing.assert_array_equal(cropped(photo, WIDTH, HEIGHT, Crop()), fit(photo, WIDTH, HEIGHT, "crop"))


@pytest.mark.parametrize(
    "crop, words",
    [
        (Crop(zoom=0.4), "`zoom` must be 0.5 to 4.0, got 0.4."),
        (Crop(zoom=4.1), "`zoom` must be 0.5 to 4.0, got 4.1."),
        (Crop(zoom=float("nan")), "`zoom` must be 0.5 to 4.0, got nan."),
        (Crop(across=-1.01), "`across` must be -1 to 1, got -1.01."),
        (Crop(down=2), "`down` must be -1 to 1, got 2."),
    ],
)
def test_an_impossible_crop_is_refused_in_one_sentence(crop, words):
    with pytest.raises(ValueError) as caught:
        cropped(studio(), WIDTH, HEIGHT, crop)
    assert str(caught.value) == words


@pytest.mark.parametrize(
    "crop, box",
    [
        (Crop(), (20, 0, 180, 200)),
        (Crop(across=-1), (0, 0, 160, 200)),
        (Crop(across=1, down=1), (40, 0, 200, 200)),
        (Crop(2), (60, 50, 140, 150)),
        (Crop(2, across=1, down=-0.5), (120, 25, 200, 125)),
        (Crop(2, down=1), (60, 100, 140, 200)),
        (Crop(0.8), (0, -25, 200, 225)),
        (Crop(0.8, down=1), (0, 0, 200, 250)),
    ],
)
def test_the_crop_moves_between_the_edges(crop, box):
    assert crop.box((200, 200), 0.8) == pytest.approx(box)


def test_a_crop_zoomed_in_never_leaves_the_photo():
    random = np.random.default_rng(1)
    for _ in range(300):
        width, height = random.integers(64, 900, 2)
        crop = Crop(random.uniform(1, 4), *random.choice([-1, 1, random.uniform(-1, 1)], 2))
        left, top, right, bottom = crop.box((width, height), 0.8)
        assert 0 <= left < right <= width + 1e-6 and 0 <= top < bottom <= height + 1e-6
        assert (right - left) / (bottom - top) == pytest.approx(0.8, abs=0.02)


def test_zooming_out_ends_around_the_whole_photo():
    assert Crop(0.5).box((160, 200), 0.8) == pytest.approx((-12, -15, 172, 215))
    left, top, right, bottom = Crop(0.55).box((300, 200), 0.8)
    assert left > 0 and right < 300, "a wide photo may be zoomed out further than that"


def test_the_photo_lies_where_the_crop_says():
    photo = studio()
    red = np.asarray(cropped(photo, 160, 200, Crop(0.9)))
    reds = np.argwhere((red[..., 0] > 200) & (red[..., 1] < 60))
    np.testing.assert_allclose(reds.min(axis=0), (100 + 0.9 * (60 - 100), 80 + 0.9 * (60 - 80)), atol=1.1)
    np.testing.assert_allclose(reds.max(axis=0) + 1, (100 + 0.9 * (140 - 100), 80 + 0.9 * (100 - 80)), atol=1.1)


@pytest.mark.parametrize("zoom", [0.9, 1.5])
def test_moving_the_crop_right_and_down_moves_the_garment_left_and_up(zoom):
    def place(crop):
        frame = np.asarray(cropped(studio(), WIDTH, HEIGHT, crop)).astype(int)
        return np.argwhere(frame[..., 0] - frame[..., 1] > 100).mean(axis=0)

    assert (place(Crop(zoom, 1, 1)) < place(Crop(zoom)) - 2).all()
    assert (place(Crop(zoom, -1, -1)) > place(Crop(zoom)) + 2).all()


def test_the_backdrop_continues_in_its_own_shades():
    frame = np.asarray(cropped(studio(), 160, 200, Crop(0.87))).astype(int)
    inner = round(200 * 0.87)
    start = (200 - inner) // 2
    for column in (0, 159):  # each row has its own shade
        expected = np.linspace(240, 180, inner)
        np.testing.assert_allclose(frame[start : start + inner, column, 0], expected, atol=5)
    np.testing.assert_allclose(frame[0, :, 0], 240, atol=3)
    np.testing.assert_allclose(frame[-1, :, 0], 180, atol=3)


def test_a_floor_that_reaches_both_sides_goes_on():
    photo = np.full((200, 100, 3), 220, np.uint8)  # a wall
    photo[184:] = (60, 50, 40)  # the floor
    photo[60:90, 80:] = (200, 30, 30)  # a sleeve at one edge, which is no background
    frame = np.asarray(cropped(Image.fromarray(photo), 160, 200, Crop(1.0 / 1.6))).astype(int)
    for column in (2, 157):
        np.testing.assert_allclose(frame[196, column], (60, 50, 40), atol=12)
        np.testing.assert_allclose(frame[150, column], 220, atol=12)
        np.testing.assert_allclose(frame[75, column], 220, atol=25)


def test_what_the_photo_cuts_off_leaves_no_stripe():
    frame = np.asarray(cropped(studio(leg=True), 160, 200, Crop(0.87, down=1))).astype(int)
    assert frame[160, 80].max() < 30, "the leg itself stays"
    below = frame[-8:, 60:100]
    assert below.min() > 140


@pytest.mark.parametrize("mode", ["crop", "pad", "stretch"])
def test_every_model_takes_the_crop_as_it_is(mode):
    frame = cropped(noise(300, 200), WIDTH, HEIGHT, Crop(0.7, 0.3, -0.2))
    assert frame.size == (WIDTH, HEIGHT) and frame.mode == "RGB"
    np.testing.assert_array_equal(fit(frame, WIDTH, HEIGHT, mode), frame)


def test_fine_fabric_turns_grey_when_zoomed_out():
    weave = Image.fromarray((np.indices((400, 320)).sum(axis=0) % 2 * 255).astype(np.uint8)).convert("RGB")
    frame = np.asarray(cropped(weave, 50, 62, Crop(0.9)))
    np.testing.assert_allclose(frame[10:-10, 10:-10], 127.5, atol=12)


def test_crop_box_is_where_an_untouched_crop_lies():
    assert Crop().box((401, 533), 0.8) == crop_box((401, 533), 0.8)
