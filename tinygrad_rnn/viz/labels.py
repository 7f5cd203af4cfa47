"""The words in a picture: names of operations, arrays and gradients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy import ndarray

from ..bptt.structure import getitem
from ..graph import Node, Primitive
from ..ops import primitives

#: Keywords that repeat what the shape of the output says.
_redundant = frozenset({"shape", "keepdims"})
_longest = 24
MOST = 40  #: the largest number of columns of a name

_place, _einsum = primitives.place, primitives.einsum


def name(text: str) -> str:
    """A name, without its middle if it is too long for a box."""
    return text if len(text) <= MOST else f"{text[: MOST // 2]}…{text[-MOST // 2 + 1 :]}"


# ── operations ───────────────────────────────────────────────────────────────────────────


def operation(node: Node) -> str:
    """``σ``, ``× 2.0``, ``[:, 0:4]``, ``Σ axis=0``: an operation with its constants."""
    primitive = node.primitive
    assert primitive is not None
    if primitive is getitem:
        return _index(node.keywords["index"])
    scalars = [
        None if isinstance(parent, Node) or x is None or has_box(x, parent) else _number(x)
        for x, parent in zip(node.arrays, node.parents, strict=True)
    ]
    symbol = primitive.sign
    if symbol and len(scalars) == 2:
        return " ".join(part for part in (scalars[0], symbol, scalars[1]) if part)
    title = symbol or str(primitive)
    if any(scalars):
        title += f"({', '.join(s or '·' for s in scalars)})"
    return " ".join([title, *_constants(primitive, node.keywords)])


def has_box(x: Any, name: str | None) -> bool:
    """Whether a constant is drawn; a plain number is part of its operation's title instead."""
    return isinstance(x, ndarray) and (x.ndim > 0 or bool(name))


def _number(x: Any) -> str:
    value = x.item() if isinstance(x, ndarray) else x
    text = repr(value)
    return text if len(text) <= 8 else f"{value:.4g}"


def _constants(primitive: Primitive, keywords: Mapping[str, Any]) -> list[str]:
    if primitive is _einsum:
        return [f"{','.join(keywords['operands'])}→{keywords['result']}"]
    if primitive is _place:
        return [_index(keywords["index"])]
    return [
        f"{key}={_short(str(x))}"
        for key, x in keywords.items()
        if key not in _redundant and x is not None and x is not False
    ]


def _index(index: Any) -> str:
    parts = index if isinstance(index, tuple) else (index,)
    return f"[{_short(', '.join(map(_part, parts)))}]"


def _part(part: Any) -> str:
    if isinstance(part, slice):
        ends = ["" if end is None else str(end) for end in (part.start, part.stop)]
        return ":".join(ends) + ("" if part.step is None else f":{part.step}")
    if isinstance(part, ndarray) and part.ndim:
        return f"{part.dtype} {part.shape}"
    return "..." if part is Ellipsis else str(part)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _longest else text[: _longest - 1] + "…"


# ── arrays ───────────────────────────────────────────────────────────────────────────────


def shape(array: ndarray, common: np.dtype[Any]) -> str:
    """``(2, 3)``, with the dtype if it is not the common one."""
    text = str(array.shape) if array.shape else "scalar"
    return text if array.dtype == common else f"{text} {array.dtype}"


def values(array: ndarray) -> list[str]:
    """The rounded elements, one line for each row; for a large array the first and last few."""
    rows = array if array.ndim <= 2 else array.reshape(-1)
    text = np.array2string(rows, precision=3, threshold=12, edgeitems=2, max_line_width=60)
    return text.split("\n")


def crossing(nodes: Iterable[Any], common: np.dtype[Any]) -> str:
    """The values on one edge: their names, or their shapes if they have no names."""
    counts: dict[str, int] = {}
    for node in nodes:
        text = node.name or shape(node.output, common)
        counts[text] = counts.get(text, 0) + 1
    texts = [text if n == 1 else f"{n} × {text}" for text, n in counts.items()]
    return name(", ".join(texts))


# ── time and gradients ───────────────────────────────────────────────────────────────────


def steps(counts: Iterable[int]) -> str:
    """The number of time steps in a box, in one loop or in several."""
    numbers = list(counts)
    if len(numbers) > 2 and len(set(numbers)) == 1:
        return f"{len(numbers)} × {numbers[0]} steps"
    return "1 step" if numbers == [1] else f"{' + '.join(map(str, numbers))} steps"


def left_out(first: int, last: int, count: int) -> str:
    """The text for the steps that ``max_steps`` omits."""
    which = f"{first}" if count == 1 else f"{first} to {last}"
    return f"... {steps([count])} ({which}) left out ..."


def norm(value: float) -> str:
    """The norm of a gradient, in three digits."""
    return f"|grad| = {value:.3g}"
