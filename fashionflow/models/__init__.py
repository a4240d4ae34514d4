from .autoencoder import GarmentAutoencoder
from .conditioner import GarmentConditioner
from .geometry import GarmentGeometry
from .unet_space_time import SpaceTimeUNet


__all__ = ["GarmentAutoencoder", "GarmentConditioner", "GarmentGeometry", "SpaceTimeUNet"]
