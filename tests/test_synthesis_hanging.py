"""Each test names, in its docstring or its name, what it would notice breaking.

The garment is drawn here: a teal shirt with a yellow stripe down its middle, on a grainy ground.
"""

import cv2
import numpy as np
import pytest
from PIL import Image


pytest.importorskip("moderngl", reason="the synthesis extra is not installed")
pytest.importorskip("scipy", reason="the synthesis extra is not installed")

from fashionflow.training.synthesis.cloth import Cloth, back_of, followed  # noqa: E402
from fashionflow.training.synthesis.cutout import cut_out  # noqa: E402
from fashionflow.training.synthesis.dataset import ClipMaker, Recipe  # noqa: E402
from fashionflow.training.synthesis.hanging import MOTIONS, draw_motion, hanging_clip  # noqa: E402
from fashionflow.training.synthesis.hanging_stage import TEXTURE_SCALE, compose, set_stage  # noqa: E402
from fashionflow.training.synthesis.relief import Painter, Relief, inflated  # noqa: E402


SIZE = (160, 128)
TEAL, STRIPE, GROUND = (20, 130, 140), (235, 190, 30), (205, 190, 170)
SHIRT = np.array(
    [(60, 70), (95, 50), (145, 50), (180, 70), (215, 120), (190, 140), (170, 115), (180, 260), (60, 260), (70, 115)]
    + [(50, 140), (25, 120)]
)


def shirt_mask() -> np.ndarray:
    return cv2.fillPoly(np.zeros((320, 240), np.uint8), [SHIRT], 1)


def photo(garment: bool = True) -> Image.Image:
    """A photo with and without a garment, 240 x 320."""
    random = np.random.default_rng(0)
    picture = np.full((320, 240, 3), GROUND) + random.normal(0, 5, (320, 240, 1))
    if garment:
        cloth = np.full((320, 240, 3), TEAL)
        cloth[:, 110:130] = STRIPE
        picture = np.where(shirt_mask()[..., None] > 0, cloth + random.normal(0, 3, (320, 240, 1)), picture)
    # A lens mixes the colours along the outline.
    return Image.fromarray(np.clip(cv2.GaussianBlur(picture, (0, 0), 1.2), 0, 255).astype(np.uint8))


