"""Augmentations of images (n, C, H, W) of 1 or 3 channels, by kornia (extra `ssl`).

Operations on colours are defined for values in [0, 1]. Images on another scale, such as
standardised ones, are brought there by the smallest and largest value of the batch, and back.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from semideep_ext.ssl.augment import Augmentation, in_turn

# RandAugment chooses its operations once a call; groups of a batch choose each for themselves.
GROUPS = 8


def flip_and_shift(flip: float = 0.5, shift: float = 0.125) -> Augmentation:
    """Mirror images with probability `flip`, and shift them: the weak augmentation of FixMatch.

    Parameters
    ----------
    flip : float, default 0.5
        0 for digits, letters and whatever else has a handedness.
    shift : float, default 0.125
        Largest shift, as a share of the size: 4 of 32 pixels. A reflection comes in at the edge.
    """
    kornia = _kornia()
    mirror = kornia.RandomHorizontalFlip(p=flip)

    def apply(x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        padding = (int(shift * height), int(shift * width))
        crop = kornia.RandomCrop((height, width), padding=padding, padding_mode="reflect")
        return _same(crop(mirror(x)), x)

    return apply


def cutout(size: float = 0.5) -> Augmentation:
    """Paint a square of each image, `size` of its width, grey (DeVries & Taylor, 2017)."""
    erase = _kornia().RandomErasing(p=1.0, scale=(size**2, size**2), ratio=(1.0, 1.0), value=0.5)
    return lambda x: _on_unit_scale(x, erase)


def rand_augment(operations: int = 2, magnitude: int = 10) -> Augmentation:
    """Apply random changes of colour and shape (RandAugment: Cubuk et al., 2020).

    Parameters
    ----------
    operations : int, default 2
        How many changes in turn.
    magnitude : int, default 10
        From 0 to 30.
    """
    change = _kornia().auto.RandAugment(n=operations, m=magnitude)

    def apply(x: Tensor) -> Tensor:
        colours = x.expand(-1, 3, -1, -1)
        changed = torch.cat([change(part) for part in colours.tensor_split(GROUPS) if len(part)])
        return changed[:, : x.shape[1]]

    return lambda x: _on_unit_scale(x, apply)


def strong_augmentation(
    weak: Augmentation, operations: int = 2, magnitude: int = 10
) -> Augmentation:
    """Compose the strong augmentation of FixMatch: the weak one, RandAugment, cutout."""
    return in_turn(weak, rand_augment(operations, magnitude), cutout())


def _on_unit_scale(x: Tensor, augmentation: Augmentation) -> Tensor:
    low, high = x.amin(), x.amax()
    span = (high - low).clamp(min=torch.finfo(x.dtype).tiny)
    return _same(augmentation((x - low) / span) * span + low, x)


def _same(changed: Tensor, x: Tensor) -> Tensor:
    """Give a plain tensor of the dtype of x: kornia computes half types in float32."""
    return changed.as_subclass(Tensor).to(x.dtype)


def _kornia() -> Any:
    try:
        import kornia.augmentation
    except ImportError as error:
        raise ImportError(
            "augmentations of images need kornia: pip install 'semideep_ext[ssl]', or give the "
            "method functions of your own, such as FixMatch(weak=..., strong=...)"
        ) from error
    return kornia.augmentation
