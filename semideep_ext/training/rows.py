"""Rows that a trainer reads: arrays, memory maps, Datasets and DataLoaders, behind one interface.

Both classes have a length, a `name` for error messages, and
- `batches(indices)`: the rows of each index tensor, on the device, as the model takes them;
- `blocks()`: all rows in order, as arrays (n, D) in their own precision, for distances;
- `chosen(numbers)`: the same of some rows;
- `select(numbers)`: some rows, as rows of their own;
- `digest()`: by which a checkpoint knows the rows again, None where they are drawn anew;
- `plan(batch_size, accumulation, generator)`: an epoch's batches, grouped by optimizer step.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from semideep_ext.op.arguments import check_columns, column_names
from semideep_ext.training.processes import random_state_kept, seed_everything
from semideep_ext.weighting.checks import (
    as_array,
    as_floats,
    check_features,
    is_memory_mapped,
    rows_in_block,
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
_SAMPLE = 1000  # rows of a Dataset by which it is known again


def open_rows(
    X: Any, name: str, device: torch.device, dtype: torch.dtype, keep_integers: bool = False
) -> Rows:
    """Open what a user passed as rows."""
    if isinstance(X, (Dataset, DataLoader)):
        return DatasetRows(X, name, device, dtype)
    return ArrayRows(X, name, device, dtype, keep_integers)


class ArrayRows:
    """Rows of an array, DataFrame or tensor, shape (N, ...).

    They are copied to the device once; those of a memory map are read when they are needed.
    Integers stay integers for a model that looks them up (`keep_integers`); else rows take the
    dtype of the model.
    """

    def __init__(
        self,
        X: Any,
        name: str,
        device: torch.device,
        dtype: torch.dtype,
        keep_integers: bool = False,
    ) -> None:
        self.name, self.columns = name, column_names(X)
        self._features = check_features(X, name)
        kind = getattr(getattr(X, "dtype", None), "kind", "") or str(getattr(X, "dtype", ""))
        is_integer = kind in ("i", "u") or kind.startswith(("torch.int", "torch.uint"))
        dtype = torch.int64 if keep_integers and is_integer else dtype
        self._device, self._dtype = device, dtype
        self._take(None)

    def _take(self, numbers: np.ndarray | None) -> None:
        """Consist of the rows of these numbers of the array; None is all."""
        self._numbers = numbers
        n = len(self._features) if numbers is None else len(numbers)
        self.shape = (n, *self._features.shape[1:])
        self._rows: Any = (
            _MemoryMap(self._read)
            if is_memory_mapped(self._features)
            # A copy, so that what the caller does to the array later changes nothing here.
            else torch.tensor(self._read(slice(None)), dtype=self._dtype, device=self._device)
        )

    def _read(self, index: Any) -> np.ndarray:
        rows: np.ndarray = self._features[index if self._numbers is None else self._numbers[index]]
        return rows

    def __len__(self) -> int:
        """Count the rows."""
        return self.shape[0]

    def select(self, numbers: np.ndarray) -> ArrayRows:
        """Rows of these numbers, as rows of their own."""
        selected = copy.copy(self)
        selected._take(numbers if self._numbers is None else self._numbers[numbers])
        return selected

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
        step = rows_in_block(self._features)
        for start in range(0, len(self), step):
            part = self._read(slice(start, start + step))
            yield as_floats(part.reshape(len(part), -1))

    def chosen(self, numbers: np.ndarray) -> np.ndarray:
        """Rows of these numbers, (n, D)."""
        return as_floats(self._read(numbers).reshape(len(numbers), -1))

    def digest(self) -> str:
        """Hash the values of all rows, whatever dtype and layout they came in."""
        return _digest(block.astype(np.float64, copy=False) for block in self.blocks())

    def plan(self, batch_size: int, accumulation: int, generator: torch.Generator) -> Plan:
        """Shuffled batches of equal size to within one row: a leftover breaks batch norm."""
        return _split(len(self), batch_size, accumulation, generator)


class _MemoryMap:
    """Tensors of the rows that are asked for."""

    device = torch.device("cpu")

    def __init__(self, read: Callable[[np.ndarray], np.ndarray]) -> None:
        self._read = read

    def __getitem__(self, index: Tensor) -> Tensor:
        rows = np.asarray(self._read(index.numpy()))
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

    def select(self, numbers: np.ndarray) -> DatasetRows:
        """Rows of these numbers, as rows of their own.

        Raises
        ------
        ValueError
            For a DataLoader, whose sampler would draw the others, too.
        """
        if self._sampler is not None:
            raise ValueError(
                f"{self.name} is a DataLoader, of which some rows are unlabelled: its sampler "
                "would draw them for training; give a Dataset, or the labelled rows as X_train "
                "and the others as X_test"
            )
        subset = Subset(self._dataset, numbers.tolist())
        return DatasetRows(subset, self.name, self._device, self._dtype)

    def digest(self) -> str | None:
        """Hash rows, read twice from the same random state; None where the two readings differ.

        At most `_SAMPLE` rows: to read all of them may take as long as an epoch.
        """
        numbers = np.linspace(0, len(self) - 1, min(len(self), _SAMPLE)).round().astype(np.int64)
        first, second = (_digest([self._read_again(numbers)]) for _ in range(2))
        return first if first == second else None

    def _read_again(self, numbers: np.ndarray) -> np.ndarray:
        with random_state_kept(self._device):
            seed_everything(0)
            return self.chosen(numbers).astype(np.float64, copy=False)

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


def _digest(blocks: Iterable[np.ndarray]) -> str:
    digest, n = hashlib.sha256(), 0
    for block in blocks:
        digest.update(block.tobytes())
        n += len(block)
    return f"{n} rows {digest.hexdigest()[:16]}"


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
