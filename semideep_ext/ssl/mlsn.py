"""MLSN: metric learning by a similarity network, on Mean Teacher (Wu, Feng & Zhou, 2020)."""

from __future__ import annotations

import warnings
from typing import ClassVar, Literal

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn import functional as F

from semideep_ext._modules import evaluation_mode, find_module, inputs_seen, unwrapped
from semideep_ext.ssl.augment import Augmentation
from semideep_ext.ssl.mean_teacher import MeanTeacher
from semideep_ext.ssl.method import Batch, Data, Losses
from semideep_ext.ssl.outputs import consistency, soft_cross_entropy
from semideep_ext.ssl.ramps import LAINE_AILA, Linear, Ramp
from semideep_ext.weighting.checks import check_number, check_whole


class MLSN(MeanTeacher):
    r"""Mean Teacher, a network that tells whether two rows are of one class, and its soft labels.

    .. math:: L_u = \lambda_1 L_{teacher} + \lambda_2 L_S + \lambda_3 L_{sc}

    each lambda with a ramp of its own (arXiv 2004.14227).

    - L_teacher: the loss of `MeanTeacher`.
    - L_S: focal loss -(1 - q)^2 log q of the similarity network S on `pairs` random pairs of the
      batch, q being the probability that it gives to the truth, 1[y_i = y_j]; of unlabelled rows y
      is the classifier's most probable class. Its gradient reaches the features, too.
    - L_sc: cross entropy of unlabelled rows to the softmax of S(h(u), c_k) over the classes k, c_k
      being the features of a random labelled row of class k in the batch; only where the largest of
      these probabilities is at least `gate`. The soft labels carry no gradient.

    Parameters
    ----------
    weight, ramp, decay, augment, mu
        Of Mean Teacher: lambda_1 and its ramp.
    similarity_weight, similarity_ramp : float and Ramp, defaults 1.0 and Sigmoid(80 / 300)
    cotraining_weight, cotraining_ramp : float and Ramp, defaults 1.0 and Linear(0.3, 0.6)
        Later than the others: S must have learned before its labels are used.
    pairs : int, default 512
    gate : float, default 0.9
    labels : {"classes", "pairs"}, default "classes"
        "pairs" for weak labels: only whether two labelled rows are of one class is used. In place
        of the labelled loss, -log of the probability that the classifier gives to that, by the
        inner product p_i . p_j over all pairs of labelled rows (Hsu et al., ICLR 2019). In L_S and
        L_sc the classes of labelled rows are those that the classifier finds. Which output stands
        for which class is open: a warning says so, and `match_outputs` finds it.
    head : str, optional
        Name of the submodule whose input is the features h; by default the last `nn.Linear`.

    Notes
    -----
    The paper leaves open the form of S, how a pair is encoded, the ramps, the gate, and how S(x_u,
    c_k) becomes a distribution. Here S is a network of one hidden layer of 128 units on
    (|h_i - h_j|, h_i h_j), so that it is symmetric, and the distribution a softmax of its logits.
    One class without a labelled row in the batch has probability 0. Batch norm as in `MeanTeacher`.
    """

    name = "mlsn"
    tasks: ClassVar[tuple[str, ...]] = ("classification",)
    presets: ClassVar = {}

    def __init__(
        self,
        weight: float | None = None,
        ramp: Ramp = LAINE_AILA,
        decay: float = 0.999,
        augment: Augmentation | None = None,
        mu: int = 1,
        similarity_weight: float = 1.0,
        similarity_ramp: Ramp = LAINE_AILA,
        cotraining_weight: float = 1.0,
        cotraining_ramp: Ramp | None = None,
        pairs: int = 512,
        gate: float = 0.9,
        labels: Literal["classes", "pairs"] = "classes",
        head: str | None = None,
    ) -> None:
        super().__init__(weight, ramp, decay, augment, mu)
        check_number("similarity_weight", similarity_weight, zero=True)
        check_number("cotraining_weight", cotraining_weight, zero=True)
        check_whole("pairs", pairs, 1)
        if labels not in ("classes", "pairs"):
            raise ValueError(f"labels={labels!r}: choose 'classes' or 'pairs'")
        self.similarity_weight, self.similarity_ramp = similarity_weight, similarity_ramp
        self.cotraining_weight = cotraining_weight
        self.cotraining_ramp = cotraining_ramp or Linear(0.3, 0.6)
        self.pairs, self.gate, self.labels, self.head = pairs, gate, labels, head
        self.own_labeled_loss = labels == "pairs"

    def start(self, model: nn.Module, data: Data) -> None:
        """Make the similarity network."""
        super().start(model, data)
        if self.labels == "pairs":
            warnings.warn(
                "labels='pairs' leaves open which output stands for which class, so that accuracy "
                "and other scores of classes say nothing: find it by mlsn.match_outputs first",
                stacklevel=2,
            )
        with evaluation_mode(model), inputs_seen(self._head(model)) as seen:
            model(data.example)
        h = seen[-1].flatten(1)
        self.similarity = SimilarityNetwork(h.shape[1]).to(h.device, _wide(h.dtype))

    def forward(self, model: nn.Module, batch: Batch) -> Losses:
        """Give the losses of a batch."""
        rows, n = torch.cat([batch.x, batch.u]), len(batch.x)
        with inputs_seen(self._head(model)) as seen:
            outputs = batch.outputs(model, self.noisy(rows))
        h, logits = seen[-1].flatten(1), batch.logits(outputs)
        h = h.to(_wide(h.dtype))  # under autocast they are halves
        target = batch.predict(self.taught(batch, self.noisy(rows)))
        teacher_loss = consistency(batch.predict(outputs), target)
        found = logits.detach().argmax(1)
        centres = found[:n] if self.labels == "pairs" else batch.y
        terms = (
            (self.weight_at(batch.progress), teacher_loss),
            (
                self.similarity_weight * self.similarity_ramp(batch.progress),
                self._pair_loss(h, torch.cat([centres, found[n:]]), batch.y),
            ),
            (
                self.cotraining_weight * self.cotraining_ramp(batch.progress),
                self._cotraining_loss(h[:n], centres, h[n:], logits[n:]),
            ),
        )
        if self.labels == "pairs":
            labeled = weak_label_loss(logits[:n], batch.y)
        else:
            labeled = batch.supervised(outputs[:n], batch.y, batch.w)
        # The three weights are in the sum already.
        return Losses(labeled, torch.stack([w * loss for w, loss in terms]).sum(), 1.0)

    def _head(self, model: nn.Module) -> nn.Module:
        return find_module(unwrapped(model), self.head, "head")

    def _pair_loss(self, h: Tensor, classes: Tensor, y: Tensor) -> Tensor:
        i, j = torch.randint(len(h), (2, self.pairs), device=h.device)
        same, last = classes[i] == classes[j], len(y) - 1
        known = (i <= last) & (j <= last)  # of two labelled rows
        same = torch.where(known, y[i.clamp(max=last)] == y[j.clamp(max=last)], same)
        return focal_loss(self.similarity(h[i], h[j]), same)

    def _cotraining_loss(self, h: Tensor, y: Tensor, h_u: Tensor, logits: Tensor) -> Tensor:
        with torch.no_grad():
            soft = self.soft_labels(h, y, h_u, logits.shape[1])
            sure = (soft.amax(1) >= self.gate).to(logits.dtype)
        return (sure * soft_cross_entropy(logits, soft)).mean()

    def soft_labels(self, h: Tensor, y: Tensor, h_u: Tensor, classes: int) -> Tensor:
        """Give each unlabelled row's probabilities by its similarity to class centres, (U, K).

        Parameters
        ----------
        h, y : Tensor, shapes (B, F) and (B,)
            Features and classes of labelled rows, one of which is drawn for each class.
        h_u : Tensor, shape (U, F)
        classes : int
            K.
        """
        own = y == torch.arange(classes, device=y.device)[:, None]  # (K, B)
        drawn = torch.where(own, torch.rand(len(y), device=y.device), -1.0).argmax(1)
        logits = self.similarity(h_u[:, None], h[drawn])
        return logits.masked_fill(~own.any(1), -torch.inf).softmax(1)


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


