"""One configuration of many in a process, and the words of a search's command line."""

from pathlib import Path

import pytest
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from lens.config import TrainConfig, TuneConfig, job, plain
from lens.config.search import composed_words
from lens.errors import LensError

CONF = Path(__file__).parents[2] / "conf"
GROUPS = [path.name for path in CONF.iterdir() if path.is_dir()]


def test_a_job_is_composed_as_train_would_compose_it() -> None:
    words = ["model=vit_tiny", "seed=3", "model.learning_rate=1e-3"]
    before = HydraConfig.instance().cfg
    settings = {"logger.tags": {"trial": "1"}, "logger.parent_run_id": "ab", "name": "the ${one}"}
    with job(CONF, "train", words, TrainConfig, settings) as cfg:
        config = plain(cfg)
        assert HydraConfig.get().mode == RunMode.MULTIRUN  # so trainer=ddp is refused
        assert list(HydraConfig.get().overrides.task) == words
    assert config["model_name"] == "vit_tiny" and config["model"]["learning_rate"] == 1e-3
    assert config["logger"]["tags"] == {"trial": "1"} and config["logger"]["parent_run_id"] == "ab"
    assert config["name"] == "the ${one}" and "hydra" not in config
    assert not GlobalHydra.instance().is_initialized() and HydraConfig.instance().cfg is before


def test_jobs_follow_each_other_inside_another_one() -> None:
    with job(CONF, "train", ["model=vit_tiny"], TrainConfig) as outer:
        for model in ("resnet_tiny", "clip_tiny"):
            with job(CONF, "train", [f"model={model}"], TrainConfig) as inner:
                assert plain(inner)["model_name"] == model
        assert plain(outer)["model_name"] == "vit_tiny"


def test_a_folder_of_ones_own_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nseed: 77\n")
    with job(CONF, "train", ["experiment=mine"], TrainConfig, None, str(tmp_path)) as cfg:
        assert cfg.seed == 77
    with pytest.raises(LensError, match="experiment=mine: there is no such choice"):
        with job(CONF, "train", ["experiment=mine"], TrainConfig):
            raise AssertionError


def test_a_job_that_does_not_fit_is_refused() -> None:
    before = HydraConfig.instance().cfg
    for word, settings, told in (
        ("model.lerning_rate=1", {}, "did you mean model.learning_rate"),
        ("seed=1", {"logger.tgas": {}}, "did you mean logger.tags"),
        ("seed=1", {"trainer.progress": "perhaps"}, "must be true or false"),
    ):
        with pytest.raises(LensError, match=told):
            with job(CONF, "train", [word], TrainConfig, settings):
                raise AssertionError
    assert HydraConfig.instance().cfg is before


def set_apart(*words: str) -> list[str]:
    return composed_words(get_args_parser().parse_args(list(words)), TuneConfig, GROUPS)


def test_own_words_are_composed_and_the_others_kept_as_they_are() -> None:
    words = ["model=a,b", "trials=3", "name='it\\'s'", "+x.y=interval(0,1)", "seed=${a}", "~callbacks.speed"]
    composed = set_apart(*words, "hydra.verbose=false")
    assert composed[:3] == ["trials=3", "name='it\\'s'", "hydra.verbose=false"]
    with job(CONF, "tune", composed, TuneConfig) as cfg:
        assert list(cfg.words) == [words[0], words[3], words[4], words[5]]
        assert (cfg.trials, cfg.name) == (3, "it's")


def test_the_id_of_a_search_is_no_number() -> None:
    assert set_apart("resume=12e45678")[0] == "resume='12e45678'"


def test_a_name_of_the_training_is_left_to_the_training() -> None:
    for word in (
        "learning_rate=1e-3",
        "data.split_seed=3",
        "monitor=val/map_at_r",
        "model@x=vit",
    ):
        assert len(set_apart(word)) == 1
    with pytest.raises(LensError, match="sampler_sed: no such setting; did you mean sampler_seed?"):
        set_apart("sampler_sed=1")
