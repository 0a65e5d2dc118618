"""Train a model with one weight per training row.

`WeightedTrainer` is the method of arXiv 2505.14345 from end to end: weights from distances to the
unlabelled test rows, the weighted loss, a mini-batch loop, and scores per epoch. The loop is plain;
devices, precision and processes are Accelerate's, and what happens around it is in `callbacks`.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from torch import nn

from semideep_ext.op.functional import DEFAULT_EPS
from semideep_ext.training import loop, processes, resume
from semideep_ext.training import row_weights as weighting
from semideep_ext.training.callbacks import ProgressBar, in_order
from semideep_ext.training.checkpoints import read_checkpoint, write_checkpoint
from semideep_ext.training.predictor import Predictor, evaluation_mode
from semideep_ext.training.rows import DatasetRows, open_rows
from semideep_ext.training.tasks import make_task
from semideep_ext.weighting.checks import check_number, check_whole
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
        Dataset.
    X_test : like X_train, M rows, optional
        Unlabelled rows; required for weights "distance" and "idw".
    weights : {"distance", "idw"}, array-like of shape (N,), callable or None, default "distance"
        (1/M) sum_j exp(-lambda d), (1/M) sum_j 1/(d + idw_eps), given weights, a function of the
        arrays (X_train, X_test) that returns N weights, or no weighting. Distances are those of
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
    normalize : bool, default False
        Divide the weights by their mean.
    idw_eps, idw_cap : float, default 1e-3; float, optional
        A duplicate of a test row adds 1/(M idw_eps) to its weight. Weights above idw_cap become
        idw_cap, before they are normalised.
    recompute_every : int, optional
        Weigh by distances of the model's own features anew before every epoch whose number is a
        positive multiple of this; until then by those of the raw rows.
    features : str or callable, optional
        For recompute_every: a submodule whose output is the features, or a function of a batch.
        Default: the input of the model's last `nn.Linear`.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,); names or numbers of labels (multilabel); None
    sample_weights : ndarray of shape (N,), or None
        Weights by distance, or given ones; without class_weight.
    history : dict of lists
        Per epoch: train_loss, and with validation rows val_loss, accuracy, precision, recall, f1
        and auc; for regression val_loss, mse, mae and r2.
    epoch : int
        Number of epochs trained.
    should_stop : bool
        Set by a callback to end training after the epoch.

    Raises
    ------
    ImportError
        If the extra `train` is not installed.
    ValueError
        For an unknown weights string, a missing X_test, widths or lengths that differ, weights
        that are not N finite values >= 0, or rows that hold NaN or infinity (row and column named).

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
        normalize: bool = False,
        idw_eps: float = DEFAULT_EPS,
        idw_cap: float | None = None,
        recompute_every: int | None = None,
        features: Any = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise ValueError(
                f"model={model!r}: give a torch.nn.Module that is built, such as Net() rather than "
                "Net or a function"
            )
        check_whole("batch_size", batch_size, 1)
        check_whole("epochs", epochs, 0)
        check_whole("gradient_accumulation_steps", gradient_accumulation_steps, 1)
        if seed is not None:
            check_whole("seed", seed, 0)
        if clip_grad_norm is not None:
            check_number("clip_grad_norm", clip_grad_norm)
        self.callbacks = in_order(callbacks)
        if verbose:
            self.callbacks.insert(0, ProgressBar())
        self.weighting = weighting.Weighting(
            weights,
            distance_metric,
            lambda_,
            normalize,
            idw_eps,
            idw_cap,
            recompute_every,
            features,
        )
        if recompute_every is not None:
            with weighting.feature_extractor(model, features):
                pass  # which refuses features that the model lacks now, not epochs later
        self.batch_size, self.epochs, self.verbose = batch_size, epochs, verbose
        self.clip_grad_norm = clip_grad_norm
        self._launch = device, mixed_precision, gradient_accumulation_steps
        self.accelerator = processes.make_accelerator(*self._launch)
        self.device, self.precision = self.accelerator.device, self.accelerator.mixed_precision
        self.seed_is_drawn = seed is None
        seed = processes.draw_seed() if seed is None else int(seed)
        self.seed: int = processes.from_main(self.accelerator, seed)

        floats = (p.dtype for p in model.parameters() if p.is_floating_point())
        self._dtype = next(floats, torch.float32)
        # A Dataset may draw random numbers whenever a row is read.
        with processes.random_state_kept(self.device):
            processes.seed_everything(self.seed)
            self._read(X_train, y_train, X_test, task, class_weight, loss_fn)

        self.model = model.to(self.device)
        loss = self._task.default_loss() if loss_fn is None else loss_fn
        loss = loss if isinstance(loss, WeightedLoss) else WeightedLoss(loss)
        self.loss_fn: WeightedLoss = loss.to(self.device)
        if self.loss_fn.reduction == "none":
            raise ValueError("loss_fn has reduction='none', which gives no single loss to minimise")
        self.optimizer = loop.make_optimizer(optimizer, model, learning_rate)
        self.scheduler = loop.make_scheduler(scheduler, scheduler_interval, self.optimizer)
        self.scheduler_interval = scheduler_interval
        keys = ("train_loss", "val_loss", *self._task.score_names)
        self.history: dict[str, list[float]] = {key: [] for key in keys}
        self.should_stop, self._begun, self._resumed = False, 0, False

    def _read(
        self, X_train: Any, y_train: Any, X_test: Any, task: Any, class_weight: Any, loss_fn: Any
    ) -> None:
        """Read rows and labels, and weigh the rows."""
        self.rows = open_rows(X_train, "X_train", self.device, self._dtype)
        if isinstance(self.rows, DatasetRows):
            if y_train is not None:
                raise ValueError("X_train is a Dataset, which holds the labels: leave out y_train")
            y_train = self.rows.labels()
        n = len(self.rows)
        self._task = make_task(task, y_train, n, getattr(loss_fn, "base_loss", loss_fn))
        self.classes_ = self._task.classes_
        self.targets = self._targets(y_train, n, "y_train")
        self.class_factors = None
        if class_weight is not None:
            self.class_factors = weighting.class_factors(
                class_weight, self.classes_, self.targets.cpu().numpy()
            )
        test = None if X_test is None else self._open(X_test, "X_test")
        self.set_weights(self.weighting.from_rows(self.rows, test, self.device))
        self._test = None if self.weighting.recompute_every is None else test

    @property
    def epoch(self) -> int:
        """Number of epochs trained."""
        return len(self.history["train_loss"])

    @property
    def epoch_range(self) -> tuple[int, int]:
        """Number of epochs trained when the present call of `train` began, and when it ends."""
        return self._begun, self._begun + self.epochs

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
            processes.random_state_kept(self.device),
            processes.prepared(self.accelerator, self.model, self.optimizer) as (model, optimizer),
        ):
            self.notify("on_train_begin", X=X_val, y=y_val, resumed=self._resumed)
            self._resumed = False
            try:
                while self.epoch < self.epoch_range[1] and not self.should_stop:
                    self._run_epoch(model, optimizer, validation)
            finally:
                self.notify("on_train_end", X=X_val, y=y_val)
        return self.history

    def _run_epoch(self, model: nn.Module, optimizer: Any, validation: Any) -> None:
        accelerator = self.accelerator
        order = processes.seed_everything(self.seed, self.epoch, 0)
        plan = self.rows.plan(self.batch_size, accelerator.gradient_accumulation_steps, order)
        processes.seed_everything(self.seed, self.epoch, 1 + accelerator.process_index)
        every = self.weighting.recompute_every
        if every is not None and self.epoch and self.epoch % every == 0:
            self._recompute_weights()
        self.notify("on_epoch_begin")
        scores = {"train_loss": loop.train_epoch(self, model, optimizer, plan)}
        if validation is not None:
            # In the main process: batch norm's statistics differ between processes.
            own = self._score(*validation)[0] if self.is_main_process else None
            scores.update(processes.from_main(accelerator, own))
        for key, value in scores.items():
            self.history[key].append(value)
        if self.scheduler is not None and self.scheduler_interval == "epoch":
            loop.end_epoch(self.scheduler, scores.get("val_loss", scores["train_loss"]))
        self.notify("on_epoch_end", last=self.epoch == self.epoch_range[1])
        self.should_stop = processes.from_main(accelerator, self.should_stop)

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
            write_checkpoint(path, resume.state_of(self))

    def load_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Load what `save_checkpoint` wrote; `train` then trains the epochs that are missing.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is damaged, or of another model, other labels or other settings.
        """
        state = read_checkpoint(path)
        resume.restore(self, state, os.fspath(path))
        self._begun, self._resumed = state["begun"], True

    def set_weights(self, w: np.ndarray | None) -> None:
        """Weigh the training rows by w, (N,), and the class weights; None weighs by the latter."""
        self.sample_weights = w
        self.row_weights = weighting.as_row_weights(
            w, self.class_factors, self._loss_dtype, self.device
        )

    def _recompute_weights(self) -> None:
        w = None
        if self.is_main_process and self._test is not None:
            with (
                evaluation_mode(self.model),
                weighting.feature_extractor(self.model, self.weighting.features) as extract,
            ):
                w = self.weighting.from_features(
                    extract, self._batches(self.rows), self._batches(self._test)
                )
        self.set_weights(processes.from_main(self.accelerator, w))
