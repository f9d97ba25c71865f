"""A small model and a machine, for the tests of what a model costs."""

import torch

from lens.compare.hardware import Hardware
from lens.models.autoencoder import Autoencoder

SIZE, CHANNELS, EMBEDDING, ITEMS = 32, (4, 8, 16, 32), 16, 7


MACHINE = Hardware("cpu", "A processor", 4, 2, None, 8.0, "2.9.0")


def small() -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(image_size=SIZE, channels=CHANNELS, embedding_size=EMBEDDING).eval()
