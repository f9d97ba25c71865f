"""What a run tells the person in front of the terminal."""

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table


def print_scores(name: str, scores: Mapping[str, float], folder: Path, run_id: str | None) -> None:
    """The test scores of one run as a table, with their 95 % intervals, and where its files are."""
    table = Table(title=f"{name} on {int(scores.get('test/queries', 0))} test queries", box=box.SIMPLE_HEAD)
    table.add_column("metric")
    table.add_column("test", justify="right")
    table.add_column("95 % interval", justify="right")
    for key, value in scores.items():
        if key.startswith("test/") and not key.endswith(("queries", "_low", "_high")):
            low, high = scores.get(f"{key}_low"), scores.get(f"{key}_high")
            beside = "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
            table.add_row(key.removeprefix("test/"), f"{value:.4f}", beside)
    console = Console(soft_wrap=True)
    console.print(table)
    if excluded := int(scores.get("test/excluded_queries", 0)):
        console.print(f"{excluded} queries have no relevant item and are left out.")
    console.print(f"Index: {folder / 'index'}" + (f"   Run: {run_id}" if run_id else ""))


def quiet_libraries() -> None:
    """Hold back advice that does not concern the user of this project."""
    for name in ("pytorch_lightning", "lightning", "transformers"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*is a wildcard.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*tensorboardX.*",
        ".*number of training batches .* is smaller than the logging interval.*",
        ".*The dirpath has changed.*",
        ".*Unable to serialize instance.*",
        ".*The dataloader you provided has no length.*",
        ".*sync_dist=True.*",  # every process judges all items, so there is nothing to gather
        ".*treespec.*",
        ".*isinstance.*LeafSpec.*",
        ".*`training_step` returned `None`.*",  # a hybrid only chooses weights
    ):
        warnings.filterwarnings("ignore", message=message)
