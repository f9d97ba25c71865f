"""What goes wrong while a training runs: pictures learned by heart, and an embedding that falls into one point.

Both callbacks only read what the run logs anyway. They warn in one sentence, not in every epoch, and leave the sentence
with the run as a tag. Without a validation side they are silent.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.trainer.states import TrainerFn

from lens.errors import LensError

log = logging.getLogger(__name__)

ALL_ACTIVE = 0.95
"""From this share of active triplets on nearly none is satisfied."""
AS_FAR = 0.9
"""Pictures of one label at this share of the distance of others, or more, are not told apart."""
FEWEST_QUERIES = 10
"""Fewer pictures span few directions anyway."""


class OverfitWatch(pl.Callback):
    """Warns when train gets better than validation by more than a threshold, and by more than chance explains.

    Chance is three standard errors of a difference of shares on so many queries: it is looked at after every epoch, and
    few validation pictures would cry wolf. Needs ``callbacks.retrieval`` with ``train``. The tag of the run is
    ``warning.overfit``, and ``warning.stopped`` where it ended the training.

    Args:
        metric: the metric compared, train/METRIC less val/METRIC; from 0 to 1, higher is better.
        threshold: the difference that is too much.
        stop: end the training after ``patience`` epochs in a row above the threshold, whether or not validation still
            rises (``callbacks.early_stopping`` goes by validation alone).
        patience: that many epochs.
    """

    def __init__(
        self, metric: str = "precision_at_1", threshold: float = 0.2, stop: bool = False, patience: int = 3
    ) -> None:
        if not 0 < threshold < math.inf:
            raise LensError(f"callbacks.overfit.threshold={threshold}: give a difference above 0, e.g. 0.2.")
        if patience < 1:
            raise LensError(f"callbacks.overfit.patience={patience}: give 1 epoch or more.")
        self.metric, self.threshold, self.stop, self.patience = metric, threshold, stop, patience
        self._above = 0

    @property
    def state_key(self) -> str:
        return self._generate_state_key(metric=self.metric)

    def state_dict(self) -> dict[str, Any]:
        return {"epochs_above": self._above}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._above = state_dict["epochs_above"]

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        known = trainer.callback_metrics
        train, val = _number(known, f"train/{self.metric}"), _number(known, f"val/{self.metric}")
        if train is None or val is None:
            return
        chance = 3 * standard_error(train, val, known.get("train/queries"), known.get("val/queries"))
        self._above = self._above + 1 if train - val > max(self.threshold, chance) else 0
        if self._above == 1:
            _warn(trainer, "overfit", self._sentence(trainer.current_epoch, train, val))
        # The same figures on every process, but for the rounding of unlike devices: they have to leave together.
        if self.stop and trainer.strategy.reduce_boolean_decision(self._above >= self.patience, all=False):
            trainer.should_stop = True
            _warn(
                trainer,
                "stopped",
                f"The training ends after epoch {trainer.current_epoch}: train/{self.metric} is more than "
                f"{self.threshold:g} above val/{self.metric} for {self._above} epochs in a row (now {train:.3f} and "
                f"{val:.3f}); callbacks.overfit.stop=false lets it go on.",
            )

    def _sentence(self, epoch: int, train: float, val: float) -> str:
        return (
            f"Overfitting: after epoch {epoch}, train/{self.metric} {train:.3f} is {train - val:.3f} above "
            f"val/{self.metric} {val:.3f} (callbacks.overfit.threshold={self.threshold:g}); try more pictures, "
            "augment=strong, model.weight_decay=1e-4 or, once validation no longer rises, fewer trainer.max_epochs."
        )


def standard_error(one: float, other: float, queries: Any, other_queries: Any) -> float:
    """Of the difference of two shares of so many queries (numbers or scalars), if they were the same; 0 where unknown.

    That of the two-proportion z test, with p their common mean; scores between 0 and 1 have no larger one.
    """
    if queries is None or other_queries is None:
        return 0.0
    n, m = float(queries), float(other_queries)
    p = (one * n + other * m) / (n + m)
    return math.sqrt(max(0.0, p * (1 - p)) * (1 / n + 1 / m))


@dataclass(frozen=True)
class Signs:
    """What is known of the embedding after an epoch; None where the run does not log it.

    mean_cosine, rank: of validation; rank is the centred one. first_cosine: the mean cosine after the first epoch.
    active, d_pos, d_neg: share of active triplets and mean distances in training; margin, mining: of their loss.
    separates: the loss pushes pictures apart; one that rebuilds them may leave all in a narrow cone.
    """

    mean_cosine: float | None = None
    first_cosine: float | None = None
    rank: float | None = None
    active: float | None = None
    d_pos: float | None = None
    d_neg: float | None = None
    margin: float | None = None
    mining: tuple[str, ...] = ()
    separates: bool = False


class CollapseWatch(pl.Callback):
    """Warns when the embedding no longer tells pictures apart, with the likely cause and the setting to try.

    Each kind comes once in a run. The tag of the run is ``warning.collapse``, and ``warning.triplets`` where a triplet
    loss has nothing left to learn.

    Args:
        max_mean_cosine: of two validation pictures, where a loss pushes pictures apart. A network from random weights
            begins near 1, so only one that has hardly fallen counts: 1 - cosine not doubled since the first epoch.
        one_point: the same for every model, fallen or not: beyond it a search can hardly tell vectors apart.
        min_rank: of ``val/effective_rank_centred``, from ten queries on: directions that pictures have to differ in.
        min_active: of the triplets, on the mean of an epoch.
        after_steps: nothing is judged before so many training steps.
    """

    def __init__(
        self,
        max_mean_cosine: float = 0.98,
        one_point: float = 0.999999,
        min_rank: float = 2.0,
        min_active: float = 0.01,
        after_steps: int = 50,
    ) -> None:
        shares = {"max_mean_cosine": max_mean_cosine, "one_point": one_point, "min_active": min_active}
        for name, value in shares.items():
            if not 0 <= value <= 1:
                raise LensError(f"callbacks.collapse.{name}={value}: give a number from 0 to 1.")
        self.max_mean_cosine, self.one_point, self.min_rank = max_mean_cosine, one_point, min_rank
        self.min_active, self.after_steps = min_active, after_steps
        self._first: float | None = None
        self._said: list[str] = []

    def state_dict(self) -> dict[str, Any]:
        return {"first_cosine": self._first, "said": list(self._said)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._first, self._said = state_dict["first_cosine"], list(state_dict["said"])

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Here, since the mean of the epoch's steps is not known before.
        signs = self._read(trainer.callback_metrics, pl_module)
        if self._first is None:
            self._first = signs.mean_cosine
        if signs.mean_cosine is None or trainer.global_step < self.after_steps:
            return
        for kind, sentence in (("collapse", self.collapse(signs)), ("triplets", self.too_easy(signs))):
            if sentence and kind not in self._said:
                _warn(trainer, kind, f"After epoch {trainer.current_epoch}, {sentence}")
                self._said.append(kind)

    def _read(self, known: Mapping[str, Any], model: Any) -> Signs:
        enough = (_number(known, "val/queries") or 0) >= FEWEST_QUERIES
        return Signs(
            mean_cosine=_number(known, "val/mean_cosine"),
            first_cosine=self._first,
            rank=_number(known, "val/effective_rank_centred") if enough else None,
            active=_number(known, "train/active_fraction_epoch"),
            d_pos=_number(known, "train/d_pos_epoch"),
            d_neg=_number(known, "train/d_neg_epoch"),
            margin=getattr(model, "margin", None),
            mining=tuple(getattr(model, "mining", ())),
            separates=bool(known.keys() & {"train/active_fraction_epoch", "train/excess_loss_epoch"}),
        )

    def collapse(self, signs: Signs) -> str | None:
        """What has collapsed, why and what to do, as the rest of a sentence; None where nothing has."""
        cosine, first = signs.mean_cosine, signs.first_cosine
        hard = "batch_hard" in signs.mining
        cause = "the hardest triplets from the start" if hard else "too large steps"
        way_out = (
            f"likely cause: {cause}; try {'model.mining=batch_all or ' * hard}a lower model.learning_rate"
        )
        if _stuck(signs):
            return (
                f"the embedding is falling into one point: training pictures of different labels are {signs.d_neg:.3f} "
                f"apart, less than model.margin={signs.margin:g}, those of one label {signs.d_pos:.3f}, and "
                f"{signs.active:.0%} of the triplets stay active; {way_out}."
            )
        if cosine is not None and cosine > self.one_point:
            return (
                f"all validation pictures have nearly the same vector (mean cosine {cosine:.7f}), so no search can "
                f"tell them apart; {way_out}, or model.warmup_steps=100."
            )
        if signs.separates and cosine is not None and first is not None:
            if cosine > self.max_mean_cosine and 1 - cosine < 2 * (1 - first):
                return (
                    f"validation pictures are as good as alike (mean cosine {cosine:.4f}, {first:.4f} after the first "
                    f"epoch) though the loss pushes them apart; {way_out}, or model.warmup_steps=100."
                )
        if signs.rank is not None and signs.rank < self.min_rank:
            return (
                f"validation pictures differ in {signs.rank:.1f} directions only (val/effective_rank_centred); "
                f"{way_out}, or data.relevance=product."
            )
        return None

    def too_easy(self, signs: Signs) -> str | None:
        """That a triplet loss has nothing left to learn, and what to do; None where it has something."""
        if signs.active is None or signs.active >= self.min_active:
            return None
        harder = "" if "batch_hard" in signs.mining else "model.mining=batch_hard, "
        return (
            f"only {signs.active:.1%} of the triplets are active: the others are met, and nothing is left to learn; "
            f"try {harder}a larger model.margin, augment=strong or fewer trainer.max_epochs."
        )


def _stuck(signs: Signs) -> bool:
    """Whether the labels lie nearer to each other than the margin, no farther than pictures of one label."""
    if signs.active is None or signs.d_pos is None or signs.d_neg is None or signs.margin is None:
        return False
    return signs.active > ALL_ACTIVE and signs.d_neg < signs.margin and signs.d_pos > AS_FAR * signs.d_neg


def _number(known: Mapping[str, Any], name: str) -> float | None:
    """The value of a metric, or None where there is none, or NaN."""
    value = float(known.get(name, math.nan))
    return None if math.isnan(value) else value


def _warn(trainer: pl.Trainer, kind: str, sentence: str) -> None:
    """Rank zero says it and tags the run with it, where the logger has tags."""
    if not trainer.is_global_zero:
        return
    log.warning("%s", sentence)
    if hasattr(trainer.logger, "set_tags"):
        trainer.logger.set_tags({f"warning.{kind}": sentence})  # type: ignore[union-attr]
