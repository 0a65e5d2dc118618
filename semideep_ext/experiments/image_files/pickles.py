"""Pickled dicts of arrays, followed without executing anything in them.

A pickle is a program for a small machine; "reading" one runs whatever it names. Here its
instructions are only looked at, and those that call something are noted, not carried out. What
numpy's arrays are pickled as is recognised among the notes; every other call stays a note.
"""

from __future__ import annotations

import math
import pickletools
from dataclasses import dataclass
from typing import Any

import numpy as np

_MARK = object()
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = {
    "BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "BINFLOAT", "FLOAT",
    "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
    "BINSTRING", "SHORT_BINSTRING", "STRING",
}  # fmt: skip
_EMPTY: dict[str, type] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_IGNORED = {"PROTO", "FRAME"}
_ARRAYS = {"numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"}


@dataclass
class Note:
    """A call that the pickle asks for, and the state that it would give the result."""

    name: str
    arguments: Any = None
    state: Any = None


def follow(content: bytes, path: str) -> Any:
    """Give what a pickle holds, with notes in place of calls.

    Raises
    ------
    ValueError
        For instructions that no dict of arrays needs, and for a pickle that is cut.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    try:
        for operation, argument, _ in pickletools.genops(content):
            if operation.name == "STOP":
                return stack.pop()
            _step(operation.name, argument, stack, memo)
    except (IndexError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path}: not a pickled dict of arrays ({error})") from error
    raise ValueError(f"{path}: a pickle without an end: the file is cut")


def _step(name: str, argument: Any, stack: list[Any], memo: dict[int, Any]) -> None:
    if name in _IGNORED:
        return
    if name in _VALUES:
        stack.append(argument)
    elif name in _CONSTANTS:
        stack.append(_CONSTANTS[name])
    elif name in _EMPTY:
        stack.append(_EMPTY[name]())
    elif name == "MARK":
        stack.append(_MARK)
    elif name in _TUPLES:
        items = [stack.pop() for _ in range(_TUPLES[name])]
        stack.append(tuple(reversed(items)))
    elif name in ("TUPLE", "LIST", "DICT"):
        made: Any = {"TUPLE": tuple, "LIST": list, "DICT": _pairs}[name]
        stack.append(made(_since_mark(stack)))
    elif name in ("APPEND", "APPENDS"):
        items = [stack.pop()] if name == "APPEND" else _since_mark(stack)
        _checked(stack[-1], list).extend(items)
    elif name in ("SETITEM", "SETITEMS"):
        items = [stack.pop(), stack.pop()][::-1] if name == "SETITEM" else _since_mark(stack)
        _checked(stack[-1], dict).update(_pairs(items))
    elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
        memo[argument] = stack[-1]
    elif name == "MEMOIZE":
        memo[len(memo)] = stack[-1]
    elif name in ("GET", "BINGET", "LONG_BINGET"):
        stack.append(memo[argument])
    elif name == "GLOBAL":
        stack.append(Note(argument.replace(" ", ".")))
    elif name == "STACK_GLOBAL":
        attribute, module = stack.pop(), stack.pop()
        stack.append(Note(f"{module}.{attribute}"))
    elif name == "REDUCE":
        arguments, function = stack.pop(), _checked(stack.pop(), Note)
        stack.append(_called(function.name, arguments))
    elif name == "BUILD":
        state = stack.pop()
        _checked(stack[-1], Note).state = state
    else:
        raise ValueError(f"it has the instruction {name}")


def _called(name: str, arguments: Any) -> Any:
    if name == "_codecs.encode":  # how protocol 2 writes bytes; nothing but text is encoded
        text, encoding = arguments
        if encoding in ("latin1", "latin-1"):
            return _checked(text, str).encode("latin-1")
    return Note(name, arguments)


def as_array(value: Any, path: str) -> np.ndarray:
    """Give the array of unsigned bytes that a note stands for.

    Raises
    ------
    ValueError
        If it is no such array, or its shape is not that of its bytes.
    """
    try:
        note = _checked(value, Note)
        _, shape, dtype, fortran, raw = note.state
        kind = _checked(dtype, Note)
        raw = raw.encode("latin-1") if isinstance(raw, str) else _checked(raw, bytes)
        shape = tuple(_checked(n, int) for n in shape)
        named = note.name in _ARRAYS and kind.name == "numpy.dtype"
        if not named or kind.arguments[0] not in ("u1", "|u1", b"u1") or fortran:
            raise ValueError(f"{note.name} of {kind.name} {kind.arguments}")
        if min(shape, default=0) < 0 or math.prod(shape) != len(raw):
            raise ValueError(f"shape {shape} of {len(raw)} bytes")
    except (TypeError, ValueError, UnicodeEncodeError) as error:
        raise ValueError(f"{path}: not an array of unsigned bytes ({error})") from error
    return np.frombuffer(raw, np.uint8).reshape(shape)


def _since_mark(stack: list[Any]) -> list[Any]:
    items: list[Any] = []
    while (item := stack.pop()) is not _MARK:
        items.append(item)
    return items[::-1]


def _pairs(items: list[Any]) -> dict[Any, Any]:
    return dict(zip(items[::2], items[1::2], strict=True))


def _checked(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"a {type(value).__name__} where a {kind.__name__} should be")
    return value
