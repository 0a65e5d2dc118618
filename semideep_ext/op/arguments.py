"""What users pass, made into what the ops take: checks, conversions, broadcasting."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from semideep_ext.op.libraries import check_device

ArrayLike = Any  # torch.Tensor, numpy.ndarray, pandas.DataFrame or a nested sequence of numbers

_HALVES = (torch.float16, torch.bfloat16)
# Exactly representable in float32; wider integers are computed in float64.
_NARROW = (torch.bool, torch.uint8, torch.int8, torch.int16, *_HALVES)


def describe(name: str, value: Any) -> str:
    """Name, type, shape, dtype and device of an argument, for error messages."""
    if isinstance(value, Tensor):
        return f"{name} is a {tuple(value.shape)} tensor of {value.dtype} on {value.device}"
    shape = getattr(value, "shape", None)
    return f"{name} is a {type(value).__name__}" + (f" of shape {shape}" if shape else "")


def holds(condition: Tensor) -> bool:
    """Whether the condition is known to be true.

    Under torch.compile and vmap a value cannot be read, and to read one on another device than the
    CPU is to wait for all that is queued there; checks of values are left out then.
    """
    if torch.compiler.is_compiling() or condition.device.type != "cpu":
        return False
    try:
        return bool(condition)
    except RuntimeError:
        return False


def require(tensor: Tensor, valid: Tensor, message: Callable[[], str]) -> Tensor:
    """Return the tensor if all of it is valid; else raise, or, off the CPU, put NaN in its place.

    No value is read there (see `holds`), but nothing wrong passes for a result either.
    """
    if tensor.device.type not in ("cpu", "meta"):
        return torch.where(valid, tensor, math.nan)
    if holds(~valid.all()):
        raise ValueError(message())
    return tensor


def _encode_categories(columns: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Replace hashable values by numbers, equal where the values are equal; missing gives NaN."""
    codes: dict[Any, int] = {}

    def code(value: Any) -> float:
        if is_missing(value):
            return math.nan
        try:
            return codes.setdefault(value, len(codes))
        except TypeError:
            raise ValueError(
                f"x and y must hold hashable values, such as strings; {value!r} is not hashable"
            ) from None

    return [
        np.array([code(value) for value in array.ravel()], dtype=np.float64).reshape(array.shape)
        for array in columns
    ]


