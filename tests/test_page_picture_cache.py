"""Pictures on their way to the browser."""

import os
import threading
import time

import gradio as gr
import numpy as np
import pytest
from gradio import processing_utils
from PIL import Image

import fashionflow.page  # noqa: F401  (which replaces Gradio's function)


@pytest.fixture
def picture() -> gr.Image:
    """What the page shows previews with."""
    return gr.Image(format="png")


def test_a_picture_that_is_shown_again_is_whole_at_every_moment(picture):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8))
    path = picture.postprocess(noise).path
    size, seen, ended = os.path.getsize(path), set(), threading.Event()

    def look():
        while not ended.is_set():
            seen.add(os.path.getsize(path))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for _ in range(20):
            assert picture.postprocess(noise).path == path
    finally:
        ended.set()
        looking.join()
    assert seen == {size}
    assert os.listdir(os.path.dirname(path)) == ["image.png"]


def test_a_picture_that_was_deleted_is_written_again_and_one_that_is_used_again_stays_longer(picture):
    grey = Image.new("RGB", (40, 60), "grey")
    path = picture.postprocess(grey).path
    os.utime(path, (0, 0))
    assert picture.postprocess(grey).path == path and time.time() - os.path.getmtime(path) < 60
    os.unlink(path)
    assert Image.open(picture.postprocess(grey).path).size == (40, 60)


def test_gradio_still_calls_the_function_that_is_replaced():
    with pytest.raises(KeyError):  # which Gradio answers with a PNG
        processing_utils.save_pil_to_cache(Image.new("RGB", (4, 4)), "unused", format="nothing")
    assert gr.Image(format="nothing").postprocess(Image.new("RGB", (4, 4))).path.endswith(".png")
