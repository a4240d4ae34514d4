"""Advice on pictures drawn here, good and bad, and what its remedies do to them."""

import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter

from fashionflow import FashionFlowPipeline
from fashionflow.photo.checks import SENTENCES, Advice, advise, matting_in_use, remedy
from fashionflow.photo.reading import Crop, cropped, read_photo

from .drawn_photos import (
    HEIGHT,
    SKIN,
    TEAL,
    WIDTH,
    carpet,
    covered,
    keys,
    no_network,  # noqa: F401  (at work in every test)
    person,
    remedy_of,
    seen_in,
    studio,
)


EXAMPLES = sorted((Path(__file__).parents[1] / "assets" / "examples").glob("*.jpg"))
SHIPPED = Path(__file__).parents[1] / "assets" / "models" / "fashionflow-mini"


@pytest.fixture(scope="module")
def shipped():
    return FashionFlowPipeline.from_pretrained(SHIPPED, dtype=torch.float32)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_get_no_advice_from_the_shipped_model(shipped, path):
    photo = Image.open(path).convert("RGB")
    coverage, crop = shipped.coverage_of(photo), shipped.crop_of(photo)
    assert advise(photo, shipped.width, shipped.height, crop, coverage) == []


@pytest.mark.parametrize(
    ("boxes", "key"),
    [
        ([(180, 60, 330, 600)], None),
        ([(180, 60, 330, 640)], None),  # cut off below, which a model with geometry turns all the same
        ([], "no-figure"),
        ([(60, 60, 200, 600), (300, 80, 440, 600)], "several"),
        ([(0, 0, 512, 640)], "fills"),
    ],
)
def test_a_model_with_geometry_says_what_it_cannot_turn(boxes, key):
    photo = Image.effect_noise((512, 640), 80).convert("RGB")
    found = advise(photo, WIDTH, HEIGHT, Crop(), covered(*boxes))
    assert [advice.key for advice in found] == ([key] if key else [])


def with_geometry(photo: Image.Image, coverage: np.ndarray, crop: Crop = Crop()) -> list[str]:  # noqa: B008
    return [advice.key for advice in advise(photo, WIDTH, HEIGHT, crop, coverage)]


def test_a_garment_that_fills_the_picture_is_not_to_be_shown_whole():
    """One zoomed into has parts outside of the crop, and showing them would not help."""
    photo = Image.effect_noise((512, 640), 80).convert("RGB")
    assert with_geometry(photo, covered((0, 0, 512, 640)), Crop(2)) == ["fills"]
    assert with_geometry(photo, covered((40, 10, 470, 640))) == [], "its sides are seen"


