"""What a pipeline makes of a photo before anything moves: the crop, the pixels for the autoencoder, and the layers."""

import numpy as np
import torch
from PIL import Image

from ..models.geometry import PhotoGeometry
from ..photo.matte import CLEAR, without_small_pieces
from ..photo.reading import Crop, cropped, figure_crop, fit, to_rgb
from .back_photo import LEAST_MATCH, fit_back, outline_match
from .photo_layers import PhotoLayers, take_apart


FIGURE = "figure"
"""The `photo_fit` of models with geometry: a crop round the figure that they see."""
SMALLEST_FIGURE = 0.01  # of the photo that a figure covers


class PhotoPreparation:
    """The part of `FashionFlowPipeline` that looks at photos."""

    def fit_photo(self, image: Image.Image, crop: Crop | None = None) -> Image.Image:
        """The photo at the clip's size, as frame 0 will show it. A photo of that size is as it should be already.

        Args:
            image: the photo.
            crop: what `crop_of` says of it, where that is known already.
        """
        image = to_rgb(image)
        if image.size == (self.width, self.height):
            return image
        if self.config.photo_fit == FIGURE:
            crop = self.crop_of(image) if crop is None else crop
            return cropped(image, self.width, self.height, crop)
        return fit(image, self.width, self.height, self.config.photo_fit)

    def coverage_of(self, image: Image.Image) -> np.ndarray | None:
        """Where this model sees the figure in a whole photo, in [0, 1], float32 [h, w], the photo shrunk to the size that its geometry
        works at; `None` for a model without geometry."""
        return self.coverage_and_axis_of(image)[0]

    @torch.no_grad()
    def coverage_and_axis_of(self, image: Image.Image) -> tuple[np.ndarray | None, float]:
        """What `coverage_of` says of a whole photo, and the place of the figure's turning axis as a share of the photo's width (0.5 for a
        model without geometry)."""
        if self.geometry is None:
            return None, 0.5
        height, width = self.geometry.config.sample_size
        frame = fit(to_rgb(image), width, height, "pad")
        pixels = torch.from_numpy(np.array(frame)).permute(2, 0, 1)[None].float() / 127.5 - 1
        geometry = self.geometry.predict(pixels.to(self._execution_device))
        coverage = without_small_pieces(geometry.coverage[0, 0].cpu().numpy())
        scale = min(width / image.width, height / image.height)
        rows, columns = max(1, round(image.height * scale)), max(1, round(image.width * scale))
        top, left = (height - rows) // 2, (width - columns) // 2
        return coverage[top : top + rows, left : left + columns], min(max((geometry.axis - left) / columns, 0), 1)

    def crop_of(self, image: Image.Image, coverage: np.ndarray | None = None) -> Crop:
        """The crop that this model takes of a photo by itself: round the figure that it sees, or else the centre.

        Args:
            image: the photo.
            coverage: what `coverage_of` says of it, where that is known already.
        """
        if self.config.photo_fit != FIGURE or image.size == (self.width, self.height):
            return Crop()
        coverage = self.coverage_of(image) if coverage is None else coverage
        figure = np.argwhere(coverage > CLEAR)
        if len(figure) < SMALLEST_FIGURE * coverage.size:
            return Crop()
        ends = np.array(coverage.shape) - 1
        # At the photo's edge, or a pixel from it, the figure is cut off there.
        first, last = figure.min(0), figure.max(0)
        first, last = np.where(first <= 1, 0, first), np.where(last >= ends - 1, ends, last) + 1
        scale = np.array([image.height, image.width]) / coverage.shape
        (top, left), (bottom, right) = first * scale, last * scale
        return figure_crop(image.size, self.width / self.height, (left, top, right, bottom))

    def photo_pixels(self, image: Image.Image) -> torch.Tensor:
        """A fitted photo as the autoencoder takes it, [1, 3, height, width], in [-1, 1] or [0, 1] (`signed_pixels`)."""
        if image.size != self.code_size[::-1]:
            image = image.resize(self.code_size[::-1], Image.Resampling.BOX)
        photo = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
        if self.config.signed_pixels:
            photo = photo * 2 - 1
        return photo.to(self._execution_device, self.vae.dtype)

    def take_apart(self, image: Image.Image, back_image: Image.Image | None = None) -> PhotoLayers:
        """The layers of a photo, of the clip's size, by the shape that is predicted for it.

        Args:
            image: the garment photo.
            back_image: a photo of its back, of any size, which is fitted to the photo's outline.

        Raises:
            ValueError: if this model has no geometry.
        """
        if self.geometry is None:
            raise ValueError("`take_apart` needs a model with geometry, which this one has not.")
        photo = np.array(self.fit_photo(image))
        layers = take_apart(photo, self._geometry_of(photo))
        if back_image is not None:
            back = np.array(self.fit_photo(back_image))
            layers = fit_back(layers, take_apart(back, self._geometry_of(back)))
        return layers.to(self._execution_device)

    def backs_match(self, image: Image.Image, back_image: Image.Image) -> bool:
        """Whether the outline of a photo of the back fits that of the photo, so that it can be laid over it.

        Raises:
            ValueError: if this model has no geometry.
        """
        return outline_match(self.take_apart(image), self.take_apart(back_image)) >= LEAST_MATCH

    def _geometry_of(self, photo: np.ndarray) -> PhotoGeometry:
        """The predicted shape of a fitted photo, uint8 [height, width, 3]."""
        pixels = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 127.5 - 1
        return self.geometry.predict(pixels.to(self._execution_device))
