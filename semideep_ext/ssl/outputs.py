"""Outputs of models as logits and probabilities, and the losses between them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def class_logits(outputs: Tensor) -> Tensor:
    """Give one logit per class, (n, K): of a single logit z, those of the classes 0 and 1 are 0, z.

    Half types become float32.

    Examples
    --------
    >>> class_logits(torch.tensor([[2.0], [-1.0]]))
    tensor([[ 0.,  2.],
            [ 0., -1.]])
    """
    outputs = outputs.to(torch.promote_types(outputs.dtype, torch.float32))
    if outputs.ndim == 1 or outputs.shape[1:] == (1,):
        z = outputs.reshape(-1)
        return torch.stack([torch.zeros_like(z), z], 1)
    return outputs


def probabilities(outputs: Tensor) -> Tensor:
    """Give the probability of each class, (n, K)."""
    return class_logits(outputs).softmax(1)


def soft_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Cross entropy to probabilities: -sum_k target_k log p_k, (n,).

    Examples
    --------
    >>> soft_cross_entropy(torch.zeros(1, 2), torch.tensor([[0.5, 0.5]]))
    tensor([0.6931])
    """
    return -(target * logits.log_softmax(1)).sum(1)


def entropy(logits: Tensor) -> Tensor:
    """Entropy of the probabilities: -sum_k p_k log p_k, (n,)."""
    return soft_cross_entropy(logits, logits.softmax(1))


def kl_divergence(target: Tensor, logits: Tensor) -> Tensor:
    """KL(p || q) of p by the logits `target` to q by the logits, (n,).

    Examples
    --------
    >>> kl_divergence(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 1.0]]))
    tensor([0.1201])
    """
    log_p = target.log_softmax(1)
    return (log_p.exp() * (log_p - logits.log_softmax(1))).sum(1)


def sharpen(p: Tensor, temperature: float) -> Tensor:
    """Sharpen probabilities: p_k^(1/T) / sum_l p_l^(1/T) (MixMatch, equation 7).

    Examples
    --------
    >>> sharpen(torch.tensor([[0.75, 0.25]]), 0.5)
    tensor([[0.9000, 0.1000]])
    """
    # In logarithms, since p^(1/T) of many classes and a small T underflows.
    return (p.log() / temperature).softmax(1)


def consistency(prediction: Tensor, target: Tensor) -> Tensor:
    """Squared difference, averaged over outputs and rows, 0-d."""
    return F.mse_loss(prediction, target)
