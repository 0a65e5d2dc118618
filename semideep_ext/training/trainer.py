"""Train a model with one weight per training row.

`WeightedTrainer` is the method of arXiv 2505.14345 from end to end: weights from distances to the
unlabelled test rows, the weighted loss, a mini-batch loop, and scores per epoch. The loop is plain;
devices, precision and processes are Accelerate's, and what happens around it is in `callbacks`.
"""

from __future__ import annotations

import itertools
import math
import os
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from semideep_ext._modules import evaluation_mode, unwrapped
from semideep_ext.op.functional import DEFAULT_EPS
from semideep_ext.ssl.method import Method
from semideep_ext.training import processes
from semideep_ext.training.callbacks import ProgressBar, in_order
from semideep_ext.training.checkpoints import read_checkpoint, write_checkpoint
from semideep_ext.training.features import feature_extractor
from semideep_ext.training.joined_rows import JoinedRows
from semideep_ext.training.loop import Loop, TrainingData
from semideep_ext.training.optimizers import end_epoch, make_optimizer, make_scheduler
from semideep_ext.training.options import TrainerOptions
from semideep_ext.training.predictor import Predictor
from semideep_ext.training.resume import Resumable, digest, shapes
from semideep_ext.training.row_weights import RowWeighting, class_factors
from semideep_ext.training.rows import DatasetRows, Plan, Rows
from semideep_ext.training.semi_supervised import supervise_half
from semideep_ext.training.tasks import task_kind
from semideep_ext.weighting.checks import as_array
from semideep_ext.weighting.losses import WeightedLoss

__all__ = ["WeightedTrainer"]


