"""Noisy Student: learn with noise what a teacher says without it (Xie et al., CVPR 2020)."""

from __future__ import annotations

import copy
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semideep_ext._modules import evaluation_mode, unwrapped
from semideep_ext.ssl.augment import Augmentation, default_augmentations
from semideep_ext.ssl.method import Batch, Data, Losses, Method, numbers_of, pseudo_label_facts
from semideep_ext.ssl.outputs import soft_cross_entropy
from semideep_ext.weighting.checks import check_whole


class NoisyStudent(Method):
    r"""Cross entropy of noisy unlabelled rows to what a teacher said of them without noise.

    .. math:: L_u = \frac{1}{U} \sum_j m_j H(t(u_j), p(noise(u_j)))

    The training is divided into equal parts. In the first, unless a teacher is given, the model
    learns from labelled rows only. At the beginning of each round the model as it is becomes the
    teacher: its predictions t for all unlabelled rows, in evaluation mode and without noise, are
    stored. A new student begins with the parameters that the model had at the very start, drawn or
    pre-trained, and with an optimizer that remembers nothing.

    m_j balances the classes: rows whose largest probability is at most `threshold` have 0; of each
    class, as many rows count as there are on average: the surest of large classes once, and those
    of small ones several times. m is scaled to mean 1.

    Parameters
    ----------
    teacher : nn.Module, optional
        A trained model, which may be smaller than the student. By default the first part of the
        training makes one.
    rounds : int, default 3
    threshold : float, default 0.3
    labels : {"soft", "hard"}, default "soft"
        Probabilities, or the most probable class.
    balance : bool, default True
    augment : callable, optional
        Noise of the student, on labelled rows, too; by default the strong augmentation of
        `augment`. Dropout belongs to the model; label smoothing, .1 in the paper, to the loss:
        loss_fn=WeightedCrossEntropyLoss(label_smoothing=0.1).
    weight, mu, ema
        See `Method`.

    Notes
    -----
    Each part is a training of its own: with three rounds give four times the epochs that one needs.

    Needs `Data.pool` and `Batch.u_index`. Labelled and unlabelled rows share one pass, so that
    batch norm sees both.
    """

    name = "noisy-student"
    presets: ClassVar = {"imagenet": {}}
    part: Tensor  # number of the part of the training, 0-d
    targets: Tensor  # (U, K), what the teacher says
    multiplicity: Tensor  # (U,), m of the formula

    def __init__(
        self,
        teacher: nn.Module | None = None,
        rounds: int = 3,
        threshold: float = 0.3,
        labels: Literal["soft", "hard"] = "soft",
        balance: bool = True,
        augment: Augmentation | None = None,
        weight: float = 1.0,
        mu: int = 1,
        ema: float | None = None,
    ) -> None:
        super().__init__(weight, mu=mu, ema=ema)
        check_whole("rounds", rounds, 1)
        if labels not in ("soft", "hard"):
            raise ValueError(f"labels={labels!r}: choose 'soft' or 'hard'")
        if not 0 <= threshold < 1:
            raise ValueError(f"threshold={threshold!r}: give a probability in [0, 1)")
        # In a list, which hides it from state_dict: its predictions are what a checkpoint needs.
        self._teacher = [teacher]
        self.rounds, self.threshold, self.labels = rounds, threshold, labels
        self.balance, self.augment = balance, augment

    @property
    def teacher(self) -> nn.Module | None:
        """The teacher that was given."""
        return self._teacher[0]

    @property
    def parts(self) -> int:
        """How many parts the training has."""
        return self.rounds + (self.teacher is None)

    def start(self, model: nn.Module, data: Data) -> None:
        """Keep the parameters of the model, and ask the teacher, if there is one."""
        super().start(model, data)
        if data.pool is None:
            raise ValueError("NoisyStudent needs Data(pool=...), which gives all unlabelled rows")
        self._noise = self.augment or default_augmentations(data.example)[1]
        device = data.example.device
        self.first = copy.deepcopy(unwrapped(model)).requires_grad_(False)
        self.register_buffer("part", torch.zeros((), dtype=torch.int64))
        self.register_buffer(
            "targets", torch.zeros(data.unlabeled, data.classes or 1, device=device)
        )
        self.register_buffer("multiplicity", torch.zeros(data.unlabeled, device=device))
        if self.teacher is not None:
            self.ask(self.teacher.to(device))

    def forward(self, model: nn.Module, batch: Batch) -> Losses:
        """Give the losses of a batch."""
        self.started()
        index = numbers_of(batch.u_index, "u_index", type(self).__name__)
        with torch.no_grad():
            x, u = self._noise(batch.x), self._noise(batch.u)
        labeled, unlabeled = batch.joint(model, x, u)
        target, m = self.targets[index], self.multiplicity[index]
        loss = (m * soft_cross_entropy(batch.logits(unlabeled), target)).mean()
        facts = pseudo_label_facts((m > 0).to(m.dtype), target.argmax(1), batch.truth)
        return self.losses(batch, batch.supervised(labeled, batch.y, batch.w), loss, facts)

    def after_step(
        self, model: nn.Module, optimizer: Any = None, progress: float | None = None
    ) -> None:
        """Begin the next round, if it is time."""
        if progress is None:
            raise ValueError(
                "NoisyStudent begins its rounds by the share of training that is done: call "
                "after_step(model, optimizer, progress=(step + 1) / steps)"
            )
        part = min(int(progress * self.parts), self.parts - 1)
        if part > int(self.part):
            self.part.fill_(part)
            self.ask(model)
            unwrapped(model).load_state_dict(self.first.state_dict())
            if optimizer is not None:
                optimizer.state.clear()
        super().after_step(model, optimizer, progress)

    def ask(self, teacher: nn.Module) -> None:
        """Store what the teacher says of all unlabelled rows, and how often each counts."""
        data = self.started()
        assert data.pool is not None
        with evaluation_mode(teacher):
            p = torch.cat([data.predict(teacher, rows) for rows in data.pool()])
        m = multiplicities(p, self.threshold, self.balance)
        if self.labels == "hard":
            p = F.one_hot(p.argmax(1), p.shape[1])
        self.targets.copy_(p)
        self.multiplicity.copy_(m)


def multiplicities(p: Tensor, threshold: float, balance: bool) -> Tensor:
    """Tell how often each row counts, (U,), with mean 1; 0 for all where none is sure enough.

    Examples
    --------
    >>> p = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.4, 0.6], [0.5, 0.5]])
    >>> multiplicities(p, 0.5, balance=True)
    tensor([1.2500, 1.2500, 0.0000, 2.5000, 0.0000])
    """
    confidence, label = p.max(1)
    m = (confidence > threshold).to(p.dtype)
    if balance and m.any():
        counts = torch.zeros_like(p[0]).index_add(0, label, m)
        size = max(1, int(m.sum() / (counts > 0).sum()))
        # Ranks of the rows within their class, the surest first; those that do not count come last.
        order = (confidence * m).argsort(descending=True, stable=True)
        rank = torch.empty_like(label)
        for k in range(p.shape[1]):
            own = order[label[order] == k]
            rank[own] = torch.arange(len(own), device=p.device)
        m = m * torch.where(rank < size, (size / counts.clamp(min=1)).clamp(min=1)[label], 0.0)
    return m * (len(m) / m.sum().clamp(min=1))
