"""Layers, which are photos with their shape: of rendered figures and of garments laid flat, as files and made by the command.

Each test names, in its docstring or its name, what it would notice breaking.
"""

import json
from dataclasses import replace
from functools import cache
from itertools import islice

import numpy as np
import pytest
from PIL import Image

from fashionflow.training.synthesis.__main__ import main
from fashionflow.training.synthesis.dataset import Recipe
from fashionflow.training.synthesis.layers import FLAT_DEPTHS, Layers, flat_layers, measured_layers
from fashionflow.training.synthesis.runway import RunwayStudio

from .test_synthesis import in_this_process, needs_packages
from .test_synthesis_hanging import coloured, photo


HEIGHT, WIDTH = 160, 128
SMALL = ["--size", "64", "80"]


@pytest.fixture(scope="module")
def studio():
    return RunwayStudio((HEIGHT, WIDTH))


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two masks."""
    return (first & second).sum() / (first | second).sum()


@pytest.fixture(scope="module")
def take(studio):
    """Everything about a seed's first frame except its pixels."""
    return cache(lambda seed: studio._take(seed, num_frames=2, frame_rate=8.0))


@pytest.fixture(scope="module")
def turned_layers(studio, take):
    """The layers of a seed's first frame, the body turned by an angle in degrees from where it faces the camera."""

    @cache
    def turned_layers(seed: int, angle: float) -> Layers:
        turned = replace(take(seed), yaw=np.full(2, float(angle)))
        with studio._scene(turned) as scene:
            picture, front, back = scene.draw_layers(*turned.posed(0))
            return measured_layers(picture, front, back, scene.shared["camera"], -float(turned.distance[0]))

    return turned_layers


@pytest.fixture(scope="module")
def full_seeds(take) -> list[int]:
    """Six seeds whose figure is seen as a whole."""
    return list(islice((seed for seed in range(200) if take(seed).camera.framing == "full"), 6))


@needs_packages
def test_a_figure_lies_between_its_front_and_its_back(studio):
    for seed in range(4):
        layers, label = studio.layers(seed)
        assert layers.photo.shape == (HEIGHT, WIDTH, 3) and layers.photo.dtype == np.uint8
        assert layers.front.dtype == layers.back.dtype == np.float16 and layers.coverage.dtype == np.uint8
        assert label.keys() == {"pattern", "framing", "kind"} and label["kind"] == "runway"
        inside, outside = layers.coverage == 255, layers.coverage == 0
        assert inside.mean() > 0.05 and outside.any()
        front, back = layers.front.astype(float), layers.back.astype(float)
        assert (front >= back - 0.1).all()
        assert (front - back)[inside].mean() > 0.1 * np.flatnonzero(inside.any(0)).size
        assert not front[outside].any() and not back[outside].any()
        assert front[inside].all()


@needs_packages
def test_the_picture_is_that_of_the_clip(studio):
    """Notices layers of another body, pose or camera than the clip's, and a clip that the layers' drawing changes."""
    before, _ = studio.clip(5, num_frames=2)
    layers, _ = studio.layers(5)
    after, _ = studio.clip(5, num_frames=2)
    assert np.abs(layers.photo.astype(int) - before[0]).mean() < 2  # the film's grain is drawn for all frames at once
    np.testing.assert_array_equal(before, after)


@needs_packages
def test_the_coverage_is_where_the_photo_differs_from_its_background(studio, full_seeds):
    """Notices a coverage that is turned over, shifted or of another frame."""
    overlaps, mirrored = [], []
    for seed in full_seeds:
        layers, _ = studio.layers(seed)
        covered = layers.coverage > 127
        ground = np.stack(  # a row's background is all of one colour, but for the figure's shadow
            [np.median(row[~on], axis=0) for row, on in zip(layers.photo, covered, strict=True)]
        )
        differs = np.abs(layers.photo - ground[:, None]).max(axis=-1) > 30
        overlaps.append(overlap(differs, covered))
        mirrored.append(overlap(differs, covered[:, ::-1]))
    assert np.median(overlaps) > 0.85
    assert np.median(mirrored) < np.median(overlaps) - 0.1


