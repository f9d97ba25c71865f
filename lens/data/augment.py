"""Augmentation of training pictures, stronger for rare classes; each draw has random numbers of its own.

The numbers depend on (seed, epoch, item, repeat) alone: not on the worker, the batch or what was drawn before, so a
resumed run sees the same pictures.
"""

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as TF

from lens.errors import LensError


class Augmentation:
    """Random crop, mirror image, rotation, colour and blur of a float picture [3, S, S] in [0, 1].

    Args:
        smallest_crop: a crop keeps between this share and all of the area.
        flip: probability of the mirror image.
        rotation: largest angle in degrees.
        brightness, contrast, saturation, hue: ranges as in torchvision's ColorJitter.
        grey, blur: probabilities of a greyscale and of a blurred picture.
        rarity: how much stronger rare classes are augmented: a class's strength is
            (largest class / its size) ** rarity, at most ``strongest``; 0 treats all alike.
        strongest: the limit of that strength.
    """

    def __init__(
        self,
        smallest_crop: float = 0.6,
        flip: float = 0.5,
        rotation: float = 10.0,
        brightness: float = 0.2,
        contrast: float = 0.2,
        saturation: float = 0.2,
        hue: float = 0.0,
        grey: float = 0.0,
        blur: float = 0.1,
        rarity: float = 0.25,
        strongest: float = 2.0,
    ) -> None:
        for name, value, most in (
            ("smallest_crop", smallest_crop, 1.0), ("flip", flip, 1.0), ("rotation", rotation, 45.0),
            ("brightness", brightness, 1.0), ("contrast", contrast, 1.0), ("saturation", saturation, 1.0),
            ("hue", hue, 0.5), ("grey", grey, 1.0), ("blur", blur, 1.0), ("rarity", rarity, 1.0),
        ):  # fmt: skip
            if not 0 <= value <= most:
                raise LensError(f"augment.{name}={value}: it must be a number from 0 to {most:g}.")
        self.smallest_crop, self.flip, self.rotation = smallest_crop, flip, rotation
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue
        self.grey, self.blur = grey, blur
        self.rarity, self.strongest = rarity, strongest

    def strengths(self, labels: np.ndarray) -> np.ndarray:
        """float [N]: the strength for each of the training items with integer labels [N]; 1 for the largest class."""
        _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
        strength = (counts.max() / counts) ** self.rarity
        return np.minimum(strength, self.strongest)[inverse]

    def __call__(self, picture: Tensor, strength: float, key: tuple[int, ...]) -> Tensor:
        """The picture [3, S, S] changed; ``key`` is (seed, epoch, item, repeat), non-negative integers."""
        random = np.random.default_rng(key)
        size = picture.shape[-1]
        picture = self._cropped(picture, random, strength, size)
        if random.random() < self.flip:
            picture = TF.horizontal_flip(picture)
        angle = random.uniform(-1, 1) * min(self.rotation * strength, 45.0)
        if self.rotation:
            # The negative, whose corners fill with zeros: torchvision's blending with a fill leaves a dark seam.
            picture = 1 - TF.rotate(1 - picture, angle, interpolation=v2.InterpolationMode.BILINEAR)
        picture = self._coloured(picture, random, strength)
        if random.random() < self.grey:
            picture = TF.rgb_to_grayscale(picture, num_output_channels=3)
        if random.random() < min(1.0, self.blur * strength):
            sigma = random.uniform(0.3, 1.0) * size / 64
            picture = TF.gaussian_blur(picture, [2 * int(np.ceil(2 * sigma)) + 1] * 2, [sigma] * 2)
        return picture

    def _cropped(self, picture: Tensor, random: np.random.Generator, strength: float, size: int) -> Tensor:
        smallest = max(0.1, 1 - (1 - self.smallest_crop) * strength)
        area, ratio = random.uniform(smallest, 1.0), np.exp(random.uniform(-0.2, 0.2))
        height = min(size, round(size * float(np.sqrt(area / ratio))))
        width = min(size, round(size * float(np.sqrt(area * ratio))))
        top, left = int(random.integers(size - height + 1)), int(random.integers(size - width + 1))
        return TF.resized_crop(picture, top, left, height, width, [size, size], antialias=True)

    def _coloured(self, picture: Tensor, random: np.random.Generator, strength: float) -> Tensor:
        def factor(width: float) -> float:
            return max(0.0, 1 + random.uniform(-1, 1) * width * strength)

        picture = TF.adjust_brightness(picture, factor(self.brightness))
        picture = TF.adjust_contrast(picture, factor(self.contrast))
        picture = TF.adjust_saturation(picture, factor(self.saturation))
        shift = random.uniform(-1, 1) * self.hue
        if self.hue:
            picture = TF.adjust_hue(picture, shift)
        return picture.clamp(0, 1).to(torch.float32)
