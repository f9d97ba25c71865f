"""Every choice in conf/ composes, fits the constructors, and says what is promised."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from lens.config import TrainConfig, build, check, compose_file, plain

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
NAME = "model_name=x"  # the default asks Hydra for the choice, which only a command line has


def choices(group: str) -> list[str]:
    return sorted(file.stem for file in (CONF / group).glob("*.yaml"))


def needs(data: str) -> list[str]:
    return {"folder": ["data.root=x"], "fashion_mnist": ["data.root=x"], "manifest": ["data.path=x.csv"]}.get(
        data, []
    )


def composed(*overrides: str) -> dict[str, Any]:
    cfg = compose_file(CONF, "train", [NAME, *overrides])
    check(cfg, TrainConfig)
    return plain(cfg)


FULL = ["resnet", "clip", "vit", "autoencoder"]
SIZES = {
    "resnet": 2048, "clip": 512, "vit": 768, "autoencoder": 128,
    "resnet_tiny": 256, "clip_tiny": 128, "vit_tiny": 128, "autoencoder_tiny": 128,
}  # fmt: skip


def test_the_choices_are_those_promised() -> None:
    assert set(choices("model")) >= set(SIZES)
    assert set(choices("data")) >= {"rendered", "folder", "manifest", "fashion_mnist"}
    assert set(choices("trainer")) >= {"auto", "cpu", "gpu", "ddp"}
    assert set(choices("logger")) >= {"mlflow", "none"}
    default = composed()
    assert default["data"]["_reader_"].endswith("read_rendered")
    assert default["logger"]["experiment"] == "shopping-lens"
    assert default["trainer"]["accelerator"] == "auto" and default["trainer"]["precision"] in (
        "auto",
        "32-true",
    )


@pytest.mark.parametrize(("model", "data"), list(product(choices("model"), choices("data"))))
def test_every_model_composes_with_every_source(model: str, data: str) -> None:
    members = ["model.runs=[one,other]"] if model == "hybrid" else []
    config = composed(f"model={model}", f"data={data}", *needs(data), *members)
    size = config["data"]["image_size"]
    assert size == (64 if model.endswith("_tiny") else 224)
    assert config["model"].get("image_size", size) == size


@pytest.mark.parametrize(
    ("group", "choice"),
    [(group, name) for group in ("trainer", "augment", "callbacks", "logger") for name in choices(group)],
)
def test_every_other_choice_composes(group: str, choice: str) -> None:
    config = composed(f"{group}={choice}")
    if choice == "none":
        assert config[group] is None


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_every_experiment_composes(experiment: str) -> None:
    composed(f"experiment={experiment}")


@pytest.mark.parametrize("model", FULL)
def test_the_defaults_are_the_specified_numbers(model: str) -> None:
    config = composed(f"model={model}")
    assert config["data"]["image_size"] == 224 and config["data"]["batch_size"] == 32
    assert config["trainer"]["max_epochs"] == 10 and config["trainer"]["precision"] == "auto"
    assert config["model"]["optimizer"] == "adam" and config["model"]["learning_rate"] == 1e-4
    assert config["model"]["weights"] == ("random" if model == "autoencoder" else "pretrained")
    special = {
        "resnet": {"margin": 0.2, "architecture": "resnet50", "reconstruction_weight": 0.0},
        "clip": {"temperature": 0.07, "targets": "label"},
        "vit": {"mask_ratio": 0.15},
        "autoencoder": {"channels": [32, 64, 128, 256], "embedding_size": 128},
    }[model]
    assert special.items() <= config["model"].items()


def test_the_tiny_models_compute_in_full_precision() -> None:
    for model in SIZES:
        if model.endswith("_tiny"):
            config = composed(f"model={model}")
            assert config["trainer"]["precision"] == "32-true" and config["model"]["weights"] == "random"


@pytest.mark.parametrize(
    "model", [pytest.param(name, marks=[] if name.endswith("_tiny") else pytest.mark.slow) for name in SIZES]
)
def test_every_model_embeds_into_its_size(model: str) -> None:
    import torch

    config = composed(f"model={model}", "model.weights=random")
    built = build(config["model"]).eval()
    size = config["data"]["image_size"]
    with torch.inference_mode():
        vectors = built.embed_images(torch.rand(2, 3, size, size))
    assert vectors.shape == (2, SIZES[model]) and built.embedding_size == SIZES[model]
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))


def test_what_the_models_and_the_batches_go_by_is_one_setting() -> None:
    for model in ("resnet", "clip_tiny"):
        assert composed(f"model={model}", "data.relevance=product")["model"]["relevance"] == "product"
    assert composed("model=vit_tiny", "data.image_size=96")["model"]["image_size"] == 96
