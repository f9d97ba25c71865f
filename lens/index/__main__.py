"""Embed images into an index, keep it up to date, ask it: python -m lens.index --help."""

import sys
from pathlib import Path

from omegaconf import DictConfig

from lens.bulk.words import taken_literally, task_of
from lens.config import IndexConfig, entry, plain


def index(cfg: DictConfig) -> None:
    """One task, as the configuration names it; what was done is told in the terminal."""
    config = plain(cfg)
    task = task_of(config)
    if task == "ask":
        from lens.bulk.ask import ask

        ask(config)
    elif task in ("learn", "classify"):
        from lens.bulk import groups

        {"learn": groups.learn, "classify": groups.classify}[task](config)
    else:
        from lens.bulk import tasks

        {"build": tasks.build, "update": tasks.update, "compact": tasks.compact, "verify": tasks.verify}[
            task
        ](config)


main = entry(index, config_name="index", schema=IndexConfig, config_path=Path(__file__).parents[2] / "conf")

if __name__ == "__main__":
    sys.argv[1:] = taken_literally(sys.argv[1:])
    main()
