"""The compiled ops: fake, vmap and autocast registration, and how they are called.

Shapes: x (B, N, D), y (B, M, D), u (B, L, N, C), v (B, L, M, C), parameter (B, L), shift_x (B, L,
N), shift_y (B, L, M); csrc/torch/arguments.h says which are float64. An absent u or v stands for a
column of 1/N or 1/M. `derivatives` says what the ops compute, and differentiates them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function, forward_ad

from semideep_ext.op import libraries

_library = torch.library.Library("semideep_ext", "FRAGMENT")


# --- fake: shapes and dtypes of the results -------------------------------------------------------


def compute_dtype(rows: Tensor) -> torch.dtype:
    """Of everything but the rows, which may be in half precision where the kernels read that."""
    return torch.float64 if rows.dtype == torch.float64 else torch.float32


def _fake_matmul(x: Tensor, y: Tensor, v: Tensor | None, parameter: Tensor, *_: Any) -> Tensor:
    columns = 1 if v is None else v.shape[3]
    shape = (x.shape[0], parameter.shape[1], x.shape[1], columns)
    return x.new_empty(shape, dtype=compute_dtype(x))


def _fake_log_sum(x: Tensor, y: Tensor, v: Tensor | None, parameter: Tensor, *_: Any) -> Tensor:
    return x.new_empty((x.shape[0], parameter.shape[1], x.shape[1]), dtype=torch.float64)


def _fake_gradient(
    x: Tensor, y: Tensor, u: Tensor | None, v: Tensor | None, parameter: Tensor, *rest: Any
) -> tuple[Tensor, Tensor]:
    rows = rest[-1]
    shape = (x.shape[0] if rows else 0, x.shape[1], x.shape[2])
    by_rows = x.new_empty(shape, dtype=compute_dtype(x))
    return by_rows, parameter.new_empty(tuple(parameter.shape))


# --- vmap: a mapped dimension is folded into the batch dimension ----------------------------------


def _vmap_rule(call: Callable[..., Any]) -> Callable[..., tuple[Any, Any]]:
    def rule(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Any, Any]:
        def fold(arg: Any, dim: int | None) -> Any:
            if not isinstance(arg, Tensor):
                return arg
            mapped = arg.expand(info.batch_size, *arg.shape) if dim is None else arg.movedim(dim, 0)
            return mapped.flatten(0, 1)

        def unfold(result: Tensor) -> Tensor:
            return result.unflatten(0, (info.batch_size, result.shape[0] // info.batch_size))

        results = call(*map(fold, args, in_dims))
        if isinstance(results, Tensor):
            return unfold(results), 0
        return tuple(map(unfold, results)), (0,) * len(results)

    return rule


# --- calls ----------------------------------------------------------------------------------------


def _in_forward_mode() -> bool:
    """Whether tensors may carry forward-mode tangents."""
    return forward_ad._current_level >= 0


class Op:
    """A compiled op, called in the cheapest way that loses no derivative."""

    def __init__(self, name: str, fake: Callable[..., Any]) -> None:
        self._name = f"semideep_ext::{name}"
        self._overload = getattr(torch.ops.semideep_ext, name).default
        self._function: Any = Function
        torch.library.register_fake(self._name, fake, lib=_library)
        torch.library.register_vmap(self._name, _vmap_rule(self._overload), lib=_library)
        for device in ("cpu", "cuda"):  # half types would lose what the kernels keep
            torch.library.register_autocast(self._name, device, torch.float32, lib=_library)

    def differentiate(
        self, setup: Callable[..., None], backward: Callable[..., Any], jvp: Callable[..., Any]
    ) -> None:
        """Give the op derivatives.

        torch.library's autograd is what torch.compile understands; functorch and forward mode
        understand only a Function.
        """
        torch.library.register_autograd(self._name, backward, setup_context=setup, lib=_library)
        rules = {
            "forward": lambda *args: self._overload(*args),
            "setup_context": setup,
            "backward": backward,
            "jvp": jvp,
            "vmap": _vmap_rule(lambda *args: self._function.apply(*args)),
        }
        members = {name: staticmethod(rule) for name, rule in rules.items()}
        self._function = type(self._name, (Function,), members)

    def __call__(self, *args: Any) -> Any:
        """Call the op."""
        if torch.compiler.is_compiling():
            if _in_forward_mode():
                raise NotImplementedError(
                    "forward mode inside torch.compile would lose the tangents of this op: use "
                    "torch.func.jvp, jacfwd and hessian outside, or reverse mode"
                )
            return self._overload(*args)
        # Three names in this file have a leading underscore in torch, which has no public ones.
        if _in_forward_mode() or torch._C._are_functorch_transforms_active():
            return self._function.apply(*args)
        if torch.is_grad_enabled():
            for arg in args:
                if isinstance(arg, Tensor) and arg.requires_grad:
                    return self._overload(*args)
        # Past torch.library's autograd, a call of Python that small calls notice.
        with torch._C._AutoDispatchBelowAutograd():
            return self._overload(*args)


def values_merged() -> bool:
    """Whether the op just called met values other than 0 and 1, and its metric is one of sets.

    The kernels see it in passing; a look of its own at all rows would take as long as they do.
    """
    return not torch.compiler.is_compiling() and libraries.values_merged()


kernel_matmul = Op("kernel_matmul", _fake_matmul)
kernel_matmul_tangent = Op("kernel_matmul_tangent", _fake_matmul)
kernel_matmul_gradient = Op("kernel_matmul_gradient", _fake_gradient)
kernel_matmul_gradient_tangent = Op("kernel_matmul_gradient_tangent", _fake_gradient)
kernel_log_sum = Op("kernel_log_sum", _fake_log_sum)
