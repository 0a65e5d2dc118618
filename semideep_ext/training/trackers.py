"""Experiment trackers: wandb, mlflow, comet_ml and the others that Accelerate knows."""

from __future__ import annotations

import math
from typing import Any

from semideep_ext.training.callbacks import Callback


class Tracker(Callback):
    """Log every score of the history, and the learning rate, to a tracker.

    Parameters
    ----------
    tracker : str or object
        "wandb", "mlflow", "comet_ml", "clearml", "aim", "dvclive" or another that
        `accelerate.tracking` knows, installed; or an object with ``log(values, step=...)``, and if
        it likes ``finish()``.
    run_name : str, default "semideep_ext"
        Project or run, as the tracker calls it.
    **options
        For the tracker, such as ``logging_dir``.

    Raises
    ------
    ValueError
        For a name that Accelerate does not know; those that it knows are named.

    Examples
    --------
    >>> class Printed:
    ...     def log(self, values, step):
    ...         print(step, sorted(values))
    >>> callback = Tracker(Printed())
    """

    def __init__(self, tracker: Any, run_name: str = "semideep_ext", **options: Any) -> None:
        if isinstance(tracker, str):
            from accelerate.tracking import LOGGER_TYPE_TO_CLASS

            known = sorted(LOGGER_TYPE_TO_CLASS)
            if tracker not in known:
                raise ValueError(
                    f"tracker={tracker!r}: choose one of {', '.join(known)}, or give an object "
                    "with log(values, step=...)"
                )
        elif not callable(getattr(tracker, "log", None)):
            raise ValueError(
                f"tracker={tracker!r}: give a name such as 'wandb', or an object with "
                "log(values, step=...)"
            )
        self.tracker, self.run_name, self.options = tracker, run_name, options
        self._opened: Any = None

    def on_epoch_begin(self, trainer: Any, **details: Any) -> None:
        """Open the tracker, in the main process."""
        if self._opened is not None or not trainer.is_main_process:
            return
        if not isinstance(self.tracker, str):
            self._opened = self.tracker
            return
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        made = LOGGER_TYPE_TO_CLASS[self.tracker](self.run_name, **self.options)
        if hasattr(made, "start"):  # before Accelerate 1.9, trackers started when they were made
            made.start()
        self._opened = made

    def on_epoch_end(self, trainer: Any, last: bool = False, **details: Any) -> None:
        """Log the scores of the epoch; those that are NaN are left out."""
        if self._opened is not None:
            values = {key: float(v[-1]) for key, v in trainer.history.items() if v}
            values["learning_rate"] = float(trainer.optimizer.param_groups[0]["lr"])
            kept = {key: value for key, value in values.items() if not math.isnan(value)}
            self._opened.log(kept, step=trainer.epoch)

    def on_train_end(self, trainer: Any, X: Any = None, y: Any = None, **details: Any) -> None:
        """Close the tracker."""
        finish = getattr(self._opened, "finish", None)
        if finish is not None:
            finish()
        self._opened = None