def is_missing(value: Any) -> bool:
    """Tell None, NaN, NaT and pandas.NA: but for None, they are not equal to themselves."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):
        return type(value).__name__ == "NAType"


def to_numpy(name: str, value: Any) -> np.ndarray:
    """Return the argument of that name, not a tensor, as a dense array of any dtype."""
    if hasattr(value, "toarray") and not isinstance(value, np.ndarray):
        raise ValueError(
            f"{describe(name, value)}, a sparse matrix: only dense rows are supported; pass "
            f"{name}.toarray() if it fits in memory"
        )
    if isinstance(value, np.ma.MaskedArray):
        raise ValueError(f"{name} is a masked array: fill or drop the masked values first")
    try:
        return value.to_numpy() if hasattr(value, "to_numpy") else np.asarray(value)
    except ValueError as error:
        raise ValueError(
            f"{name} cannot be made an array: {error}; give rows of one length"
        ) from error


def _from_numpy(name: str, array: np.ndarray) -> Tensor:
    if array.dtype.kind == "c":
        raise ValueError(f"{name} must be real, got {array.dtype}; pass real and imaginary parts")
    if array.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} holds values of dtype {array.dtype}: numbers or booleans are needed; encode "
            "them as numbers (between two arrays, metric='hamming' compares any values)"
        )
    if array.dtype == np.longdouble and array.dtype != np.float64:
        array = array.astype(np.float64)
    if not array.dtype.isnative or any(stride < 0 for stride in array.strides):
        array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    with warnings.catch_warnings():
        # A read-only array (a memory map) is only ever read here.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writ")
        return torch.from_numpy(array)


def column_names(rows: Any) -> list[Any] | None:
    """Names of the columns of a DataFrame, None for anything else."""
    columns = getattr(rows, "columns", None)
    return None if columns is None else list(columns)


def check_columns(
    name: str, columns: list[Any] | None, expected_name: str, expected: list[Any] | None
) -> None:
    """Refuse two DataFrames of which the columns differ or stand in another order."""
    if columns is None or expected is None or columns == expected:
        return
    if sorted(map(repr, columns)) == sorted(map(repr, expected)):
        problem = "the same columns in another order"
    else:
        differing = [c for c in columns if c not in expected] or "fewer"
        problem = f"other columns ({differing})"
    raise ValueError(
        f"{name} has {problem} than {expected_name}: {columns} and {expected}; select them alike, "
        f"for example {name}[{expected_name}.columns]"
    )


def to_tensor(name: str, value: ArrayLike) -> Tensor:
    """Return the argument of that name as a tensor, without a copy where that is possible."""
    if not isinstance(value, Tensor):
        return _from_numpy(name, to_numpy(name, value))
    if value.layout != torch.strided:
        raise ValueError(
            f"{describe(name, value)}, and sparse: only dense rows are supported; pass "
            f"{name}.to_dense() if it fits in memory"
        )
    if value.dtype.is_complex:
        raise ValueError(f"{name} must be real, got {value.dtype}; pass real and imaginary parts")
    return value


def to_rows(x: ArrayLike, y: ArrayLike, metric: Any) -> tuple[Tensor, Tensor, bool]:
    """Both sets of rows as tensors that go together, and whether results go back to numpy."""
    tensors = isinstance(x, Tensor), isinstance(y, Tensor)
    if not all(tensors):
        x, y = _from_arrays(x, y, metric)
    x, y = _leave_autocast(to_tensor("x", x)), _leave_autocast(to_tensor("y", y))
    _check_rows(x, y)
    check_device(x.device, metric)
    return x, y, not any(tensors)


def _from_arrays(x: ArrayLike, y: ArrayLike, metric: Any) -> tuple[ArrayLike, ArrayLike]:
    """Rows as numeric arrays of one dtype; a tensor among them as it is."""
    check_columns("y", column_names(y), "x", column_names(x))
    pair = [x, y]
    arrays = {i: to_numpy("xy"[i], v) for i, v in enumerate(pair) if not isinstance(v, Tensor)}
    if (
        metric == "hamming"
        and len(arrays) == 2
        and any(a.dtype.kind in "OUSMm" for a in arrays.values())
    ):
        arrays = dict(enumerate(_encode_categories([arrays[0], arrays[1]])))
    if len(arrays) == 2 and all(array.dtype.kind in "biuf" for array in arrays.values()):
        common = np.result_type(*arrays.values())
        arrays = {i: array.astype(common, copy=False) for i, array in arrays.items()}
    return arrays.get(0, x), arrays.get(1, y)


def _leave_autocast(tensor: Tensor) -> Tensor:
    """Give features that autocast left in a half type the dtype of the others, float32."""
    half = tensor.dtype in _HALVES
    return tensor.float() if half and torch.is_autocast_enabled(tensor.device.type) else tensor


def _check_rows(x: Tensor, y: Tensor) -> None:
    if x.dim() < 2 or y.dim() < 2:
        problem = "x must be (..., N, D) and y (..., M, D)", "use unsqueeze or reshape"
    elif x.shape[-1] != y.shape[-1]:
        problem = "x and y must have as many features", "align their columns"
    elif x.dtype != y.dtype:
        problem = "x and y must have one dtype", "convert one with .to(dtype)"
    elif x.device != y.device:
        problem = "x and y must be on one device", "move one with .to(device)"
    elif y.shape[-2] == 0:
        problem = "y must have at least one row", "the mean over no rows is undefined"
    else:
        return
    rule, change = problem
    raise ValueError(f"{rule}: {describe('x', x)} and {describe('y', y)}; {change}")


def to_compute_dtype(x: Tensor, y: Tensor, metric: Any) -> tuple[Tensor, Tensor, torch.dtype]:
    """Rows in a dtype that the kernels read, and the dtype of the result.

    Floating dtypes of 32 and 64 bits are kept. Everything else gives a float32 result; integers
    that float32 cannot hold are computed in float64. Halves are left to the kernels on CUDA, which
    read them as they are.
    """
    dtype = x.dtype
    if dtype in (torch.float32, torch.float64):
        return x, y, dtype
    if dtype in _HALVES and x.is_cuda and not callable(metric):
        return x, y, torch.float32
    if dtype in _NARROW:
        return x.to(torch.float32), y.to(torch.float32), torch.float32
    if metric == "hamming" and dtype in (torch.int64, torch.uint64):
        x, y = _rank_large_integers(x.view(torch.int64), y.view(torch.int64))
    return x.to(torch.float64), y.to(torch.float64), torch.float32


def _rank_large_integers(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Integers that float64 cannot tell apart become their ranks; equal stays equal."""
    limit = 2**53
    if x.device.type == "cpu" and not any(
        t.numel() and holds((t.max() > limit) | (t.min() < -limit)) for t in (x, y)
    ):
        return x, y
    ordered, _ = torch.cat([x.flatten(), y.flatten()]).sort()
    return torch.searchsorted(ordered, x.contiguous()), torch.searchsorted(ordered, y.contiguous())


