"""The networks: the denoiser, the autoencoder, the conditioner, and the geometry network, with the layers that they are made of.

Imports no other room. Each is a diffusers model with a config, and none knows how a clip is made; that belongs to `pipelines`.
"""

from .autoencoder import GarmentAutoencoder
from .conditioner import GarmentConditioner
from .geometry import GarmentGeometry
from .unet_space_time import SpaceTimeUNet


__all__ = ["GarmentAutoencoder", "GarmentConditioner", "GarmentGeometry", "SpaceTimeUNet"]
