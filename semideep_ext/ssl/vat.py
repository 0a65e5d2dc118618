"""Virtual adversarial training: stable where it is least stable (Miyato et al., 2018)."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from semideep_ext.ssl.batch_norm import statistics_kept
from semideep_ext.ssl.method import Batch, Losses, Method
from semideep_ext.ssl.outputs import entropy, kl_divergence
from semideep_ext.ssl.ramps import Ramp
from semideep_ext.weighting.checks import check_number, check_whole

# Share of the rows' root mean square distance from their mean that is moved by default. The papers'
# eps, by this measure: two moons .3, MNIST .2, CIFAR-10 .15, SVHN .05.
RADIUS = 0.2


class VAT(Method):
    r"""Divergence between a row and the row moved by eps where the prediction changes most.

    .. math:: L_u = \frac{1}{R} \sum_r KL(p(r) \,\|\, p(r + \epsilon d)), \quad
        d = g / \|g\|, \quad g = \nabla_d KL(p(r) \,\|\, p(r + d))

    over labelled and unlabelled rows r. The target p(r) and the direction carry no gradient.

    Parameters
    ----------
    eps : float, optional
        Distance that rows are moved, over all that a row holds. Default .2 times the root mean
        square distance of the batch's rows from their mean, so that it fits the data.
    weight : float, default 1.0
    entropy_weight : float, default 0.0
        Of the mean entropy, added to the divergence; 1 in the paper's best results ("VAT+EntMin").
    power_iterations : int, default 1
    xi : float, optional
        By default the direction is the exact product of the Hessian of the divergence and a random
        direction, by double backward. A number takes finite differences of this length, for models
        without second derivatives; 1e-2 of the features' scale is about right. The 1e-6 of the
        paper is rounding noise in float32 (a cosine of .28 to the true direction at 784 features).
    ramp, mu, ema
        See `Method`.

    Notes
    -----
    Running statistics of batch norm follow the plain pass over labelled and unlabelled rows only;
    perturbed rows are normalised by their own statistics, which are not kept. With dropout the
    direction is that of the very pass whose prediction is the target.

    Examples
    --------
    >>> VAT.preset("cifar10").eps
    8.0
    """

    name = "vat"
    presets: ClassVar = {"cifar10": {"eps": 8.0}, "svhn": {"eps": 2.5}}

    def __init__(
        self,
        eps: float | None = None,
        weight: float = 1.0,
        entropy_weight: float = 0.0,
        power_iterations: int = 1,
        xi: float | None = None,
        ramp: Ramp | None = None,
        mu: int = 1,
        ema: float | None = None,
    ) -> None:
        super().__init__(weight, ramp, mu, ema)
        for name, value in (("eps", eps), ("xi", xi)):
            if value is not None:
                check_number(name, value)
        check_number("entropy_weight", entropy_weight, zero=True)
        check_whole("power_iterations", power_iterations, 1)
        self.eps, self.entropy_weight = eps, entropy_weight
        self.power_iterations, self.xi = power_iterations, xi

    def forward(self, model: nn.Module, batch: Batch) -> Losses:
        """Give the losses of a batch."""
        rows = torch.cat([batch.x, batch.u])
        # A displacement of 0, by which the prediction can be differentiated twice.
        r = torch.zeros_like(rows).requires_grad_(self.xi is None)
        outputs = batch.outputs(model, rows + r)
        logits = batch.logits(outputs)
        target = logits.detach()

        def divergence(displacement: Tensor) -> Tensor:
            perturbed = batch.outputs(model, rows + displacement)
            return kl_divergence(target, batch.logits(perturbed))

        if self.xi is None:
            product = curvature(logits, r)
        else:
            product = finite_difference(divergence, self.xi)
        with statistics_kept(model):
            direction = adversarial_direction(product, rows, self.power_iterations)
            loss = divergence(self._eps(rows) * direction).mean()
        loss = loss + self.entropy_weight * entropy(logits).mean()
        labeled = batch.supervised(outputs[: len(batch.x)], batch.y, batch.w)
        return self.losses(batch, labeled, loss)

    def _eps(self, rows: Tensor) -> float | Tensor:
        if self.eps is not None:
            return self.eps
        return RADIUS * (rows - rows.mean(0)).flatten(1).square().sum(1).mean().sqrt()


def adversarial_direction(
    product: Callable[[Tensor], Tensor], like: Tensor, iterations: int = 1
) -> Tensor:
    """Find the direction in which each row's prediction changes most, by power iteration.

    Parameters
    ----------
    product : callable
        Multiplies directions (n, ...) by the Hessian of the divergence; `curvature` or
        `finite_difference`.
    like : Tensor, shape (n, ...)
        The rows.
    iterations : int, default 1
        Steps from a random direction.

    Returns
    -------
    Tensor, shape (n, ...)
        Of norm 1 over all that a row holds, without gradient; 0 where nothing changes.

    Examples
    --------
    >>> r = torch.zeros(1, 2, requires_grad=True)
    >>> logits = r @ torch.tensor([[3.0, -3.0], [0.0, 0.0]])
    >>> adversarial_direction(curvature(logits, r), r).abs()
    tensor([[1., 0.]])
    """
    direction = unit_rows(torch.randn_like(like))
    for _ in range(iterations):
        direction = unit_rows(product(direction)).detach()
    return direction


def curvature(logits: Tensor, r: Tensor) -> Callable[[Tensor], Tensor]:
    """Give the exact product with the Hessian of KL(p || p(r)) at the displacement r = 0.

    There the divergence and its gradient vanish; but the gradient has a derivative.
    """
    divergence = kl_divergence(logits.detach(), logits).sum()
    (gradient,) = torch.autograd.grad(divergence, r, create_graph=True)
    return lambda v: torch.autograd.grad(gradient, r, v, retain_graph=True)[0]


def finite_difference(
    divergence: Callable[[Tensor], Tensor], xi: float
) -> Callable[[Tensor], Tensor]:
    """Give the gradient of the divergence at a displacement of xi, about xi times that product."""

    def product(v: Tensor) -> Tensor:
        r = (xi * v).requires_grad_()
        return torch.autograd.grad(divergence(r).sum(), r)[0]

    return product


def unit_rows(x: Tensor) -> Tensor:
    """Divide each row by its norm over all that it holds; rows of zeros stay so.

    Examples
    --------
    >>> unit_rows(torch.tensor([[3e-30, 4e-30], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    flat = x.flatten(1)
    # Squares of small gradients underflow: first to a largest value of 1.
    largest = flat.abs().amax(1, keepdim=True)
    flat = flat / torch.where(largest > 0, largest, 1.0)
    return nn.functional.normalize(flat, dim=1).reshape(x.shape)
