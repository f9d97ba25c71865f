"""Train one model, judge it on held-out images, export it as a searchable index: python train.py --help."""

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from lens.config import TrainConfig, build, entry, job_name, plain
from lens.errors import LensError


def train(cfg: DictConfig, watch: Any = None) -> float:
    """One run from configuration to index; returns its best ``monitor``. The Watch of a search may cut it short."""
    import pytorch_lightning as pl

    from lens.callbacks import check_export, exports
    from lens.report import print_scores, quiet_libraries
    from lens.runs import heed_sigterm, hold, resumed, run_folder
    from lens.tracking import check_same_data, git_state
    from lens.training import agree, check_monitor, join_processes

    quiet_libraries()
    heed_sigterm()
    cfg.name = job_name(cfg.name, cfg.model_name)
    run_id, checkpoint, config = None, None, plain(cfg)
    if config["resume"] is not None:
        run_id, config, checkpoint = resumed(cfg)
    strategy = config["trainer"].get("strategy", "auto")
    if strategy.startswith("ddp") and HydraConfig.get().mode == RunMode.MULTIRUN:
        raise LensError("trainer=ddp cannot run inside a sweep; start each run by torchrun, one at a time.")
    join_processes(strategy, config["trainer"].get("accelerator", "auto"))
    if not 0 <= config["seed"] < 2**32:
        raise LensError(f"seed={config['seed']}: give a whole number from 0 to {2**32 - 1}.")
    pl.seed_everything(config["seed"], workers=True, verbose=False)
    augment = build(config["augment"]) if config.get("augment") else None
    data = build(config["data"], augment=augment, seed=config["seed"])
    data.setup()
    if run_id is not None:
        check_same_data(config["logger"]["uri"], run_id, data.facts["fingerprint"])
    model = build(config["model"])
    callbacks = [build(part) for part in config["callbacks"].values() if part is not None]
    check_monitor(config["monitor"], callbacks)
    check_export(model)
    if hasattr(model, "check_data"):
        model.check_data(data.facts, data.image_size)
    logger = build(config["logger"], run_id=run_id) if config["logger"] else None

    with ExitStack() as stack:
        resuming = run_id is not None
        if resuming:  # before the logger touches a run that another process may hold
            stack.enter_context(hold(run_folder(run_id)))
        if logger:
            stack.enter_context(logger)
        run_id = agree(logger.run_id if logger else None)
        folder = Path(agree(str(run_folder(run_id))) or "")
        if not resuming:
            stack.enter_context(hold(folder))
        callbacks += [*exports(config, folder, run_id), *([watch] if watch else [])]
        monitor = config["monitor"] if data.judgeable("val") else None
        trainer = build(config["trainer"], folder=folder, monitor=monitor, callbacks=callbacks, logger=logger)
        if logger:
            logger.log_config(config)
            logger.log_dict(data.facts, "data.json")
            tags = {"model": config["model_name"], "weights": model.weights_source, "seed": config["seed"]}
            tags["overrides"] = " ".join(HydraConfig.get().overrides.task)
            logger.set_tags({**git_state(), **tags, "data.fingerprint": data.facts["fingerprint"]})
        start = time.perf_counter()
        trainer.fit(model, data, ckpt_path=checkpoint, weights_only=None)
        seconds = time.perf_counter() - start
        if watch and watch.pruned:  # neither tested nor exported
            return max(watch.values)
        best = trainer.checkpoint_callback.best_model_path or folder / "checkpoints" / "last.ckpt"
        scores = trainer.test(model, data, ckpt_path=best, verbose=False, weights_only=None)[0]
        if logger:
            figures = {"train/seconds": seconds, "model/embedding_size": model.embedding_size}
            logger.log_metrics(figures, trainer.global_step)
            logger.log_artifacts([folder / "checkpoints"], "checkpoints")
            logger.log_artifacts([folder / "index"], "index")
    if trainer.is_global_zero and not watch:
        print_scores(config["name"], scores, folder, run_id)
    return float(trainer.checkpoint_callback.best_model_score or 0.0)


main = entry(train, config_name="train", schema=TrainConfig, config_path=Path(__file__).parent / "conf")

if __name__ == "__main__":
    main()
