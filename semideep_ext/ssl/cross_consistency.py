"""Cross-consistency training: heads on perturbed features agree (Ouali, Hudelot & Tami, 2020)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from semideep_ext._modules import evaluation_mode, find_module, inputs_seen, unwrapped
from semideep_ext.ssl.method import Batch, Data, Losses, Method
from semideep_ext.ssl.outputs import class_logits, consistency
from semideep_ext.ssl.ramps import Ramp, Sigmoid
from semideep_ext.ssl.vat import RADIUS, adversarial_direction, curvature
from semideep_ext.weighting.checks import check_whole

Perturbation = Callable[[Tensor, nn.Module], Tensor]


class CrossConsistency(Method):
    r"""Squared difference between the main prediction and those of heads on perturbed features.

    .. math:: L_u = \frac{1}{H} \sum_h \frac{1}{U K} \sum_j
        \| p(u_j) - softmax(g_h(perturb_h(z(u_j)))) \|^2

    z are the features, the input of the model's head. The auxiliary heads g_h have the form of that
    head and parameters of their own, which are trained with the model's; the main prediction is
    detached. The labelled loss trains the main head and the encoder only, the unlabelled one the
    auxiliary heads and the encoder.

    Parameters
    ----------
    perturbations : sequence of str, default all of PERTURBATIONS
        "noise" z (1 + v), v ~ U(-.3, .3); "dropout" of half of the features; "feature-drop", which
        sets to 0 what exceeds a share U(.7, .9) of the row's largest feature; "vat", the direction
        in which the head changes most.
    copies : int, default 2
        Auxiliary heads per perturbation.
    head : str, optional
        Name of the submodule whose input is perturbed and whose output is the model's; by default
        the last `nn.Linear`.
    weight : float, default 30.0
    ramp : Ramp, default Sigmoid(0.1)
    mu, ema
        See `Method`.

    Notes
    -----
    Labelled and unlabelled rows share one pass through the encoder, so that batch norm sees both.
    The paper's perturbations by masks (cut-out, context, object) belong to segmentation.
    """

    name = "cross-consistency"
    presets: ClassVar = {"voc": {}}

    def __init__(
        self,
        perturbations: Sequence[str] = ("noise", "dropout", "feature-drop", "vat"),
        copies: int = 2,
        head: str | None = None,
        weight: float = 30.0,
        ramp: Ramp | None = None,
        mu: int = 1,
        ema: float | None = None,
    ) -> None:
        super().__init__(weight, ramp or Sigmoid(0.1), mu, ema)
        unknown = [name for name in perturbations if name not in PERTURBATIONS]
        if unknown or not perturbations:
            raise ValueError(
                f"perturbations={tuple(perturbations)!r}: choose from {', '.join(PERTURBATIONS)}"
            )
        check_whole("copies", copies, 1)
        self.perturbations, self.copies, self.head = tuple(perturbations), copies, head

    def start(self, model: nn.Module, data: Data) -> None:
        """Make the auxiliary heads."""
        super().start(model, data)
        head = find_module(unwrapped(model), self.head, "head")
        with evaluation_mode(model), inputs_seen(head) as seen:
            output = model(data.example)
            if not seen or not torch.equal(head(seen[0]).flatten(), output.flatten()):
                raise ValueError(
                    "the output of the model is not that of its head "
                    f"{self.head or '(the last nn.Linear)'}, so that no other head can stand in "
                    "for it; give head= the name of the submodule that ends the model"
                )
        kinds = [kind for kind in self.perturbations for _ in range(self.copies)]
        self.kinds = tuple(kinds)
        self.heads = nn.ModuleList(_new(head) for _ in kinds)

    def forward(self, model: nn.Module, batch: Batch) -> Losses:
        """Give the losses of a batch."""
        self.started()
        with inputs_seen(find_module(unwrapped(model), self.head, "head")) as seen:
            labeled, unlabeled = batch.joint(model, batch.x, batch.u)
        z = seen[-1][len(batch.x) :]
        target = batch.predict(unlabeled).detach()
        losses = [
            consistency(batch.predict(head(PERTURBATIONS[kind](z, head))), target)
            for kind, head in zip(self.kinds, self.heads, strict=True)
        ]
        loss = torch.stack(losses).mean()
        return self.losses(batch, batch.supervised(labeled, batch.y, batch.w), loss)


def _new(head: nn.Module) -> nn.Module:
    """Copy a head, and draw its parameters anew, where modules know how."""
    new = copy.deepcopy(head)
    for module in new.modules():
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            reset()
    return new


def _noise(z: Tensor, head: nn.Module) -> Tensor:
    return z * (1 + torch.empty_like(z).uniform_(-0.3, 0.3))


def _dropout(z: Tensor, head: nn.Module) -> Tensor:
    return nn.functional.dropout(z, 0.5)


def _feature_drop(z: Tensor, head: nn.Module) -> Tensor:
    flat = z.detach().flatten(1)
    most = flat.amax(1, keepdim=True) * torch.empty(len(z), 1, device=z.device).uniform_(0.7, 0.9)
    return z * (flat < most).reshape(z.shape).to(z.dtype)


def _vat(z: Tensor, head: nn.Module) -> Tensor:
    fixed = z.detach()
    r = torch.zeros_like(fixed, requires_grad=True)
    direction = adversarial_direction(curvature(class_logits(head(fixed + r)), r), fixed)
    radius = (fixed - fixed.mean(0)).flatten(1).square().sum(1).mean().sqrt()
    return z + RADIUS * radius * direction


PERTURBATIONS: dict[str, Perturbation] = {
    "noise": _noise,
    "dropout": _dropout,
    "feature-drop": _feature_drop,
    "vat": _vat,
}