def to_parameter(value: Any, name: str, like: Tensor) -> tuple[Tensor, bool]:
    """Return `lambda_` or `eps` as a (1, L) float64 tensor, and whether it was a scalar."""
    if isinstance(value, Tensor):
        if value.dim() > 1 or value.dtype.is_complex:
            raise ValueError(
                f"{name} must be a number, a 0-d or a 1-d tensor; {describe(name, value)}"
            )
        if value.numel() == 0:
            raise ValueError(f"{name} must hold at least one value; {describe(name, value)}")
        parameter = value.to(torch.float64)
        valid = torch.isfinite(parameter) & (parameter > 0)
        parameter = require(
            parameter, valid, lambda: f"{name} must be finite and > 0, got {value.tolist()}"
        )
        return parameter.to(like.device).reshape(1, -1), value.dim() == 0
    if isinstance(value, str):
        raise ValueError(f"{name} must be a number or a tensor, got {value!r}")
    if isinstance(value, (list, tuple, np.ndarray)):
        return to_parameter(torch.as_tensor(np.asarray(value, dtype=np.float64)), name, like)
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a number or a tensor, got {value!r}") from None
    if not 0 < number < math.inf:
        raise ValueError(f"{name} must be finite and > 0, got {value!r}")
    return torch.full((1, 1), number, dtype=torch.float64, device=like.device), True


def to_y_weight(y_weight: ArrayLike, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return weights of the rows of y, (..., M, 1), and their sum, to divide the result by.

    Dividing at the end keeps a mean of ones exactly 1.
    """
    m = y.shape[-2]
    weight = to_tensor("y_weight", y_weight)
    if weight.dim() < 1 or weight.shape[-1] != m:
        raise ValueError(
            f"y_weight must have one value for each of the {m} rows of y; "
            f"{describe('y_weight', weight)}"
        )
    weight = weight.to(torch.float64)
    weight = require(
        weight,
        torch.isfinite(weight) & (weight >= 0),
        lambda: "y_weight must be finite and non-negative; drop or clip the other values",
    )
    largest = weight.detach().amax(-1, keepdim=True)
    if holds((largest == 0).any()):  # which gives NaN where it goes unnoticed
        raise ValueError("y_weight must not be all zero: at least one row of y must count")
    weight = (weight / largest).to(y.device)  # or the sum might overflow
    total = weight.sum(-1, keepdim=True)
    return weight.unsqueeze(-1), total.unsqueeze(-1).unsqueeze(-1)


class BatchShape:
    """Leading dimensions, broadcast as in torch.cdist and folded into one."""

    def __init__(self, *shapes: Sequence[int]) -> None:
        if not any(shapes):  # by far the most common case, and broadcast_shapes is slow
            self.shape, self.size = torch.Size(), 1
            return
        try:
            self.shape = torch.broadcast_shapes(*shapes)
        except RuntimeError:
            raise ValueError(
                f"the batch dimensions {', '.join(str(tuple(s)) for s in shapes)} do not "
                "broadcast: each must be equal, 1 or missing"
            ) from None
        self.size = math.prod(self.shape)

    def fold(self, tensor: Tensor, kept: int) -> Tensor:
        """(..., *kept dimensions) -> (B, *kept dimensions); B = 1 without a batch."""
        if not self.shape:
            return tensor.unsqueeze(0)
        rest = tensor.shape[tensor.dim() - kept :]
        if tensor.dim() == kept:
            return tensor.expand(self.size, *rest)  # one stride of 0, no copy
        return tensor.expand(*self.shape, *rest).reshape(self.size, *rest)


_jaccard_warned = False


def warn_that_jaccard_merges() -> None:
    """Warn, once a process, that the cast to "zero or not" merges different values."""
    global _jaccard_warned
    if _jaccard_warned:
        return
    _jaccard_warned = True
    warnings.warn(
        "metric='jaccard' only asks whether a value is zero, and these rows hold values other "
        "than 0 and 1: binarise them with your own threshold, or choose another metric",
        UserWarning,
        stacklevel=4,
    )
