"""The rendered data set: the parts that need no drawing, and one run of the real command with software OpenGL."""

import json
import os
from concurrent.futures import Executor, Future
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from fashionflow.training.synthesis import dataset
from fashionflow.training.synthesis.__main__ import main
from fashionflow.training.synthesis.body import BodyModel, Person
from fashionflow.training.synthesis.camera import Camera
from fashionflow.training.synthesis.errors import SynthesisError
from fashionflow.training.synthesis.fabric import Fabric, photo_tile
from fashionflow.training.synthesis.light import Light
from fashionflow.training.synthesis.mesh import grid_faces, split_seams, vertex_normals
from fashionflow.training.synthesis.motion import MOTIONS, Motion
from fashionflow.training.synthesis.pose import Arm, Pose, Posing
from fashionflow.training.synthesis.prints import PRINTS, TILE_PIXELS
from fashionflow.training.synthesis.renderer import Renderer
from fashionflow.training.synthesis.runway import turned
from fashionflow.training.synthesis.secondary import follow
from fashionflow.training.synthesis.skeleton import Skeleton, skin
from fashionflow.video.io import read_frames, write_clip


MISSING = [name for name in ("anny", "moderngl") if find_spec(name) is None]
# Where CI is set, a missing package is a failure and not a reason to leave the test out.
needs_packages = pytest.mark.skipif(
    bool(MISSING) and not os.environ.get("CI"), reason=f"not installed: {', '.join(MISSING)} (the extra `synthesis`)"
)
FRAMES, WIDTH, HEIGHT = 3, 64, 80
SMALL = ["--frames", str(FRAMES), "--size", str(WIDTH), str(HEIGHT)]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """Two clips made by the real command."""
    out = tmp_path_factory.mktemp("synthesis") / "clips"
    assert main([str(out), "--clips", "2", "--seed", "22", *SMALL]) == 0
    return out


@pytest.fixture(scope="module")
def figure():
    return BodyModel().figure(Person.draw(np.random.default_rng(3)))


class InThisProcess(Executor):
    """Does at once what a pool of processes would do. A process takes eight seconds to start."""

    def __init__(self, workers, context, initializer, initargs):
        dataset._maker = dataset.ClipMaker(*initargs)

    def submit(self, function, /, *arguments):
        future = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future


def in_this_process(monkeypatch) -> None:
    """The command makes its clips here, and not in processes of its own."""
    monkeypatch.setattr(dataset, "ProcessPoolExecutor", InThisProcess)
    monkeypatch.setattr(dataset, "_maker", None)


def read_labels(out):
    return [json.loads(line) for line in (out / "labels.jsonl").read_text().splitlines()]


@needs_packages
def test_the_command_makes_clips_labels_and_a_contact_sheet(out):
    assert sorted(path.name for path in out.iterdir()) == [
        *("000022.mp4", "000023.mp4", "contact_sheet.jpg", "labels.jsonl")
    ]
    labels = read_labels(out)
    assert {label["name"] for label in labels} == {"000022", "000023"}
    for label in labels:
        frames = read_frames(out / f"{label['name']}.mp4")
        assert frames.shape == (FRAMES, HEIGHT, WIDTH, 3)
        assert len(label["yaw"]) == len(label["distance"]) == FRAMES
        assert label["motion"] in MOTIONS and label["kind"] == "runway"
        assert (label["distance"][-1] > 0) == (label["motion"] == "walk")
        assert frames[0].std() > 10  # a figure stands there
        assert np.abs(frames[0].astype(float) - frames[-1]).mean() > 0.5  # and it moves
    with Image.open(out / "contact_sheet.jpg") as sheet:
        assert sheet.size == (FRAMES * WIDTH, 2 * HEIGHT)


