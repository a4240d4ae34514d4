"""FashionFlow: one photo of a garment becomes a short clip of it in motion."""

import logging
import os

import lazy_loader


# Between two layers GNU OpenMP's threads wait for the next one by counting, and with its default they hold on to the cores that
# any other program needs, a browser for instance: a step then took five times as long as alone. So short a count costs nothing
# where the machine is idle. It is read when PyTorch is first imported, and whoever sets it otherwise is right.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

__version__ = "0.1.0"

# PyTorch and the networks take seconds to import, so they are imported when a name is first used. The page and `--help` need none of
# them at their start.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "models": ["GarmentAutoencoder", "GarmentConditioner", "SpaceTimeUNet"],
        "pipelines": ["FashionFlowPipeline", "FashionFlowPipelineOutput"],
    },
)


def _is_worth_telling(record: logging.LogRecord) -> bool:
    """Whether a message of xFormers concerns this machine. diffusers imports xFormers wherever it is installed, and without CUDA it warns
    that its kernels cannot be loaded, which nobody without CUDA asked for."""
    import torch

    return record.levelno >= logging.ERROR or torch.cuda.is_available()


logging.getLogger("xformers").addFilter(_is_worth_telling)
