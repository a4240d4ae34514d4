"""Packages that only the evaluation needs, imported when they are used."""

import importlib
from types import ModuleType


PACKAGES = {"skimage": "scikit-image", "scipy": "scipy", "ai_edge_litert": "ai-edge-litert"}


class MissingPackageError(ImportError):
    """A package that a metric needs is not installed. The message names the command that installs it."""


def optional(module: str) -> ModuleType:
    """Imports the module with a name such as "skimage.color".

    Raises:
        MissingPackageError: if its package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = PACKAGES[module.split(".")[0]]
        raise MissingPackageError(
            f"The package {package!r} is not installed; get it with: pip install {package}"
        ) from error