class SimilarityNetwork(nn.Module):
    """Logit of two rows being of one class, by their features; the same in either order."""

    def __init__(self, features: int, hidden: int = 128) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2 * features, hidden), nn.ReLU(), nn.Linear(hidden, 1)
        )

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Give logits, (...), of features (..., F) that broadcast."""
        pair = torch.cat([(a - b).abs(), a * b], -1)
        return self.layers(pair)[..., 0]


def focal_loss(logits: Tensor, same: Tensor, gamma: float = 2.0) -> Tensor:
    """Mean of -(1 - q)^gamma log q, q being the probability of the truth (Lin et al., 2017).

    Examples
    --------
    >>> focal_loss(torch.zeros(1), torch.tensor([True]))  # log(2) / 4
    tensor(0.1733)
    """
    log_q = F.logsigmoid(torch.where(same, logits, -logits))
    return (-((1 - log_q.exp()) ** gamma) * log_q).mean()


def weak_label_loss(logits: Tensor, groups: Tensor) -> Tensor:
    """Cross entropy of p_i . p_j to 1[rows i and j are of one class], over all pairs i < j, 0-d.

    Examples
    --------
    >>> weak_label_loss(torch.zeros(2, 2), torch.arange(2))  # p . p is 1/2
    tensor(0.6931)
    """
    p = logits.softmax(1)
    i, j = torch.triu_indices(len(p), len(p), 1, device=p.device)
    agreement = (p[i] * p[j]).sum(1).clamp(1e-7, 1 - 1e-7)  # log(0) is no loss to learn from
    same = (groups[i] == groups[j]).to(p.dtype)
    return F.binary_cross_entropy(agreement, same) if len(i) else p.sum() * 0


def match_outputs(outputs: np.ndarray, y: np.ndarray, classes: int) -> np.ndarray:
    """Find the class that each output stands for, so that most rows agree (Hungarian method).

    Parameters
    ----------
    outputs, y : ndarray of int, shape (n,)
        What was predicted for labelled rows, and their classes; numbers from 0.
    classes : int
        K.

    Returns
    -------
    ndarray of int, shape (K,)
        Each class once.

    Examples
    --------
    >>> match_outputs(np.array([0, 0, 1, 2]), np.array([2, 2, 0, 1]), 3)
    array([2, 0, 1])
    """
    agreement = np.zeros((classes, classes))
    np.add.at(agreement, (outputs, y), 1)
    matched: np.ndarray = linear_sum_assignment(agreement, maximize=True)[1]
    return matched
