"""A hybrid of trained models: one embedding whose cosine is the weighted sum of theirs.

The vector of an image is the members' unit vectors one after another, each times the root of its weight; so the inner
product of two such vectors is the weighted sum of the members' cosines, and a hybrid is searched, judged and exported
like any single model. Nothing is trained but the weights: they are the best found on the validation side.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lens.errors import LensError
from lens.models.shares import Metric, choose_weights, unit_rows

MOST_ITEMS = 2000  # of the validation side, drawn once, that weights are tried on


@dataclass(frozen=True)
class Member:
    """A trained model: its name and run, the side of its pictures in pixels, and the node that builds it."""

    model: Any
    name: str
    run_id: str
    image_size: int
    config: dict[str, Any]


class Hybrid(pl.LightningModule):
    """Members whose weights are chosen on the validation side, by a grid over all ways to share 1 among them.

    Args:
        members: two or more; none where a checkpoint is to be loaded, which brings them.
        build: builds a member from its node, for checkpoints.
        fingerprint: of the data that every member was trained on; None checks nothing.
        normalise: make the members' cosines alike before they are weighed: from each member's vectors their mean on the
            validation side is taken away, and each weight is divided by the spread (standard deviation) of the cosines
            there. So a model whose cosines all lie above 0.99 is heard too.
        metric: the validation figure to be highest; MAP@R decides between equals.
    """

    weights_source = "members"

    def __init__(
        self,
        members: Sequence[Member],
        build: Callable[[dict[str, Any]], Any],
        *,
        fingerprint: str | None = None,
        normalise: bool = True,
        metric: Metric = "precision_at_1",
    ) -> None:
        super().__init__()
        self._build, self.fingerprint, self.normalise, self.metric = build, fingerprint, normalise, metric
        self.export: list[str] = []
        self._take(members)

    def _take(self, members: Sequence[Member]) -> None:
        self.about = [{key: value for key, value in vars(one).items() if key != "model"} for one in members]
        self.members = nn.ModuleList([one.model for one in members]).requires_grad_(False)
        even = torch.full((len(members),), 1 / max(1, len(members)))
        self.weights = nn.Parameter(even, requires_grad=False)
        means = [torch.zeros(int(one.model.embedding_size)) for one in members]
        self.means = nn.ParameterList([nn.Parameter(mean, requires_grad=False) for mean in means])

    @property
    def embedding_size(self) -> int:
        """The sum of the members' sizes."""
        return sum(mean.numel() for mean in self.means)

    @property
    def takes_texts(self) -> bool:
        """Whether a member that counts has a text tower."""
        reads = [hasattr(member, "embed_texts") for member in self.members]
        return any(does and share > 0 for does, share in zip(reads, self.weights.tolist(), strict=True))

    def embed_images(self, images: Tensor) -> Tensor:
        """Unit vectors [B, D] of images [B, 3, H, W], float in [0, 1]; each member sees them in its own size."""
        parts = self._apart(images)
        return torch.cat(
            [weight.sqrt() * part for weight, part in zip(self.weights, parts, strict=True)], dim=1
        )

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors [T, D] of T texts; the parts of members that do not read are zero.

        A text's own part is not centred: images' cosines with it then differ by what the text says, not by the mean.

        Raises ValueError where no member that counts reads.
        """
        if not self.takes_texts:
            raise ValueError("no member that counts has a text tower")
        parts = []
        for member, weight in zip(self.members, self.weights, strict=True):
            if hasattr(member, "embed_texts"):
                parts.append(weight.sqrt() * member.embed_texts(texts))  # type: ignore[operator]
            else:
                parts.append(torch.zeros(len(texts), int(member.embedding_size), device=self.device))  # type: ignore[arg-type]
        return F.normalize(torch.cat(parts, dim=1), dim=1)

    def _apart(self, images: Tensor) -> list[Tensor]:
        parts = []
        for member, about in zip(self.members, self.about, strict=True):
            size = about["image_size"]
            fitting = images
            if images.shape[-1] != size:
                fitting = F.interpolate(images, size=(size, size), mode="bilinear", antialias=True)
            parts.append(member.embed_images(fitting).float())  # type: ignore[operator]
        return [F.normalize(part - mean, dim=1) for part, mean in zip(parts, self.means, strict=True)]

    def check_data(self, facts: Mapping[str, Any], image_size: int) -> None:
        """Refuse data that are not the members' own. Raises LensError."""
        if self.fingerprint is not None and facts["fingerprint"] != self.fingerprint:
            raise LensError(
                f"A hybrid is made on the data of its members (fingerprint {self.fingerprint[:8]}, here "
                f"{facts['fingerprint'][:8]}): give the data settings that run {self.about[0]['run_id']} had, or "
                "its test images could be among a member's training images."
            )
        largest = max(about["image_size"] for about in self.about)
        if image_size != largest:
            raise LensError(
                f"data.image_size={image_size}: the members take pictures of up to {largest} px; give "
                f"data.image_size={largest}."
            )

    def on_fit_start(self) -> None:
        """Choose the weights."""
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        rows = data.rows("val")
        if len(rows) > MOST_ITEMS:
            rows = np.sort(np.random.default_rng(0).choice(rows, MOST_ITEMS, replace=False))
        parts = self._validation_parts(data.evaluation_loader(rows))
        if self.normalise:
            for number, mean in enumerate(self.means):
                centre = parts[number].mean(axis=0)
                mean.copy_(torch.from_numpy(centre))
                parts[number] = unit_rows(parts[number] - centre)
        roles = data.catalogue.table["role"].to_numpy(dtype=str)[rows]
        weights = choose_weights(
            parts,
            data.labels[data.relevance][rows],
            rows,
            roles,
            normalise=self.normalise,
            metric=self.metric,
        )
        self.weights.copy_(torch.as_tensor(weights, dtype=torch.float32))

    @torch.no_grad()
    def _validation_parts(self, loader: Any) -> list[np.ndarray]:
        training = self.training
        self.eval()
        with self.trainer.precision_plugin.forward_context():
            batches = [
                [part.cpu().numpy() for part in self._apart(batch["image"].to(self.device))]
                for batch in loader
            ]
        self.train(training)
        return [np.concatenate(part) for part in zip(*batches, strict=True)]

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Nothing: the members are trained, and the weights chosen."""
        for about, weight in zip(self.about, self.weights, strict=True):
            self.log(f"weight/{about['name']}_{about['run_id'][:8]}", weight, batch_size=1)

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Nothing: there is no loss."""

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Nothing: there is no loss."""

    def configure_optimizers(self) -> Any:
        # It moves nothing; Lightning counts its steps, and keeps no checkpoint before the first.
        return torch.optim.SGD([self.weights], lr=0.0)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["members"] = []
        for member, about in zip(self.members, self.about, strict=True):
            own: dict[str, Any] = {}
            member.on_save_checkpoint(own)  # type: ignore[operator]
            checkpoint["members"].append({**about, "own": own})

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        members = []
        for saved in checkpoint["members"]:
            about = {key: value for key, value in saved.items() if key != "own"}
            model = self._build({**about["config"], "weights": "random"})
            model.on_load_checkpoint(saved["own"])
            members.append(Member(model, **about))
        self._take(members)
