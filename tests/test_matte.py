"""Coverage that follows the photo's colours and edges."""

import time

import cv2
import numpy as np
import pytest

from fashionflow.photo.matte import CLEAR, matte, whole

from .discs import GREEN, HEIGHT, WIDTH, disc, photo_of


def test_specks_are_dropped_and_pieces_of_the_figure_kept_with_their_soft_edges():
    coverage = np.zeros((HEIGHT, WIDTH), np.float32)
    coverage[20:140, 20:70], coverage[20:140, 19] = 1, 0.1
    coverage[60:100, 80:100] = 1  # a sleeve that lies apart: 13 per cent
    coverage[5:13, 110:118] = 1  # a mistake: 1 per cent
    coverage[150:158, 5:120] = 0.3  # a shadow: never more than half
    kept = whole(coverage)
    assert kept[80, 40] and kept[80, 90] and kept[80, 19]
    assert not kept[8, 112] and not kept[154, 60] and not kept[80, 75]
    assert not whole(np.zeros((9, 9), np.float32)).any()


@pytest.mark.parametrize("off", [-2, 2])
def test_the_matte_follows_a_clear_edge_that_the_prediction_missed(off):
    truth = np.zeros((24, 512), np.float32)
    truth[:, 200:320] = 1
    predicted = cv2.GaussianBlur(np.roll(truth, off, axis=1), (0, 0), 1.5)
    found = matte(photo_of(truth), predicted)
    assert found.min() >= 0 and found.max() <= 1
    wrong = (found > CLEAR) != (truth > CLEAR)
    assert wrong.sum(1).max() <= 2 < ((predicted > CLEAR) != (truth > CLEAR)).sum(1).min()
    assert np.abs(found - truth).sum() < 0.75 * np.abs(predicted - truth).sum()


def test_a_print_does_not_shine_through_the_matte():
    truth = disc(60)
    photo = photo_of(truth)
    photo[::2][truth[::2] > 0.99] = GREEN  # rows in the colour of the ground
    found = matte(photo, cv2.GaussianBlur(truth, (0, 0), 1))
    assert found[disc(57) > 0.99].min() > 0.99


def test_a_strip_many_times_as_high_as_wide_is_no_more_work():
    """Enlarged to a width that suits other pictures, this one would have 26 million pixels."""
    truth = np.zeros((1024, 10), np.float32)
    truth[300:700, 2:8] = 1
    start = time.perf_counter()
    found = matte(photo_of(truth), truth)
    assert time.perf_counter() - start < 2
    assert found[320:680, 4:6].min() > 0.9 and found[:280].max() < 0.1
