"""FashionFlow: one photo of a garment becomes a short clip of it in motion."""

import logging

import torch


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