class WeightedTrainer(Predictor):
    """Train a model with weighted rows, and score it. Needs the extra `train`.

    Parameters
    ----------
    model : nn.Module
        Gives (N, K) logits with K >= the number of classes, or (N,) or (N, 1) for two classes; one
        output per label (multilabel) or per number (regression).
    X_train : array, DataFrame, Tensor, shape (N, ...), or torch Dataset or DataLoader
        Memory maps are read as they are needed. A Dataset gives pairs (x, y); all its rows are read
        once for their labels. Of a DataLoader, batches, order, collation and workers are used.
    y_train : array-like, shape (N,), or (N, L) for several labels or numbers per row
        Labels of any type that sorts; `classes_` holds the distinct ones in order. Left out for a
        Dataset. Rows whose label is -1 or missing are unlabelled, see `unlabeled`.
    X_test : like X_train, M rows, optional
        Unlabelled rows to resemble, beside those of X_train; weights "distance" and "idw" need one
        or the other.
    weights : {"distance", "idw", "none"}, array-like (N,), callable or None, default "distance"
        (1/M) sum_j exp(-lambda d), (1/M) sum_j 1/(d + idw_eps), no weighting, given weights, or a
        function of the arrays (X_train, X_test) that returns N weights. Distances are those of
        rows flattened to (N, D), in the raw space unless `recompute_every` is given. They are
        computed on the device of training where that is the CPU or CUDA, else on the CPU.
    distance_metric : str or callable, default "euclidean"
        A callable gets tensors on the device on which weights are computed.
    lambda_ : float or "median", default 0.8
        "median": 1 over the median distance, see `semideep_ext.weighting.scales.median_lambda`.
    loss_fn : nn.Module or callable, optional
        A `WeightedLoss`, or any loss that `WeightedLoss` can wrap. Default: cross entropy, for one
        logit and for several labels binary cross entropy with logits, for regression squared error.
    optimizer : torch.optim.Optimizer, or callable of the parameters that returns one, optional
        Default `torch.optim.Adam`. An optimizer class is called with learning_rate.
    learning_rate : float, default 0.001
        For the default optimizer or a class.
    batch_size : int, default 32
        Largest batch, over all processes. Batches are of equal size to within one row.
    epochs : int, default 100
    device : str or torch.device, optional
        Default "cuda" if available, else "cpu". Several processes have a device each.
    verbose : bool, default True
        Show one progress bar over the epochs.
    task : {"classification", "multilabel", "regression"}, optional
        Default: regression for a regression loss; for y_train of several columns multilabel if they
        hold only 0 and 1, else regression; otherwise classification.
    class_weight : "balanced" or dict of label to factor, optional
        Multiplies the weight of each row by its class's factor; "balanced" is N / (n_classes n_k),
        and labels that the dict lacks have factor 1.
    scheduler : LRScheduler, or callable of the optimizer that returns one, optional
        `ReduceLROnPlateau` gets val_loss, without validation rows train_loss.
    scheduler_interval : {"epoch", "step"}, default "epoch"
        Step the scheduler after each epoch, or after each step of the optimizer.
    clip_grad_norm : float, optional
        Largest norm of all gradients together.
    gradient_accumulation_steps : int, default 1
        Batches per optimizer step; equals batches that are so much larger, batch norm excepted.
    mixed_precision : {"no", "bf16", "fp16"}, optional
        Default: what `accelerate launch` was told, else "no".
    seed : int, optional
        Decides the order of the rows and all that is random in training, whatever ran before.
        Default: drawn from torch's global generator. `train` leaves global random states untouched.
    callbacks : one object, or a sequence of objects, with hooks of `callbacks.Callback`
        Called in this order, checkpoints last.
    normalize : bool, default True
        Divide the weights by their mean, so that the size of a step does not depend on lambda.
        False trains with the weights of the formula, at most 1, as `semideep` does: steps are so
        much smaller (a mean weight of .001 is a learning rate of a thousandth for SGD).
    idw_eps, idw_cap : float, default 1e-3; float, optional
        A duplicate of a test row adds 1/(M idw_eps) to its weight. Weights above idw_cap become
        idw_cap, before they are normalised.
    recompute_every : int, optional
        Weigh by distances of the model's own features anew before every epoch whose number is a
        positive multiple of this; until then by those of the raw rows.
    features : str or callable, optional
        For recompute_every: a submodule whose output is the features, or a function of a batch.
        Default: the input of the model's last `nn.Linear`.
    unlabeled : label or None, default -1
        The value of y_train that marks unlabelled rows; None if all rows are labelled. They join
        the rows to resemble, and X_unlabeled. NaN marks them where numbers are predicted.
    X_unlabeled : like X_train, optional
        Unlabelled rows for `method`, beside those marked in y_train. They join the rows to
        resemble, too. Of a Dataset of pairs and of a DataLoader only the rows are read, in an order
        of our own.
    y_unlabeled : array-like, optional
        Their true labels, if they are known, by which the accuracy of pseudo-labels is reported.
        Nothing is trained on them. A missing one or -1 is unknown.
    method : str or `ssl.Method`, optional
        A semi-supervised method: an object such as FixMatch(mu=3), or the name of one of
        `ssl.METHODS`, for its paper's defaults (averages of parameters cover a tenth of a short
        training). It adds the loss of unlabelled rows to the weighted loss of the labelled ones. An
        epoch has as many batches as the longer side needs; the shorter begins again.
    unlabeled_filter : str, callable, or sequence of them, default ()
        Which unlabelled rows take part in an epoch: "confidence", "domain", or see `ssl.filters`.
    supervised_twin : bool, default True
        With a method, train a copy of the model without it, too, on the same labelled batches; its
        scores stand in the history as "supervised_...". It costs what supervised training costs.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,); names or numbers of labels (multilabel); None
    labeled_ : ndarray of bool, shape (N,)
        The rows of X_train that are trained on.
    sample_weights : ndarray of shape (number of labelled rows,), or None
        Weights by distance, or given ones; without class_weight.
    history : dict of lists
        Per epoch: train_loss, and with validation rows val_loss, accuracy, precision, recall, f1
        and auc; for regression val_loss, mse, mae and r2. With a method unlabeled_loss, before its
        weight, what the method reports, such as pseudo_label_share and pseudo_label_accuracy, the
        rows kept_by_... each filter, and all scores of the twin.
    epoch : int
        Number of epochs trained.
    should_stop : bool
        Set by a callback to end training after the epoch.
    method : Method or None
        A copy of what was given, or what was made by name.
    supervised_twin : Predictor or None
        The copy that was trained without the method: evaluate, predict and predict_proba.

    Raises
    ------
    ImportError
        If the extra `train` is not installed.
    ValueError
        For an unknown weights string, a missing X_test, widths or lengths that differ, weights
        that are not N finite values >= 0, or rows that hold NaN or infinity (row and column named).
        From `train`, at the first loss that is not finite.

    Notes
    -----
    Several processes (`accelerate launch`, `torchrun`) share each batch and end with the result of
    one process, to rounding; dropout and batch norm see each process's rows only.

    Examples
    --------
    >>> _ = torch.manual_seed(0)
    >>> X = np.array([[-1.0], [-2.0], [1.0], [2.0]])
    >>> model = nn.Linear(1, 2)
    >>> trainer = WeightedTrainer(model, X, list("aabb"), X, learning_rate=0.1, verbose=False)
    >>> history = trainer.train()
    >>> trainer.predict(X)
    array(['a', 'a', 'b', 'b'], dtype='<U1')
    """

    def __init__(
        self,
        model: nn.Module,
        X_train: Any,
        y_train: Any = None,
        X_test: Any = None,
        weights: Any = "distance",
        distance_metric: Any = "euclidean",
        lambda_: float | str = 0.8,
        loss_fn: Any = None,
        optimizer: Any = None,
        learning_rate: float = 0.001,
        batch_size: int = 32,
        epochs: int = 100,
        device: str | torch.device | None = None,
        verbose: bool = True,
        *,
        task: str | None = None,
        class_weight: Any = None,
        scheduler: Any = None,
        scheduler_interval: str = "epoch",
        clip_grad_norm: float | None = None,
        gradient_accumulation_steps: int = 1,
        mixed_precision: str | None = None,
        seed: int | None = None,
        callbacks: Any = (),
        normalize: bool = True,
        idw_eps: float = DEFAULT_EPS,
        idw_cap: float | None = None,
        recompute_every: int | None = None,
        features: Any = None,
        unlabeled: Any = -1,
        X_unlabeled: Any = None,
        y_unlabeled: Any = None,
        method: Any = None,
        unlabeled_filter: Any = (),
        supervised_twin: bool = True,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise ValueError(
                f"model={model!r}: give a torch.nn.Module that is built, such as Net() rather than "
                "Net or a function"
            )
        self.callbacks = in_order(callbacks)
        if verbose:
            self.callbacks.insert(0, ProgressBar())
        weighting = RowWeighting(
            weights,
            distance_metric,
            lambda_,
            normalize,
            idw_eps,
            idw_cap,
            recompute_every,
            features,
        )
        self.options = TrainerOptions(
            epochs=epochs,
            learning_rate=learning_rate,
            batch_size=batch_size,
            gradient_accumulation_steps=gradient_accumulation_steps,
            clip_grad_norm=clip_grad_norm,
            scheduler_interval=scheduler_interval,
            mixed_precision=mixed_precision,
            device=device,
            seed=seed,
            task=task,
            unlabeled=unlabeled,
            class_weight=class_weight,
            weighting=weighting,
        )
        if recompute_every is not None:
            with feature_extractor(model, features):
                pass  # which refuses features that the model lacks now, not epochs later
        self._launch = device, mixed_precision, gradient_accumulation_steps
        self.accelerator = processes.make_accelerator(*self._launch)
        self.seed: int = processes.from_main(
            self.accelerator, processes.draw_seed() if seed is None else int(seed)
        )
        self._prepare_predictions(model, self.accelerator, batch_size)
        # A Dataset may draw random numbers whenever a row is read.
        with processes.random_state_kept(self.device):
            processes.seed_everything(self.seed)
            joined = self._read(X_train, y_train, X_test, loss_fn, X_unlabeled)

        self.model = model.to(self.device)
        loss = self._task.default_loss() if loss_fn is None else loss_fn
        loss = loss if isinstance(loss, WeightedLoss) else WeightedLoss(loss)
        self.loss_fn: WeightedLoss = loss.to(self.device)
        if self.loss_fn.reduction == "none":
            raise ValueError("loss_fn has reduction='none', which gives no single loss to minimise")
        self.optimizer = make_optimizer(optimizer, model, learning_rate)
        self.scheduler = make_scheduler(scheduler, scheduler_interval, self.optimizer)
        keys = ("train_loss", "val_loss", *self._task.score_names)
        self.history: dict[str, list[float]] = {key: [] for key in keys}
        given = {"y_unlabeled": y_unlabeled, "unlabeled_filter": unlabeled_filter}
        with processes.random_state_kept(self.device):
            processes.seed_everything(self.seed)  # networks that methods bring along
            self._semi, self._twin = supervise_half(self, method, joined, given, supervised_twin)
        self.should_stop, self._begun, self._resumed = False, 0, False

    def _read(
        self, X_train: Any, y_train: Any, X_test: Any, loss_fn: Any, X_unlabeled: Any
    ) -> JoinedRows:
        """Read rows and labels, weigh the labelled rows, and give the others."""
        options = self.options
        rows = self.rows = self._open(X_train, "X_train")
        if isinstance(rows, DatasetRows):
            if y_train is not None:
                raise ValueError("X_train is a Dataset, which holds the labels: leave out y_train")
            y_train = rows.labels()
        labels = as_array(y_train, "y_train")
        kind = task_kind(options.task, labels, getattr(loss_fn, "base_loss", loss_fn))
        self._unseen = [] if X_test is None else [self._open(X_test, "X_test")]
        unlabelled: list[Rows] = []
        self.labeled_ = np.ones(len(rows), dtype=bool)
        if labels.ndim in (1, 2) and len(labels) == len(rows):  # else the task says what is wrong
            self.labeled_ = kind.labeled(labels, options.unlabeled)
        if not self.labeled_.all():
            if not self.labeled_.any():
                raise ValueError(
                    f"y_train marks all of its {len(rows)} rows as unlabelled: label some, or say "
                    "unlabeled=None if they are labels"
                )
            y_train = y_train if hasattr(y_train, "shape") else labels
            y_train = y_train[self.labeled_]
            unlabelled = [rows.select(np.flatnonzero(~self.labeled_))]
            rows = self.rows = rows.select(np.flatnonzero(self.labeled_))
        if X_unlabeled is not None:
            unlabelled.append(self._open(X_unlabeled, "X_unlabeled"))
        self._unseen += unlabelled
        self._task = kind(y_train, len(rows), "y_train")
        self.classes_ = self._task.classes_
        targets = self._targets(y_train, len(rows), "y_train")
        factors = None
        if options.class_weight is not None:
            factors = class_factors(options.class_weight, self.classes_, targets.cpu().numpy())
        self._data = TrainingData(rows, targets, factors)
        self._weigh(options.weighting.from_rows(rows, self._unseen, self.labeled_, self.device))
        return JoinedRows(unlabelled)

    @property
    def sample_weights(self) -> np.ndarray | None:
        """Weights by distance, or given ones, (number of labelled rows,); None without."""
        return self._data.sample_weights

    @property
    def method(self) -> Method | None:
        """The semi-supervised method."""
        return None if self._semi is None else self._semi.method

    @property
    def evaluated_model(self) -> nn.Module:
        """The model that predicts and is scored: a method may have an average or a teacher."""
        return self.model if self.method is None else self.method.evaluated(self.model)

    @property
    def supervised_twin(self) -> Predictor | None:
        """The copy of the model that is trained without the method."""
        return None if self._twin is None else self._with_model(self._twin.model)

    @property
    def targets(self) -> Tensor:
        """Numbers of the labelled rows' classes, (N,), or what is predicted, on the device."""
        return self._data.targets

    @property
    def epochs(self) -> int:
        """Number of epochs that a call of `train` trains."""
        return self.options.epochs

    @property
    def epoch(self) -> int:
        """Number of epochs trained."""
        return len(self.history["train_loss"])

    @property
    def epoch_range(self) -> tuple[int, int]:
        """Number of epochs trained when the present call of `train` began, and when it ends."""
        return self._begun, self._begun + self.options.epochs

    @property
    def is_main_process(self) -> bool:
        """Whether this process writes files and shows the bar."""
        return bool(self.accelerator.is_main_process)

    def train(self, X_val: Any = None, y_val: Any = None) -> dict[str, list[float]]:
        """Train for `epochs` epochs; a second call goes on from there.

        After `load_checkpoint`, only the epochs that the interrupted call lacks are trained. After
        an error or Ctrl-C, the epochs that were completed stand in `history`, and `on_train_end`
        is called, so that early stopping puts its best weights back.

        Parameters
        ----------
        X_val, y_val : array-like, shapes (V, D) and (V,), optional
            Scored after each epoch, with the model in evaluation mode. A Dataset or DataLoader of
            pairs as X_val holds both.

        Returns
        -------
        dict of lists
            `history`. train_loss is the mean over rows of the weighted loss, val_loss the mean
            over rows of the unweighted one.
        """
        validation = None
        if X_val is not None or y_val is not None:
            validation = self._labelled(X_val, y_val, "X_val", "y_val")
        if not self._resumed:
            self._begun, self.should_stop = self.epoch, False
        # Anew: another trainer may have changed the settings that Accelerate has once a process.
        scaler = self.accelerator.scaler
        self.accelerator = processes.make_accelerator(*self._launch)
        if scaler is not None:
            self.accelerator.scaler.load_state_dict(scaler.state_dict())
        with (
            ExitStack() as stack,
            processes.random_state_kept(self.device),
            processes.prepared(self.accelerator, self.model, self.optimizer) as (model, optimizer),
        ):
            self.notify("on_train_begin", X=X_val, y=y_val, resumed=self._resumed)
            self._resumed = False
            try:
                loop = self._loop(model, optimizer, self.scheduler, self._semi, self.notify)
                twin = None
                if self._twin is not None:
                    parts = self._twin.model, self._twin.optimizer
                    own = stack.enter_context(processes.prepared(self.accelerator, *parts))
                    twin = self._loop(*own, self._twin.scheduler, None, _say_nothing)
                while self.epoch < self.epoch_range[1] and not self.should_stop:
                    self._run_epoch(loop, twin, validation)
            finally:
                self.notify("on_train_end", X=X_val, y=y_val)
        return self.history

    def _loop(self, model: Any, optimizer: Any, scheduler: Any, semi: Any, notify: Any) -> Loop:
        return Loop(
            self.accelerator,
            model,
            optimizer,
            scheduler if self.options.scheduler_interval == "step" else None,
            self.options.clip_grad_norm,
            self.loss_fn,
            self.outputs,
            notify,
            semi,
        )

    def _run_epoch(self, loop: Loop, twin: Loop | None, validation: Any) -> None:
        order = processes.seed_everything(self.seed, self.epoch, 0)
        plan = self._plan(order)
        place = self.seed, self.epoch, 1 + self.accelerator.process_index
        processes.seed_everything(*place)
        every = self.options.weighting.recompute_every
        if every is not None and self.epoch and self.epoch % every == 0:
            self._recompute_weights()
        self.notify("on_epoch_begin")
        scores = {"train_loss": loop.train_epoch(self._data, plan, self.epoch + 1)}
        scores.update(self._validated(validation, self.evaluated_model))
        self._end_epoch(self.scheduler, scores)
        if self._semi is not None:
            scores.update(self._semi.report())
        if twin is not None and self._twin is not None:
            processes.seed_everything(*place)  # what is random is so in the same way
            own = {"train_loss": twin.train_epoch(self._data, plan, self.epoch + 1)}
            own.update(self._validated(validation, self._twin.model))
            self._end_epoch(self._twin.scheduler, own)
            scores.update({f"supervised_{key}": value for key, value in own.items()})
        before = [math.nan] * self.epoch  # of what was not reported then
        for key, value in scores.items():
            self.history.setdefault(key, before.copy()).append(value)
        self.notify("on_epoch_end", last=self.epoch == self.epoch_range[1])
        self.should_stop = processes.from_main(self.accelerator, self.should_stop)

    def _plan(self, order: torch.Generator) -> Plan:
        def draw() -> Plan:
            accumulation = self.accelerator.gradient_accumulation_steps
            return self.rows.plan(self.options.batch_size, accumulation, order)

        return draw() if self._semi is None else self._semi.begin_epoch(draw, order)

    def _validated(self, validation: Any, model: nn.Module) -> dict[str, float]:
        if validation is None:
            return {}
        # In the main process: batch norm's statistics differ between processes.
        rows, y = validation
        scores = self._score(rows, y, model)[0] if self.is_main_process else None
        return dict(processes.from_main(self.accelerator, scores))

    def _end_epoch(self, scheduler: Any, scores: dict[str, float]) -> None:
        if scheduler is not None and self.options.scheduler_interval == "epoch":
            end_epoch(scheduler, scores.get("val_loss", scores["train_loss"]))

    def notify(self, hook: str, **details: Any) -> None:
        """Call the hook of each callback that has it."""
        for callback in self.callbacks:
            if hasattr(callback, hook):
                getattr(callback, hook)(self, **details)

    def save_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Save all that is needed to go on: a safetensors file, whole or not at all.

        In the main process only. `callbacks.Checkpoint` does this after epochs.
        """
        if self.is_main_process:
            progress = {
                "begun": self._begun,
                "should_stop": self.should_stop,
                "history": self.history,
                "sample_weights": self.sample_weights,
            }
            write_checkpoint(path, {**self._resumable().state(), **progress})

    def load_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Load what `save_checkpoint` wrote; `train` then trains the epochs that are missing.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is damaged, or of another model, other rows, other labels or other settings.
        """
        state = read_checkpoint(path)
        resumable = self._resumable()
        if self.options.seed is None:  # a seed that was drawn is the checkpoint's
            resumable.settings["seed"] = state["settings"]["seed"]
        resumable.restore(state, os.fspath(path))
        self.seed = resumable.settings["seed"]
        self._weigh(state["sample_weights"])
        self.history, self.should_stop = state["history"], state["should_stop"]
        self._begun, self._resumed = state["begun"], True

    def _resumable(self) -> Resumable:
        """Gather what a checkpoint holds, and what must be the same to go on from it."""
        with_state = [c for c in self.callbacks if hasattr(c, "state_dict")]
        model = unwrapped(self.model)
        settings = {
            "model": shapes(model),
            "loss": self.loss_fn.base_loss,
            "loss tensors": shapes(self.loss_fn),
            "reduction": self.loss_fn.reduction,
            "optimizer": type(self.optimizer).__name__,
            "optimizer options": self.optimizer.defaults,
            "scheduler": type(self.scheduler).__name__,
            "callbacks": [type(c).__name__ for c in with_state],
            "X_train": self.rows.digest(),
            "X_test": [rows.digest() for rows in self._unseen],
            "y_train": digest(self._data.targets.cpu().numpy()),
            "class_weight": digest(self._data.class_factors),
            "gradient_accumulation_steps": self.accelerator.gradient_accumulation_steps,
            "mixed_precision": self.accelerator.mixed_precision,
            "seed": self.seed,
            "method": None if self._semi is None else self._semi.settings(),
            "supervised_twin": self._twin is not None,
            **self.options.settings,
        }
        parts = {
            "model": model,
            "loss": self.loss_fn,
            "optimizer": self.optimizer,
            "scheduler": self.scheduler,
            "scaler": self.accelerator.scaler,
            "unlabelled": self.method,
            "twin": self._twin,
        }
        return Resumable(settings, parts, with_state)

    def _weigh(self, w: np.ndarray | None) -> None:
        self._data.weigh(w, self._loss_dtype)

    def _recompute_weights(self) -> None:
        w, weighting = None, self.options.weighting
        if self.is_main_process:
            with (
                evaluation_mode(self.model),
                feature_extractor(self.model, weighting.features) as extract,
            ):
                unseen = itertools.chain.from_iterable(map(self._batches, self._unseen))
                w = weighting.from_features(extract, self._batches(self.rows), unseen)
        self._weigh(processes.from_main(self.accelerator, w))


def _say_nothing(hook: str, **details: Any) -> None:
    """Stand in for callbacks, which are about the model."""
