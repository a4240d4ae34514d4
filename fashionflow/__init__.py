"""FashionFlow: one photo of a garment becomes a short clip of it in motion."""

import logging
import os


# Between two layers GNU OpenMP's threads wait for the next one by counting, and with its default they hold on to the cores that
# any other program needs, a browser for instance: a step then took five times as long as alone. So short a count costs nothing
# where the machine is idle. It is read when PyTorch is first imported, and whoever sets it otherwise is right.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

import torch  # noqa: E402


# diffusers imports xFormers wherever it is installed, and without CUDA xFormers warns that its kernels cannot be loaded.
# Nobody without CUDA asked for them, so nobody needs to know. An error of xFormers still shows.
if not torch.cuda.is_available():
    logging.getLogger("xformers").setLevel(logging.ERROR)

from .models import GarmentAutoencoder, GarmentConditioner, SpaceTimeUNet  # noqa: E402
from .pipelines import FashionFlowPipeline, FashionFlowPipelineOutput  # noqa: E402


__version__ = "0.1.0"
__all__ = [
    "FashionFlowPipeline",
    "FashionFlowPipelineOutput",
    "GarmentAutoencoder",
    "GarmentConditioner",
    "SpaceTimeUNet",
]
