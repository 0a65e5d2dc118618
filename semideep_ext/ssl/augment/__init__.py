"""Random changes of rows that leave their meaning as it is.

An augmentation is a callable: a batch of rows in, one of the same shape out. `tables` holds those
of tables, `images` those of images; any other callable will do, and `each_row` makes one of a
transform that takes a row at a time, such as torchvision's.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Augmentation = Callable[[Tensor], Tensor]


def each_row(transform: Callable[[Tensor], Tensor]) -> Augmentation:
    """Apply a transform to each row on its own, as torchvision's take images.

    A transform of a whole batch would draw its random numbers once, the same for every row.

    Examples
    --------
    >>> flip = each_row(lambda image: image.flip(-1) if torch.rand(()) < 0.5 else image)
    >>> flip(torch.zeros(4, 3, 8, 8)).shape
    torch.Size([4, 3, 8, 8])
    """

    def apply(x: Tensor) -> Tensor:
        return torch.stack([torch.as_tensor(transform(row), device=x.device) for row in x])

    return apply


def in_turn(*augmentations: Augmentation) -> Augmentation:
    """Apply augmentations one after the other.

    Examples
    --------
    >>> in_turn(lambda x: x + 1, lambda x: 2 * x)(torch.zeros(1, 2))
    tensor([[2., 2.]])
    """

    def apply(x: Tensor) -> Tensor:
        for augmentation in augmentations:
            x = augmentation(x)
        return x

    return apply


def default_augmentations(example: Tensor) -> tuple[Augmentation, Augmentation]:
    """Choose a weak and a strong augmentation by what rows look like.

    Parameters
    ----------
    example : Tensor, shape (n, D) or (n, C, H, W)
        Of tables: noise; a tenth of the columns from other rows (SCARF) and more noise. Of images
        of 1 or 3 channels: shifts, and of 3 channels flips, since 1 channel may hold digits; these,
        RandAugment and cutout.

    Raises
    ------
    ValueError
        For rows of any other shape or type.
    ImportError
        For images, without kornia.
    """
    if example.ndim == 2 and example.is_floating_point():
        from semideep_ext.ssl.augment.tables import GaussianNoise, ScarfCorruption

        # SCARF's own share of .6 does not keep the class: docs/methods_evidence.md has figures, as
        # "published". Of fewer than ten columns none is replaced: there the noise has to do.
        return GaussianNoise(0.1), in_turn(ScarfCorruption(0.1), GaussianNoise(0.3))
    if example.ndim == 4 and example.is_floating_point() and example.shape[1] in (1, 3):
        from semideep_ext.ssl.augment.images import flip_and_shift, strong_augmentation

        weak_images = flip_and_shift(flip=0.5 if example.shape[1] == 3 else 0.0)
        return weak_images, strong_augmentation(weak_images)
    raise ValueError(
        f"no augmentation is known for rows of shape {tuple(example.shape[1:])} and "
        f"{example.dtype}: give the method functions of a batch, such as FixMatch(weak=..., "
        "strong=...) or MeanTeacher(augment=...); known are tables (n, D) and images (n, C, H, W) "
        "of 1 or 3 channels"
    )
