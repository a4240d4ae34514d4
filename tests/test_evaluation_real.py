"""The measures of clips of real photos, each on frames with a known answer."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from fashionflow.evaluation.clip_labels import read_labels
from fashionflow.evaluation.people import FACE_SEEN, FaceFinder, FigureFinder
from fashionflow.evaluation.real_judge import MEASURES, Judge, summarise
from fashionflow.evaluation.real_measures import AROUND, Asked, colour, ghosts, haze, missed, sharpness
from fashionflow.video.io import read_frames

from .test_evaluation_networks import needs


CLIPS = Path(__file__).parent / "data" / "clips"
HEIGHT, WIDTH = 160, 128
TOP, BOTTOM, MIDDLE = 20, 140, 64


def dress(wide: int, tall: int = BOTTOM - TOP) -> np.ndarray:
    """A red dress with fine lines across and broad ones along, drawn 40 x 120 and then squeezed or enlarged, uint8 [tall, wide, 3]."""
    across = 30 * np.sin(np.arange(120))
    along = 40 * np.sin(np.arange(40) / 2.0)
    grey = 110 + across[:, None] + along[None]
    picture = np.stack([grey + 60, grey - 40, grey - 30], axis=-1).clip(0, 255).astype(np.uint8)
    return cv2.resize(picture, (wide, tall), interpolation=cv2.INTER_CUBIC)


def scene(widths: tuple[int, ...] = (40, 36, 30, 26, 22, 20)) -> Asked:
    """The dress before a wall with a little noise, squeezed as by a turn to so many pixels in each frame."""
    wall = np.random.default_rng(0).integers(198, 203, (HEIGHT, WIDTH, 1), dtype=np.uint8).repeat(3, axis=2)
    frames = wall[None].repeat(len(widths), axis=0)
    outline = np.zeros(frames.shape[:3], bool)
    for frame, region, wide in zip(frames, outline, widths, strict=True):
        place = slice(TOP, BOTTOM), slice(MIDDLE - wide // 2, MIDDLE - wide // 2 + wide)
        frame[place], region[place] = dress(wide), True
    turn = np.degrees(np.arccos(np.array(widths) / 40))
    return Asked(frames[0], frames, outline, outline, turn, np.ones(len(widths)))


@pytest.fixture
def asked() -> Asked:
    return scene()


def blurred(frames: np.ndarray, region: np.ndarray, sigma: float) -> np.ndarray:
    soft = np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in frames])
    return np.where(region[..., None], soft, frames)


def test_a_turn_keeps_the_sharpness_and_a_blur_does_not(asked):
    assert sharpness(asked.warped, asked) == pytest.approx(1, abs=0.02)
    soft = blurred(asked.warped, asked.outline, 1.0)
    assert sharpness(soft, asked).max() < 0.7
    beside = blurred(asked.warped, ~asked.outline, 3.0)
    assert sharpness(beside, asked) == pytest.approx(1, abs=0.02)


def test_coming_nearer_is_no_blur_and_a_figure_without_edges_has_no_sharpness(asked):
    frames, outline = asked.warped[:2].copy(), asked.outline[:2].copy()
    place = slice(5, 155), slice(MIDDLE - 25, MIDDLE + 25)
    frames[1][place], outline[1][place] = dress(50, 150), True
    near = Asked(frames[0], frames, outline, outline, np.zeros(2), np.array([1.0, 1.25]))
    assert sharpness(frames, near)[1] == pytest.approx(1, abs=0.06)
    assert sharpness(frames, replace(near, size=np.ones(2)))[1] < 0.85
    plain = np.full_like(frames, 200)
    assert np.isnan(sharpness(plain, replace(near, photo=plain[0]))).all()
    nothing = np.zeros_like(outline)
    assert np.isnan(sharpness(frames, replace(near, outline=nothing))).all()


def test_a_glow_around_the_figure_is_haze(asked):
    assert haze(asked.warped, asked) == pytest.approx(1, abs=0.05)
    glow = blurred(asked.warped, ~asked.outline, 4.0)
    assert haze(glow, asked)[1:].min() > 1.3
    inside = blurred(asked.warped, asked.inside, 4.0)
    assert haze(inside, asked) == pytest.approx(haze(asked.warped, asked))


def test_ghosts_are_what_changes_where_the_figure_never_was(asked):
    free = asked.outside > AROUND
    assert (ghosts(asked.warped, asked) == 0).all()
    ghost = asked.warped.copy()
    patch = np.zeros((HEIGHT, WIDTH), bool)
    patch[40:100, 100:115] = True
    ghost[2][patch] -= 50
    expected = 50 * patch.sum() / (free[0] & free[2]).sum()
    assert ghosts(ghost, asked) == pytest.approx([0, 0, expected, 0, 0, 0])
    other_figure = asked.warped.copy()
    other_figure[asked.outside <= AROUND / 2] = 0
    other_figure[0] = asked.photo
    assert (ghosts(other_figure, asked) == 0).all()  # where it was in frame 0 is no ghost either


def test_fading_and_recoloured_figures_are_seen_in_the_last_third(asked):
    assert colour(asked.warped, asked) == {"saturation": pytest.approx(1), "colour": pytest.approx(0)}
    grey = asked.warped.mean(-1, keepdims=True)
    faded = np.where(asked.outline[..., None], asked.warped * 0.5 + grey * 0.5, asked.warped).astype(np.uint8)
    late, early = asked.warped.copy(), asked.warped.copy()
    late[4:], early[:4] = faded[4:], faded[:4]
    scores = colour(late, asked)
    assert 0.4 < scores["saturation"] < 0.6 and scores["colour"] > 5
    assert colour(early, asked)["saturation"] == pytest.approx(1)
    nothing_of_the_photo = replace(asked, front=np.zeros_like(asked.front))
    assert np.isnan(list(colour(late, nothing_of_the_photo).values())).all()
    wall = np.full_like(asked.warped, 128)
    assert np.isnan(colour(wall, replace(asked, warped=wall))["saturation"])  # grey has none


def test_what_the_geometry_missed_is_a_share_of_the_figure(asked):
    figure = asked.outline[0].copy()
    assert missed(figure, asked) == 0
    figure[BOTTOM + 2 : BOTTOM + 12, MIDDLE - 20 : MIDDLE + 20] = True  # shoes
    assert missed(figure, asked) == pytest.approx(400 / (4800 + 400))
    assert np.isnan(missed(np.zeros_like(figure), asked))


def test_cracks_of_the_outline_belong_to_the_figure(asked):
    cracked = asked.outline.copy()
    cracked[:, TOP + 10 : BOTTOM - 10, MIDDLE] = False
    whole = replace(asked, outline=cracked)
    assert (whole.whole == asked.outline).mean() > 0.999
    assert not whole.outside[:, TOP + 10 : BOTTOM - 10, MIDDLE].any()


def test_a_jump_at_the_start_and_missing_weights(asked, tmp_path, monkeypatch):
    monkeypatch.setenv("FASHIONFLOW_CACHE", str(tmp_path))
    judge = Judge()
    assert [remark.split(":")[0] for remark in judge.remarks] == [
        "turn_error was left out",
        "face was left out",
        "missed was left out",
    ]
    values, curves = judge(asked.warped, asked)
    jumped = asked.warped.copy()
    jumped[1:] += 20
    assert values["first_step"] < 1.5 < judge(jumped, asked)[0]["first_step"]
    assert values.keys() == {measure.key for measure in MEASURES}
    assert np.isnan(values["turn_error"]) and curves["sharpness"].shape == (6,)


@needs("pose")
def test_turns_are_measured_in_turning_clips_alone(asked):
    pytest.importorskip("ai_edge_litert")
    yaw = np.array(read_labels(CLIPS)["001167"]["yaw"])[::4]
    frames = read_frames(CLIPS / "001167.mp4")[::4]
    nowhere = np.zeros(frames.shape[:3], bool)
    judge, clip = Judge(), Asked(frames[0], frames, nowhere, nowhere, yaw - yaw[0], np.ones(len(yaw)))
    still = np.repeat(frames[:1], len(frames), axis=0)
    assert judge(frames, clip)[0]["turn_error"] < 25 < judge(still, clip)[0]["turn_error"]
    assert np.isnan(judge(frames, replace(clip, turn=clip.turn / 20))[0]["turn_error"])


@needs("face")
def test_faces_are_found_where_they_should_be():
    pytest.importorskip("ai_edge_litert")
    portrait = pytest.importorskip("skimage.data").astronaut()
    covered = portrait.copy()
    covered[60:220, 160:300] = 128
    finder = FaceFinder()
    assert finder(portrait) >= FACE_SEEN > finder(covered)
    frames = np.stack([portrait, portrait, covered, covered, portrait, portrait])
    nowhere = np.zeros(frames.shape[:3], bool)
    clip = Asked(portrait, frames, nowhere, nowhere, np.array([0.0, 20, 40, 150, 180, 340]), np.ones(6))
    values, _ = Judge()(frames, clip)
    assert values["face"] == pytest.approx(2 / 3) and values["face_behind"] == pytest.approx(1 / 2)
    values, _ = Judge()(frames, replace(clip, photo=covered))
    assert np.isnan(values["face"]) and np.isnan(values["face_behind"])


@needs("figure")
def test_the_figure_is_found_by_another_network():
    pytest.importorskip("ai_edge_litert")
    frame = read_frames(CLIPS / "001007.mp4")[0]
    figure = FigureFinder()(frame)
    height, width = frame.shape[:2]
    assert figure.shape == (height, width) and figure[height // 3 : height // 2, width // 2].all()
    assert not figure[:, :4].any() and 0.05 < figure.mean() < 0.5


def test_the_table_says_the_median_clip_and_the_worst_photo():
    measures = {measure.key: measure for measure in MEASURES}
    clips = {
        "a": {"sway": {"sharpness": 1.0, "face": 1.0}, "walk": {"sharpness": 0.9, "face": np.nan}},
        "b": {"sway": {"sharpness": 1.1, "face": 0.5}},
        "c": {"sway": {"sharpness": 0.6, "face": np.nan}},
    }
    assert summarise(clips, measures["sharpness"]) == {
        "median": pytest.approx(0.95),
        "worst": 0.6,
        "worst_photo": "c",
        "n": 4,
    }
    assert summarise(clips, measures["face"])["worst"] == 0.5
    assert summarise(clips, measures["haze"]) is None
