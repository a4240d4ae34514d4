"""OpenGL without a screen (EGL): a graphics card if there is one, else Mesa on the processor.

One `Renderer` lives as long as its process; a `Scene` holds the data that one clip needs on the card.
"""

from importlib import resources

import numpy as np

from .background import Background
from .camera import Camera
from .light import Light
from .opengl import open_context


VERSION = "#version 330\n"
SUPERSAMPLING = 2  # pixels are averaged over this many each way, since edges are cut by the shaders
SHADOW_SIZE = 512
SHADOW_REACH = 1.5  # metres around the figure's middle within which shadows are cast and received
MOST_CUTS = 4  # as in cut.glsl
PROGRAMS = {
    "cloth": ("surface.vert", ("lighting.glsl", "cut.glsl", "cloth.frag")),
    "skin": ("surface.vert", ("lighting.glsl", "cut.glsl", "skin.frag")),
    "solid": ("surface.vert", ("lighting.glsl", "solid.frag")),
    "studio": ("studio.vert", ("lighting.glsl", "studio.frag")),
    "shadow": ("shadow.vert", ("shadow.frag",)),
}
SHADOW_UNIT, FIRST_UNIT = 0, 1  # texture units


def shader_source(name: str) -> str:
    """The text of a file of `shaders/`."""
    return (resources.files(__package__) / "shaders" / name).read_text(encoding="utf-8")


class Renderer:
    """The drawing context, the compiled shaders and the shadow map.

    Args:
        size: height and width of the pictures, pixels.

    Raises:
        SynthesisError: if there is no OpenGL without a screen.
    """

    def __init__(self, size: tuple[int, int]):
        self.context = open_context()
        self.size = size
        context, (height, width) = self.context, (size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING)
        self.programs = {
            name: context.program(VERSION + shader_source(vertex), VERSION + "".join(map(shader_source, fragments)))
            for name, (vertex, fragments) in PROGRAMS.items()
        }
        self.picture = context.framebuffer(
            [context.renderbuffer((width, height), 4)], context.depth_renderbuffer((width, height))
        )
        # Nothing in the backdrop has a hard edge, so it is drawn once per pixel.
        self.backdrop = context.framebuffer([context.renderbuffer((size[1], size[0]), 4)])
        self.shadow_map = context.depth_texture((SHADOW_SIZE, SHADOW_SIZE))
        self.shadow_map.compare_func = "<="
        self.shadow_map.repeat_x = self.shadow_map.repeat_y = False
        self.shadow_target = context.framebuffer(depth_attachment=self.shadow_map)
        corners = context.buffer(np.array([-1, -1, 1, -1, -1, 1, 1, 1], np.float32))
        self.studio = context.vertex_array(self.programs["studio"], corners, "corner")

    def develop(self) -> np.ndarray:
        """The picture over the backdrop, uint8 [height, width, 3]."""
        height, width = self.size
        fine = np.frombuffer(self.picture.read(components=4, alignment=1), np.uint8)
        fine = fine.reshape(height, SUPERSAMPLING, width, SUPERSAMPLING, 4)
        # Where nothing was drawn, colour and alpha are 0: the mean is the colour times its share of the pixel.
        total = np.zeros((height, width, 4), np.uint16)
        for row in range(SUPERSAMPLING):
            for column in range(SUPERSAMPLING):
                total += fine[:, row, :, column]
        figure = total.astype(np.float32) / SUPERSAMPLING**2
        backdrop = np.frombuffer(self.backdrop.read(components=3, alignment=1), np.uint8).reshape(height, width, 3)
        pixels = figure[..., :3] + backdrop * (1 - figure[..., 3:] / 255)
        return (pixels[::-1] + 0.5).astype(np.uint8)  # OpenGL's first row is at the bottom

    def read_depth(self) -> np.ndarray:
        """OpenGL's depths in [0, 1] of the figure last drawn, float32 [height * SUPERSAMPLING, width * SUPERSAMPLING]."""
        depth = np.frombuffer(self.picture.read(attachment=-1, components=1, dtype="f4", alignment=1), np.float32)
        height, width = self.size
        # OpenGL's first row is at the bottom.
        return depth.reshape(height * SUPERSAMPLING, width * SUPERSAMPLING)[::-1].copy()

    def close(self) -> None:
        self.context.release()


def set_uniforms(program, values: dict) -> None:
    """Sets those of `values` that the program uses: numbers, rows of numbers, or matrices as they are written on paper."""
    for name, value in values.items():
        if name not in program:
            continue
        uniform = program[name]
        if isinstance(value, np.ndarray) and value.ndim == 2 and value.shape == (4, 4):
            uniform.write(np.ascontiguousarray(value.T, np.float32))
        elif isinstance(value, np.ndarray):
            uniform.value = tuple(float(number) for number in value)
        else:
            uniform.value = value


