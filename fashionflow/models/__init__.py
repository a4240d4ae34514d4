from .autoencoder import GarmentAutoencoder
from .conditioner import GarmentConditioner
from .unet_space_time import SpaceTimeUNet


__all__ = ["GarmentAutoencoder", "GarmentConditioner", "SpaceTimeUNet"]
