"""One training of many in this process: its configuration, composed and checked as `train.py` would."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, read_write

from lens.config.check import check
from lens.config.preflight import as_job, compose, opened, without_hydra
from lens.config.resume import literal


@contextmanager
def job(
    config_path: Path,
    config_name: str,
    words: Sequence[str],
    schema: type,
    settings: Mapping[str, Any] | None = None,
    config_dir: str | None = None,
) -> Iterator[DictConfig]:
    """The checked configuration of the command line `words`; inside the block HydraConfig is that of a sweep's job.

    settings: dotted keys and plain values that are set on top, and are none of the words.
    Raises LensError for what cannot be composed or does not fit the schema.
    """
    with opened(config_path, config_dir) as hydra:
        cfg = compose(hydra, config_name, list(words), schema, RunMode.MULTIRUN)
    with read_write(cfg.hydra):
        cfg.hydra.mode = RunMode.MULTIRUN  # which composing alone does not say
    with as_job(cfg):
        task = without_hydra(cfg)
        for key, value in (settings or {}).items():
            OmegaConf.update(task, key, literal(value), merge=False, force_add=True)
        check(task, schema)
        yield task


def given_words() -> list[str]:
    """The words of the command line that Hydra composed for the running task."""
    return list(HydraConfig.get().overrides.task)


def given_folder() -> str | None:
    """The folder of the option --config-dir, None where there is none."""
    sources = HydraConfig.get().runtime.config_sources
    return next((str(source.path) for source in sources if source.provider == "command-line"), None)
