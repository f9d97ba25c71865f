"""A tiny application with real YAML, for tests that run it as a person does."""

from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from lens.config import Node, Nodes, compose_file
from lens.errors import LensError

PARTS = """
from __future__ import annotations
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

@dataclass
class Columns:
    path: str = "path"
    caption: str | None = None

Mining = Literal["batch_all", "batch_hard"]

class Schedule(TypedDict, total=False):
    warmup: int

class Model:
    def __init__(self, learning_rate: float = 1e-4, mining: Mining = "batch_all",
                 layers: tuple[int, ...] = (1,), weights: Path | None = None, margin: float = 0.2,
                 schedule: Schedule | None = None, head: object = None):
        self.__dict__.update({k: v for k, v in locals().items() if k != "self"})

class Trainer:
    def __init__(self, max_epochs: int = 1, fast: bool = False, callbacks: list = ()):
        self.max_epochs, self.callbacks = max_epochs, callbacks

class Stop:
    def __init__(self, patience: int = 3): self.patience = patience

class Data:
    def __init__(self, read, batch_size: int = 4, seed: int = 0):
        self.read, self.batch_size, self.seed = read, batch_size, seed

def read_folder(root: Path, columns: Columns | None = None, seed: int = 0):
    return root, columns, seed
"""

CONF = {
    "app.yaml": """
        defaults: [_self_, {model: vit}, {data: none}, {callbacks: some}, {experiment: null}]
        trainer: {_target_: toy_parts.Trainer, max_epochs: 1}
        seed: 0
        fail: ""
        """,
    "model/vit.yaml": "{_target_: toy_parts.Model, learning_rate: 1e-4, mining: batch_all, layers: [1, 2]}",
    "model/resnet.yaml": "{_target_: toy_parts.Model, learning_rate: 1e-3, mining: batch_hard}",
    "model/broken.yaml": "_target_: toy_parts.Model\nmining: [batch_all\n",
    "model/dangling.yaml": "{_target_: toy_parts.Model, learning_rate: '${trainer.rate}'}",
    "data/none.yaml": "{}",
    "data/folder.yaml": """
        {_target_: toy_parts.Data, _reader_: toy_parts.read_folder, root: "???", batch_size: 2,
         seed: '${seed}', columns: {caption: null}}
        """,
    "callbacks/some.yaml": "{stop: {_target_: toy_parts.Stop, patience: 2}}",
    "experiment/good.yaml": """
        # @package _global_
        defaults: [{override /model: resnet}]
        trainer: {max_epochs: 7}
        """,
    "experiment/typo.yaml": "# @package _global_\nmodel: {lerning_rate: 1}",
    "experiment/top.yaml": "# @package _global_\ntrainr: {max_epochs: 1}",
    "experiment/group.yaml": "# @package _global_\ndefaults: [{override /modle: vit}]",
    "experiment/choice.yaml": "# @package _global_\ndefaults: [{override /model: vitt}]",
}


@dataclass(frozen=True)
class Schema:
    model: Node
    trainer: Node
    callbacks: Nodes
    data: Node | None = None
    seed: int = 0
    fail: str = ""


def task(cfg: DictConfig) -> float:
    if cfg.fail == "told":
        raise LensError("The catalogue is empty.")
    if cfg.fail == "bug":
        raise ValueError("a bug")
    if cfg.fail == "keys":
        raise KeyboardInterrupt
    Path("ran.txt").open("a").write(f"{cfg.model.learning_rate}\n")
    return float(cfg.model.learning_rate)


def composed(app: Path, *overrides: str) -> DictConfig:
    return compose_file(app / "conf", "app", overrides)
