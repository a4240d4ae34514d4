"""The training of the geometry network, on ellipses of known depth, and the changes that it makes to its examples."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from fashionflow.models.geometry import GarmentGeometry, GarmentGeometryOutput
from fashionflow.training import geometry
from fashionflow.training.geometry_augmentation import (
    GeometryExample,
    _moved,
    _place,
    _printed,
    changed,
    colours_continued,
    mirrored,
    unchanged,
)
from fashionflow.training.synthesis.layers import Layers


HEIGHT, WIDTH = 64, 48
RED, WHITE = (190, 40, 30), (235, 235, 230)


def ellipse(seed: int = 0, flat: bool = False, down: float = 0.5) -> Layers:
    """A red ellipsoid before a white wall, as deep as it is wide; `down` is the height of its middle in the frame."""
    random = np.random.default_rng(seed)
    axis = WIDTH * random.uniform(0.35, 0.65)
    wide, high = WIDTH * random.uniform(0.15, 0.25), HEIGHT * random.uniform(0.25, 0.35)
    rows, columns = np.mgrid[0 : HEIGHT * 4, 0 : WIDTH * 4] / 4 + 0.125

    def inside(rows, columns):
        return 1 - ((columns - axis) / wide) ** 2 - ((rows - down * HEIGHT) / high) ** 2

    coverage = (inside(rows, columns) > 0).reshape(HEIGHT, 4, WIDTH, 4).mean((1, 3))
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
    depth = wide * np.sqrt(np.clip(inside(rows, columns), 0, None))
    photo = np.where(coverage[..., None] == 1, RED, coverage[..., None] * RED + (1 - coverage[..., None]) * WHITE)
    photo = photo + random.normal(0, 4, photo.shape)
    front, back = (depth * 0.5, depth * -0.5) if flat else (depth, depth * -0.8)
    return Layers(
        np.clip(photo, 0, 255).astype(np.uint8),
        (coverage * 255 + 0.5).astype(np.uint8),
        front.astype(np.float16),
        back.astype(np.float16),
        axis,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("geometry")
    for name, flat in (("layers", False), ("flat", True)):
        (folder / name).mkdir()
        for seed in range(18):
            ellipse(seed, flat).write(folder / name / f"{seed:06d}.npz")
    (folder / "layers" / "000018.npz").write_bytes((folder / "layers" / "000001.npz").read_bytes()[:2000])
    (folder / "backgrounds").mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 255, (90, 70, 3), np.uint8)
        Image.fromarray(pixels).resize((350, 450)).save(folder / "backgrounds" / f"{number}.jpg")
    (folder / "backgrounds" / "damaged.jpg").write_bytes(b"no picture")
    return folder


def config(folder, out, **overrides) -> geometry.GeometryConfig:
    settings = {
        "layers": [str(folder / "layers")],
        "flat": [str(folder / "flat")],
        "backgrounds": str(folder / "backgrounds"),
        "out": str(out),
        "block_channels": [8, 16],
        "sample_size": [HEIGHT, WIDTH],
        "batch_size": 4,
        "learning_rate": 1e-2,
        "warmup": 5,
        "sample_every": 1000,
        "ema_decay": 0.9,
        "workers": 0,
    }
    return geometry.GeometryConfig(**settings | overrides)


def read_log(out) -> list[dict]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_training_learns_the_shape_and_resumes(folder, tmp_path, capsys):
    """Notices losses that teach another thing than what is scored, and a resumed run that begins anew."""
    geometry.main(config(folder, tmp_path, steps=50))
    geometry.main(config(folder, tmp_path, steps=100))
    assert "skipped 000018.npz" in capsys.readouterr().out
    lines = [line for line in read_log(tmp_path) if "held_out_people_iou" in line]
    assert [line["step"] for line in lines] == [0, 50, 100], "a resumed run must go on from step 50"
    first, last = lines[0], lines[-1]
    for kind in ("people", "flat"):
        assert last[f"held_out_{kind}_iou"] > 0.85 > 0.7 > first[f"held_out_{kind}_iou"]
    assert last["held_out_changed_iou"] > first["held_out_changed_iou"] + 0.2
    for name in ("front", "back", "axis"):
        assert last[f"held_out_people_{name}"] < 0.6 * first[f"held_out_people_{name}"]
    truth = geometry.to_tensors(geometry.read_example(folder / "layers" / "000007.npz", (HEIGHT, WIDTH)))
    seen = GarmentGeometry.from_pretrained(tmp_path / "geometry").predict(truth["photo"][None])
    there = truth["coverage"] > 0.5
    assert ((seen.coverage[0] > 0.5) & there).sum() / ((seen.coverage[0] > 0.5) | there).sum() > 0.8
    with Image.open(tmp_path / "samples.png") as samples:
        assert samples.size == (8 * WIDTH, 7 * HEIGHT)  # 2 held-out figures, 2 flat, 4 changed


def test_worker_processes_draw_what_one_process_draws(folder, tmp_path):
    """Notices a worker that hangs, and draws that depend on who draws."""
    for workers in (0, 1):
        geometry.main(config(folder, tmp_path / str(workers), steps=2, workers=workers))
    first, second = (read_log(tmp_path / str(workers))[-1] for workers in (0, 1))
    assert first | {"seconds": 0} == second | {"seconds": 0}


def test_a_resumed_run_is_what_an_uninterrupted_one_would_have_been(folder, tmp_path):
    """Notices a resumed run that sees the first examples again."""
    for name, parts in (("whole", [4]), ("parts", [2, 4])):
        for steps in parts:
            geometry.main(config(folder, tmp_path / name, steps=steps, warmup=1, decay_fraction=0))
    whole, parts = (GarmentGeometry.from_pretrained(tmp_path / name / "geometry") for name in ("whole", "parts"))
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_a_network_to_go_on_from_keeps_what_it_knows(folder, tmp_path, capsys):
    torch.manual_seed(3)
    start = GarmentGeometry((8, 16), (HEIGHT, WIDTH))
    start.save_pretrained(tmp_path / "start")
    settings = {"start": str(tmp_path / "start"), "steps": 1, "learning_rate": 0.0}
    geometry.main(config(folder, tmp_path / "out", **settings))
    after = GarmentGeometry.from_pretrained(tmp_path / "out" / "geometry")
    assert all(torch.equal(a, b) for a, b in zip(start.parameters(), after.parameters(), strict=True))
    with pytest.raises(ValueError, match=r"`sample_size` must be that of the network.*\[64, 48\], got \[32, 48\]"):
        geometry.main(config(folder, tmp_path / "other", **settings, sample_size=[32, 48]))
    with pytest.raises(ValueError, match="`start` cannot be loaded from '.*nowhere'"):
        geometry.main(config(folder, tmp_path / "other", start=str(tmp_path / "nowhere")))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layers", "nowhere"], "`layers` must be folders of .npz files, got 'nowhere'."),
        (["--backgrounds", "nowhere"], "`backgrounds` must be a folder of .jpg, .png or .webp photos, got 'nowhere'."),
        (["--flat_share", "1.5"], "`flat_share` must be between 0 and 1, got 1.5."),
        (["--batch_size", "0"], "`batch_size` must be at least 1, got 0."),
        (["--sample_size", "64"], "`sample_size` must be a height and a width, got [64]."),
        (["--sample_size", "72", "48"], "`sample_size` must be multiples of 64, got [72, 48]."),
        (["--sample_size", "128", "64"], "must be 128 x 64 pixels (height x width), got 64 x 48."),
    ],
)
def test_wrong_settings_are_one_sentence(folder, tmp_path, arguments, message):
    with pytest.raises(SystemExit) as end:
        geometry.run(["--layers", str(folder / "layers"), "--out", str(tmp_path / "out"), *arguments])
    assert str(end.value).endswith(message)


def test_files_without_a_test_set_are_refused(tmp_path):
    ellipse().write(tmp_path / "000001.npz")
    with pytest.raises(ValueError, match="whose name ends in 7, which are kept for testing; .* has one kind only"):
        geometry.GeometryConfig(layers=[str(tmp_path)])


def test_the_back_under_a_hem_and_pixels_without_depth_are_not_learnt():
    layers = ellipse()
    front, back = (part.astype(np.float32) * 4 for part in (layers.front, layers.back))
    row, column = HEIGHT // 2, round(layers.axis)
    back[row, column] = front[row, column] - 2  # the inside of a skirt's front
    back[row + 2, column] = front[row + 2, column] + 3
    front[row + 4, column] = back[row + 4, column] = 0
    example = unchanged(replace(layers, front=front, back=back))
    assert not example.back_known[[row, row + 2], column].any() and example.front_known[row, column] == 1
    assert example.front_known[row + 4, column] == 0
    assert example.back_known[row + 6, column] == 1
    assert (example.back < example.front)[example.front_known > 0].all()
    flat = unchanged(ellipse(flat=True))
    np.testing.assert_array_equal(flat.front_known, ellipse(flat=True).coverage > 127)


def test_what_the_network_learns_is_in_its_own_units():
    layers = ellipse(5)
    tensors = geometry.to_tensors(unchanged(layers))
    assert tensors["photo"].shape == (3, HEIGHT, WIDTH)
    torch.testing.assert_close(tensors["photo"][:, 3, 5], torch.tensor(layers.photo[3, 5] / 127.5 - 1.0).float())
    assert {name: part.shape for name, part in tensors.items() if name != "photo"} == dict.fromkeys(
        ("coverage", "front", "back", "front_known", "back_known", "axis_offset"), (1, HEIGHT, WIDTH)
    )
    torch.testing.assert_close(tensors["axis_offset"][0, 9], torch.arange(WIDTH) + 0.5 - layers.axis)


def test_moving_keeps_depths_whole_and_the_axis_in_its_place():
    """Notices depths mixed with the nothing beside them, depths that do not grow with the photo, and half a pixel of shift."""
    column = np.zeros((HEIGHT, WIDTH), np.float32)
    column[10:50, 17:20] = 1
    example = GeometryExample(
        np.repeat(column[..., None], 3, 2), column, column * 9, column * -6, column, column, axis=18.5
    )
    matrix = np.array([[1.5, 0, -7.0], [0, 1.5, -5.0]])
    moved = _moved(example, matrix, reflected=False)
    known = moved.front_known > 0
    assert known.sum() > 200
    np.testing.assert_allclose(moved.front[known], 13.5, rtol=1e-4)
    np.testing.assert_allclose(moved.back[known], -9, rtol=1e-4)
    centre = (moved.coverage.sum(0) * (np.arange(WIDTH) + 0.5)).sum() / moved.coverage.sum()
    assert moved.axis == pytest.approx(centre, abs=0.02)
    assert mirrored(moved).axis == pytest.approx(WIDTH - centre, abs=0.02)


def test_changed_examples_stay_true():
    """Of an ellipse that is wholly in the frame, the axis is its middle and its depth is its width, whatever was changed."""
    pictures = [np.random.default_rng(0).integers(0, 255, (90, 70, 3), np.uint8)]
    whole, photos_agree = 0, []
    for seed in range(60):
        example = unchanged(ellipse(seed))
        drawn, again = (changed(example, np.random.default_rng(seed), 0.5, pictures) for _ in range(2))
        np.testing.assert_array_equal(drawn.photo, again.photo)
        assert drawn.photo.min() >= 0 and drawn.photo.max() <= 1 and drawn.photo.dtype == np.float32
        assert drawn.coverage.mean() > 0.03
        there = drawn.coverage > 0.5
        if there[[0, -1]].any() or there[:, [0, -1]].any():
            continue
        whole += 1
        changes = np.abs(drawn.photo - drawn.photo[[0, -1]].mean((0, 1))).max(-1)
        if abs(drawn.axis - WIDTH / 2) > 5:
            alike, mirrored_alike = (
                np.corrcoef(changes.ravel(), part.ravel())[0, 1] for part in (drawn.coverage, drawn.coverage[:, ::-1])
            )
            photos_agree.append(alike > mirrored_alike)
        columns = np.flatnonzero(there.any(0))
        assert drawn.axis == pytest.approx((columns[0] + columns[-1] + 1) / 2, abs=1.5)
        assert drawn.front.max() == pytest.approx(there.any(0).sum() / 2, rel=0.12, abs=0.6)
        assert (drawn.back < drawn.front)[drawn.back_known > 0].all()
    assert 10 < whole < 50, "some are cut by the frame and some are not"
    assert len(photos_agree) > 8 and np.mean(photos_agree) > 0.9


@pytest.mark.parametrize("side", ["bottom", "top", "left", "right"])
def test_a_figure_that_the_photo_cuts_is_not_shown_to_end_there(side):
    coverage = unchanged(ellipse(1, down=0.9)).coverage  # cut by the lower edge
    coverage = {"bottom": coverage, "top": coverage[::-1], "left": coverage.T[:, ::-1], "right": coverage.T}[side]
    coverage = np.ascontiguousarray(coverage)
    columns = np.flatnonzero((coverage > 0.5).any(0))
    moves = set()
    for seed in range(60):
        matrix = _place(coverage, columns.mean(), np.random.default_rng(seed))
        moved = cv2.warpAffine(coverage, matrix, coverage.shape[::-1])
        edge = {"bottom": moved[-1], "top": moved[0], "left": moved[:, 0], "right": moved[:, -1]}[side]
        assert (edge > 0.4).any()
        moves.add(tuple(matrix.ravel().round(3)))
    assert len(moves) > 40


def test_a_moved_figure_stays_in_sight():
    for seed in range(10):
        layers = ellipse(seed)
        coverage = unchanged(layers).coverage
        for draw in range(60):
            matrix = _place(coverage, layers.axis, np.random.default_rng([seed, draw]))
            assert cv2.warpAffine(coverage, matrix, (WIDTH, HEIGHT)).mean() > 0.035


def test_a_mirrored_border_shows_no_second_figure():
    example = unchanged(ellipse(2))
    matrix = np.array([[1.0, 0, 0], [0, 1.0, -30.0]])
    moved = _moved(example, matrix, reflected=True)
    reds = moved.photo[..., 0] - moved.photo[..., 1] > 0.3
    assert reds[moved.coverage > 0.9].all() and not reds[moved.coverage < 0.1].any()


def test_prints_in_the_colour_of_the_ground_stay_on_the_figure():
    example = unchanged(ellipse(3))
    like_the_ground = 0
    for seed in range(30):
        printed = _printed(example.photo, example.coverage, np.random.default_rng(seed))
        assert printed.dtype == np.float32 and printed.min() >= 0 and printed.max() <= 1
        np.testing.assert_array_equal(printed[example.coverage <= 0.9], example.photo[example.coverage <= 0.9])
        assert (printed != example.photo).any()
        like_the_ground += np.abs(printed - np.array(WHITE) / 255)[example.coverage > 0.9].max(-1).min() < 0.08
    assert 8 < like_the_ground < 30
    np.testing.assert_array_equal(
        _printed(example.photo, np.zeros_like(example.coverage), np.random.default_rng(0)), example.photo
    )


def test_another_background_leaves_no_rim_of_the_old_one():
    example = unchanged(ellipse(3))
    figure = colours_continued(example)
    rim = (example.coverage > 0.2) & (example.coverage < 0.8)
    assert rim.sum() > 20
    np.testing.assert_allclose(figure[rim], np.broadcast_to(np.array(RED) / 255, (rim.sum(), 3)), atol=0.06)
    assert np.abs(example.photo[rim] - np.array(RED) / 255).max() > 0.3  # which the photo has


def test_the_loss_is_least_for_the_truth_and_blind_where_nothing_is_known():
    truth = {name: part[None] for name, part in geometry.to_tensors(unchanged(ellipse(4))).items()}
    row, column = HEIGHT // 2, round(float(ellipse(4).axis))
    truth["back_known"][..., row, column] = 0
    maps = GarmentGeometryOutput(
        torch.logit(truth["coverage"], 1e-4), truth["front"], truth["back"], truth["axis_offset"]
    )
    least = geometry.geometry_loss(maps, truth)
    solid = truth["coverage"] > 0.5
    for name in ("front", "back", "axis_offset"):
        worse = GarmentGeometryOutput(**{**maps, name: getattr(maps, name) + 4 * solid})
        assert geometry.geometry_loss(worse, truth) > least + 0.02, name
        beside = GarmentGeometryOutput(**{**maps, name: getattr(maps, name) + 4 * ~solid})
        torch.testing.assert_close(geometry.geometry_loss(beside, truth), least)
    worse = GarmentGeometryOutput(**{**maps, "coverage_logits": -maps.coverage_logits})
    assert geometry.geometry_loss(worse, truth) > least + 1
    spike = maps.back.clone()
    spike[..., row, column] += 40
    torch.testing.assert_close(geometry.geometry_loss(GarmentGeometryOutput(**{**maps, "back": spike}), truth), least)
    assert geometry.scores(maps, truth) == {"iou": 1.0, "front": 0.0, "back": 0.0, "axis": 0.0}
    shifted = GarmentGeometryOutput(**{**maps, "axis_offset": maps.axis_offset + 3, "front": maps.front - 2})
    assert geometry.scores(shifted, truth) == {"iou": 1.0, "front": 2.0, "back": 0.0, "axis": 3.0}
