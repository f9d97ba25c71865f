"""Search the exported indices from a web page, and over HTTP: python -m lens.serve --help."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lens.config import ServeConfig, entry, plain

if TYPE_CHECKING:
    from omegaconf import DictConfig


def serve(cfg: "DictConfig") -> None:
    """The service, until it is stopped."""
    from lens.serve.command import settings_of
    from lens.serve.run import run

    config = plain(cfg)
    status = run(settings_of(config), config["host"], config["port"])
    if status:
        sys.exit(status)


main = entry(serve, config_name="serve", schema=ServeConfig, config_path=Path(__file__).parents[2] / "conf")

if __name__ == "__main__":
    main()
