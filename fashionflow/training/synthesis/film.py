"""The effects of a camera: a tone curve, colour balance, softness, a vignette and noise."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter


@dataclass
class Film:
    """The camera effects of a clip. They are constant over the clip, except for the noise.

    Args:
        balance: factors of red, green and blue.
        contrast: the contrast of the tone curve; 0 leaves the curve straight.
        vignette: how much darker the corners are, 0 to 1.
        blur: the blur of the lens, pixels.
        noise: the deviation of the noise in dark parts, of 255.
        seed: the seed of the noise.
    """

    balance: np.ndarray
    contrast: float
    vignette: float
    blur: float
    noise: float
    seed: int

    @classmethod
    def draw(cls, random: np.random.Generator) -> "Film":
        return cls(
            balance=random.uniform(0.97, 1.03) * (1 + random.normal(0, 0.012, 3)),
            contrast=float(random.uniform(-0.05, 0.2)),
            vignette=float(random.uniform(0, 0.1) if random.random() < 0.5 else 0),
            blur=float(random.uniform(0, 0.45)),
            noise=float(random.uniform(0, 2.2)),
            seed=int(random.integers(2**31)),
        )

    def develop(self, frames: np.ndarray) -> np.ndarray:
        """Applies the camera effects to frames, uint8 [F, height, width, 3], and returns the same form."""
        random = np.random.default_rng(self.seed)
        height, width = frames.shape[1:3]
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        dimming = (1 - self.vignette * (x**2 + y**2) / 2)[..., None].astype(np.float32)
        developed = np.empty_like(frames)
        for number, frame in enumerate(frames):
            if self.blur > 0.2:
                frame = np.asarray(Image.fromarray(frame).filter(ImageFilter.GaussianBlur(self.blur)))
            light = np.clip(frame.astype(np.float32) / 255 * self.balance.astype(np.float32) * dimming, 0, 1)
            light += self.contrast * light * (1 - light) * (2 * light - 1)
            grain = random.standard_normal(light.shape, np.float32) * 0.6
            grain += 0.8 * random.standard_normal((height, width, 1), np.float32)
            light = light * 255 + self.noise * grain * (1.15 - light)
            developed[number] = np.clip(light + 0.5, 0, 255)
        return developed
