import math

import pytest
import torch
from torch import nn

from lens.errors import LensError
from lens.models.optim import Optimization, learning_rate_factor

WHOLE = {
    "learning_rate": 1e-4,
    "weight_decay": 0.0,
    "warmup_steps": 0,
    "schedule": "constant",
}


def test_the_rate_grows_through_the_warm_up_then_stays() -> None:
    factors = [learning_rate_factor(step, 100, 4, "constant") for step in range(8)]
    assert factors == [0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 1.0, 1.0]


def test_a_cosine_falls_to_nothing_at_the_last_step() -> None:
    factors = [learning_rate_factor(step, 20, 5, "cosine") for step in range(21)]
    assert factors[5] == 1.0 and factors[20] == pytest.approx(0) and factors[19] > 0
    assert factors[5:] == sorted(factors[5:], reverse=True)
    for step in range(5, 21):
        assert factors[step] == pytest.approx((1 + math.cos(math.pi * (step - 5) / 15)) / 2)


def test_a_training_shorter_than_its_warm_up_never_divides_by_zero() -> None:
    assert all(0 < learning_rate_factor(step, 3, 10, "cosine") <= 1 for step in range(3))


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_the_optimiser_is_the_one_asked_for_and_fused(name: str, kind: type) -> None:
    made = Optimization(optimizer=name, **WHOLE).configure(nn.Linear(2, 2).parameters(), 10)["optimizer"]  # type: ignore[arg-type]
    assert type(made) is kind and made.defaults["fused"] and made.param_groups[0]["lr"] == 1e-4


@pytest.mark.parametrize(
    "wrong", [{"learning_rate": -1.0}, {"learning_rate": math.nan}, {"warmup_steps": -1}]
)
def test_rates_that_cannot_be_are_sentences(wrong: dict[str, float]) -> None:
    with pytest.raises(LensError, match=f"model.{next(iter(wrong))}="):
        Optimization(optimizer="adam", **(WHOLE | wrong))  # type: ignore[arg-type]