@needs_packages
def test_a_body_seen_from_behind_is_its_mirror_image_about_the_axis(turned_layers, full_seeds):
    """Notices an axis beside the body's, and a back whose depth has another zero or sign than the front's."""
    for seed in full_seeds[:3]:
        before, behind = (turned_layers(seed, angle) for angle in (0, 180))
        assert behind.axis == pytest.approx(before.axis, abs=0.01)
        columns = np.flatnonzero((before.coverage > 127).any(0))
        assert columns[0] < before.axis < columns[-1]
        # The column at a distance to the right of the axis, seen from behind, is the one as far to the left.
        seen = np.floor(2 * before.axis - (np.arange(WIDTH) + 0.5)).astype(int)
        inside = (seen >= 0) & (seen < WIDTH)
        from_behind = {
            name: getattr(behind, name)[:, seen.clip(0, WIDTH - 1)].astype(float)
            for name in ("coverage", "front", "back")
        }
        covered = (before.coverage > 127) & inside
        assert overlap(covered, (from_behind["coverage"] > 127) & inside) > 0.88
        both = covered & (from_behind["coverage"] > 127)
        for front, back in ((before.front, from_behind["back"]), (from_behind["front"], before.back)):
            difference = (front.astype(float) + back)[both]
            assert abs(np.median(difference)) < 0.6
            assert np.median(np.abs(difference)) < 1.5


@needs_packages
def test_depths_are_pixels_of_the_picture(turned_layers, full_seeds):
    """Turned to the side, a body is as deep as it was wide: notices depths of another unit."""
    for seed in full_seeds[:3]:
        before, aside = (turned_layers(seed, angle) for angle in (0, 90))
        columns = np.flatnonzero((before.coverage > 127).any(0))
        covered = aside.coverage == 255
        wide, deep = np.ptp(columns) + 1, aside.front[covered].max() - aside.back[covered].min()
        assert deep == pytest.approx(wide, rel=0.15)


@needs_packages
def test_a_seed_gives_the_same_layers(studio):
    (first, label), (again, same), (other, _) = (studio.layers(seed) for seed in (7, 7, 8))
    assert_equal(first, again)
    assert label == same and not np.array_equal(first.front, other.front)


