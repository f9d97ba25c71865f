"""What several rooms share: one small rendered catalogue."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says only what else the machine does.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(scope="session")
def shoes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of 72 rendered shoes at 32 px; `read_rendered(shoes, 72, 2, 32)` reads it."""
    from lens.data.sources import read_rendered

    root = tmp_path_factory.mktemp("shoes") / "rendered"
    read_rendered(root, items=72, views_per_product=2, render_size=32)
    return root


@pytest.fixture
def quiet_lightning() -> None:
    """One thread (small tensors, shared cores) and no advice."""
    import torch

    torch.set_num_threads(1)
    for name in ("pytorch_lightning", "lightning", "transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)


@pytest.fixture(autouse=True)
def no_handlers_left_behind() -> Iterator[None]:
    """A command that runs in this process logs to the stderr of its test, which the next test finds closed."""
    before = list(logging.getLogger().handlers)
    yield
    for handler in [part for part in logging.getLogger().handlers if part not in before]:
        if type(handler) is logging.StreamHandler:
            logging.getLogger().removeHandler(handler)
