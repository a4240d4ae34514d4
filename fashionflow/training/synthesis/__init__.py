"""Renders the data set: `python -m fashionflow.training.synthesis OUT --clips 2000 --seed 1 --workers 2`.

Two kinds of clips. "runway": a rendered figure in a random outfit turns, sways or walks (`runway.py`, from the parts body, garment,
skirt, fabric, pose, motion, secondary, hair, shoes, light, camera, background and film). "hanging": a photographed garment is moved in
2.5D (`hanging.py`). `dataset.py` makes a folder of them.

Needs the optional packages of `pip install 'fashionflow[synthesis]'` and OpenGL without a screen (Mesa's EGL is enough). Importing this
package loads none of them.
"""

from .dataset import Recipe, make_dataset, render
from .errors import SynthesisError


__all__ = ["Recipe", "SynthesisError", "make_dataset", "render"]
