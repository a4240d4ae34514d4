import cv2
import numpy as np
import pytest

from fashionflow.detail import carry_detail


def texture(seed: int = 0) -> np.ndarray:
    """Large blotches with a fine pattern on them, uint8 [96, 128, 3]."""
    random = np.random.default_rng(seed)
    coarse = cv2.resize(
        random.integers(60, 200, (12, 16, 3)).astype(np.float32), (128, 96), interpolation=cv2.INTER_CUBIC
    )
    fine = cv2.resize(random.normal(0, 25, (48, 64, 1)).astype(np.float32), (128, 96), interpolation=cv2.INTER_LINEAR)
    return (coarse + fine[..., None]).clip(0, 255).astype(np.uint8)


def soft(frame: np.ndarray) -> np.ndarray:
    """What an autoencoder makes of a frame: the fine pattern is gone."""
    return cv2.GaussianBlur(frame, (0, 0), 4)


def error(frame: np.ndarray, truth: np.ndarray) -> float:
    """Root mean square difference in the middle of the picture, where nothing comes in from outside."""
    middle = slice(20, -20)
    return float(np.sqrt(np.square(frame[middle, middle].astype(float) - truth[middle, middle]).mean()))


def test_first_frame_is_the_photo_itself():
    photo = texture()
    first = next(carry_detail(photo, iter([soft(photo)]), fade=8))
    assert np.array_equal(first, photo)


def test_detail_travels_with_the_cloth():
    frames = [np.roll(texture(), 3 * index, axis=1) for index in range(4)]
    made = list(carry_detail(frames[0], map(soft, frames), fade=100))
    for truth, frame in zip(frames[1:], made[1:], strict=True):
        assert error(frame, truth) < 0.6 * error(soft(truth), truth)


def test_detail_fades_to_nothing():
    photo = texture()
    made = list(carry_detail(photo, [soft(photo)] * 6, fade=4))
    errors = [error(frame, photo) for frame in made]
    assert errors[0] == 0 and errors == sorted(errors) and errors[1] > 0
    for frame in made[4:]:
        assert np.array_equal(frame, soft(photo))


def test_detail_is_not_put_where_nothing_of_the_photo_is_seen():
    photo, other = texture(0), soft(texture(1))
    (_, second) = carry_detail(photo, [soft(photo), other], fade=100)
    assert error(second, other) < 0.35 * error(photo, soft(photo))


def test_keyframes_are_asked_for_one_at_a_time():
    asked = []
    keyframes = (asked.append(index) or soft(texture()) for index in range(3))
    next(carry_detail(texture(), keyframes, fade=8))
    assert asked == [0]


def test_photo_of_another_size_is_refused():
    with pytest.raises(ValueError, match="`photo` must be as large as the keyframes"):
        list(carry_detail(texture()[:50], [texture()], fade=8))