@needs_packages
def test_a_stopped_run_goes_on_and_a_seed_gives_the_same_clip(out, capsys, monkeypatch):
    in_this_process(monkeypatch)
    clips = {name: out / f"{name}.mp4" for name in ("000022", "000023")}
    kept, remade = clips["000022"].stat().st_mtime_ns, read_frames(clips["000023"])
    label = next(label for label in read_labels(out) if label["name"] == "000023")
    clips["000023"].unlink()
    (out / ".123.mp4").write_bytes(b"half-written")
    with (out / "labels.jsonl").open("a") as labels:
        labels.write('{"name": "0000')  # a line that was not finished
    assert main([str(out), "--clips", "2", "--seed", "22", *SMALL]) == 0
    assert "1 clips made, 1 were there, 0 failed" in capsys.readouterr().out
    assert clips["000022"].stat().st_mtime_ns == kept
    np.testing.assert_array_equal(read_frames(clips["000023"]), remade)
    assert label in read_labels(out) and len(read_labels(out)) == 2
    assert not (out / ".123.mp4").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--clips", "0"], "`--clips` must be at least 1, got 0"),
        (["--seed", "999999"], "Seeds must lie between 0 and 999999"),
        (["--workers", "0"], "`--workers` must be at least 1, got 0"),
        (["--frames", "1"], "`--frames` must be at least 2, got 1"),
        (["--frame-rate", "nan"], "`--frame-rate` must be above 0, got nan"),
        (["--size", "65", "80"], "`--size` must be an even width and height of at least 32, got 65 80"),
        (["--hanging-share", "2"], "`--hanging-share` must be between 0 and 1, got 2"),
        (["--makehuman", "nowhere"], "`--makehuman` must be a folder, but there is none at 'nowhere'"),
        (["--fabrics", "."], "`--fabrics` must hold .jpg, .png or .webp photos"),
    ],
)
def test_wrong_arguments_are_one_sentence(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["clips", *arguments]) == 2
    report = capsys.readouterr().err
    assert message in report and "Traceback" not in report and report.count("\n") == 1


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main([str(tmp_path / "file" / "clips")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_clips_of_other_settings_are_refused_and_a_damaged_one_has_no_row_in_the_sheet(tmp_path, capsys):
    frames = np.full((FRAMES, HEIGHT, WIDTH, 3), 90, np.uint8)
    write_clip(tmp_path / "000022.mp4", frames, 8)
    (tmp_path / "labels.jsonl").write_text('{"name": "000022"}\n')
    (tmp_path / "000099.mp4").write_bytes(b"no video")
    asked = [str(tmp_path), "--clips", "1", "--seed", "22"]
    assert main([*asked, *SMALL]) == 0  # it is there
    with Image.open(tmp_path / "contact_sheet.jpg") as sheet:
        assert sheet.size == (FRAMES * WIDTH, HEIGHT)
    capsys.readouterr()
    assert main([*asked, "--frames", "4", *SMALL[2:]]) == 2
    assert "has 3 frames of 64 x 80 and not 4 frames of 64 x 80" in capsys.readouterr().err


def test_a_failed_clip_is_skipped_but_a_full_disk_stops(tmp_path, monkeypatch):
    failed, unwritten = Future(), Future()
    failed.set_exception(ValueError("no garment"))
    unwritten.set_exception(OSError("ffmpeg cannot write"))
    assert dataset._outcome(failed, 7, tmp_path) == {"name": "000007", "error": "ValueError: no garment"}
    with pytest.raises(SynthesisError, match="cannot be written"):
        dataset._outcome(unwritten, 7, tmp_path)
    monkeypatch.setattr(dataset.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 0}))
    with pytest.raises(SynthesisError, match="is full"):
        dataset._outcome(unwritten, 7, tmp_path)


