"""Rows that a trainer reads: arrays, memory maps, Datasets and DataLoaders, behind one interface.

Both classes have a length, a `name` for error messages, and
- `batches(indices)`: the rows of each index tensor, on the device, as the model takes them;
- `blocks()`: all rows in order, as arrays (n, D) in their own precision, for distances;
- `chosen(numbers)`: the same of some rows;
- `plan(batch_size, accumulation, generator)`: an epoch's batches, grouped by optimizer step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from semideep_ext.op.arguments import check_columns, column_names
from semideep_ext.weighting.checks import (
    as_array,
    as_floats,
    check_features,
    in_blocks,
    is_memory_mapped,
)

Plan = list[list[Tensor]]  # index tensors of batches, by optimizer step
# How a DataLoader reads, whatever its batches are.
_LOADER_OPTIONS = (
    "collate_fn",
    "num_workers",
    "pin_memory",
    "timeout",
    "worker_init_fn",
    "multiprocessing_context",
    "prefetch_factor",
)
_BLOCK = 256  # rows of a Dataset that are collated at once, outside training


def open_rows(X: Any, name: str, device: torch.device, dtype: torch.dtype) -> Rows:
    """Open what a user passed as rows."""
    kind = DatasetRows if isinstance(X, (Dataset, DataLoader)) else ArrayRows
    return kind(X, name, device, dtype)


class ArrayRows:
    """Rows of an array, DataFrame or tensor, shape (N, ...).

    They are copied to the device once; those of a memory map are read when they are needed.
    """

    def __init__(self, X: Any, name: str, device: torch.device, dtype: torch.dtype) -> None:
        self.name, self.columns = name, column_names(X)
        self._features = check_features(X, name)
        self.shape = self._features.shape
        self._device, self._dtype = device, dtype
        self._rows: Any = (
            _MemoryMap(self._features)
            if is_memory_mapped(self._features)
            # A copy, so that what the caller does to the array later changes nothing here.
            else torch.tensor(self._features, dtype=dtype, device=device)
        )

    def __len__(self) -> int:
        """Count the rows."""
        return len(self._features)

    def check_like(self, training: Rows) -> None:
        """Refuse rows of another width, or of other columns, than the training rows."""
        if isinstance(training, ArrayRows):
            check_columns(self.name, self.columns, training.name, training.columns)
            if self.shape[1:] != training.shape[1:]:
                raise ValueError(
                    f"{self.name} has shape {self.shape}, {training.name} rows have shape "
                    f"{training.shape[1:]}"
                )

    def batches(self, indices: Iterable[Tensor]) -> Iterator[Tensor]:
        """Rows of each index tensor."""
        for i in indices:
            yield self._rows[i.to(self._rows.device)].to(self._device, self._dtype)

    def blocks(self) -> Iterator[np.ndarray]:
        """All rows, (n, D)."""
        return (as_floats(part.reshape(len(part), -1)) for part in in_blocks(self._features))

    def chosen(self, numbers: np.ndarray) -> np.ndarray:
        """Rows of these numbers, (n, D)."""
        return as_floats(self._features[numbers].reshape(len(numbers), -1))

    def plan(self, batch_size: int, accumulation: int, generator: torch.Generator) -> Plan:
        """Shuffled batches of equal size to within one row: a leftover breaks batch norm."""
        return _split(len(self), batch_size, accumulation, generator)


class _MemoryMap:
    """Tensors of the rows that are asked for."""

    device = torch.device("cpu")

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def __getitem__(self, index: Tensor) -> Tensor:
        rows = np.asarray(self._array[index.numpy()])
        return torch.from_numpy(rows.astype(rows.dtype.newbyteorder("="), copy=False))


class DatasetRows:
    """Rows of a map-style Dataset of pairs (x, y), or of one that a DataLoader reads.

    Of a DataLoader, the batches (its size, order, sampler), the collation and the workers are used.
    Floating-point rows take the dtype of the model, others stay as they are.
    """

    def __init__(
        self, data: Dataset[Any] | DataLoader[Any], name: str, device: torch.device, dtype: Any
    ) -> None:
        self.name, self._device, self._dtype = name, device, dtype
        self._sampler: Any = None
        self._options: dict[str, Any] = {}
        self._dataset: Any = data
        if isinstance(data, DataLoader):
            self._dataset, self._sampler = data.dataset, data.batch_sampler
            self._options = {key: getattr(data, key) for key in _LOADER_OPTIONS}
        if isinstance(self._dataset, IterableDataset) or not hasattr(self._dataset, "__len__"):
            raise ValueError(
                f"{name} is a Dataset without rows by number; weights belong to rows, so a Dataset "
                "needs __getitem__ and __len__: collect the rows of a stream first"
            )
        if isinstance(data, DataLoader) and data.batch_sampler is None:
            raise ValueError(f"{name} is a DataLoader with batch_size=None; give it a batch size")
        if len(self._dataset) == 0:
            raise ValueError(f"{name} is a Dataset without rows; allowed is at least one")

    def __len__(self) -> int:
        """Count the rows."""
        return len(self._dataset)

    def check_like(self, training: Rows) -> None:
        """Nothing to check before rows are read: the model sees their shape."""

    def _read(self, indices: Iterable[Tensor]) -> Iterator[Any]:
        batches = [i.tolist() for i in indices]
        return iter(DataLoader(self._dataset, batch_sampler=batches, **self._options))

    def _in_order(self) -> Iterator[tuple[Any, np.ndarray]]:
        """All batches, and their rows as arrays of finite numbers, (n, D)."""
        for number, batch in enumerate(self._read(torch.arange(len(self)).split(_BLOCK))):
            yield batch, self._as_array(batch, number * _BLOCK)

    def _as_array(self, batch: Any, start: int) -> np.ndarray:
        x = _features(batch)
        return check_features(x.reshape(len(x), -1), self.name, start)

    def batches(self, indices: Iterable[Tensor]) -> Iterator[Tensor]:
        """Rows of each index tensor."""
        for batch in self._read(indices):
            x = _features(batch)
            yield x.to(self._device, self._dtype if x.is_floating_point() else x.dtype)

    def blocks(self) -> Iterator[np.ndarray]:
        """All rows, (n, D)."""
        return (rows for _, rows in self._in_order())

    def chosen(self, numbers: np.ndarray) -> np.ndarray:
        """Rows of these numbers, (n, D)."""
        (batch,) = self._read([torch.as_tensor(numbers)])
        return self._as_array(batch, 0)

    def labels(self) -> np.ndarray:
        """Labels of all rows; this reads every row once."""
        parts = []
        for batch, _ in self._in_order():
            if not isinstance(batch, (tuple, list)) or len(batch) != 2:
                raise ValueError(f"{self.name} must give pairs (x, y), one pair per row")
            parts.append(as_array(batch[1], f"y of {self.name}"))
        return np.concatenate(parts)

    def plan(self, batch_size: int, accumulation: int, generator: torch.Generator) -> Plan:
        """Batches of the DataLoader; else shuffled ones, as of arrays."""
        if self._sampler is None:
            return _split(len(self), batch_size, accumulation, generator)
        for sampler in (self._sampler, getattr(self._sampler, "sampler", None)):
            own = getattr(sampler, "generator", None)
            if isinstance(own, torch.Generator):
                own.manual_seed(generator.initial_seed())
        batches = [torch.as_tensor(batch) for batch in map(list, self._sampler) if batch]
        if not batches:
            raise ValueError(
                f"{self.name} is a DataLoader that gives no batch of its {len(self)} rows: its "
                "sampler is empty, or drop_last=True drops the only batch, which is too small; "
                "choose drop_last=False or a smaller batch_size"
            )
        beyond = [int(i.max()) for i in batches if i.max() >= len(self)]
        if beyond:
            raise ValueError(
                f"the sampler of {self.name} drew row {beyond[0]}, of {len(self)} rows; allowed "
                f"are 0 to {len(self) - 1}: make it for this Dataset"
            )
        return [batches[i : i + accumulation] for i in range(0, len(batches), accumulation)]


Rows = ArrayRows | DatasetRows


def _features(batch: Any) -> Tensor:
    x = batch[0] if isinstance(batch, (tuple, list)) else batch
    if not isinstance(x, Tensor):
        raise ValueError(
            f"a Dataset gave x as a {type(x).__name__}; allowed are tensors: change the Dataset or "
            "the collate_fn of its DataLoader"
        )
    return x


def _split(n: int, batch_size: int, accumulation: int, generator: torch.Generator) -> Plan:
    # Steps first, then batches: accumulated steps are those of the batch that is so much larger.
    order = torch.randperm(n, generator=generator)
    steps = order.tensor_split(math.ceil(n / (batch_size * accumulation)))
    return [list(step.tensor_split(math.ceil(len(step) / batch_size))) for step in steps]
