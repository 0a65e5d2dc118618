"""What FixMatch, UDA and DeFixMatch share: labels from a weak view train on a strong one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from semideep_ext.ssl.alignment import DistributionAlignment
from semideep_ext.ssl.augment import Augmentation, default_augmentations
from semideep_ext.ssl.method import Batch, Data, Losses, Method, pseudo_label_facts
from semideep_ext.ssl.ramps import Ramp
from semideep_ext.ssl.thresholds import Threshold, as_threshold


class WeakStrong(Method):
    """Base class: augmentations, threshold and alignment; `divergence` is the method's own."""

    def __init__(
        self,
        weight: float,
        threshold: float | Threshold,
        alignment: DistributionAlignment | None,
        weak: Augmentation | None,
        strong: Augmentation | None,
        ramp: Ramp | None,
        mu: int,
        ema: float | None,
    ) -> None:
        super().__init__(weight, ramp, mu, ema)
        self.threshold, self.alignment = as_threshold(threshold), alignment
        self.weak, self.strong = weak, strong

    def start(self, model: nn.Module, data: Data) -> None:
        """Choose the augmentations, where none were given, and begin to count."""
        super().start(model, data)
        device, classes = data.example.device, data.classes or 0
        self.threshold.start(classes, data.unlabeled, device)
        if self.alignment is not None:
            self.alignment.start(classes, device)
        weak, strong = self.weak, self.strong
        if weak is None or strong is None:
            chosen = default_augmentations(data.example)
            weak, strong = weak or chosen[0], strong or chosen[1]
        self._augmentations = weak, strong

    def forward(self, model: nn.Module, batch: Batch) -> Losses:
        """Give the losses of a batch."""
        self.started()
        with torch.no_grad():
            rows = self.views(batch)
        outputs = dict(zip(rows, batch.joint(model, *rows.values()), strict=True))
        p_x, p_u = (batch.logits(outputs[part].detach()).softmax(1) for part in ("x", "u"))
        if self.alignment is not None:
            p_u = self.alignment(p_u, p_x)
        logits = batch.logits(outputs["strong u"])
        mask = self.threshold(p_u, batch.u_index)
        loss = (mask * self.divergence(p_u, logits)).mean()
        penalty = self.threshold.penalty(mask, logits)
        if penalty is not None:
            loss = loss + penalty
        labeled, correction = self.on_labeled(batch, outputs)
        if correction is not None:
            loss = loss - correction
        facts = pseudo_label_facts(mask, p_u.argmax(1), batch.truth)
        return self.losses(batch, labeled, loss, facts)

    def views(self, batch: Batch) -> dict[str, Tensor]:
        """Give the rows that go through the model, by what they are."""
        weak, strong = self._augmentations
        return {"x": weak(batch.x), "u": weak(batch.u), "strong u": strong(batch.u)}

    def on_labeled(self, batch: Batch, outputs: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        """Give the labelled loss, and what is taken off the unlabelled one."""
        return batch.supervised(outputs["x"], batch.y, batch.w), None

    def divergence(self, p: Tensor, logits: Tensor) -> Tensor:
        """Give each row's loss by its weak view's probabilities and its strong view's logits."""
        raise NotImplementedError
