"""What the logger writes into a run."""

import math
from pathlib import Path
from typing import Any

from lens import tracking
from lens.tracking.store import client
from tests.tracking.stores import Maker, history, status


def test_a_run_holds_what_was_logged(make: Maker, uri: str, tmp_path: Path) -> None:
    config = {"model": {"name": "vit", "text": "x" * 600}, "seed": 0}
    with make(name="first", tags={"seed": 0}) as logger:
        logger.log_config(config)
        for step in range(120):
            logger.log_metrics({"train/loss": 1 / (step + 1)}, step)
        logger.log_metrics({"val/precision@10": 0.5, "odd": math.nan, "huge": math.inf, "text": "no"}, 7)
        logger.log_dict({"queries": 3}, "results/test.json")
        (tmp_path / "index").mkdir()
        (tmp_path / "index" / "a.txt").write_text("a")
        logger.log_artifact(tmp_path / "index", "index")
        logger.set_tags({"weights": "random"})
        run_id = logger.version
        logger.finalize("success")  # what Lightning says after fit
        assert run_id is not None and status(uri, run_id) == "RUNNING"
    assert history(uri, run_id, "train/loss") == [(step, 1 / (step + 1)) for step in range(120)]
    last = tracking.run_metrics(uri, run_id)
    assert last["val/precision_at_10"] == 0.5
    assert math.isnan(last["odd"]) and math.isnan(last["huge"]) and "text" not in last
    assert tracking.run_config(uri, run_id) == config
    assert client(uri).get_run(run_id).data.params["model.text"] == "x" * 250
    assert tracking.run_tags(uri, run_id)["weights"] == "random"
    assert tracking.download(uri, run_id, "index", tmp_path / "got").joinpath("a.txt").read_text() == "a"
    assert (tmp_path / "mlartifacts" / run_id / "artifacts" / "results" / "test.json").is_file()
    assert status(uri, run_id) == "FINISHED"
    assert not (tmp_path / "spool").exists()


def test_figures(make: Maker, uri: str, tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    logger = make()
    logger.log_figure(Figure(figsize=(1, 1)), "pictures/empty.png")
    assert logger.run_id is not None
    assert tracking.download(uri, logger.run_id, "pictures/empty.png", tmp_path).stat().st_size > 0


def test_system_metrics_and_a_training_by_lightning(make: Maker, uri: str, tmp_path: Path) -> None:
    import pytorch_lightning as pl
    from pytorch_lightning.demos.boring_classes import BoringModel

    class Model(BoringModel):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = self.step(batch)
            self.log("train/loss", loss, on_step=True)
            return loss

    with make(system_metrics=True) as logger:
        settings: dict[str, Any] = {
            "accelerator": "cpu",
            "enable_progress_bar": False,
            "enable_model_summary": False,
        }
        trainer = pl.Trainer(
            default_root_dir=tmp_path,
            logger=logger,
            max_steps=12,
            log_every_n_steps=1,
            limit_val_batches=1,
            **settings,
        )
        trainer.fit(Model())
        trainer.test(Model(), verbose=False)
    assert logger.run_id is not None
    assert [step for step, _ in history(uri, logger.run_id, "train/loss")] == list(range(12))
    assert any(name.startswith("system/") for name in tracking.run_metrics(uri, logger.run_id))
    assert status(uri, logger.run_id) == "FINISHED"
