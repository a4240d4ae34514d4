"""The networks: the denoiser, the autoencoder, the conditioner, and the geometry network, with the layers that they are made of.

Imports no other room. Each is a diffusers model with a config, and none knows how a clip is made; that belongs to `pipelines`.
"""

import lazy_loader


__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "autoencoder": ["GarmentAutoencoder"],
        "conditioner": ["GarmentConditioner"],
        "geometry": ["GarmentGeometry"],
        "unet_space_time": ["SpaceTimeUNet"],
    },
)
