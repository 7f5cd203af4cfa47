"""Arrays from other libraries and for them: DLPack, and how a notebook shows a Tensor."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from ..graph import numeric

if TYPE_CHECKING:
    from .tensor import Tensor

_CPU = (1, 0)  # kDLCPU of the DLPack header, and the first of its kind


def to_dlpack(x: Tensor, max_version: Any, dl_device: Any, copy: bool | None) -> Any:
    """A capsule of the numbers of a Tensor: of a copy, unless a read-only array is wanted.

    Not every library that reads DLPack knows that an array may be read-only.
    """
    if x.requires_grad:
        raise BufferError(
            "DLPack would drop the gradient of a tensor that requires grad; use .detach()"
        )
    if dl_device not in (None, _CPU):
        raise BufferError(f"expected the device {_CPU} (main memory), got {dl_device}")
    array: ndarray = x._array
    if copy is False:
        return _capsule(array, max_version=max_version, copy=False)
    return _capsule(array.copy(), max_version=max_version)


def _capsule(array: ndarray, **keywords: Any) -> Any:
    try:
        return array.__dlpack__(**keywords)
    except TypeError:  # NumPy 2.0 knows no keywords
        return array.__dlpack__()


def taken_in(data: Any) -> Any:
    """Data for ``np.asarray``: an object that has only DLPack becomes an array."""
    if hasattr(data, "__dlpack__") and not hasattr(data, "__array__"):
        return np.from_dlpack(data)
    return data


# ── in a notebook ────────────────────────────────────────────────────────────────────────

_ROWS, _COLUMNS = 10, 10  # shown of a matrix


def html_of(x: Tensor) -> str:
    """The dtype, shape and numbers of a Tensor, as HTML."""
    parts = [f"<b>{type(x).__name__}</b>"]
    if x.name:
        parts.append(f"<code>{escape(x.name)}</code>")
    parts += [str(x.dtype), str(x.shape)]
    if x.requires_grad:
        parts.append("requires grad")
    if x.grad is not None:
        parts.append(f"gradient of norm {np.linalg.norm(x.grad.ravel()):.4g}")
    array = numeric(x, "_repr_html_")
    body = _table(array) if array.ndim == 2 and array.size else _lines(array)
    return f"<div>{' &middot; '.join(parts)}{body}</div>"


def _lines(array: ndarray) -> str:
    return f"<pre>{escape(np.array2string(array, threshold=100, edgeitems=3))}</pre>"


def _table(array: ndarray) -> str:
    """A matrix as a table; of a large matrix only the first and last rows and columns."""
    rows = _shown(array.shape[0], _ROWS)
    columns = _shown(array.shape[1], _COLUMNS)
    lines = [["", *("&hellip;" if j is None else str(j) for j in columns)]]
    lines += [
        ["&vellip;" if i is None else str(i), *(_cell(array, i, j) for j in columns)] for i in rows
    ]
    heads = "".join(f"<th>{text}</th>" for text in lines[0])
    body = "".join(
        f"<tr><th>{head}</th>{''.join(f'<td>{text}</td>' for text in cells)}</tr>"
        for head, *cells in lines[1:]
    )
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def _cell(array: ndarray, i: int | None, j: int | None) -> str:
    if i is None or j is None:
        return "" if i is None and j is None else "&vellip;" if i is None else "&hellip;"
    value = array[i, j]
    return f"{value:.4g}" if array.dtype.kind == "f" else str(value)


def _shown(n: int, most: int) -> list[int | None]:
    """The numbers from 0 to n - 1; if they are many, the first and last, with None between."""
    if n <= most:
        return list(range(n))
    half = most // 2
    return [*range(half), None, *range(n - half, n)]


__all__ = ["html_of", "taken_in", "to_dlpack"]
