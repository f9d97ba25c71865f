"""From a checked configuration to plain values and objects."""

import functools
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from lens.config import build, check, plain
from lens.errors import LensError
from tests.config.toy import Schema, composed


def test_build_gives_plain_fitting_values(app):
    cfg = composed(app, "+model.weights=w.pt", "+model.head={_target_: toy_parts.Stop, patience: 5}")
    check(cfg, Schema)
    model = build(cfg.model)
    assert model.layers == (1, 2)
    assert model.weights == Path("w.pt")
    assert model.head.patience == 5
    assert type(model.learning_rate) is float
    stop = build(cfg.callbacks.stop)
    assert build(cfg.trainer, callbacks=[stop]).callbacks[0] is stop


def test_build_with_a_reader(app):
    cfg = composed(app, "data=folder", "data.root=shoes", "data.columns.caption=title", "seed=3")
    check(cfg, Schema)
    data = build(cfg.data)
    assert isinstance(data.read, functools.partial)
    root, columns, seed = data.read()
    assert (root, columns.path, columns.caption, seed) == (Path("shoes"), "path", "title", 3)
    assert (data.batch_size, data.seed) == (2, 3)


def test_build_refuses(app):
    with pytest.raises(LensError, match=r"Model\.marign: no such setting; did you mean Model\.margin"):
        build({"_target_": "toy_parts.Model", "marign": 1})
    with pytest.raises(LensError, match="missing a required argument: 'read'"):
        build({"_target_": "toy_parts.Data"})
    with pytest.raises(LensError, match="root"):
        build({"_target_": "toy_parts.Data", "_reader_": "toy_parts.read_folder"})
    with pytest.raises(LensError, match=r"toy_parts\.Modle.*cannot be loaded"):
        build({"_target_": "toy_parts.Modle"})


def test_plain_resolves(app):
    values = plain(composed(app, "data=folder", "data.root=x", "seed=5"))
    assert values["data"]["seed"] == 5
    assert type(values["model"]["layers"]) is list
    with pytest.raises(LensError, match=r"data\.root is not set"):
        plain(composed(app, "data=folder"))


def test_compose_file_leaves_no_global_state(app):
    from hydra.core.global_hydra import GlobalHydra

    assert "hydra" not in composed(app)
    with pytest.raises(LensError, match="nearest is 'vit'"):
        composed(app, "model=vitt")
    with pytest.raises(LensError, match=r"did you mean model\.learning_rate"):
        composed(app, "model.lerning_rate=1")
    assert not GlobalHydra.instance().is_initialized()


def test_check_refuses_what_is_no_part(app):
    cfg = composed(app)
    without = OmegaConf.masked_copy(cfg, ["trainer", "callbacks"])
    with pytest.raises(LensError, match="model is not set"):
        check(without, Schema)
    with pytest.raises(LensError, match="model is not chosen"):
        check(OmegaConf.merge(without, {"model": {"a": 1}}), Schema)
    with pytest.raises(LensError, match=r"callbacks\.stop"):
        check(OmegaConf.merge(cfg, {"callbacks": {"stop": {"_target_": None}}}), Schema)
