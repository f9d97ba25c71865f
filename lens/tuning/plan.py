"""From the command line to a search that can begin or go on; mistakes end here, before any run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.study import Study

from lens.config import TrainConfig, job
from lens.errors import LensError
from lens.tracking import add_to_run, project_folder, run_tags, start_parent, tracking_uri
from lens.tracking.searches import SEARCH_TAG, find_search, go_on
from lens.tracking.store import database_file
from lens.tuning.record import Record
from lens.tuning.space import Space, read_space
from lens.tuning.study import Settings, counted, create_study, load_study, open_store, take_up


@dataclass(frozen=True)
class Plan:
    """A search that is ready: its study, its runs, and the words of its trainings.

    again: the numbers of the trials that a kill cut off and that will be repeated.
    """

    study: Study
    record: Record
    space: Space
    settings: Settings
    again: tuple[int, ...] = ()


def trial_settings(space: Space) -> dict[str, Any]:
    """What trials are set to unless the command line says otherwise: no bars, which 20 trials would repeat."""
    given = {item.partition("=")[0].lstrip("+") for item in space.items if isinstance(item, str)}
    return {} if "trainer.progress" in given else {"trainer.progress": False}


def new_search(config: dict[str, Any], conf: Path, folder: str | None) -> Plan:
    """A search by its configuration: checked by a few of its points, then with a parent run and a study of its own.

    Args:
        config: as TuneConfig has it.
        conf, folder: of the YAML files, the project's and one given by --config-dir.

    Raises:
        LensError: a mistake in the words, or a store that cannot be used.
    """
    settings = _settings(config)
    space = read_space(config["words"], conf, folder)
    uri, experiment, monitor = _checked(space, conf, folder)
    path = _file(config["storage"], uri)
    store = open_store(path)
    command = " ".join(config["words"])
    parent = start_parent(
        uri, experiment, config["name"] or command[:200], {"sweep": command, SEARCH_TAG: str(path)}
    )
    searched = {f"search.{item.name}": item.word.given.partition("=")[2] for item in space.dimensions}
    add_to_run(uri, parent, params={**searched, "trials": settings.trials, "pruning": settings.pruning})
    study = create_study(store, parent, config["words"], settings)
    study.set_user_attr("name", config["name"])
    return Plan(study, Record(uri, experiment, parent, config["name"], monitor), space, settings)


def found_search(config: dict[str, Any], conf: Path, folder: str | None) -> tuple[str, str, str]:
    """Address of the store, experiment and id of the search that `resume` names. Raises LensError if there is none."""
    with job(conf, "train", config["words"], TrainConfig, None, folder) as cfg:
        if cfg.logger is None:
            raise LensError("A search is kept in the tracking store: leave out logger=none.")
        uri, experiment = tracking_uri(cfg.logger.uri), str(cfg.logger.experiment)
    return uri, experiment, find_search(uri, experiment, config["resume"])


def resumed_search(
    config: dict[str, Any], given: Sequence[str], found: tuple[str, str, str], conf: Path, folder: str | None
) -> Plan:
    """A search to go on with by its own words, with the trials and the timeout that were given; see found_search.

    Raises LensError where nothing is left to do, or its study is not there.
    """
    uri, experiment, parent = found
    tags = run_tags(uri, parent)
    path = Path(config["storage"]).absolute() if config["storage"] else Path(tags[SEARCH_TAG])
    if not path.is_file():
        raise LensError(f"The file of searches {path} is not there; say by storage=FILE.db where it is.")
    keys = {word.partition("=")[0] for word in given}
    changes = {key: config[key] for key in ("trials", "timeout") if key in keys}
    study, words, settings = load_study(open_store(path), parent, path, **changes)
    done = len(counted(study))
    if done >= settings.trials and tags["status"] == "FINISHED":
        raise LensError(
            f"Search {parent[:8]} has its {done} trials; for more give trials=N, a number above {done}."
        )
    space = read_space(words, conf, folder)
    monitor = _checked(space, conf, folder)[2]
    name = study.user_attrs.get("name")
    record = Record(uri, experiment, parent, name, monitor)
    go_on(uri, parent)
    again = take_up(study, space)
    record.cut_off(again)
    return Plan(study, record, space, settings, tuple(again))


def _settings(config: dict[str, Any]) -> Settings:
    return Settings(**{key: config[key] for key in Settings.__dataclass_fields__})


def _file(given: str | None, uri: str) -> Path:
    database = database_file(uri)
    beside = (database.parent if database is not None else project_folder()) / "tuning.db"
    return Path(given).absolute() if given else beside


def _checked(space: Space, conf: Path, folder: str | None) -> tuple[str, str, str]:
    """Compose and check a few points of a space; returns the store's address, the experiment and the monitor."""
    for values in space.points():
        words = space.words(values)
        try:
            with job(conf, "train", words, TrainConfig, trial_settings(space), folder) as cfg:
                if cfg.logger is None:
                    raise LensError("A search is kept in the tracking store: leave out logger=none.")
                if str(cfg.trainer.get("strategy", "auto")).startswith("ddp"):
                    raise LensError("trainer=ddp cannot be searched with; each trial trains in this process.")
                found = tracking_uri(cfg.logger.uri), str(cfg.logger.experiment), str(cfg.monitor)
        except LensError as error:
            several = " ".join(f"{item.name}={item.text(values[item.name])}" for item in space.dimensions)
            raise LensError(f"{error} (tried with {several})") from error
    return found
