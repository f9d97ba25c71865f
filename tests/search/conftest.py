"""Two small real models, each with an index of the rendered shoes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from lens.data.catalogue import Catalogue, with_captions
from lens.data.sources import read_rendered
from lens.index import Reader, open_index, save
from lens.models.clip import ContrastiveCLIP
from lens.models.resnet import TripletResNet
from lens.models.tokens import Tokens
from lens.search import Embedder, Searcher, make_bands


@dataclass
class Shop:
    """catalogue of 72 shoes; searchers by model name; folders of their indices."""

    catalogue: Catalogue
    searchers: dict[str, Searcher]
    folders: dict[str, Path]

    def reader(self, name: str) -> Reader:
        return self.searchers[name].reader


def clip() -> ContrastiveCLIP:
    torch.manual_seed(0)
    return ContrastiveCLIP(
        image_size=32,
        patch_size=8,
        vision_size=32,
        vision_layers=1,
        vision_heads=2,
        text_size=32,
        text_layers=1,
        text_heads=2,
        context=16,
        projection_size=16,
        weights="random",
    )


@pytest.fixture(scope="session")
def shop(shoes: Path, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    torch.set_num_threads(1)
    catalogue = with_captions(read_rendered(shoes, items=72, views_per_product=2, render_size=32))
    reads = clip()
    reads.tokens = Tokens.train([text for texts in catalogue.table["captions"] for text in texts])
    torch.manual_seed(0)
    looks = TripletResNet(architecture="tiny", weights="random")
    shop = Shop(catalogue, {}, {})
    for name, model in (("clip", reads.eval()), ("resnet", looks.eval())):
        embedder = Embedder(model, 32, name=name, run_id=f"run-{name}")
        vectors = embedder.images([catalogue.open_image(row) for row in range(len(catalogue))])
        texts = embedder.texts if embedder.takes_texts else None
        shop.folders[name] = save(
            tmp_path_factory.mktemp(name) / "index",
            vectors,
            catalogue.table,
            model={"name": name, "target": type(model).__name__, "config": {}},
            preprocessing=embedder.preprocessing,
            catalogue={"root": str(catalogue.root), "relevance": "category"},
            run_id=embedder.run_id,
            bands=make_bands(vectors, catalogue.table, texts),
        )
        shop.searchers[name] = Searcher(embedder, open_index(shop.folders[name]))
    return shop


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)