class Scene:
    """The data that one clip needs on the graphics card. Use it as a context manager; at its end it frees the card.

    Args:
        renderer: the renderer that draws the scene.
        camera, light, background: those of the clip.
        ground: height of the floor, metres.
        uniforms: values that all surfaces share, such as the garments' cuts.
    """

    def __init__(
        self, renderer: Renderer, camera: Camera, light: Light, background: Background, ground: float, uniforms: dict
    ):
        self.renderer, self.context = renderer, renderer.context
        self.meshes: list[dict] = []
        self.resources: list = []
        height, width = renderer.size
        matrix = camera.matrix(width / height)
        self.light = light
        self.middle = np.array([0.0, 0.0, ground + 0.9])
        self.shared = {
            **uniforms,
            **vars(light),
            "camera": matrix,
            "eye": camera.eye,
            "shadow_map": SHADOW_UNIT,
            "ground": ground,
            "screen_to_world": np.linalg.inv(matrix),
            "top_colour": background.top,
            "bottom_colour": background.bottom,
            "glow": background.glow,
            "shadow": background.shadow,
            "contact": background.contact,
        }

    def __enter__(self) -> "Scene":
        self.context.__enter__()  # OpenGL draws in one context at a time, and hanging garments have their own
        return self

    def __exit__(self, *error) -> None:
        for resource in self.resources:
            resource.release()
        self.context.__exit__(*error)

    def texture(self, pixels: np.ndarray):
        """A repeating texture with mipmaps from uint8 [height, width, 1 or 3], first row at the bottom."""
        height, width, channels = pixels.shape
        texture = self.context.texture((width, height), channels, np.ascontiguousarray(pixels).tobytes(), alignment=1)
        # Never with anisotropic filtering, which costs up to 16 s per frame on a processor.
        texture.build_mipmaps()
        self.resources.append(texture)
        return texture

    def add(
        self,
        program: str,
        faces: np.ndarray,
        rest: np.ndarray,
        coordinates: np.ndarray,
        edges: np.ndarray,
        uniforms: dict,
        textures: dict | None = None,
    ) -> None:
        """Adds a surface; `draw` gets its positions, in the order of the additions."""
        context, programs = self.context, self.renderer.programs
        static = np.concatenate([rest, coordinates, edges], 1).astype(np.float32)
        fixed = context.buffer(np.ascontiguousarray(static))
        moving = context.buffer(reserve=len(rest) * 24, dynamic=True)
        index = context.buffer(np.ascontiguousarray(faces, np.int32))
        used = lambda name, names: [n if n in programs[name] else None for n in names]  # noqa: E731
        layouts = []
        for buffer, widths, names in (
            (moving, (3, 3), ("position", "normal")),
            (fixed, (3, 2, 2), ("rest", "coordinates", "edges")),
        ):
            # Compilation removes an attribute that the shader does not use, so its bytes are skipped.
            kept = used(program, names)
            layout = " ".join(f"{w}f" if n else f"{w}x4" for w, n in zip(widths, kept, strict=True))
            if any(kept):
                layouts.append((buffer, layout, *[n for n in kept if n]))
        array = context.vertex_array(programs[program], layouts, index)
        shadow = context.vertex_array(programs["shadow"], [(moving, "3f 3x4", "position")], index)
        self.resources += [fixed, moving, index, array, shadow]
        self.meshes.append(
            {
                "program": program,
                "moving": moving,
                "array": array,
                "shadow": shadow,
                "uniforms": uniforms,
                "textures": textures or {},
            }
        )

    def draw(self, posed: list[tuple[np.ndarray, np.ndarray]], model: np.ndarray, feet: np.ndarray) -> np.ndarray:
        """Draws one picture.

        Args:
            posed: positions and normals of each surface, float32 [N, 3] each.
            model: where the body stands and how it is turned, [4, 4].
            feet: where the feet touch the floor, in the world, [2, 2].

        Returns:
            uint8 [height, width, 3].
        """
        self._draw_figure(posed, model, feet)
        return self.renderer.develop()

    def draw_layers(
        self, posed: list[tuple[np.ndarray, np.ndarray]], model: np.ndarray, feet: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The picture of `draw`, and the depths of the figure's nearest and farthest surface as `Renderer.read_depth` returns them, 1
        where there is none."""
        self._draw_figure(posed, model, feet)
        picture = self.renderer.develop()
        front = self.renderer.read_depth()
        self.renderer.picture.clear(0.0, 0.0, 0.0, 0.0, depth=0.0)
        self.context.depth_func = ">="
        self._draw_meshes()
        self.context.depth_func = "<"
        back = self.renderer.read_depth()
        return picture, front, np.where(front < 1, back, 1)

    def _draw_figure(self, posed: list[tuple[np.ndarray, np.ndarray]], model: np.ndarray, feet: np.ndarray) -> None:
        """Draws backdrop, shadows and the figure, as described for `draw`, into the renderer's framebuffers."""
        renderer, context = self.renderer, self.context
        for mesh, (positions, normals) in zip(self.meshes, posed, strict=True):
            mesh["moving"].write(np.ascontiguousarray(np.concatenate([positions, normals], 1), np.float32))
        light_view = self.light.shadow_matrix(self.middle + model[:3, 3], SHADOW_REACH)
        context.enable(context.DEPTH_TEST)
        renderer.shadow_target.use()
        renderer.shadow_target.clear(depth=1.0)
        set_uniforms(renderer.programs["shadow"], {"light_view": light_view, "model": model})
        for mesh in self.meshes:
            mesh["shadow"].render()

        renderer.shadow_map.use(SHADOW_UNIT)
        moving = {"light_view": light_view, "model": model, "feet": [tuple(map(float, foot)) for foot in feet]}
        for program in renderer.programs.values():
            set_uniforms(program, self.shared | moving)
        context.disable(context.DEPTH_TEST)
        renderer.backdrop.use()
        renderer.studio.render(context.TRIANGLE_STRIP)
        context.enable(context.DEPTH_TEST)
        renderer.picture.use()
        renderer.picture.clear(0.0, 0.0, 0.0, 0.0, depth=1.0)
        self._draw_meshes()

    def _draw_meshes(self) -> None:
        """Draws every surface where `draw` placed it, into the framebuffer in use."""
        for mesh in self.meshes:
            program = self.renderer.programs[mesh["program"]]
            set_uniforms(program, mesh["uniforms"])
            for unit, (name, texture) in enumerate(mesh["textures"].items(), FIRST_UNIT):
                texture.use(unit)
                set_uniforms(program, {name: unit})
            mesh["array"].render()
