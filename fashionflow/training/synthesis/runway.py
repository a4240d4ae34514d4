"""One rendered clip: a figure in an outfit that turns, sways or walks in a studio.

Every part draws what it needs from its own stream of random numbers, so that the same seed gives the same clip, and a change to
one part leaves the others as they were.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .background import Background
from .body import BodyModel, Figure, Person
from .camera import Camera
from .fabric import wrinkle_heights
from .film import Film
from .garment import drape
from .hair import Hair
from .layers import Layers, measured_layers
from .light import Light
from .makehuman import Assets
from .mesh import Surface, smoothstep
from .motion import Motion
from .outfit import Outfit
from .pose import Pose, Posing
from .renderer import MOST_CUTS, Renderer, Scene
from .secondary import follow
from .shoes import Shoes
from .skeleton import Skeleton, skin
from .skirt import LATE_RINGS, Skirt


PARTS = ("person", "outfit", "folds", "pose", "motion", "hair", "shoes", "light", "camera", "background", "film")
IRISES = ((0.16, 0.09, 0.05), (0.3, 0.2, 0.1), (0.25, 0.35, 0.4), (0.22, 0.3, 0.18))


class RunwayStudio:
    """Makes runway clips. The body, the shaders and the assets are loaded once.

    Args:
        size: height and width of the clips, pixels, both even.
        makehuman: a folder of MakeHuman hair and shoes, or `None` for our own shapes.
        photos: garment photos that prints are cropped from.
    """

    def __init__(
        self, size: tuple[int, int] = (320, 256), makehuman: Path | None = None, photos: list[Path] | None = None
    ):
        self.assets = Assets(makehuman) if makehuman else None
        self.photos = photos or []
        self.renderer = Renderer(size)
        self.body = BodyModel()

    def clip(self, seed: int, num_frames: int = 24, frame_rate: float = 8.0) -> tuple[np.ndarray, dict]:
        """The clip of `seed`.

        Returns:
            Frames, uint8 [F, height, width, 3], and what they show: `motion`, `yaw` (degrees, one per frame; 0 faces the camera, positive
            turns the face to the picture's right), `distance` (metres walked towards the camera, one per frame), `pattern`, `framing` and
            `kind`.
        """
        take = self._take(seed, num_frames, frame_rate)
        with self._scene(take) as scene:
            frames = [scene.draw(*take.posed(number)) for number in range(num_frames)]
        label = {
            "motion": take.motion.name,
            "yaw": [round(float(angle), 2) for angle in take.yaw],
            "distance": [round(float(walked), 3) for walked in take.distance],
            **take.kind(),
        }
        return take.film.develop(np.stack(frames)), label

    def layers(self, seed: int) -> tuple[Layers, dict]:
        """The first frame of the clip of `seed` with its depths and axis, and `pattern`, `framing` and `kind` of `clip`'s label."""
        take = self._take(seed, num_frames=2, frame_rate=8.0)
        with self._scene(take) as scene:
            picture, front, back = scene.draw_layers(*take.posed(0))
            camera = scene.shared["camera"]
        picture = take.film.develop(picture[None])[0]
        return measured_layers(picture, front, back, camera, -float(take.distance[0])), take.kind()

    @contextmanager
    def _scene(self, take: "_Take") -> Iterator[Scene]:
        """The clip's scene with its surfaces on the card."""
        stage = take.stage
        with Scene(
            self.renderer, take.camera, take.light, take.background, stage.shoes.ground, stage.uniforms
        ) as scene:
            stage.fill(scene)
            yield scene

    def _take(self, seed: int, num_frames: int, frame_rate: float) -> "_Take":
        """Everything about the clip of `seed` except its pixels."""
        random = dict(zip(PARTS, np.random.default_rng(seed).spawn(len(PARTS)), strict=True))
        figure = self.body.figure(Person.draw(random["person"]))
        outfit = Outfit.draw(random["outfit"], figure, self.photos)
        hair = Hair.draw(random["hair"], figure, self.assets)
        shoes = Shoes.draw(random["shoes"], figure, self.assets)
        motion = Motion.draw(random["motion"])
        skirts = [Skirt(cut, figure, random["folds"]) for cut in outfit.skirts]
        hem = min([*(cut.lowest for cut in outfit.cuts), *(s.cut.top - s.cut.length for s in skirts)])
        camera = Camera.draw(random["camera"], figure, shoes.ground, hem, motion.walk)

        times = np.arange(num_frames) / frame_rate
        seconds = max(float(times[-1]), 1 / frame_rate)
        poses = random["pose"]
        start = Pose.draw(poses)
        end = Pose.draw(poses) if poses.random() < 0.2 else start
        hand = figure.hip - 0.05
        arms_out = max(
            [
                0.0,
                *(
                    s.widest(hand) + 1.6 * s.cut.fold_depth + 0.045 - float(figure.joint("upperleg01.L")[0])
                    for s in skirts
                ),
            ]
        )
        posing = Posing(start, end, motion, seconds, float(poses.random()), arms_out, shoes.pitch)

        progress = times / seconds
        return _Take(
            stage=_Stage(figure, outfit, skirts, hair, shoes, random["folds"]),
            camera=camera,
            light=Light.draw(random["light"]),
            background=Background.draw(random["background"]),
            film=Film.draw(random["film"]),
            motion=motion,
            posing=posing,
            cloth=_ClothMotion(motion, posing, times, seconds),
            times=times,
            yaw=motion.yaw(progress),
            distance=motion.distance(progress),
        )


@dataclass
class _Take:
    """One clip before it is drawn. `times` are seconds, `yaw` degrees and `distance` metres, one per frame."""

    stage: "_Stage"
    camera: Camera
    light: Light
    background: Background
    film: Film
    motion: Motion
    posing: Posing
    cloth: "_ClothMotion"
    times: np.ndarray
    yaw: np.ndarray
    distance: np.ndarray

    def posed(self, number: int):
        """The arguments of `Scene.draw` for frame `number`."""
        pose = self.posing.at(self.times[number])
        return self.stage.pose(pose, self.cloth, number, self.yaw[number], self.distance[number])

    def kind(self) -> dict:
        """The part of the label that holds for the whole clip."""
        return {"pattern": self.stage.outfit.pattern, "framing": self.camera.framing, "kind": "runway"}


class _ClothMotion:
    """How far cloth and hair lag behind at each frame, from springs that the body pulls."""

    def __init__(self, motion: Motion, posing: Posing, times: np.ndarray, seconds: float):
        turn = lambda clock: motion.yaw(np.clip(clock / seconds, 0, 1))  # noqa: E731
        self.late = follow(turn, times, np.linspace(2.4, 0.95, len(LATE_RINGS)), damping=0.3)  # [F, rings]
        # Hair is light and slides over the shoulders, so it follows quickly and not completely.
        self.hair = 0.5 * np.clip(follow(turn, times, 1.5, damping=0.35)[:, 0], -40, 40)
        step = 0.02
        speed = (turn(times + step) - turn(times - step)) / (2 * step)
        self.swing = np.minimum((speed / 260) ** 2, 0.6)
        clock = np.linspace(0, seconds, 49)
        shift = np.array([posing.at(time).hip_shift for time in clock])
        self.push = -follow(lambda t: np.interp(t, clock, shift), times, 1.1, damping=0.25)[:, 0]


class _Stage:
    """The surfaces of one clip and how they follow a pose."""

    def __init__(
        self,
        figure: Figure,
        outfit: Outfit,
        skirts: list[Skirt],
        hair: Hair,
        shoes: Shoes,
        random: np.random.Generator,
    ):
        self.figure, self.outfit, self.skirts, self.hair, self.shoes = figure, outfit, skirts, hair, shoes
        self.skeleton = Skeleton(figure)
        self.creases = (wrinkle_heights(random) * 255).astype(np.uint8)[..., None]
        self.iris = IRISES[random.integers(len(IRISES))]
        self.cuts = [drape(figure, cut) for cut in outfit.cuts]
        self.cuts_on_trunk = [surface.coordinates[:, 0] <= -0.25 for surface in self.cuts]
        self.skin = figure.skin_surface()
        self.followers: list[Surface] = [self.skin, *self.cuts, *hair.surfaces, *shoes.surfaces, figure.trunk()]
        self.homogeneous = [
            np.concatenate([s.positions, np.ones((len(s.positions), 1))], 1).astype(np.float32) for s in self.followers
        ]

    @property
    def uniforms(self) -> dict:
        """The numbers that `cut.glsl` needs for all garments at once, and the measures of the figure."""
        figure = self.figure
        cuts = [cut.uniforms(figure) for cut in self.outfit.cuts]
        column = lambda name, empty: [cut[name] for cut in cuts] + [empty] * (MOST_CUTS - len(cuts))  # noqa: E731
        return {
            "num_cuts": len(cuts),
            "neckline": column("neckline", 0),
            "neck": column("neck", (0.0,) * 4),
            "range": column("range", (0.0,) * 4),
            "strap": column("strap", (0.0,) * 2),
            "arm_length": figure.arm_length,
            "neck_middle": float(figure.joint("neck01")[1]),
            "shoulder": figure.shoulder,
            "elbow": figure.joint("lowerarm01.L"),
            "wrist": figure.joint("wrist.L"),
            "hip": figure.joint("upperleg01.L"),
            "ankle": figure.joint("foot.L"),
            "crotch": figure.crotch,
            "middle": float(figure.joint("spine02")[1]),
            "under_skirt": max(
                [(0.0, 0.0), *(skirt.hidden() for skirt in self.skirts)], key=lambda span: span[1] - span[0]
            ),
            "eye_centre": figure.joint("eye.L"),
        }

    def fill(self, scene: Scene) -> None:
        """Puts the surfaces on the card, in the order in which `pose` returns their positions."""
        figure, crease_map = self.figure, scene.texture(self.creases)
        skin_map = scene.texture(figure.skin_texture()[::-1])
        arm = np.stack([figure.arm[figure.model.vertices], np.zeros(len(self.skin.positions))], 1)
        brow = np.minimum(np.array(self.hair.colour) * 0.9, np.array(figure.person.skin) * 0.6)
        look = {"brow_colour": tuple(brow), "iris_colour": self.iris}
        scene.add("skin", self.skin.faces, self.skin.rest, self.skin.coordinates, arm, look, {"skin_map": skin_map})
        for number, (cut, surface) in enumerate(zip(self.outfit.cuts, self.cuts, strict=True)):
            own = cut.uniforms(figure)
            look = {"cut": number, "girth": own["girth"], "border": own["trim"], **_look(cut.fabric)}
            textures = {"print_map": scene.texture(cut.fabric.texture), "crease_map": crease_map}
            nothing = np.zeros_like(surface.coordinates)
            scene.add("cloth", surface.faces, surface.rest, surface.coordinates, nothing, look, textures)
        for surface in self.hair.surfaces:
            look = {"strands": True, "main_colour": self.hair.colour, "sole": 0.0}
            scene.add("solid", surface.faces, surface.rest, surface.coordinates, surface.coordinates, look)
        for surface in self.shoes.surfaces:
            look = {"strands": False, "main_colour": self.shoes.colour, "sole_colour": self.shoes.sole}
            look["sole"] = 0.022 if self.shoes.style == "sneakers" else 0.008
            scene.add("solid", surface.faces, surface.rest, surface.coordinates, surface.coordinates, look)
        for skirt in self.skirts:
            border = (*skirt.cut.trim, 1.0) if skirt.cut.trim else (0.0,) * 4
            look = {"cut": -1, "border": border, **_look(skirt.cut.fabric)}
            textures = {"print_map": scene.texture(skirt.cut.fabric.texture), "crease_map": crease_map}
            rest = np.zeros((len(skirt.coordinates), 3))
            scene.add("cloth", skirt.faces, rest, skirt.coordinates, skirt.edges, look, textures)

    def pose(self, pose: Pose, cloth: _ClothMotion, number: int, yaw: float, distance: float):
        """The arguments of `Scene.draw` for frame `number`."""
        transforms = self.skeleton.transforms(pose)
        posed = [
            skin(surface.weights, homogeneous, surface.normals, transforms)
            for surface, homogeneous in zip(self.followers, self.homogeneous, strict=True)
        ]
        trunk = posed.pop()[0]
        self._swing_hair(posed, -float(cloth.hair[number]))
        worn = [positions[on] for (positions, _), on in zip(posed[1:], self.cuts_on_trunk, strict=False)]
        hips = transforms[0].astype(np.float64)
        push = np.array([cloth.push[number], 0.0])
        for skirt in self.skirts:
            under = np.concatenate([trunk, *(worn[cut] for cut in skirt.cut.over)])
            posed.append(skirt.pose(under, hips, cloth.late[number], float(cloth.swing[number]), push))
        model = turned(yaw, distance)
        feet = []
        for side, sign in (("L", 1), ("R", -1)):
            leg = pose.legs[side]
            place = np.array([sign * leg.out, self.skeleton.joint("foot.L")[1] + leg.back - 0.05, 0, 1])
            feet.append((model @ place)[:2])
        return posed, model, np.array(feet)

    def _swing_hair(self, posed: list[tuple[np.ndarray, np.ndarray]], angle: float) -> None:
        """Turns the hair that hangs below the chin about the head, by up to `angle` degrees."""
        first = 1 + len(self.cuts)
        pivot = self.figure.joint("head")
        for number, surface in enumerate(self.hair.surfaces, first):
            positions, normals = posed[number]
            turn = np.radians(angle) * smoothstep(pivot[2], pivot[2] - 0.3, surface.positions[:, 2])
            cosine, sine = np.cos(turn), np.sin(turn)
            x, y = positions[:, 0] - pivot[0], positions[:, 1] - pivot[1]
            moved = positions.copy()
            moved[:, 0], moved[:, 1] = pivot[0] + x * cosine - y * sine, pivot[1] + x * sine + y * cosine
            posed[number] = moved, normals


def turned(yaw: float, distance: float) -> np.ndarray:
    """The transform from the posed body, which faces the camera, to the world: turned by `yaw` degrees, `distance` metres nearer,
    [4, 4]."""
    angle = np.radians(yaw)
    model = np.eye(4)
    model[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    model[1, 3] = -distance
    return model


def _look(fabric) -> dict:
    """A fabric's numbers for the shader."""
    return {"tile": fabric.tile, "shine": fabric.shine, "creases": fabric.wrinkles}
