"""A flat cut-out as a closed body: its relief, and the drawing of its front and back by OpenGL.

Lengths are pixels of the finished frame: x to the right, y down, z towards the viewer, z = 0 in the plane of the photo.
"""

import cv2
import numpy as np

from .errors import SynthesisError
from .opengl import open_context


STEP = 3.0  # pixels between two neighbours of the relief's grid
CAMERA = 1100.0  # pixels from the camera to the plane of the photo; about a portrait lens for a frame of 320 pixels
SUPERSAMPLING = 3
DISTANCE_RANGE = 0.5  # share of CAMERA; nothing is nearer or farther than this

VERTEX_SHADER = """
#version 330
in vec4 position; in vec2 place; in float shade;
out vec2 at; out float light;
void main() { gl_Position = position; at = place; light = shade; }
"""
FRAGMENT_SHADER = """
#version 330
in vec2 at; in float light;
uniform sampler2D cloth; uniform bool front;
out vec4 colour;
void main() {
    vec4 texel = texture(cloth, at);
    if (texel.a < 0.5) discard;
    // The grid runs clockwise on the screen where its front sheet is seen from in front. The inside lies in shadow.
    bool outside = gl_FrontFacing == front;
    colour = vec4(texel.rgb * light * (outside ? 1.0 : 0.6), 1.0);
    // Front and back meet at the outline: there the outside lies before the inside of the other sheet.
    gl_FragDepth = gl_FragCoord.z + (outside ? 0.0 : 5e-4);
}
"""


class Relief:
    """The cut-out's rest shape: a front and a back sheet over one grid, which meet at the outline except at the hem.

    Args:
        coverage: the garment in its bounding box, float32 in [0, 1], [height, width].
        depth: half the thickness at the thickest place, as a share of half the garment's width.

    Attributes:
        x, y: the positions of the grid in the box, pixels, [rows] and [columns] expanded to [rows, columns].
        height: how far the front stands out of the plane, pixels, [rows, columns].
    """

    def __init__(self, coverage: np.ndarray, depth: float):
        box_height, box_width = coverage.shape
        rows, columns = int(np.ceil(box_height / STEP)) + 1, int(np.ceil(box_width / STEP)) + 1
        self.y, self.x = np.meshgrid(
            np.linspace(0, box_height, rows), np.linspace(0, box_width, columns), indexing="ij"
        )
        # Pixel i of a picture has its middle at i + 0.5.
        mask = cv2.remap(
            cv2.copyMakeBorder(coverage, 1, 1, 1, 1, cv2.BORDER_CONSTANT),
            (self.x + 0.5).astype(np.float32),
            (self.y + 0.5).astype(np.float32),
            cv2.INTER_LINEAR,
        )
        self.height = inflated(mask > 0.5) * depth * box_width / 2


def inflated(mask: np.ndarray) -> np.ndarray:
    """The height of a cushion over the mask (bool, [rows, columns]), 1 at its highest, 0 outside and along the outline.

    It solves Poisson's equation, like a soap film under pressure, so that wide parts stand out farther than sleeves. The hem is open:
    there the film continues downwards, and so does the height.
    """
    try:
        from scipy.sparse import coo_array, diags_array
        from scipy.sparse.linalg import spsolve
    except ImportError as error:
        raise SynthesisError(
            "Moving a garment photo needs the package 'scipy': run `pip install 'fashionflow[synthesis]'`."
        ) from error

    rows = len(mask)
    body = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0) > 0
    extra = rows // 4
    body = np.pad(body, ((0, extra), (1, 1)))
    bottom = np.where(body.any(axis=0), body.shape[0] - 1 - body[::-1].argmax(axis=0), -1)
    slope = np.abs(np.gradient(cv2.GaussianBlur(bottom.astype(np.float32)[None], (0, 0), 1.0)[0]))
    for column in np.flatnonzero((bottom > 0.72 * rows) & (slope < 0.9)):
        body[bottom[column] : -1, column] = True
    index = np.full(body.shape, -1)
    index[body] = np.arange(body.sum())
    pairs = [(index[:, :-1], index[:, 1:]), (index[:-1], index[1:])]
    one, other = (np.concatenate([pair[side].ravel() for pair in pairs]) for side in (0, 1))
    joined = (one >= 0) & (other >= 0)
    one, other = one[joined], other[joined]
    neighbours = coo_array(
        (np.ones(2 * len(one)), (np.concatenate([one, other]), np.concatenate([other, one]))), shape=(body.sum(),) * 2
    )
    # Nothing holds the film down along the bottom of the added rows, so one neighbour fewer pulls at it there.
    pull = np.full(body.shape, 4.0)
    pull[-2] = 3.0
    film = np.zeros(body.shape)
    film[body] = spsolve((diags_array(pull[body]) - neighbours).tocsr(), np.ones(body.sum()))
    # The film's root would be a round tube; a garment of two panels sewn together has an edge at its sides.
    height = np.maximum(film[:rows, 1:-1], 0) ** 0.65
    return height / height.max()


