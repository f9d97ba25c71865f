"""A trained model together with the preprocessing that its index demands."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lens.data.images import ImageSource, fit_square, load_rgb
from lens.data.pictures import as_tensor
from lens.errors import LensError
from lens.index import Expected

BATCH = 64  # pictures or texts in one pass


def preprocessing(image_size: int) -> dict[str, Any]:
    """How pictures are made ready, as an index's manifest keeps it; vectors of another preparation do not compare."""
    return {"image_size": image_size, "fit": "letterbox", "fill": [255, 255, 255], "scale": "0..1"}


def takes_texts(model: Any) -> bool:
    """Whether a model reads; one of several may have the method and still no member that counts and reads."""
    return bool(getattr(model, "takes_texts", hasattr(model, "embed_texts")))


def expected_of(embedder: "Embedder") -> Expected:
    """What an index has to be made by for this embedder to ask it, or to add to it."""
    return Expected(
        run_id=embedder.run_id,
        dimension=embedder.dimension,
        preprocessing=embedder.preprocessing,
        weights=lambda: embedder.weights,
    )


class Embedder:
    """Images, and texts where the model takes them, to unit vectors.

    Args:
        model: has ``embed_images`` and ``embedding_size``, and is in evaluation mode. It may have ``embed_texts``,
            ``local_features`` (places that add up to the embedding) and ``reconstruct``.
        image_size: side of its square pictures, in pixels.
        name: of the model, for people.
        run_id: of the run that trained it.
        precision: gives the context in which the run computed its own vectors.
    """

    explains = True  # which parts of two pictures agree, see `lens.search.agreement`: by covering them, any model can

    def __init__(
        self,
        model: Any,
        image_size: int,
        *,
        name: str,
        run_id: str | None = None,
        precision: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.model, self.image_size, self.name, self.run_id = model, image_size, name, run_id
        self.dimension = int(model.embedding_size)
        self.takes_texts = takes_texts(model)
        self.adds_up = hasattr(model, "local_features")
        self.preprocessing = preprocessing(image_size)
        self.precision = precision
        self._device = next((part.device for part in model.parameters()), torch.device("cpu"))

    @cached_property
    def weights(self) -> str:
        """A digest of the model's weights: that of a run changes when it is resumed."""
        total = hashlib.sha256()
        for name, value in sorted(self.model.state_dict().items()):
            # In float32, as they are loaded, also where the training has them in half of it.
            same = value.float() if value.is_floating_point() else value
            total.update(f"{name} {list(value.shape)};".encode())
            total.update(same.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return total.hexdigest()

    def open(self, source: ImageSource) -> Image.Image:
        """An image file (path, bytes or open file) as the index opened its own. Raises LensError, see `load_rgb`."""
        return load_rgb(source, at_least=self.image_size)

    def images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Unit vectors float32 [N, D] of N RGB images of any size."""
        return self._embed(self._images, images)

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors float32 [N, D] of N texts. Raises LensError where the model has no text tower."""
        if not self.takes_texts:
            raise LensError(f"{self.name} has no text tower: ask it with images, or take a CLIP model.")
        return self._embed(self.model.embed_texts, texts)

    def batch(self, images: Tensor, *, exact: bool = False) -> np.ndarray:
        """Unit vectors float32 [B, D] of pictures made ready: float [B, 3, S, S] in [0, 1].

        ``exact`` computes in float32 whatever the run's precision is, for differences that half of it would drown.
        """
        with torch.inference_mode(), nullcontext() if exact else self.precision():
            return self.model.embed_images(images.to(self._device)).float().cpu().numpy()  # type: ignore[no-any-return]

    def prepare(self, images: Sequence[Image.Image]) -> Tensor:
        """RGB images of any size made ready: float32 [N, 3, S, S] in [0, 1], on the CPU."""
        return torch.stack([as_tensor(fit_square(image, self.image_size)) for image in images])

    def local(self, images: Tensor) -> np.ndarray:
        """Places float32 [B, h, w, D] of pictures made ready; over h and w they add up to the unit vectors.

        Raises LensError where the model's embedding is no such sum.
        """
        if not self.adds_up:
            raise LensError(
                f"The embedding of {self.name} is no sum over places of a picture: take kind=covering."
            )
        with torch.inference_mode():
            return self.model.local_features(images.to(self._device)).cpu().numpy()  # type: ignore[no-any-return]

    def rebuild(self, images: Tensor) -> np.ndarray | None:
        """Pictures made ready as the model rebuilds them: uint8 [B, S, S, 3], or None where it does not."""
        if not hasattr(self.model, "reconstruct"):
            return None
        with torch.inference_mode():
            rebuilt = self.model.reconstruct(images.to(self._device))
        if rebuilt is None:
            return None
        return (rebuilt.float().clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()  # type: ignore[no-any-return]

    def _images(self, images: Sequence[Image.Image]) -> Tensor:
        return self.model.embed_images(self.prepare(images).to(self._device))  # type: ignore[no-any-return]

    def _embed(self, embed: Callable[[Any], Tensor], given: Sequence[Any]) -> np.ndarray:
        parts = []
        with torch.inference_mode(), self.precision():
            for start in range(0, len(given), BATCH):
                parts.append(embed(given[start : start + BATCH]).float().cpu().numpy())
        return np.concatenate(parts) if parts else np.zeros((0, self.dimension), np.float32)
