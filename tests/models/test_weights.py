"""Where no weights can be had a training starts at once, and says that it starts from nothing."""

import logging
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from lens.errors import LensError
from lens.models.clip import ContrastiveCLIP
from lens.models.resnet import TripletResNet
from lens.models.vit import MaskedPatchViT
from lens.models.weights import load_or_fall_back, reachable

SMALL_CLIP = {
    "image_size": 32, "patch_size": 16, "vision_size": 16, "vision_layers": 1, "vision_heads": 2, "text_size": 16,
    "text_layers": 1, "text_heads": 2, "context": 16, "projection_size": 8,
}  # fmt: skip
MAKERS: dict[str, Any] = {
    "resnet": lambda: TripletResNet("resnet18", "pretrained"),
    "vit": lambda: MaskedPatchViT(32, 8, 16, layers=1, heads=2, weights="pretrained"),
    "clip": lambda: ContrastiveCLIP(**SMALL_CLIP, weights="pretrained"),
}


@pytest.fixture
def empty_cache(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants
    import transformers.utils.hub

    torch.hub.set_dir(str(tmp_path / "torch"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    if hasattr(transformers.utils.hub, "TRANSFORMERS_CACHE"):
        monkeypatch.setattr(transformers.utils.hub, "TRANSFORMERS_CACHE", str(tmp_path / "hf"))


@pytest.fixture
def refusing() -> Iterator[str]:
    """A proxy that answers, and lets nobody through."""
    server = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        while True:
            try:
                caller, _ = server.accept()
            except OSError:
                return
            with caller:
                caller.recv(4096)
                caller.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    threading.Thread(target=answer, daemon=True).start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}"
    server.close()


def proxy(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, address)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("kind", list(MAKERS))
@pytest.mark.parametrize("network", ["nothing listens", "the proxy refuses"])
def test_offline_the_fall_back_takes_seconds_and_is_said_aloud(
    kind: str, network: str, empty_cache: None, refusing: str, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    proxy(monkeypatch, "http://127.0.0.1:9" if network == "nothing listens" else refusing)
    start = time.perf_counter()
    with caplog.at_level(logging.WARNING):
        model = MAKERS[kind]()
    assert time.perf_counter() - start < 60  # the library alone tries for five minutes
    assert model.weights_source == "random"
    said = [record.getMessage() for record in caplog.records if record.name == "lens.models.weights"]
    assert len(said) == 1 and "RANDOM" in said[0] and "weights=random" in said[0]


def test_the_cache_is_asked_first_and_the_network_second() -> None:
    asked: list[bool] = []

    def pretrained(cache_only: bool) -> nn.Module:
        asked.append(cache_only)
        return nn.Linear(1, 1)

    def never(*_: Any) -> nn.Module:
        raise AssertionError

    _, source = load_or_fall_back(
        "pretrained",
        random=never,
        local=never,
        pretrained=pretrained,
        name="x",
        url="https://invalid.invalid",
    )
    assert source == "pretrained" and asked == [True]


def test_a_host_that_listens_is_reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert reachable(f"http://127.0.0.1:{port}/x")
    assert not reachable(f"http://127.0.0.1:{port}/x")


def test_a_users_mistake_is_not_hidden_by_the_fall_back() -> None:
    def wrong(_: bool) -> nn.Module:
        raise LensError("the sizes differ")

    with pytest.raises(LensError, match="differ"):
        load_or_fall_back(
            "pretrained", random=lambda: nn.Linear(1, 1), local=lambda _: nn.Linear(1, 1), pretrained=wrong,
            name="x", url="https://invalid.invalid",
        )  # fmt: skip
