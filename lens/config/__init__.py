"""Strict configuration: Hydra YAML checked against the constructors that it describes.

The schema of a part (a node with `_target_`) is the signature of the callable that it names: only its
parameters may be given, and each value must fit its type hint. The rest of lens takes plain values and
knows no Hydra.
"""

from lens.config.build import build, plain
from lens.config.check import check
from lens.config.entry import entry
from lens.config.job import given_folder, given_words, job
from lens.config.preflight import compose_file
from lens.config.resume import changed
from lens.config.schema import (
    EvaluateConfig,
    IndexConfig,
    Node,
    Nodes,
    ServeConfig,
    TrainConfig,
    TuneConfig,
)
from lens.config.search import Swept, read_words
from lens.config.sweep import job_name

__all__ = [
    "EvaluateConfig",
    "IndexConfig",
    "Node",
    "Nodes",
    "ServeConfig",
    "Swept",
    "TrainConfig",
    "TuneConfig",
    "build",
    "changed",
    "check",
    "compose_file",
    "entry",
    "given_folder",
    "given_words",
    "job",
    "job_name",
    "plain",
    "read_words",
]
