"""Is the garment still that of the photo? On published colours, on rendered clips, and on what was done to them."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from fashionflow.evaluation.colour_difference import delta_e_2000, palette, palette_difference, to_lab
from fashionflow.evaluation.fidelity import MOST_FRAMES, SENTENCES, Fidelity, Garment, fidelity
from fashionflow.evaluation.garment_region import find_figure, garment_bottom
from fashionflow.video.io import read_frames


CLIPS = Path(__file__).parent / "data" / "clips"
TURNING, PRINTED = "001007", "001067"  # a plain dress that turns, a print that sways

# Sharma, Wu and Dalal 2005, table 1: L, a, b of two colours and their difference. The odd ones are near the formula's jumps.
PUBLISHED = """
50 2.6772 -79.7751 50 0 -82.7485 2.0425
50 3.1571 -77.2803 50 0 -82.7485 2.8615
50 2.8361 -74.0200 50 0 -82.7485 3.4412
50 -1.3802 -84.2814 50 0 -82.7485 1
50 -1.1848 -84.8006 50 0 -82.7485 1
50 -0.9009 -85.5211 50 0 -82.7485 1
50 0 0 50 -1 2 2.3669
50 -1 2 50 0 0 2.3669
50 2.49 -0.001 50 -2.49 0.0009 7.1792
50 2.49 -0.001 50 -2.49 0.0010 7.1792
50 2.49 -0.001 50 -2.49 0.0011 7.2195
50 2.49 -0.001 50 -2.49 0.0012 7.2195
50 -0.001 2.49 50 0.0009 -2.49 4.8045
50 -0.001 2.49 50 0.0010 -2.49 4.8045
50 -0.001 2.49 50 0.0011 -2.49 4.7461
50 2.5 0 50 0 -2.5 4.3065
50 2.5 0 73 25 -18 27.1492
50 2.5 0 61 -5 29 22.8977
50 2.5 0 56 -27 -3 31.9030
50 2.5 0 58 24 15 19.4535
50 2.5 0 50 3.1736 0.5854 1
50 2.5 0 50 3.2972 0 1
50 2.5 0 50 1.8634 0.5757 1
50 2.5 0 50 3.2592 0.3350 1
60.2574 -34.0099 36.2677 60.4626 -34.1751 39.4387 1.2644
63.0109 -31.0961 -5.8663 62.8187 -29.7946 -4.0864 1.2630
61.2901 3.7196 -5.3901 61.4292 2.2480 -4.9620 1.8731
35.0831 -44.1164 3.7933 35.0232 -40.0716 1.5901 1.8645
22.7233 20.0904 -46.6940 23.0331 14.9730 -42.5619 2.0373
36.4612 47.8580 18.3852 36.2715 50.5065 21.2231 1.4146
90.8027 -2.0831 1.4410 91.1528 -1.6435 0.0447 1.4441
90.9257 -0.5406 -0.9208 88.6381 -0.8985 -0.7239 1.5381
6.7747 -0.2908 -2.4247 5.8714 -0.0985 -2.2286 0.6377
2.0776 0.0795 -1.1350 0.9033 -0.0636 -0.5514 0.9082
"""


@pytest.fixture(scope="module")
def turning() -> np.ndarray:
    return read_frames(CLIPS / f"{TURNING}.mp4")[::3]


@pytest.fixture(scope="module")
def printed() -> np.ndarray:
    return read_frames(CLIPS / f"{PRINTED}.mp4")[::3]


def with_hue(frames: np.ndarray, degrees: int) -> np.ndarray:
    turned = []
    for frame in frames:
        colours = cv2.cvtColor(frame, cv2.COLOR_RGB2HSV)
        colours[..., 0] = (colours[..., 0].astype(int) + degrees // 2) % 180
        turned.append(cv2.cvtColor(colours, cv2.COLOR_HSV2RGB))
    return np.stack(turned)


def dissolved(frames: np.ndarray) -> np.ndarray:
    """Frames half of which is blotchy noise."""
    generator = np.random.default_rng(0)
    height, width = frames.shape[1:3]
    result = []
    for frame in frames:
        noise = cv2.resize(generator.normal(0, 60, (height // 4, width // 4, 3)), (width, height))
        result.append(np.clip(0.5 * frame + 0.5 * (cv2.blur(frame, (25, 25)) + noise), 0, 255).astype(np.uint8))
    return np.stack(result)


def judged(colour: float, similarity: float) -> Fidelity:
    return Fidelity(np.arange(3), np.arange(3.0), np.full(3, colour), np.full(3, similarity), True)


def test_colour_difference_is_that_of_the_publication():
    table = np.array([line.split() for line in PUBLISHED.split("\n") if line], dtype=np.float64)  # [34, 7]
    assert table.shape == (34, 7)
    first, second = table[:, :3], table[:, 3:6]
    np.testing.assert_allclose(delta_e_2000(first, second), table[:, 6], atol=1e-4)
    np.testing.assert_allclose(delta_e_2000(second, first), table[:, 6], atol=1e-4)


def test_lightness_may_count_half():
    darker = delta_e_2000([60.0, 20, 20], [50.0, 20, 20]), delta_e_2000([60.0, 20, 20], [50.0, 20, 20], 2.0)
    assert darker[0] == pytest.approx(2 * darker[1])
    redder = delta_e_2000([60.0, 20, 20], [60.0, 40, 20]), delta_e_2000([60.0, 20, 20], [60.0, 40, 20], 2.0)
    assert redder[0] == pytest.approx(redder[1])


def test_palettes_forgive_other_shares_and_not_other_colours():
    blue, white, red = np.array([40.0, 10, -50]), np.array([95.0, 0, 0]), np.array([50.0, 60, 40])

    def cloth(colour: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
        return palette(np.repeat([colour, white], [int(1000 * share), int(1000 * (1 - share))], axis=0))

    assert palette_difference(cloth(blue, 0.5), cloth(blue, 0.5)) == pytest.approx(0, abs=1e-9)
    assert palette_difference(cloth(blue, 0.7), cloth(blue, 0.5)) < 3
    assert palette_difference(cloth(red, 0.5), cloth(blue, 0.5)) > 8
    # All of it in a colour that the photo has only a little of.
    assert palette_difference(cloth(blue, 1.0), cloth(blue, 0.1)) > 8


@pytest.mark.parametrize("name", [TURNING, PRINTED])
def test_the_photo_itself_is_the_same(name):
    photo = read_frames(CLIPS / f"{name}.mp4")[0]
    colour, similarity = Garment(photo).compare(photo)
    assert colour == 0
    assert similarity == pytest.approx(1, abs=1e-5)


def test_a_garment_that_only_turns_is_kept(turning, printed):
    for clip in (turning, printed):
        result = fidelity(clip, clip[0])
        assert result.found
        assert result.sentence_key == "kept"


def test_another_colour_is_seen_and_is_no_other_pattern(turning, printed):
    for clip in (turning, printed):
        assert fidelity(with_hue(clip, 60), clip[0]).sentence_key in ("colour slightly off", "colour lost")


def test_a_pattern_that_dissolves_is_seen(printed):
    result = fidelity(dissolved(printed), printed[0])
    assert result.sentence_key in ("pattern lost", "both lost")
    assert result.similarity.max() < fidelity(printed, printed[0]).similarity.min()


def test_a_pattern_that_smears_is_seen(printed):
    """A blurred patch looks like something smooth in the photo; that there is less detail gives it away."""
    smeared = np.stack([cv2.GaussianBlur(frame, (0, 0), 5) for frame in printed])
    true, result = fidelity(printed, printed[0]), fidelity(smeared, printed[0])
    assert np.median(result.similarity) < np.median(true.similarity) - 0.12
    assert np.median(result.colour_difference) < 3


def test_pattern_is_found_again_where_somebody_is_farther_away(printed):
    height, width = printed.shape[1:3]
    size = round(0.7 * width), round(0.7 * height)
    rows, columns = height - size[1], width - size[0]
    sides = rows - rows // 2, rows // 2, columns // 2, columns - columns // 2
    far = cv2.copyMakeBorder(cv2.resize(printed[0], size, interpolation=cv2.INTER_AREA), *sides, cv2.BORDER_REPLICATE)
    assert find_figure(far).height < 0.8 * find_figure(printed[0]).height
    colour, similarity = Garment(printed[0]).compare(far)
    assert colour < 2
    assert similarity > 0.88  # 0.92; unscaled 0.83


def test_garment_ends_where_its_colours_end(turning):
    """Colour is that of the dress: other shoes and another head are no other garment."""
    photo = turning[0]
    figure = find_figure(photo)
    bottom = garment_bottom(to_lab(photo), figure)
    assert 0.45 < bottom < 0.9
    other = photo.copy()
    for rows in (slice(0, figure.row(0.12)), slice(figure.row(bottom + 0.08), None)):
        other[rows][figure.mask[rows]] = (20, 220, 20)
    colour, similarity = Garment(photo).compare(other)
    assert colour < 0.5
    assert similarity > 0.95


def test_white_cloth_on_white_is_found():
    photo = np.full((320, 256, 3), 244, np.uint8)
    cv2.rectangle(photo, (90, 60), (166, 250), (255, 255, 255), -1)
    cv2.circle(photo, (128, 42), 18, (120, 80, 60), -1)
    cv2.rectangle(photo, (105, 250), (151, 300), (30, 30, 30), -1)
    garment = Garment(photo)
    assert garment.found
    cream = photo.copy()
    cream[60:250, 90:166] = (250, 225, 190)
    assert garment.compare(cream)[0] > 6


def test_without_a_garment_everything_is_compared():
    plain = np.full((96, 64, 3), 200, np.uint8)
    result = fidelity(np.stack([plain, plain, plain - 60]), plain)
    assert not result.found
    np.testing.assert_allclose(result.colour_difference[:2], 0)
    assert result.colour_difference[2] > 5


def test_long_clips_are_judged_evenly_from_an_iterator(printed):
    count = 5 * MOST_FRAMES
    result = fidelity((printed[index % 2] for index in range(count)), printed[0], fps=20)
    assert len(result.indices) == len(result.similarity) == MOST_FRAMES
    assert result.indices[0] == 0 and result.indices[-1] >= count - 8
    assert np.diff(result.indices).max() <= 2 * np.diff(result.indices).min()
    np.testing.assert_allclose(result.seconds, result.indices / 20)


def test_photos_and_frames_of_any_size_are_compared(printed):
    large = cv2.resize(printed[0], None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    result = fidelity(printed[:2], large)
    assert result.similarity.min() > 0.85
    np.testing.assert_allclose(fidelity(large[None], printed[0]).similarity, result.similarity[0], atol=0.12)


def test_every_verdict_has_its_sentence():
    found = {judged(colour, similarity).sentence_key for colour in (1, 4, 9) for similarity in (0.9, 0.6, 0.3)}
    assert found == set(SENTENCES)
    assert judged(9, 0.9).verdict == judged(1, 0.3).verdict == "lost"
    assert judged(4, 0.3).sentence == SENTENCES["pattern lost"]
    json.dumps(SENTENCES)


def test_a_quarter_of_the_frames_decides():
    """A print that dissolves only towards the end has dissolved."""
    similarity = np.where(np.arange(10) < 7, 0.9, 0.3)
    assert Fidelity(np.arange(10), np.arange(10.0), np.zeros(10), similarity, True).verdict != "kept"


def test_wrong_input_says_what_to_change(printed):
    with pytest.raises(ValueError, match="`frames` must hold at least one frame, got none"):
        fidelity([], printed[0])
    with pytest.raises(ValueError, match=r"`photo` must be uint8 RGB, \[height, width, 3\], got float64"):
        fidelity(printed, printed[0] / 255)
    with pytest.raises(ValueError, match="`frames` must be uint8 RGB.*got str"):
        fidelity(["clip.mp4"], printed[0])


def test_a_frame_without_any_garment_is_judged_too():
    """Such as one that the model has dissolved into its background."""
    photo = np.full((96, 64, 3), 245, np.uint8)
    photo[20:90, 20:44] = (180, 30, 40)
    judged = fidelity(np.stack([photo, np.full_like(photo, 245)]), photo, 8)
    assert judged.similarity[0] > 0.9 > judged.similarity[1]


def before_a_carpet(dress: tuple[int, int, int]) -> np.ndarray:
    """A striped dress before a pattern that is as different from row to row as from column to column."""
    carpet = np.random.default_rng(0).integers(0, 256, (20, 16, 3), np.uint8)
    photo = cv2.resize(carpet, (256, 320), interpolation=cv2.INTER_NEAREST)
    photo[40:300, 106:150] = dress
    photo[60:300:20, 106:150] //= 2
    return photo


def seen_by_a_model(picture) -> np.ndarray:
    """The coverage of the dress, at another size than the picture's."""
    coverage = np.zeros((160, 128), np.float32)
    coverage[20:150, 53:75] = 1
    return coverage


def test_where_a_model_sees_the_garment_other_colours_around_it_do_not_hide_a_change():
    photo, other = before_a_carpet((180, 40, 60)), before_a_carpet((180, 40, 100))
    assert fidelity(other[None], photo).sentence_key == "kept"
    assert fidelity(other[None], photo, coverage_of=seen_by_a_model).sentence_key == "colour lost"
    assert fidelity(photo[None], photo, coverage_of=seen_by_a_model).colour_difference[0] == 0


def test_what_lies_around_the_garment_is_no_garment():
    photo = before_a_carpet((180, 40, 60))
    other = photo[::-1, ::-1].copy()
    other[40:300, 106:150] = photo[40:300, 106:150]
    result = fidelity(np.stack([other]), photo, coverage_of=seen_by_a_model)
    assert result.colour_difference[0] < 0.5 and result.similarity[0] > 0.95


def test_a_model_that_sees_nothing_compares_everything():
    photo = before_a_carpet((180, 40, 60))
    result = fidelity(photo[None], photo, coverage_of=lambda picture: np.zeros((160, 128), np.float32))
    assert not result.found and result.similarity[0] > 0.99
