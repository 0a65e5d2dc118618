"""What happens around training: progress bar, early stopping, checkpoints, TensorBoard.

A callback has any of the hooks of skorch, and is called as `hook(trainer, **details)`:
on_train_begin, on_epoch_begin, on_batch_begin, on_grad_computed, on_batch_end, on_epoch_end,
on_train_end. With `state_dict` and `load_state_dict` it goes into checkpoints too.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Iterable
from typing import Any

from semideep_ext._files import remove_leftovers
from semideep_ext.training.scores import LOWER_IS_BETTER
from semideep_ext.weighting.checks import check_number, check_whole

HOOKS = (
    "on_train_begin",
    "on_epoch_begin",
    "on_batch_begin",
    "on_grad_computed",
    "on_batch_end",
    "on_epoch_end",
    "on_train_end",
)


def in_order(callbacks: Any) -> list[Any]:
    """Check callbacks, and put checkpoints last: they must hold what the others did."""
    given = list(callbacks) if isinstance(callbacks, Iterable) else [callbacks]
    for callback in given:
        if isinstance(callback, type) or not any(hasattr(callback, hook) for hook in HOOKS):
            raise ValueError(
                f"callbacks holds {callback!r}; give a list of objects, not classes, that have any "
                f"of the hooks {', '.join(HOOKS)}, such as callbacks=[EarlyStopping()]"
            )
    return sorted(given, key=lambda callback: isinstance(callback, Checkpoint))


class Callback:
    """Base class: every hook does nothing. Override those that you need.

    Examples
    --------
    >>> class Losses(Callback):
    ...     def on_epoch_end(self, trainer, **details):
    ...         print(trainer.epoch, trainer.history["train_loss"][-1])
    """

    def on_train_begin(self, trainer: Any, X: Any = None, y: Any = None, **details: Any) -> None:
        """Training begins; X and y are the validation rows, `resumed` tells of a checkpoint."""

    def on_epoch_begin(self, trainer: Any, **details: Any) -> None:
        """Epoch number `trainer.epoch` begins; the first is 0."""

    def on_batch_begin(
        self, trainer: Any, batch: Any = None, training: Any = None, **details: Any
    ) -> None:
        """Before a batch (x, y) goes through the model."""

    def on_grad_computed(
        self, trainer: Any, named_parameters: Any = None, training: Any = None, **details: Any
    ) -> None:
        """Gradients are complete, unscaled and clipped; the optimizer steps next."""

    def on_batch_end(
        self, trainer: Any, batch: Any = None, training: Any = None, **details: Any
    ) -> None:
        """After a batch went through; `loss` is its 0-d tensor."""

    def on_epoch_end(self, trainer: Any, last: bool = False, **details: Any) -> None:
        """After an epoch, which is in the history; `last` if it is the last asked for."""

    def on_train_end(self, trainer: Any, X: Any = None, y: Any = None, **details: Any) -> None:
        """Training ended, also by an error or Ctrl-C."""


class ProgressBar(Callback):
    """One tqdm bar over the epochs, in the main process; `verbose=True` adds it."""

    def on_train_begin(self, trainer: Any, X: Any = None, y: Any = None, **details: Any) -> None:
        """Open the bar at the next epoch, which a checkpoint may have moved."""
        self._bar: Any = None

    def on_epoch_begin(self, trainer: Any, **details: Any) -> None:
        """Open the bar."""
        if self._bar is None and trainer.is_main_process:
            try:
                from tqdm.auto import tqdm
            except ImportError as error:
                raise ImportError(
                    "the progress bar needs tqdm: pip install 'semideep_ext[train]', or "
                    "verbose=False"
                ) from error
            begin, end = trainer.epoch_range
            self._bar = tqdm(total=end - begin, initial=trainer.epoch - begin, desc="epochs")

    def on_epoch_end(self, trainer: Any, last: bool = False, **details: Any) -> None:
        """Move on, and show the last losses."""
        if self._bar is not None:
            shown = {key: v[-1] for key, v in trainer.history.items() if v}
            keys = ("train_loss", "val_loss", "accuracy")
            self._bar.set_postfix({key: shown[key] for key in keys if key in shown})
            self._bar.update()

    def on_train_end(self, trainer: Any, X: Any = None, y: Any = None, **details: Any) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()


class EarlyStopping(Callback):
    """Stop when a score no longer improves, and put the weights of the best epoch back.

    Parameters
    ----------
    monitor : str, default "val_loss"
        A key of the trainer's history.
    patience : int, default 5
        Epochs without improvement after which training stops.
    threshold : float, default 0.0
        A smaller change is no improvement.
    lower_is_better : bool, optional
        Default: True for losses and errors (val_loss, train_loss, mse, mae), False for all others.
    load_best : bool, default True
        After training, give the model the weights of the best epoch, also when all epochs ran.

    Attributes
    ----------
    best_epoch_ : int or None
        Number of epochs trained when the score was best.
    best_score_ : float

    Raises
    ------
    ValueError
        At the end of the first epoch, if the history has no such score.

    Examples
    --------
    >>> EarlyStopping("accuracy", patience=3).lower_is_better
    False
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 5,
        threshold: float = 0.0,
        lower_is_better: bool | None = None,
        load_best: bool = True,
    ) -> None:
        check_whole("patience", patience, 1)
        check_number("threshold", threshold, zero=True)
        if lower_is_better is None:
            lower_is_better = monitor in LOWER_IS_BETTER
        self.monitor, self.patience, self.threshold = monitor, patience, threshold
        self.lower_is_better, self.load_best = lower_is_better, load_best
        self._forget()

    def _forget(self) -> None:
        self.best_score_ = math.inf if self.lower_is_better else -math.inf
        self.best_epoch_: int | None = None
        self._waited, self._best_weights = 0, None

    def on_train_begin(
        self, trainer: Any, X: Any = None, y: Any = None, resumed: bool = False, **details: Any
    ) -> None:
        """Start anew, unless a checkpoint was loaded."""
        if not resumed:
            self._forget()

    def on_epoch_end(self, trainer: Any, last: bool = False, **details: Any) -> None:
        """Compare, and keep the weights or count the wait."""
        values = trainer.history.get(self.monitor)
        if not values:
            raise ValueError(
                f"EarlyStopping watches {self.monitor!r}, which this training does not record; it "
                f"records {', '.join(k for k, v in trainer.history.items() if v)}: pass X_val and "
                "y_val to train(), or choose another monitor"
            )
        gain = self.best_score_ - values[-1]
        if (gain if self.lower_is_better else -gain) > self.threshold:  # never so for NaN
            self.best_score_, self.best_epoch_ = values[-1], trainer.epoch
            self._waited = 0
            if self.load_best:
                self._best_weights = copy.deepcopy(trainer.evaluated_model.state_dict())
        else:
            self._waited += 1
            trainer.should_stop = trainer.should_stop or self._waited >= self.patience

    def on_train_end(self, trainer: Any, X: Any = None, y: Any = None, **details: Any) -> None:
        """Put the best weights back."""
        if self._best_weights is not None:
            trainer.evaluated_model.load_state_dict(self._best_weights)

    def state_dict(self) -> dict[str, Any]:
        """Give what a checkpoint must hold."""
        return {
            "best_score": self.best_score_,
            "best_epoch": self.best_epoch_,
            "waited": self._waited,
            "best_weights": self._best_weights,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.best_score_, self.best_epoch_ = state["best_score"], state["best_epoch"]
        self._waited, self._best_weights = state["waited"], state["best_weights"]


class Checkpoint(Callback):
    """Write a checkpoint after epochs, and go on from it.

    The file is replaced atomically: killed at any moment, it is whole. A run that goes on from it
    ends, on the CPU, with the bits of one that was never interrupted.

    Parameters
    ----------
    path : path-like
        The file; one training per file. Its folder is made when training begins.
    every : int, default 1
        Epochs between two checkpoints; the last epoch is always written.
    resume : bool, default False
        If there is such a file when an untrained trainer starts, load it and train only what it
        lacks. So a script that was killed is simply run again.
    """

    def __init__(self, path: str | os.PathLike[str], every: int = 1, resume: bool = False) -> None:
        check_whole("every", every, 1)
        self.path, self.every, self.resume = os.fspath(path), every, resume

    def on_train_begin(self, trainer: Any, X: Any = None, y: Any = None, **details: Any) -> None:
        """Go on from the file, if asked to."""
        if os.path.isdir(self.path):  # else found out only after the first epoch
            raise ValueError(f"{self.path} is a folder; give Checkpoint the path of a file")
        if trainer.is_main_process:
            os.makedirs(os.path.dirname(os.path.realpath(self.path)), exist_ok=True)
            remove_leftovers(self.path)
        if self.resume and trainer.epoch == 0 and os.path.exists(self.path):
            trainer.load_checkpoint(self.path)

    def on_epoch_end(self, trainer: Any, last: bool = False, **details: Any) -> None:
        """Write the file."""
        if last or trainer.should_stop or trainer.epoch % self.every == 0:
            trainer.save_checkpoint(self.path)


class TensorBoard(Callback):
    """Write every score of the history, and the learning rate, for TensorBoard.

    Parameters
    ----------
    log_dir : path-like, optional
        Default: a new folder in `runs`, as `torch.utils.tensorboard.SummaryWriter` makes it.
    """

    def __init__(self, log_dir: str | os.PathLike[str] | None = None) -> None:
        self.log_dir = log_dir

    def on_train_begin(self, trainer: Any, X: Any = None, y: Any = None, **details: Any) -> None:
        """Nothing is opened before an epoch begins: a checkpoint may have come in between."""
        self._writer: Any = None

    def on_epoch_begin(self, trainer: Any, **details: Any) -> None:
        """Open the writer; what a killed run wrote beyond its checkpoint is hidden."""
        if self._writer is None and trainer.is_main_process:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise ImportError(
                    "TensorBoard needs tensorboard: pip install 'semideep_ext[train]'"
                ) from error
            self._writer = SummaryWriter(self.log_dir, purge_step=trainer.epoch + 1)

    def on_epoch_end(self, trainer: Any, last: bool = False, **details: Any) -> None:
        """Write the scores of the epoch."""
        if self._writer is not None:
            for key, values in trainer.history.items():
                if values:
                    self._writer.add_scalar(key, values[-1], trainer.epoch)
            rate = trainer.optimizer.param_groups[0]["lr"]
            self._writer.add_scalar("learning_rate", float(rate), trainer.epoch)
            self._writer.flush()

    def on_train_end(self, trainer: Any, X: Any = None, y: Any = None, **details: Any) -> None:
        """Close the files."""
        if self._writer is not None:
            self._writer.close()
