"""The warp of a figure that turns: bodies whose turned picture is known exactly, then a rendered figure."""

import math
import os
import time
from importlib.util import find_spec

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fashionflow.models.geometry import PhotoGeometry
from fashionflow.pipelines.photo_layers import beyond, closed, take_apart
from fashionflow.pipelines.warp import STRETCHED, warp

from .bodies import HEIGHT, WIDTH, box, colours_in, ellipsoid, inside, layers_of, turned


MISSING = [name for name in ("anny", "moderngl") if find_spec(name) is None]
needs_packages = pytest.mark.skipif(
    bool(MISSING) and not os.environ.get("CI"), reason=f"not installed: {', '.join(MISSING)} (the extra `synthesis`)"
)
EVERY_SIDE = tuple(range(0, 360, 15))


@pytest.mark.parametrize("axis", [32.0, 20.5, 43.25])
def test_without_a_motion_the_photo_comes_back(axis):
    layers = ellipsoid(axis=axis)
    layers.background = torch.rand(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    frames = warp(layers, turned(0, 360))
    expected = torch.where(layers.coverage > 0, layers.front_colours, layers.background)
    for pixels, outline in zip(frames.pixels, frames.outline, strict=True):
        assert (pixels - expected).abs().max() < 0.01
        torch.testing.assert_close(outline[0], layers.coverage, atol=1e-3, rtol=0)


@pytest.mark.parametrize("gap", [1, 2, 3, 5, 8])
def test_a_narrow_gap_stays_open_while_nothing_moves(gap):
    coverage = box(10, 90, 12, 30) + box(10, 90, 30 + gap, 50)
    frames = warp(layers_of(coverage), turned(0))
    torch.testing.assert_close(frames.outline[0, 0], coverage, atol=1e-3, rtol=0)


@pytest.mark.parametrize("strap", [(50, 51, 10, 50), (20, 80, 31, 32)])
def test_a_strap_one_pixel_wide_stays_as_it_is_while_nothing_moves(strap):
    coverage = torch.maximum(box(60, 90, 12, 50), box(*strap))
    frames = warp(layers_of(coverage), turned(0))
    torch.testing.assert_close(frames.outline[0, 0], coverage, atol=1e-3, rtol=0)


def test_the_soft_edge_of_the_photo_stays_while_nothing_moves():
    coverage = F.avg_pool2d(box(20, 80, 16, 48)[None], 5, stride=1, padding=2)[0]
    frames = warp(layers_of(coverage), turned(0))
    torch.testing.assert_close(frames.outline[0, 0], coverage, atol=0.01, rtol=0)


@pytest.mark.parametrize("yaw", [-40, -15, 15, 40])
def test_a_positive_angle_takes_what_is_near_to_the_right(yaw):
    colours = torch.full((3, HEIGHT, WIDTH), 0.1)
    colours[0, 40:50, 31:33] = 1  # a red mark in the middle, `depth` before the axis
    depth = 15.0
    frames = warp(layers_of(box(10, 90, 12, 52), front=depth, front_colours=colours), turned(yaw))
    red = (frames.pixels[0, 0] - 0.1).clamp(min=0)
    column = (red.sum(0) * (torch.arange(WIDTH) + 0.5)).sum() / red.sum()
    assert column.item() - WIDTH / 2 == pytest.approx(depth * math.sin(math.radians(yaw)), abs=1.5)


@pytest.mark.parametrize("axis", [32.0, 27.3])
@pytest.mark.parametrize("yaw", [5, 30, 60, 90, 135, 180, 270, -30, -90])
def test_a_painted_body_looks_as_it_does_when_it_is_really_turned(yaw, axis):
    size = (96, 128)
    axis = 2 * axis
    truth = ellipsoid(yaw, size, axis)
    frames = warp(ellipsoid(size=size, axis=axis), turned(yaw))
    seen = inside(truth, 2)
    error = (frames.pixels[0] - truth.front_colours).abs()
    is_front = math.cos(math.radians(yaw)) > -0.1
    # The steep sides of the photo say little, and from behind nothing is certain.
    certain = seen & (frames.known[0, 0] > 0.9) if is_front else inside(truth, 12)
    assert certain.sum() > 0.15 * seen.sum()
    assert error[:, certain].mean() < (0.008 if is_front else 0.02) and error[:, seen].mean() < 0.03
    # Half a pixel is what the sign of every half in the code decides.
    for step in (-1, 1):
        beside = (frames.pixels[0] + torch.roll(frames.pixels[0], step, dims=-1)) / 2
        assert error[:, certain].mean() < 0.5 * (beside - truth.front_colours)[:, certain].abs().mean()


@pytest.mark.parametrize("axis", [32.0, 29.3])
def test_a_body_keeps_its_outline_from_every_side_and_shows_no_cracks(axis):
    layers = ellipsoid(axis=axis)
    frames = warp(layers, turned(*EVERY_SIDE))
    deep, outside = inside(layers, 2), F.max_pool2d(layers.coverage[None], 5, stride=1, padding=2)[0] == 0
    for outline in frames.outline[:, 0]:
        assert outline[deep].min() > 0.99
        assert outline[outside].max() < 0.01
        assert outline.sum() == pytest.approx(layers.coverage.sum().item(), rel=0.05)
        middle = (outline.sum(0) * (torch.arange(WIDTH) + 0.5)).sum() / outline.sum()
        assert middle.item() == pytest.approx(axis, abs=0.2)


def test_the_outline_of_the_back_is_that_of_the_front_and_as_smooth():
    height, width = 160, 128
    row, column = torch.arange(height)[:, None] + 0.5, torch.arange(width) + 0.5
    edge = 34 + (row - height / 2).abs() / 6  # half the width of a waisted shape, its sides slanting
    coverage = ((edge - (column - width / 2).abs()) / 3 + 0.5).clamp(0, 1) * ((row > 10) & (row < 150))
    thick = closed(
        coverage.numpy(), np.full((height, width), 1.5, np.float32), np.full((height, width), -1.5, np.float32)
    )
    layers = layers_of(coverage, *(torch.from_numpy(depth) for depth in thick))
    outline = warp(layers, turned(180)).outline[0, 0]
    widths = outline[20:140].sum(1)
    assert (widths - 2 * edge[20:140, 0]).abs().max() < 2
    # A smooth edge is drawn with shades between nothing and all of it, and no row jumps.
    assert ((outline[20:140] > 0.05) & (outline[20:140] < 0.95)).any(1).float().mean() > 0.9
    assert widths.diff().abs().max() < 1.5


@pytest.mark.parametrize("slope", [0.0, 1.0, -0.7])
@pytest.mark.parametrize("yaw", [-60, -45, -20, 20, 30, 45, 60])
def test_what_is_nearer_hides_what_is_behind_it(yaw, slope):
    size = (12, 256)
    near = torch.zeros(size, dtype=torch.bool)
    near[:, 118:138] = True
    column = torch.arange(256) + 0.5 - 128
    front = torch.where(near, 40 + slope * column, 0.0)
    colours = torch.full((3, *size), 0.1)
    colours[0][near], colours[1][~near] = 0.9, 0.9
    frames = warp(layers_of(box(2, 10, 60, 200, size), front, -5.0, front_colours=colours), turned(yaw))
    seen = colours_in(frames, 0, 6)
    expected = 20 * (math.cos(math.radians(yaw)) + slope * math.sin(math.radians(yaw)))
    if expected < 1:  # it is seen from behind, but for the step to it
        assert seen.count("r") <= 2
        return
    bar = seen[seen.index("r") : seen.rindex("r") + 1]
    assert set(bar) == {"r"} and len(bar) == pytest.approx(expected, abs=0.12 * expected + 3)


@pytest.mark.parametrize("yaw", [70, 80, 100, -75])
def test_of_two_legs_the_nearer_one_hides_the_other_with_its_front_and_with_its_back(yaw):
    size = (12, 256)
    column = torch.arange(256) + 0.5
    half = [(20**2 - (column - middle) ** 2).clamp(min=0).sqrt().expand(size).contiguous() for middle in (100, 156)]
    coverage = ((half[0] + half[1]) > 0).float()
    colours = torch.full((3, *size), 0.1)
    colours[0, :, :128], colours[2, :, 128:] = 0.9, 0.9
    depth = half[0] + half[1]
    frames = warp(layers_of(coverage, depth, -depth, front_colours=colours, back_colours=colours), turned(yaw))
    seen, near = colours_in(frames, 0, 6), "r" if yaw > 0 else "b"
    leg = seen[seen.index(near) : seen.rindex(near) + 1]
    assert set(leg) == {near} and len(leg) == pytest.approx(41, abs=3)


def test_the_soft_rim_of_what_is_nearer_does_not_cut_a_line_into_what_is_behind():
    size = (12, 256)
    soft = lambda part: F.avg_pool2d(part[None, :, None, :].expand(1, 12, 1, 256), (1, 5), 1, (0, 2))[0, :, 0]  # noqa: E731
    arm, body = (soft(box(0, 12, *ends, size)) for ends in ((80, 96), (104, 180)))
    column = torch.arange(256)
    front = torch.where(column < 100, 50.0, 6.0).expand(size).contiguous()
    back = torch.where(column < 100, 40.0, -6.0).expand(size).contiguous()
    frames = warp(layers_of(arm + body, front, back), turned(50))
    row = frames.outline[0, 0, 6]
    covered = torch.nonzero(row > 0.5)[:, 0]
    assert row[covered[0] + 2 : covered[-1] - 1].min() > 0.9


@pytest.mark.parametrize("thickness", [4.0, 20.0])
def test_front_and_back_meet_so_that_nothing_shines_through_between_them(thickness):
    coverage = F.avg_pool2d(box(14, 82, 14, 50)[None], 3, stride=1, padding=1)[0]
    depths = closed(coverage.numpy(), *(np.full((HEIGHT, WIDTH), side * thickness, np.float32) for side in (1, -1)))
    layers = layers_of(coverage, *(torch.from_numpy(depth) for depth in depths))
    for outline in warp(layers, turned(*EVERY_SIDE)).outline[:, 0]:
        for row in outline[18:78]:
            covered = torch.nonzero(row > 0.5)[:, 0]
            assert len(covered) and row[covered[0] + 1 : covered[-1]].min() > 0.97


def test_known_says_front_then_back_and_leaves_nothing_out():
    """What is left out would be drawn by the decoder, pixel by pixel, between pixels of the photo: a pattern of dots."""
    layers = ellipsoid()
    frames = warp(layers, turned(*EVERY_SIDE))
    assert frames.known.shape == (len(EVERY_SIDE), 4, HEIGHT, WIDTH)
    assert frames.known.min() >= 0
    torch.testing.assert_close(frames.known.sum(1), torch.ones(len(EVERY_SIDE), HEIGHT, WIDTH), atol=1e-4, rtol=0)
    deep = inside(layers, 3)
    for index, (known_front, known_back) in {0: (1, 0), EVERY_SIDE.index(180): (0, 1)}.items():
        assert (frames.known[index, 0][deep] - known_front).abs().mean() < 0.005
        assert (frames.known[index, 1][deep] - known_back).abs().mean() < 0.005
    side = frames.known[EVERY_SIDE.index(90)]
    # Turned by 90 degrees, the front is on the right and the back on the left.
    assert side[0, HEIGHT // 2, 42:52].min() > 0.8 and side[1, HEIGHT // 2, 12:22].min() > 0.8


def test_known_tells_the_photo_s_background_from_what_was_filled_in():
    layers = layers_of(box(20, 80, 16, 48))
    layers.background_known = 1 - box(16, 84, 12, 52)
    known = warp(layers, turned(90)).known[0]
    assert known[2, 50, 5] == 1 and known[3, 50, 5] == 0
    assert known[2, 50, 20] == 0 and known[3, 50, 20] == 1  # uncovered by the turn


def test_what_a_tear_uncovers_is_not_certain_and_shows_the_farther_thing():
    size = (12, 256)
    front = torch.where(torch.arange(256) < 128, 0.0, 40.0).expand(size).contiguous()  # the right half is nearer
    colours = torch.full((3, *size), 0.1)
    colours[1, :, :128], colours[0, :, 128:] = 0.9, 0.9
    frames = warp(layers_of(box(2, 10, 60, 200, size), front, -5.0, front_colours=colours), turned(40))
    gap = 40 * math.sin(math.radians(40))
    known = frames.known[0, 0, 6, 128 : 128 + math.floor(gap)]
    assert known[2:-2].max() < 0.05
    assert known.new_tensor([frames.known[0, 0, 6, column] for column in (120, 160)]).min() > 0.95
    assert set(colours_in(frames, 0, 6)[130:150]) == {"g"}


def test_what_a_tear_uncovers_is_smooth_over_the_rows_and_nothing_else_is():
    size = (40, 256)
    front = torch.where(torch.arange(256) < 128, 0.0, 40.0).expand(size).contiguous()
    rows = (torch.arange(40) % 2).float()[:, None].expand(size)  # every other row is white
    # Turned so far that no cloth is mirrored there.
    frames = warp(layers_of(box(2, 38, 60, 200, size), front, -5.0, front_colours=rows.expand(3, -1, -1)), turned(76))
    step = (frames.pixels[0, 0, 10:30] - frames.pixels[0, 0, 9:29]).abs()
    assert step[:, 134:160].max() < 0.3  # uncovered
    assert step[:, 115:124].min() > 0.9 and step[:, 172:180].min() > 0.9  # the photo's own


def test_a_pixel_between_two_tears_is_smoothed_with_them():
    size = (40, 256)
    column = torch.arange(256)
    front = ((column - 127).clamp(0, 4) * 12.0).expand(size).contiguous()  # torn four times, side by side
    colours = torch.full((3, *size), 0.2)
    colours[:, 20, 128:131] = 0.9  # in one row, something light is mixed in
    frames = warp(layers_of(box(2, 38, 60, 200, size), front, -5.0, front_colours=colours), turned(40))
    assert 0.25 < frames.pixels[0, 0, 20, 120:170].max() < 0.5


def test_what_is_stretched_too_far_counts_less():
    size = (12, 256)
    steep = 2.9  # pixels of depth for one to the right: too little to be a tear
    front = ((torch.arange(256) - 108) * steep - 58).clamp(-58, 58).expand(size).contiguous()
    known = warp(layers_of(box(2, 10, 60, 200, size), front, -60.0), turned(15, 70)).known[:, 0, 6]
    stretch = [math.cos(math.radians(yaw)) + steep * math.sin(math.radians(yaw)) for yaw in (15, 70)]
    assert stretch[0] < STRETCHED < stretch[1]
    assert known[0, 128] > 0.99 and known[1, 128].item() == pytest.approx(STRETCHED / stretch[1], abs=0.01)


def test_a_frame_is_the_same_whatever_frames_are_made_with_it():
    layers, motion = ellipsoid(), torch.cat([turned(0, 40, 200, -100), turned(0, 20, walked=0.4)])
    together = warp(layers, motion)
    for index in range(len(motion)):
        alone = warp(layers, motion[index : index + 1])
        for name in ("pixels", "known", "outline"):
            torch.testing.assert_close(getattr(alone, name)[0], getattr(together, name)[index], atol=0, rtol=0)


def test_half_size_layers_give_the_half_size_picture():
    layers = ellipsoid(size=(192, 128), axis=60.5)
    layers.background = torch.rand(3, 12, 8, generator=torch.Generator().manual_seed(0))
    layers.background = F.interpolate(layers.background[None], (192, 128), mode="bicubic")[0].clamp(0, 1)
    motion = torch.cat([turned(0, 25, 70, 180), turned(0, walked=0.3)])
    large, small = warp(layers, motion), warp(layers.resized(96, 64), motion)
    for name, most in (("pixels", 0.012), ("outline", 0.012), ("known", 0.02)):
        expected = F.interpolate(getattr(large, name), (96, 64), mode="area")
        assert (getattr(small, name) - expected).abs().mean() < most, name


@pytest.mark.parametrize(
    "coverage",
    [box(0, 0, 0, 0), box(0, HEIGHT, 0, WIDTH), box(50, 51, 30, 31), box(0, 40, 0, 30), box(60, HEIGHT, 40, WIDTH)],
    ids=["nothing", "everything", "one pixel", "upper left", "lower right"],
)
@pytest.mark.parametrize("axis", [32.0, -20.0, 90.0])
def test_figures_of_every_kind_are_drawn(coverage, axis):
    motion = torch.cat([turned(*EVERY_SIDE), turned(0, 30, walked=0.5), torch.zeros(1, 3)])
    frames = warp(layers_of(coverage, axis=axis), motion)
    for part in (frames.pixels, frames.known, frames.outline):
        assert part.isfinite().all() and part.min() >= 0 and part.max() <= 1 + 1e-5
    if not coverage.any():
        assert frames.outline.max() == 0 and frames.known[:, 2].min() == 1


def test_a_pale_rim_is_seen_in_the_photo_and_is_no_line_on_a_turned_side():
    size = (12, 256)
    edge = 40 * (1 - ((torch.arange(256) + 0.5 - 128) / 60).square()).clamp(min=0).sqrt().expand(size)
    coverage = (edge > 0).float()
    colours = torch.full((3, *size), 0.1)
    colours[1] = 0.6
    colours[:, :, [68, 187]] = 0.9  # the outermost pixel on either side
    layers = layers_of(coverage, edge, -edge, front_colours=colours, back_colours=colours)
    rim = [frames[0, 6].amax() for frames in warp(layers, turned(0, 20, 45, -45, 80, 180)).pixels]
    assert rim[0] > 0.85 and max(rim[1:]) < 0.25


def test_what_is_narrow_keeps_its_colours_when_it_is_turned():
    colours = torch.full((3, HEIGHT, WIDTH), 0.1)
    colours[0, :, 31:33] = 0.9  # red, with a green pixel on either side
    colours[1, :, [30, 33]] = 0.9
    frames = warp(layers_of(box(20, 80, 30, 34), front=0.5, back=-0.5, front_colours=colours), turned(20))
    row = frames.pixels[0, :2, 50]
    assert row[0].max() > 0.7 and row[1, :32].max() > 0.3 and row[1, 32:].max() > 0.3


@pytest.mark.parametrize("coverage", [box(0, HEIGHT, 0, WIDTH), box(10, 90, 0, 30), box(10, 90, 40, WIDTH)])
def test_at_the_photo_s_own_edge_a_figure_goes_on(coverage):
    colours = torch.rand(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    layers = layers_of(coverage, front_colours=colours)
    frames = warp(layers, turned(0))
    torch.testing.assert_close(frames.outline[0, 0], coverage, atol=1e-3, rtol=0)
    torch.testing.assert_close(frames.known[0, 0], coverage, atol=1e-3, rtol=0)
    torch.testing.assert_close(frames.pixels[0], colours * coverage, atol=1e-3, rtol=0)
    # Turned, its cut is as green as the rest of it.
    for yaw in (20, -20):
        frames = warp(layers_of(coverage, front=0.0, back=-1.0), turned(yaw))
        assert frames.pixels[0, 1][frames.outline[0, 0] > 0.99].min() > 0.89


def test_layers_can_be_moved_to_another_device():
    layers = ellipsoid()
    moved = layers.to("meta")
    assert moved.axis == layers.axis and moved.back_known == layers.back_known
    assert all(value.device.type == "meta" for value in vars(moved).values() if isinstance(value, torch.Tensor))


def test_a_clip_is_warped_in_about_the_time_of_a_few_plain_look_ups():
    layers = ellipsoid(size=(320, 256))
    motion = turned(*np.linspace(0, 180, 24))
    picture, grid = torch.rand(1, 6, 320, 256), torch.rand(1, 320, 256, 2) * 2 - 1

    def seconds(work) -> float:
        took = []
        for _ in range(2):
            begun = time.process_time()
            work()
            took.append(time.process_time() - begun)
        return min(took)

    look_up = lambda: F.grid_sample(picture, grid, mode="bicubic", align_corners=False)  # noqa: E731
    reference = 4 * seconds(lambda: [look_up() for _ in range(6)])
    assert seconds(lambda: warp(layers, motion)) < 12 * reference


@pytest.fixture(scope="module")
def rendered():
    """Layers of a rendered figure by the renderer's own depths, and by yaw what it really looks like and where it is."""
    from fashionflow.training.synthesis.errors import SynthesisError
    from fashionflow.training.synthesis.layers import measured_layers
    from fashionflow.training.synthesis.runway import RunwayStudio

    try:
        studio = RunwayStudio((160, 128))
    except SynthesisError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    take = studio._take(6, num_frames=2, frame_rate=8.0)
    pose, start = take.posing.at(0.0), float(take.yaw[0])
    seen = {}
    with studio._scene(take) as scene:
        for yaw in (0, 20, 40, -40):
            posed = take.stage.pose(pose, take.cloth, 0, start + yaw, 0.0)
            picture, front, back = scene.draw_layers(*posed)
            seen[yaw] = measured_layers(picture, front, back, scene.shared["camera"], 0.0)
    truth = seen[0]
    certain = (truth.coverage > 250).astype(np.uint8)
    maps = [
        truth.coverage / np.float32(255),
        *(beyond(d.astype(np.float32), certain) for d in (truth.front, truth.back)),
    ]
    maps = [torch.from_numpy(part.astype(np.float32))[None, None] for part in maps]
    return take_apart(truth.photo, PhotoGeometry(*maps, truth.axis)), seen


def psnr(picture: np.ndarray, truth: np.ndarray, where: np.ndarray) -> float:
    return 10 * np.log10(255**2 / np.square(picture[where].astype(float) - truth[where]).mean())


@needs_packages
@pytest.mark.parametrize("yaw", [20, 40, -40])
def test_a_rendered_figure_turned_is_near_its_true_picture(rendered, yaw):
    layers, seen = rendered
    frames = warp(layers, turned(yaw))
    picture = frames.pixels[0].permute(1, 2, 0).numpy() * 255
    outline, truth = frames.outline[0, 0].numpy(), seen[yaw].coverage / 255
    both = (outline > 0.9) & (truth > 0.9)
    assert psnr(picture, seen[yaw].photo, both) > psnr(seen[0].photo, seen[yaw].photo, both) + 5
    assert np.minimum(outline, truth).sum() / np.maximum(outline, truth).sum() > 0.93
    assert (outline[inside_of(truth, 3)] < 0.5).sum() <= 2  # no holes
    wrong_way = warp(layers, turned(-yaw)).outline[0, 0].numpy()
    assert np.minimum(wrong_way, truth).sum() / np.maximum(wrong_way, truth).sum() < 0.93


def inside_of(coverage: np.ndarray, margin: int) -> np.ndarray:
    return inside(layers_of(torch.from_numpy(coverage).float()), margin).numpy()
