"""What each model learns by: tensors in, one scalar and a few figures to log out."""

from lens.losses.contrastive import ContrastiveResult, clamp_logit_scale_, contrastive_loss
from lens.losses.distributed import gather
from lens.losses.masked_patch import masked_patch_loss, patch_targets, random_mask
from lens.losses.triplet import Mining, TripletResult, pairwise_distances, triplet_loss

__all__ = [
    "ContrastiveResult",
    "Mining",
    "TripletResult",
    "clamp_logit_scale_",
    "contrastive_loss",
    "gather",
    "masked_patch_loss",
    "pairwise_distances",
    "patch_targets",
    "random_mask",
    "triplet_loss",
]