def assert_equal(first: Layers, second: Layers) -> None:
    for name in ("photo", "coverage", "front", "back"):
        one, other = getattr(first, name), getattr(second, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert first.axis == second.axis and isinstance(second.axis, float)


@pytest.mark.parametrize("seed", [*range(6), 14, 35])  # the frame cuts the last two
def test_a_garment_laid_flat_is_thickest_in_its_middle(seed):
    """Notices a relief or a coverage beside the garment in the photo, also where the frame cuts it, and a wrong thickness."""
    layers = flat_layers(photo(), seed, (HEIGHT, WIDTH))
    covered = layers.coverage > 127
    assert overlap(coloured(layers.photo), covered) > 0.93
    np.testing.assert_array_equal(layers.back, -layers.front)
    front = layers.front.astype(float)
    assert (front >= 0).all() and not front[~covered].any()
    columns, rows = np.flatnonzero(covered.any(0)), np.flatnonzero(covered.any(1))
    assert layers.axis == pytest.approx(columns.mean() + 0.5, abs=0.06 * columns.size)
    middle = front[rows[rows.size // 2], round(layers.axis)]
    inner = covered.copy()
    for axis in (0, 1):
        inner &= np.roll(covered, 2, axis) & np.roll(covered, -2, axis)
    assert middle > 0.7 * front.max() > 1.2 * front[covered & ~inner].mean()
    # The shirt's body is less wide than its sleeves reach.
    smallest, largest = (share * columns.size / 2 for share in FLAT_DEPTHS)
    assert 0.4 * smallest < front.max() < 1.1 * largest


def test_the_thickness_and_the_place_of_a_flat_garment_come_from_the_seed():
    first, again, other = (flat_layers(photo(), seed, (HEIGHT, WIDTH)) for seed in (1, 1, 2))
    assert_equal(first, again)
    assert first.front.max() != other.front.max() and first.axis != other.axis


def test_a_photo_without_a_garment_is_refused():
    with pytest.raises(ValueError):
        flat_layers(photo(garment=False), 0, (HEIGHT, WIDTH))


def test_a_file_reads_back_as_it_was_written(tmp_path):
    layers = flat_layers(photo(), 3, (HEIGHT, WIDTH))
    layers.write(tmp_path / "000003.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["000003.npz"]
    assert_equal(layers, Layers.read(tmp_path / "000003.npz"))


def test_a_damaged_file_is_one_sentence(tmp_path):
    path = tmp_path / "000003.npz"
    flat_layers(photo(), 3, (80, 64)).write(path)
    whole = path.read_bytes()
    np.save(tmp_path / "array.npy", np.zeros(3))
    np.savez(tmp_path / "other.npz", photo=np.zeros(3))
    middle = bytearray(whole)
    middle[len(whole) // 3 : len(whole) // 3 + 40] = bytes(40)
    contents = [b"", b"text", whole[:1000], whole[:-30], bytes(middle)]
    contents += [(tmp_path / name).read_bytes() for name in ("array.npy", "other.npz")]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(ValueError, match="000003.npz' holds no layers"):
            Layers.read(path)
    with pytest.raises(ValueError, match="holds no layers"):
        Layers.read(tmp_path / "nowhere.npz")


@needs_packages
def test_the_command_makes_layers_of_figures_and_garments_and_goes_on(tmp_path, capsys, monkeypatch):
    in_this_process(monkeypatch)
    out, photos = tmp_path / "layers", tmp_path / "photos"
    photos.mkdir()
    photo().save(photos / "shirt.png")
    recipe = Recipe(photos=photos)
    first = next(seed for seed in range(99) if recipe.is_hanging(seed) != recipe.is_hanging(seed + 1))
    kinds = ["hanging" if recipe.is_hanging(seed) else "runway" for seed in (first, first + 1)]
    names = [f"{seed:06d}" for seed in (first, first + 1)]
    command = [str(out), "--layers", "--photos", str(photos), "--clips", "2", "--seed", str(first), *SMALL]
    assert main(command) == 0
    assert "2 photos with their shape made, 0 were there, 0 failed" in capsys.readouterr().out
    found = sorted(path.name for path in out.iterdir())
    assert found == [*(f"{name}.npz" for name in names), "contact_sheet.jpg", "labels.jsonl"]
    labels = {label["name"]: label for label in map(json.loads, (out / "labels.jsonl").read_text().splitlines())}
    assert [labels[name]["kind"] for name in names] == kinds
    assert all("yaw" not in label and {"pattern", "framing"} < label.keys() for label in labels.values())
    made = [Layers.read(out / f"{name}.npz") for name in names]
    assert [np.array_equal(layers.front, -layers.back) for layers in made] == [kind == "hanging" for kind in kinds]
    assert all(layers.photo.shape == (80, 64, 3) for layers in made)
    with Image.open(out / "contact_sheet.jpg") as sheet:
        assert sheet.size == (4 * 64, 2 * 80)
        row = np.asarray(sheet.convert("L"), float)[:80]
    assert np.abs(row[:, 64:128] - made[0].coverage).mean() < 12
    assert row[:, 128:192].mean() > row[:, 192:].mean() > 0, "the front is nearer and lighter than the back"

    kept = (out / f"{names[0]}.npz").stat().st_mtime_ns
    (out / f"{names[1]}.npz").unlink()
    (out / ".123.npz").write_bytes(b"half-written")
    assert main(command) == 0
    assert "1 photos with their shape made, 1 were there, 0 failed" in capsys.readouterr().out
    assert (out / f"{names[0]}.npz").stat().st_mtime_ns == kept and not (out / ".123.npz").exists()
    assert_equal(made[1], Layers.read(out / f"{names[1]}.npz"))
    assert len((out / "labels.jsonl").read_text().splitlines()) == 2


def test_folders_that_do_not_fit_are_refused(tmp_path, capsys):
    """Notices clips and layers in one folder, whose labels would get lost, and layers of two sizes."""
    flat_layers(photo(), 3, (80, 64)).write(tmp_path / "000003.npz")
    (tmp_path / "labels.jsonl").write_text('{"name": "000003"}\n')
    asked = [str(tmp_path), "--clips", "1", "--seed", "3"]
    assert main([*asked, "--layers", *SMALL]) == 0  # it is there
    assert "0 photos with their shape made, 1 were there" in capsys.readouterr().out
    assert main([*asked, "--layers", "--size", "96", "80"]) == 2
    assert "000003.npz' has 64 x 80 and not 96 x 80: choose another folder" in capsys.readouterr().err
    assert main([*asked, *SMALL]) == 2
    assert "holds .npz files and cannot take .mp4 files: choose another folder." in capsys.readouterr().err
    assert (tmp_path / "labels.jsonl").read_text() == '{"name": "000003"}\n'
    (tmp_path / "000003.npz").write_bytes(b"damaged")
    assert main([*asked, "--layers", *SMALL]) == 2
    assert "is damaged: remove it and run the same command again." in capsys.readouterr().err
    (tmp_path / "000003.npz").rename(tmp_path / "000003.mp4")
    assert main([*asked, "--layers", *SMALL]) == 2
    assert "holds .mp4 files and cannot take .npz files" in capsys.readouterr().err