def drawing(line: int) -> Image.Image:
    """The outline of a dress with pleats, on paper."""
    paper = studio()
    draw = ImageDraw.Draw(paper)
    draw.line([(210, 100), (310, 100), (290, 260), (370, 560), (150, 560), (230, 260), (210, 100)], (30, 30, 30), line)
    for x in range(180, 350, 14):
        draw.line([(256 + (x - 256) // 3, 260), (x, 560)], (30, 30, 30), line)
    return paper


def filled() -> np.ndarray:
    """What a model sees that takes `drawing` for a dress."""
    dress = Image.new("L", (512, 640))
    ImageDraw.Draw(dress).polygon([(210, 100), (310, 100), (290, 260), (370, 560), (150, 560), (230, 260)], fill=255)
    return np.asarray(dress, np.float32) / 255


@pytest.mark.parametrize("line", [2, 5])
def test_a_drawing_is_told_from_a_photo(line):
    assert with_geometry(drawing(line), filled()) == ["drawing"]
    # Pale cloth with the same pleats, before the same ground, is none.
    dress = np.asarray(drawing(line)) - (12 * (filled() > 0)).astype(np.uint8)[..., None]
    assert with_geometry(Image.fromarray(dress), filled()) == []


def test_pale_cloth_before_a_pale_ground_is_no_drawing():
    dress = np.asarray(studio()) - (8 * (filled() > 0)).astype(np.uint8)[..., None]
    assert with_geometry(Image.fromarray(dress), filled()) == []


def test_people_who_stand_close_are_several():
    pair = person(person(studio(), at=(190, 60)), at=(320, 70), dress=(150, 40, 60))
    assert with_geometry(pair, seen_in(pair)) == ["several"]
    assert with_geometry(person(studio()), seen_in(person(studio()))) == []
    straps = studio()
    draw = ImageDraw.Draw(straps)
    draw.polygon([(180, 180), (330, 180), (380, 560), (130, 560)], fill=SKIN)
    for x in (200, 310):
        draw.line([(x, 90), (x, 180)], fill=SKIN, width=24)
    assert with_geometry(straps, seen_in(straps)) == [], "a dress of skin's colour on two straps"


def test_whoever_was_cropped_away_is_not_missed():
    photo = Image.effect_noise((1024, 640), 80).convert("RGB")
    two = np.concatenate([covered((180, 60, 330, 600))] * 2, axis=1)  # [640, 1024]
    assert with_geometry(photo, two, Crop(0.5)) == ["several"]
    left = Crop(1, -1, 0)
    assert with_geometry(photo, two, left) == []
    assert with_geometry(photo, two, Crop(2, -0.5, 0)) == ["hidden"]
    _, crop = remedy("show-all", photo, WIDTH, HEIGHT, Crop(2, -0.5, 0), two)
    assert with_geometry(photo, two, crop) == [], "all of that one, and nobody else"


def soft(coverage: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(coverage, (0, 0), 60)


def test_a_model_that_does_not_see_the_edges_says_so():
    dressed, coverage = person(carpet()), soft(seen_in(person(studio())))
    (advice,) = advise(dressed, WIDTH, HEIGHT, Crop(), coverage)
    assert (advice.key, advice.remedy) == ("unclear", "clean-background")
    clean, _ = remedy("clean-background", dressed, WIDTH, HEIGHT, Crop(), coverage)
    assert matting_in_use(coverage) == "OpenCV GrabCut" and keys(clean) == []
    advice, *_ = advise(carpet(), WIDTH, HEIGHT, Crop(), coverage)
    assert (advice.key, advice.remedy) == ("unclear", None)


def test_a_cut_out_is_a_good_photo(shipped, tmp_path):
    """Behind the transparent parts black is hidden, as many programs leave it."""
    photo = Image.open(EXAMPLES[0]).convert("RGB")
    alpha = cv2.resize(shipped.coverage_of(photo), photo.size)
    colours = np.where(alpha[..., None] > 0, np.asarray(photo), 0)
    cut_out = tmp_path / "cut-out.png"
    Image.fromarray(np.dstack([colours, alpha * 255]).astype(np.uint8)).save(cut_out)
    photo = read_photo(cut_out)
    crop = shipped.crop_of(photo)
    assert advise(photo, shipped.width, shipped.height, crop, shipped.coverage_of(photo)) == []
    frame = np.asarray(shipped.fit_photo(photo))
    assert frame[:, [0, -1]].min() > 240
    # For the pipeline too, which programs give pictures of any mode.
    np.testing.assert_array_equal(np.asarray(shipped.fit_photo(Image.open(cut_out))), frame)


def test_a_good_photo_gets_no_advice():
    assert keys(person(studio())) == []


def test_every_sentence_is_one_plain_sentence():
    for key in SENTENCES:
        sentence = Advice("", key, {"width": 90, "height": 112, "clip_width": 256, "clip_height": 320}).sentence()
        assert sentence.endswith(".") and ". " not in sentence and "{" not in sentence


def test_too_small_says_how_small():
    small = person(studio()).resize((144, 180))
    (advice,) = advise(small, WIDTH, HEIGHT, Crop())
    assert advice.kind == "too-small" and advice.remedy is None
    assert "Only 144 x 180 pixels" in advice.sentence() and "256 x 320" in advice.sentence()


def test_too_small_because_of_the_zoom_is_undone():
    photo = person(studio())
    assert remedy_of(photo, "too-small", Crop(4)) == "zoom-out"
    same, crop = remedy("zoom-out", photo, WIDTH, HEIGHT, Crop(4, 0.5, -0.5))
    assert same is photo and crop == Crop(2.0, 0.5, -0.5)
    assert "too-small" not in keys(photo, crop)


@pytest.mark.parametrize("dress", [TEAL, (200, 200, 205)], ids=["teal", "pale"])
def test_blurry(dress):
    blurred = person(studio(), dress=dress).filter(ImageFilter.GaussianBlur(4))
    assert keys(blurred) == ["blurry"] and remedy_of(blurred, "blurry") == "sharpen"


def test_blur_that_the_clip_cannot_show_is_not_mentioned():
    photo = person(studio(2048, 2560), at=(1024, 240), tall=2080)
    assert keys(photo.filter(ImageFilter.GaussianBlur(7))) == []


def test_sharpening_comes_closer_to_the_sharp_photo():
    photo = person(studio())
    blurred = photo.filter(ImageFilter.GaussianBlur(3))
    sharpened, crop = remedy("sharpen", blurred, WIDTH, HEIGHT, Crop())
    truth, before, after = (np.asarray(image, float) for image in (photo, blurred, sharpened))
    assert np.square(after - truth).mean() < 0.85 * np.square(before - truth).mean()
    assert crop == Crop()


def test_too_dark_and_brightened():
    dark = person(studio()).point(lambda level: level * 0.2)
    assert keys(dark) == ["too-dark"]
    bright, _ = remedy("brighten", dark, WIDTH, HEIGHT, Crop())
    assert "too-dark" not in keys(bright)
    red, green, blue = bright.getpixel((256, 240))
    assert blue > green > 3 * red, "the dress is still teal"


@pytest.mark.parametrize("colour", [(255, 255, 255), (130, 130, 140), (0, 0, 0)])
def test_nothing_to_see(colour):
    flat = np.full((640, 512, 3), colour) + np.random.default_rng(0).normal(0, 4, (640, 512, 1))
    assert keys(Image.fromarray(flat.clip(0, 255).astype(np.uint8))) == ["no-garment"]


def test_a_crop_beside_the_garment_shows_nothing():
    wide = person(studio(1600, 640), at=(1300, 60))
    assert keys(wide, Crop(across=-1)) == ["no-garment"]


@pytest.mark.parametrize(
    "photo, crop",
    [
        (person(studio(900, 640), at=(160, 60)), Crop()),
        (person(studio(512, 1000), at=(256, 30), tall=600), Crop()),
        (person(studio()), Crop(2)),
        (person(studio()), Crop(1.2, down=-1)),
    ],
    ids=["beside", "above", "zoomed", "moved"],
)
def test_what_the_crop_hides_is_shown_by_one_tap(photo, crop):
    assert remedy_of(photo, "hidden", crop) == "show-all"
    same, crop = remedy("show-all", photo, WIDTH, HEIGHT, crop)
    assert same is photo and keys(photo, crop) == []
    frame = np.asarray(cropped(photo, WIDTH, HEIGHT, crop)).astype(int)
    ground = frame[..., 0] - frame[..., 2] > 15  # skin and hair: both ends of the person
    whole = np.argwhere(ground)[:, 0]
    left, top, right, bottom = crop.box(photo.size, WIDTH / HEIGHT)
    assert whole.min() > 0 and whole.max() < HEIGHT - 1 and right - left > 100


def test_show_all_zooms_out_beyond_the_photo():
    skirt = studio(640, 400)
    ImageDraw.Draw(skirt).polygon([(150, 60), (490, 60), (600, 340), (40, 340)], fill=TEAL)
    _, crop = remedy("show-all", skirt, WIDTH, HEIGHT, Crop())
    assert crop.zoom < 0.6
    frame = np.asarray(cropped(skirt, WIDTH, HEIGHT, crop)).astype(int)
    assert (frame[:, [0, -1]].min(axis=-1) > 200).all(), "studio on both sides"


@pytest.mark.parametrize(
    "photo, key",
    [
        (person(studio(), tall=1000), "ends-below"),
        (person(studio(), tall=640), "ends-below"),
        (person(studio(), at=(256, -120), tall=700), "ends-above"),
    ],
    ids=["waist", "ankles", "head"],
)
def test_what_the_photo_itself_cuts_off_cannot_be_shown(photo, key):
    (advice,) = advise(photo, WIDTH, HEIGHT, Crop())
    assert (advice.kind, advice.key, advice.remedy) == ("cut-off", key, None)


def test_a_plain_coloured_ground_is_not_busy():
    assert keys(person(Image.new("RGB", (512, 640), (190, 40, 70)))) == []


def test_someone_lying_in_a_wide_photo():
    lying = person(studio()).rotate(90, expand=True)
    (advice,) = advise(lying, WIDTH, HEIGHT, Crop())
    assert (advice.key, advice.remedy) == ("sideways", "show-all")
    assert keys(person(studio(900, 640), at=(450, 60))) == [], "standing in a wide photo is well"


def test_at_most_two_and_the_most_important_first():
    bad = person(carpet(900, 640), at=(200, 60)).filter(ImageFilter.GaussianBlur(4)).resize((180, 128))
    assert keys(bad) == ["hidden", "busy-background"]


def test_unknown_remedy_and_impossible_crop():
    with pytest.raises(ValueError, match="`name` must be show-all, .* got 'iron'"):
        remedy("iron", studio(), WIDTH, HEIGHT, Crop())
    for call in (advise, lambda *rest: remedy("sharpen", *rest)):
        with pytest.raises(ValueError, match="`zoom` must be"):
            call(studio(), WIDTH, HEIGHT, Crop(9))


def test_a_phone_photo_takes_no_time():
    photo = person(studio()).resize((3000, 4000))
    start = time.thread_time()  # this thread's own work, whatever else the machine does
    for _ in range(3):
        advise(photo, WIDTH, HEIGHT, Crop())
    assert (time.thread_time() - start) / 3 < 0.12  # 0.03 where nothing else runs


def test_a_strip_of_which_the_crop_shows_less_than_a_pixel_is_judged_all_the_same():
    strip = Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 2400, 3)).astype(np.uint8))
    for photo, crop in ((strip, Crop(4, 1, 1)), (strip.rotate(90, expand=True), Crop(4, 1, 1))):
        assert isinstance(advise(photo, 512, 640, crop), list)