def seed_of(motion: str, direction: int, num_frames: int) -> int:
    """A seed whose clip has that motion, first towards that side."""
    for seed in range(200):
        name, yaw = draw_motion(np.random.default_rng(seed), num_frames)
        if name == motion and np.sign(yaw[num_frames // 2]) == direction:
            return seed
    raise AssertionError(f"no seed among 200 draws {motion}")


def coloured(frame: np.ndarray) -> np.ndarray:
    """Where the frame has the shirt's strong colours; the studios and the ground are pale."""
    return np.ptp(frame.astype(int), axis=-1) > 70


def test_cut_out_finds_the_drawn_outline():
    """Notices a mask that loses sleeves or takes in the ground, and colours that let the ground shine through."""
    cutout = cut_out(photo())
    found, drawn = cutout.coverage > 0.5, shirt_mask() > 0
    assert (found & drawn).sum() / (found | drawn).sum() > 0.97
    beyond = cv2.dilate(drawn.astype(np.uint8), np.ones((7, 7))) > 0
    beyond[:, 95:145] = False  # the stripe, which is nearer to the ground's colour
    # Sharp corners between sleeve and body are rounded off, so a few pixels are allowed.
    assert (np.linalg.norm(cutout.colours[beyond] - np.array(GROUND), axis=-1) < 165).mean() < 0.01


@pytest.mark.parametrize(
    "picture", [photo(garment=False), Image.new("RGB", (200, 300), "white")], ids=["ground", "white"]
)
def test_a_photo_without_a_garment_is_refused_in_one_sentence(picture):
    with pytest.raises(ValueError) as refusal:
        hanging_clip(picture, seed=0, num_frames=2, size=SIZE)
    message = str(refusal.value)
    assert message.endswith(".") and "\n" not in message and message[0].isupper()


@pytest.mark.parametrize("settings", [{"num_frames": 1}, {"frame_rate": 0}])
def test_numbers_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        hanging_clip(photo(), seed=0, **settings)


def test_the_same_seed_gives_the_same_clip():
    """Notices a draw that does not come from the seed, and a seed that is not used."""
    first, label = hanging_clip(photo(), seed=3, num_frames=4, size=SIZE)
    again, same = hanging_clip(photo(), seed=3, num_frames=4, size=SIZE)
    other, _ = hanging_clip(photo(), seed=4, num_frames=4, size=SIZE)
    assert np.array_equal(first, again) and label == same
    assert not np.array_equal(first, other)


def test_a_runway_clip_is_the_same_after_a_hanging_one(tmp_path):
    """Notices one kind of clip drawing in the other kind's OpenGL context, which leaves its frames black."""
    pytest.importorskip("anny", reason="the synthesis extra is not installed")
    photo().save(tmp_path / "shirt.png")
    maker = ClipMaker(Recipe(num_frames=2, size=(80, 64), photos=tmp_path))
    hanging = next(seed for seed in range(99) if maker.recipe.is_hanging(seed))
    runway = next(seed for seed in range(99) if not maker.recipe.is_hanging(seed))
    before, _ = maker.make(runway)
    first, label = maker.make(hanging)
    after, _ = maker.make(runway)
    assert label["kind"] == "hanging" and np.array_equal(first, maker.make(hanging)[0])
    assert before.std() > 10 and np.array_equal(before, after)


def test_the_label_describes_the_clip():
    frames, label = hanging_clip(photo(), seed=5, num_frames=7, size=SIZE)
    assert frames.shape == (7, *SIZE, 3) and frames.dtype == np.uint8
    assert label["motion"] in MOTIONS and label["kind"] == "hanging"
    assert len(label["yaw"]) == 7 and label["yaw"][0] == 0
    assert label["distance"] == [0.0] * 7


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_frame_0_is_the_still_photo(seed):
    """Notices a turn, a ripple, a shade, a shift by half a pixel or a mirrored picture at rest."""
    frames, _ = hanging_clip(photo(), seed=seed, num_frames=2, size=SIZE)
    random = np.random.default_rng(seed)
    draw_motion(random, 2)
    stage = set_stage(cut_out(photo()), SIZE, random)
    left, top = (int(side) * TEXTURE_SCALE for side in stage.corner)
    flat = np.zeros((SIZE[0] * TEXTURE_SCALE, SIZE[1] * TEXTURE_SCALE, 4), np.float32)
    rows = slice(max(top, 0), min(top + len(stage.cloth), len(flat)))
    columns = slice(max(left, 0), min(left + stage.cloth.shape[1], flat.shape[1]))
    inside = stage.cloth[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    covered = (inside[..., 3:] > 127).astype(np.float32)
    flat[rows, columns] = np.concatenate([inside[..., :3] * covered, covered], axis=-1)
    still = compose(cv2.resize(flat, SIZE[::-1], interpolation=cv2.INTER_AREA), stage, 0, 0)
    difference = np.abs(frames[0].astype(int) - still)
    assert difference.mean() < 1
    assert np.quantile(difference, 0.99) < 24


@pytest.mark.parametrize("direction", [-1, 1])
def test_a_positive_yaw_turns_the_front_towards_the_right(direction):
    """Notices a sign turned over anywhere between the label and the pixels."""
    frames, label = hanging_clip(photo(), seed_of("turn_back", direction, 7), num_frames=7, size=SIZE)
    frame = frames[np.argmax(np.abs(label["yaw"]))]
    red, green, blue = np.moveaxis(frame.astype(int), -1, 0)
    # Only rows of the body, where the sleeves do not move the middle.
    body = slice(SIZE[0] // 2, SIZE[0] * 2 // 3)
    stripe = np.nonzero(((red > blue + 60) & (red > green))[body])[1].mean()
    whole = np.nonzero(coloured(frame)[body])[1]
    middle = (whole.min() + whole.max()) / 2
    assert (stripe - middle) * direction > 2
    assert np.sign(label["yaw"][3]) == direction


def test_the_garment_keeps_its_colour_while_it_turns_round():
    """Notices shading that runs away, a black inside that shows, and a back of another colour."""
    frames, _ = hanging_clip(photo(), seed_of("spin", 1, 9), num_frames=9, size=SIZE)
    lab = [cv2.cvtColor(frame.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[coloured(frame)] for frame in frames]
    means = np.array([np.median(colours, axis=0) for colours in lab])
    assert np.linalg.norm(means - means[0], axis=1).max() < 9
    assert np.linalg.norm(means[-1] - means[0]) < 3


def test_the_body_is_closed_and_keeps_its_depth_from_all_sides():
    """Notices tears between front and back, and a garment as thin as cardboard."""
    stage = set_stage(cut_out(photo()), SIZE, np.random.default_rng(1))
    relief = Relief(stage.coverage, depth=0.4)
    yaw = np.linspace(0, 360, 13)
    cloth = Cloth(relief, stage.corner, stage.pivot, SIZE, yaw, 4.0, 0.01, np.random.default_rng(1))
    painter = Painter(SIZE)
    try:
        painter.load(relief, stage.cloth, back_of(stage.cloth))
        pictures = [painter.draw(points := cloth.points(frame), cloth.shades(points)) for frame in range(len(yaw))]
    finally:
        painter.release()
    for picture in pictures:
        _, _, statistics, _ = cv2.connectedComponentsWithStats(
            np.pad(picture[..., 3] < 0.5, 1, constant_values=True).astype(np.uint8)
        )
        assert len(statistics) == 2, "a hole in the garment"
    areas = np.array([picture[..., 3].sum() for picture in pictures])
    assert areas.min() > 0.2 * areas[0]


def test_the_hem_follows_the_shoulders_later_and_settles():
    """Notices springs that are rigid, unstable or never come to rest."""
    turn = np.concatenate([np.linspace(0, 1.5, 8), np.full(40, 1.5)])
    angles, speeds = followed(turn, 8.0, np.array([30.0, 8.0]), 0.55)
    assert angles[0].tolist() == [0, 0] and speeds[0].tolist() == [0, 0]
    assert angles[4, 1] < angles[4, 0] - 0.1
    assert angles[:, 1].max() > 1.52  # it overshoots
    assert np.allclose(angles[-1], 1.5, atol=0.01) and np.allclose(speeds[-1], 0, atol=0.01)


def test_the_relief_is_highest_inside_flat_at_the_sides_and_open_at_the_hem():
    mask = np.zeros((60, 40), bool)
    mask[5:55, 5:35] = True
    height = inflated(mask)
    assert height.max() == 1 and height[~mask].max() < 1
    assert height[30, 5] == 0 and height[5, 20] == 0
    assert height[54, 20] > 0.8


def test_a_logo_stays_on_the_front_and_a_print_all_over_goes_round():
    """Notices a back that mirrors the lettering, and one that loses a pattern."""
    cloth = np.full((300, 240, 4), 255, np.uint8)
    cloth[..., :3] = TEAL
    logo = cloth.copy()
    for column in range(90, 150, 12):
        logo[80:130, column : column + 6, :3] = 250
    plain = np.array(TEAL) * 0.94
    assert np.abs(back_of(logo)[..., :3] - plain).max() < 12
    print_all_over = cloth.copy()
    print_all_over[(np.indices((300, 240)) // 12).sum(axis=0) % 2 == 0, :3] = 250
    assert np.allclose(back_of(print_all_over)[..., :3], print_all_over[..., :3] * 0.94, atol=1)