class Painter:
    """Draws reliefs in frames of one size, (height, width). It holds an OpenGL context, which belongs to one thread.

    Raises:
        SynthesisError: if moderngl is not installed, or there is no OpenGL without a screen.
    """

    def __init__(self, size: tuple[int, int]):
        self.size = size
        self.context = open_context()
        height, width = (side * SUPERSAMPLING for side in size)
        self.target = self.context.framebuffer(
            [self.context.texture((width, height), 4)], self.context.depth_renderbuffer((width, height))
        )
        self.program = self.context.program(vertex_shader=VERTEX_SHADER, fragment_shader=FRAGMENT_SHADER)
        self.context.enable(self.context.DEPTH_TEST)
        self.sheets, self.textures = [], []

    def load(self, relief: Relief, front: np.ndarray, back: np.ndarray) -> None:
        """Loads the cloth of both sides, uint8, [height, width, 4], colour and coverage, over the relief's box."""
        rows, columns = relief.x.shape
        corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
        triangles = np.stack(
            [corner, corner + 1, corner + columns, corner + 1, corner + columns + 1, corner + columns], axis=1
        )
        indices = self.context.buffer(triangles.astype(np.int32).tobytes())
        self.place = np.stack([relief.x / relief.x.max(), relief.y / relief.y.max()], axis=-1).astype(np.float32)
        for cloth in (front, back):
            texture = self.context.texture(cloth.shape[1::-1], 4, np.ascontiguousarray(cloth).tobytes(), alignment=1)
            texture.repeat_x = texture.repeat_y = False
            buffer = self.context.buffer(reserve=rows * columns * 7 * 4)
            vertices = self.context.vertex_array(
                self.program, [(buffer, "4f 2f 1f", "position", "place", "shade")], indices
            )
            self.textures.append(texture)
            self.sheets.append((buffer, vertices))

    def draw(self, points: list[np.ndarray], shades: list[np.ndarray]) -> np.ndarray:
        """Draws the garment without a background.

        Args:
            points: front and back, positions in the frame, pixels, [rows, columns, 3].
            shades: front and back, factors of the cloth's colours, [rows, columns].

        Returns:
            float32, [height, width, 4]: colours in [0, 255], multiplied by the coverage, and the coverage in [0, 1].
        """
        height, width = self.size
        self.target.use()
        self.target.clear(0, 0, 0, 0)
        for index, (point, shade, (buffer, vertices)) in enumerate(zip(points, shades, self.sheets, strict=True)):
            depth = 1 - point[..., 2] / CAMERA  # share of the distance to the camera, 1 in the plane of the photo
            position = np.stack(
                [
                    (point[..., 0] - width / 2) / (width / 2),
                    # OpenGL's rows go up, and its picture is read from the bottom. It is drawn upside down, so that it is read upright.
                    (point[..., 1] - height / 2) / (height / 2),
                    (depth - 1) / DISTANCE_RANGE * depth,
                    depth,
                ],
                axis=-1,
            )
            buffer.write(
                np.concatenate([position, self.place, shade[..., None]], axis=-1).astype(np.float32).tobytes()
            )
            self.textures[index].use()
            self.program["front"] = index == 0
            vertices.render()
        pixels = np.frombuffer(self.target.read(components=4, alignment=1), np.uint8)
        pixels = pixels.reshape(height * SUPERSAMPLING, width * SUPERSAMPLING, 4)
        garment = cv2.resize(pixels.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
        garment[..., 3] /= 255
        return garment

    def unload(self) -> None:
        for texture in self.textures:
            texture.release()
        for buffer, vertices in self.sheets:
            vertices.release()
            buffer.release()
        self.sheets, self.textures = [], []

    def release(self) -> None:
        self.unload()
        self.context.release()
