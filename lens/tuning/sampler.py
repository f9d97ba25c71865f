"""Which values come next: TPE, repeatable, and never the same values twice."""

from collections.abc import Collection
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from lens.tuning.space import Space


class SearchSampler(BaseSampler):
    """Multivariate TPE (Bergstra et al. 2011; Falkner et al. 2018, BOHB) for one trial.

    Its draws are a function of the seed, of how many trials came before and of what they gave; so a search that was
    killed goes on as it would have gone on. TPE likes to repeat a good combination, and a training with the same seed
    would give the same figure again: where all combinations can be listed, another one takes the repeat's place.

    Args:
        space: of the search.
        seed: of the search.
        position: how many trials came before.
        startup: that many trials are drawn at random.
        tried: the texts of the combinations that were tried.
    """

    def __init__(
        self, space: Space, seed: int, position: int, startup: int, tried: Collection[tuple[str, ...]]
    ) -> None:
        drawn = np.random.SeedSequence([seed, position]).generate_state(2)
        self._tpe = TPESampler(
            n_startup_trials=startup, seed=int(drawn[0]), multivariate=True, constant_liar=False
        )
        self._choice = np.random.default_rng(int(drawn[1]))
        self._space, self._tried = space, set(tried)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._space.distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        values = self._tpe.sample_relative(study, trial, search_space)
        if not values:
            values = {
                name: self._tpe.sample_independent(study, trial, name, one)
                for name, one in search_space.items()
            }
        if self._space.texts(values) not in self._tried:
            return values
        left = untried(self._space, self._tried)
        return left[self._choice.integers(len(left))] if left else values

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._tpe.sample_independent(study, trial, param_name, param_distribution)


def untried(space: Space, tried: Collection[tuple[str, ...]]) -> list[dict[str, Any]] | None:
    """The combinations that are left, or None where they cannot be listed."""
    everything = space.combinations()
    if everything is None:
        return None
    return [values for values in everything if space.texts(values) not in tried]