def test_missing_packages_and_missing_egl_are_one_sentence(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(__import__("sys").modules, "anny", None)
        with pytest.raises(SynthesisError, match="'anny'.*pip install"):
            BodyModel()
    with monkeypatch.context() as patch:
        patch.setitem(__import__("sys").modules, "moderngl", None)
        with pytest.raises(SynthesisError, match="'moderngl'.*pip install"):
            Renderer((HEIGHT, WIDTH))
    moderngl = pytest.importorskip("moderngl")

    def absent(**_):
        raise Exception("(standalone) requireExtension: no EGL")

    monkeypatch.setattr(moderngl, "create_standalone_context", absent)
    with pytest.raises(SynthesisError, match="EGL.*apt-get install"):
        Renderer((HEIGHT, WIDTH))


@pytest.mark.parametrize("name", list(PRINTS))
def test_prints_repeat_without_a_seam(name):
    for seed in range(4):
        colours = np.array([(0.9, 0.9, 0.9), (0.1, 0.1, 0.3), (0.7, 0.2, 0.2), (0.2, 0.5, 0.3)])
        print_ = PRINTS[name](np.random.default_rng(seed), colours)
        assert print_.shape == (TILE_PIXELS, TILE_PIXELS, 3) and print_.dtype == np.uint8
        assert (print_.std(axis=(0, 1)).max() > 8) == (name != "plain")
        for axis in (0, 1):
            steps = np.abs(np.diff(print_.astype(float), axis=axis, append=np.take(print_, [0], axis=axis)))
            steps = steps.mean(axis=(1 - axis, 2))  # [TILE_PIXELS]; the last one is the seam
            assert steps[-1] <= steps[:-1].max() * 1.25 + 3


def test_stripes_are_equally_wide_across_the_seam():
    colours = np.array([(0.9, 0.9, 0.9), (0.1, 0.1, 0.3), (0.9, 0.9, 0.9), (0.9, 0.9, 0.9)])
    for seed in range(6):
        print_ = PRINTS["stripes"](np.random.default_rng(seed), colours)[..., 0]
        line = print_[0] if print_[0].std() > 20 else print_[:, 0]
        edges = np.flatnonzero((line < 128) & (np.roll(line, 1) >= 128))
        widths = np.diff(edges, append=edges[0] + TILE_PIXELS)
        assert len(edges) >= 3 and np.ptp(widths) <= 2


def test_a_photo_s_tile_is_cloth_and_not_the_floor_beside_it(tmp_path):
    photo = Image.new("RGB", (300, 400), (240, 240, 235))
    photo.paste((180, 20, 30), (100, 60, 160, 340))  # so narrow that many crops show the floor
    photo.save(tmp_path / "dress.png")
    for seed in range(5):
        tile = photo_tile(tmp_path / "dress.png", np.random.default_rng(seed))
        assert tile.shape == (TILE_PIXELS, TILE_PIXELS, 3)
        assert np.median(tile, axis=(0, 1))[1] < 60
        np.testing.assert_array_equal(tile[:, 0], tile[:, -1])


def test_fabrics_are_whole_tiles_round_the_body_and_the_same_for_a_seed():
    first, second = (Fabric.draw(np.random.default_rng(5), []) for _ in range(2))
    np.testing.assert_array_equal(first.texture, second.texture)
    assert first.pattern != "photo"
    first.tile = 0.3
    assert first.repeats(1.0) == 3 and first.repeats(0.05) == 1


@pytest.mark.parametrize("name", list(MOTIONS))
def test_motions_start_and_end_gently_where_they_should(name):
    motion = Motion(name, start=5.0, angle=60.0, swings=1.0, walk=0.5 * (name == "walk"))
    progress = np.linspace(0, 1, 101)
    yaw, distance = motion.yaw(progress), motion.distance(progress)
    assert yaw[0] == pytest.approx(5)
    assert yaw[-1] == pytest.approx(5 if name in ("turn_back", "sway") else 65)
    assert yaw.max() == pytest.approx(65, abs=0.1)
    if name != "sway":
        fastest = np.abs(np.diff(yaw)).max()
        assert max(abs(yaw[1] - yaw[0]), abs(yaw[-1] - yaw[-2])) < 0.1 * fastest
    assert distance[-1] == pytest.approx(0.5 * (name == "walk"))


def test_cloth_is_late_while_the_body_turns_and_settles_after_it():
    times = np.linspace(0, 6, 121)
    late = follow(lambda clock: 90 * np.clip(clock, 0, 1), times, [2.0, 0.9], damping=0.3)
    assert late.shape == (121, 2)
    turning = (times > 0) & (times < 0.5)
    assert (late[turning][1:] > 0).all()  # behind a turn to the positive side
    assert late[:, 1].max() > late[:, 0].max()  # the hem more than the waist
    assert late[:, 1].min() < -1  # it swings past
    assert np.abs(late[-1]).max() < 0.5


def test_surfaces_face_outwards():
    positions = np.array([[0, 0, 1], [1, 0, 1], [0, 0, 0], [1, 0, 0.0]])  # a grid from top to bottom, seen from -y
    np.testing.assert_allclose(vertex_normals(positions, grid_faces(2, 2))[:, 1], -1)
    vertices, texture, faces = split_seams(np.array([[0, 1, 2], [2, 1, 3]]), np.array([[0, 1, 2], [4, 1, 3]]))
    assert len(vertices) == 5  # vertex 2 has two texture coordinates
    np.testing.assert_array_equal(vertices[faces], [[0, 1, 2], [2, 1, 3]])
    np.testing.assert_array_equal(texture[faces], [[0, 1, 2], [4, 1, 3]])


@needs_packages
def test_a_positive_angle_turns_the_face_to_the_right_of_the_picture(figure):
    transforms = Skeleton(figure).transforms(Pose())
    surface = figure.skin_surface()
    homogeneous = np.concatenate([surface.positions, np.ones((len(surface.positions), 1))], 1).astype(np.float32)
    positions, _ = skin(surface.weights, homogeneous, surface.normals, transforms)
    nose = positions[np.argmin(surface.positions[:, 1] + 10 * (surface.positions[:, 2] < figure.neck))]
    camera = Camera("full", np.array([0, -5.0, 0]), np.zeros(3), 25.0).matrix(0.8)
    across = []
    for yaw in (-40, 0, 40):
        seen = camera @ turned(yaw, 0.0) @ np.append(nose, 1)
        across.append(seen[0] / seen[3])
    assert across[0] < -0.01 < 0.01 < across[2] and abs(across[1]) < 0.01
    near, far = (turned(0, distance) @ np.append(nose, 1) for distance in (0.5, 0.0))
    assert far[1] - near[1] == pytest.approx(0.5)  # the camera is at -y


@needs_packages
def test_feet_stand_on_the_floor_and_hands_are_where_the_pose_puts_them(figure):
    skeleton = Skeleton(figure)
    motion = Motion("walk", 0, 0, walk=0.6)
    posing = Posing(Pose(arms={"L": Arm(), "R": Arm(out=0.2)}), Pose(), motion, 3.0, 0.3, arms_out=0.0, heel=0.0)
    for pose in (Pose(), Pose(hip_tilt=3, hip_shift=0.03), posing.at(1.0), posing.at(2.2)):
        transforms = skeleton.transforms(pose)
        place = lambda bone: transforms[skeleton.bones[bone]] @ np.append(skeleton.joint(bone), 1)  # noqa: B023, E731
        for side, sign in (("L", 1), ("R", -1)):
            leg, arm = pose.legs[side], pose.arms[side]
            assert place(f"foot.{side}")[2] == pytest.approx(figure.floor + skeleton.ankle(leg), abs=0.006)
            assert place(f"foot.{side}")[0] == pytest.approx(sign * leg.out, abs=0.006)
            out = place(f"wrist.{side}")[0] - place(f"upperleg01.{side}")[0]
            assert out == pytest.approx(sign * arm.out, abs=0.03)


@needs_packages
def test_the_head_stays_in_the_picture_in_every_framing_but_a_part(figure):
    framings, cut_heads = set(), []
    for seed in range(60):
        walk = 0.7 * (seed % 2)
        camera = Camera.draw(np.random.default_rng(seed), figure, figure.floor, figure.hip, walk)
        framings.add(camera.framing)
        head, chest = (camera.matrix(0.8) @ [0, -walk, figure.top - below, 1] for below in (0, 0.45))
        assert -1 < chest[1] / chest[3] < 1
        if camera.framing == "part":  # which may cut off the head, and show feet or not
            cut_heads.append(head[1] / head[3] > 1)
            continue
        assert -1 < head[1] / head[3] < 1
        feet = camera.matrix(0.8) @ [0, 0, figure.floor, 1]
        assert (feet[1] / feet[3] > -1) == (camera.framing == "full")
    assert framings == {"full", "three_quarter", "torso", "part"}
    assert any(cut_heads) and not all(cut_heads)


def test_the_key_light_sees_what_stands_before_it():
    light = Light.draw(np.random.default_rng(0))
    matrix = light.shadow_matrix(np.zeros(3), 1.5)
    near, far = matrix @ [*light.key, 1], matrix @ [*-light.key, 1]
    np.testing.assert_allclose(near[:2], 0, atol=1e-6)
    assert -1 < near[2] < far[2] < 1
