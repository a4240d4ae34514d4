"""A busy background is cleaned, or the photo is left as it was; which network or method cuts the figure out."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from fashionflow.photo import background
from fashionflow.photo.checks import clean_background, matting_in_use, remedy
from fashionflow.photo.reading import Crop

from .drawn_photos import (
    HEIGHT,
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


def test_busy_background_is_cleaned():
    photo = person(carpet())
    assert remedy_of(photo, "busy-background") == "clean-background"
    clean, _ = remedy("clean-background", photo, WIDTH, HEIGHT, Crop())
    assert keys(clean) == [] and clean.size == photo.size
    pixels = np.asarray(clean).astype(int)
    assert (pixels[:40] == background.BACKDROP).all() and (pixels[:, :60] == background.BACKDROP).all()
    np.testing.assert_allclose(clean.getpixel((256, 240)), photo.getpixel((256, 240)), atol=1)


def test_the_old_background_leaves_no_seam():
    """Red ground, white afterwards: along the dress there is neither red nor a mixture with it, nor between the legs."""
    photo = np.asarray(person(Image.new("RGB", (512, 640), (200, 20, 30)))).astype(float)
    photo += np.random.default_rng(0).normal(0, 6, photo.shape)  # a camera's noise
    clean = clean_background(Image.fromarray(photo.clip(0, 255).astype(np.uint8)))
    skirt = np.asarray(clean).astype(int)[330:425, 150:362]
    assert (skirt[..., 0] - skirt[..., 1]).max() < 45
    light = skirt.sum(axis=-1)
    assert ((light > 400) & (light < 700)).mean() > 0.06, "the edge is soft"
    assert clean.getpixel((256, 520)) == (background.BACKDROP,) * 3


def test_what_a_model_with_geometry_sees_is_cut_out():
    """White before near white: colour alone would leave arms and legs."""
    shirt = person(studio(), dress=(252, 252, 250))
    mask = seen_in(person(studio()))
    with pytest.raises(ValueError, match="The background was left as it is"):
        clean_background(shirt)
    clean = clean_background(shirt, cv2.resize(mask, (128, 160), interpolation=cv2.INTER_AREA))
    assert matting_in_use(mask) == "geometry"
    pixels, inside = np.asarray(clean).astype(int), cv2.erode(mask, np.ones((13, 13))) > 0
    np.testing.assert_allclose(pixels[inside], np.asarray(shirt)[inside], atol=1)
    outside = cv2.dilate(mask, np.ones((25, 25))) == 0
    assert np.ptp(pixels[outside]) == 0
    with pytest.raises(ValueError, match="covers 2% of the photo"):
        clean_background(shirt, covered((200, 200, 280, 280)))


def test_a_white_garment_stands_before_grey():
    dress = Image.new("RGB", (512, 640), (60, 110, 60))
    ImageDraw.Draw(dress).polygon([(190, 120), (320, 120), (400, 540), (110, 540)], fill=(248, 248, 246))
    assert clean_background(dress).getpixel((10, 10)) == (background.DARKER_BACKDROP,) * 3


def test_a_large_photo_keeps_its_size_and_its_detail():
    photo = person(carpet(1536, 1920), at=(768, 180), tall=1560)
    clean = clean_background(photo)
    assert clean.size == photo.size
    inside = np.s_[560:900, 720:810]
    np.testing.assert_array_equal(np.asarray(clean)[inside], np.asarray(photo)[inside])


def close_up() -> Image.Image:
    """A sweater with a large print that fills most of the photo: where it ends cannot be told by colour."""
    photo = Image.new("RGB", (512, 640), (190, 160, 120))
    ImageDraw.Draw(photo).rectangle((66, 60, 446, 640), fill=(60, 65, 80))
    ImageDraw.Draw(photo).rectangle((166, 200, 346, 440), fill=(180, 190, 220))
    noise = np.random.default_rng(0).normal(0, 5, (640, 512, 3))
    return Image.fromarray((np.asarray(photo) + noise).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("photo", [carpet(), studio(), close_up()], ids=["carpet", "empty", "close-up"])
def test_what_cannot_be_cut_out_is_left_alone(photo):
    with pytest.raises(ValueError, match="The background was left as it is, because .*; choose a photo"):
        clean_background(photo)


def test_a_figure_far_away_is_left_alone():
    with pytest.raises(ValueError, match="covers 4% of the photo"):
        clean_background(person(studio(), at=(256, 190), tall=250))


def test_a_remedy_that_would_be_refused_is_not_offered():
    assert remedy_of(carpet(), "busy-background") is None


def test_grabcut_is_in_use_where_no_weights_lie():
    assert matting_in_use() == "OpenCV GrabCut"


def test_a_matting_network_is_used_if_it_is_here(tmp_path, monkeypatch):
    """rembg's own code with a network of one layer that takes the brightest channel for the garment."""
    pytest.importorskip("rembg")
    onnx = pytest.importorskip("onnx")
    number = onnx.TensorProto.FLOAT
    network = onnx.helper.make_graph(
        [onnx.helper.make_node("ReduceMax", ["photo"], ["mask"], axes=[1], keepdims=1)],
        "brightest",
        [onnx.helper.make_tensor_value_info("photo", number, [1, 3, 320, 320])],
        [onnx.helper.make_tensor_value_info("mask", number, [1, 1, 320, 320])],
    )
    model = onnx.helper.make_model(network, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, tmp_path / "u2netp.onnx")
    assert matting_in_use() == "rembg u2netp"
    photo = Image.new("RGB", (300, 400), (20, 20, 20))
    photo.paste((200, 40, 40), (80, 60, 220, 380))
    clean = clean_background(photo)
    assert min(clean.getpixel((10, 10))) > 235
    np.testing.assert_allclose(clean.getpixel((150, 200)), (200, 40, 40), atol=25)
