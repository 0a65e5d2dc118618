"""One progress bar, from tqdm."""

from __future__ import annotations

from typing import Any


def progress_bar(description: str, total: int, shown: bool, done: int = 0, unit: str = "it") -> Any:
    """Make a bar to call `update` on, as a context; without `shown` it draws nothing.

    Parameters
    ----------
    description : str
    total : int
        Number of steps.
    shown : bool
    done : int, default 0
        Steps that were done before.
    unit : str, default "it"
        What a step is called.

    Raises
    ------
    ImportError
        If it is to be shown and tqdm is missing.
    """
    if not shown:
        return _NoBar()
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError(
            "the progress bar needs tqdm: pip install 'semideep_ext[train]', or verbose=False"
        ) from error
    return tqdm(desc=description, total=total, initial=done, unit=unit)


class _NoBar:
    def __enter__(self) -> _NoBar:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def update(self) -> None:
        pass
