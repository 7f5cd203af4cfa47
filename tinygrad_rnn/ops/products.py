"""Matrix products: matmul, linear (x W^T + b) and einsum.

A product is linear in each factor, so each rule is again a product, with the cotangent instead of
the factor. A factor that was broadcast over a batch gets the sum over this batch.
"""

from __future__ import annotations

import functools
import math
import string
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from ..graph import (
    Array,
    Blocks,
    ForEach,
    Operand,
    Primitive,
    apply,
    differentiable,
    located,
    table,
)
from .arrays import alike, shape_of
from .blocks import matrices
from .reductions import sum as sum_
from .shaping import broadcast_to, expand_dims, reshape, sum_to, swapaxes

__all__ = [
    "einsum",
    "linear",
    "matmul",
]


def _rows(x: Array) -> Array:
    """Join all leading axes: (..., n) becomes a matrix of rows."""
    return x if x.ndim == 2 else reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


def _matmul_left(g: Array, z: Array, x: Array, y: Array) -> Array:
    if x.ndim == y.ndim == 2:
        return g @ y.T
    # matmul treats a vector as a matrix of one row (x) or one column (y), and drops that axis from
    # the product. The rule puts the axis back, multiplies matrices, and drops it again.
    if x.ndim == 1:
        g = expand_dims(g, -2 if y.ndim > 1 else 0)
    if y.ndim == 1:
        g, y = expand_dims(g, -1), expand_dims(y, 1)
    left = g @ swapaxes(y, -1, -2)
    return reshape(sum_to(left, (1, *x.shape) if x.ndim == 1 else x.shape), x.shape)


def _matmul_right(g: Array, z: Array, x: Array, y: Array) -> Array:
    if x.ndim == y.ndim == 2:
        return x.T @ g
    if y.ndim == 2 and x.ndim > 2:  # one matrix for the whole batch: one large product
        return swapaxes(_rows(x), 0, 1) @ _rows(g)
    if y.ndim == 1:
        g = expand_dims(g, -1)
    if x.ndim == 1:
        g, x = expand_dims(g, -2), expand_dims(x, 0)
    right = swapaxes(x, -1, -2) @ g
    return reshape(sum_to(right, (*y.shape, 1) if y.ndim == 1 else y.shape), y.shape)


# ── products on blocks ───────────────────────────────────────────────────────────────────

#: Up to this many multiplications, OpenBLAS multiplies matrices directly. It copies larger ones
#: first, which is too slow for few rows.
_uncopied = 1_000_000


@functools.lru_cache(1024)
def _rows_at_a_time(rows: int, inner: int, columns: int) -> int:
    """The number of rows to multiply at a time with one matrix; 0 for all."""
    most = min(64, _uncopied // max(1, inner * columns))
    return max((n for n in range(8, most + 1) if rows % n == 0), default=0)


def product_of_rows(x: ndarray, matrix: ndarray) -> ndarray:
    """x @ matrix for x (T, n, k), as one product of T n rows or of a few rows at a time."""
    steps, n, k = x.shape
    rows = steps * n
    few = _rows_at_a_time(rows, k, matrix.shape[1]) if matrix.dtype.char in "fd" else 0
    if few and few < rows:
        y: ndarray = np.matmul(x.reshape(rows // few, few, k), np.ascontiguousarray(matrix))
    else:
        y = np.matmul(x.reshape(rows, k), matrix)
    return y.reshape(steps, n, matrix.shape[1])


def _matmul_blocks(keywords: dict[str, Any], operands: Sequence[Operand]) -> Blocks:
    x, y = operands
    # One matrix for all steps: the rows of all steps are one product.
    if x.over_time and not y.over_time and len(y.shape) <= 2:
        return product_of_rows if len(x.shape) == len(y.shape) == 2 else np.matmul
    rank = max(len(x.shape), len(y.shape), 2)

    def call(x_block: ndarray, y_block: ndarray) -> Any:
        # A vector gets an axis to become a matrix; the product loses this axis again.
        left = matrices(x_block, x, rank, (1, *x.shape) if len(x.shape) == 1 else x.shape)
        right = matrices(y_block, y, rank, (*y.shape, 1) if len(y.shape) == 1 else y.shape)
        z = np.matmul(left, right)
        if len(y.shape) == 1:
            z = z[..., 0]
        if len(x.shape) == 1:
            z = z[..., 0] if len(y.shape) == 1 else z[..., 0, :]
        return z

    return call


def subscripts_over_time(
    keywords: dict[str, Any], operands: Sequence[Operand]
) -> tuple[str, str] | None:
    """The subscripts of einsum's operands as blocks, and the letter of the time axis.

    None if no letter is left.
    """
    names = keywords["operands"]
    used = set(keywords["result"]).union(*names)
    time = next((letter for letter in string.ascii_letters if letter not in used), None)
    if time is None:
        return None
    terms = [time + name if x.over_time else name for name, x in zip(names, operands, strict=True)]
    return ",".join(terms), time


def _einsum_blocks(keywords: dict[str, Any], operands: Sequence[Operand]) -> Blocks | None:
    found = subscripts_over_time(keywords, operands)
    if found is None:
        return None
    terms, time = found
    subscripts = f"{terms}->{time}{keywords['result']}"
    return lambda *xs: np.einsum(subscripts, *xs, optimize=len(xs) > 1)


# ── matmul and linear ────────────────────────────────────────────────────────────────────


@differentiable(
    np.matmul,
    _matmul_left,
    _matmul_right,
    rowwise=True,
    batch=_matmul_blocks,
    linear="each",
    symbol="@",
    expects="(..., n, k) or (k,) times (..., k, m) or (k,)",
    onnx="MatMul",
)
def matmul(x: Array, y: Array) -> Array:
    """``z_ij = sum_k x_ik y_kj``; dL/dx = g y^T, dL/dy = x^T g.

    Args:
        x: (..., n, k) or (k,).
        y: (..., k, m) or (k,). Leading axes broadcast.

    Returns:
        (..., n, m), without n for a vector x, and without m for a vector y.

    Raises:
        ValueError: the inner lengths differ, or an argument is a scalar.

    >>> matmul([[1.0, 2.0]], [[3.0], [4.0]])
    array([[11.]])
    """


def _linear_blocks(
    keywords: dict[str, Any], operands: Sequence[Operand]
) -> Blocks | dict[str, Any] | None:
    x, W, b = operands
    if not W.over_time and not b.over_time and x.over_time and x.shape:
        return {}

    def call(x_block: Any, W_block: Any, b_block: Any) -> Any:
        product = _matmul_blocks({}, [x, Operand(W.shape[::-1], W.over_time)])
        y = product(x_block, W_block.swapaxes(-1, -2))
        if b_block is None:
            return y
        if b.over_time:
            b_block = b_block.reshape(len(b_block), *(1,) * (len(x.shape) - 1), *b.shape)
        return y + b_block

    return call if x.over_time or W.over_time else None


@differentiable(
    lambda g, y, x, W, b: matmul(g, W),
    lambda g, y, x, W, b: (
        matmul(_rows(g).T, _rows(x)) if x.ndim > 1 else matmul(expand_dims(g, 1), expand_dims(x, 0))
    ),
    lambda g, y, x, W, b: sum_(g, tuple(range(g.ndim - 1))),
    rowwise=True,
    batch=_linear_blocks,
    linear=((0, 2), (1, 2)),
)
def linear(x: Array, W: Array, b: Array = None) -> Array:
    """``y = x W^T + b``; dL/dx = g W, dL/dW = g^T x, dL/db = g summed over the batch.

    Args:
        x: (..., D).
        W: (H, D).
        b: (H,) or None.

    Returns:
        (..., H).

    Raises:
        ValueError: the shapes do not fit.

    >>> linear([1.0, 2.0], [[3.0, 4.0]], [0.5])
    array([11.5])
    """
    try:
        # One product of all rows: np.matmul of (N, T, D) with one matrix would make N small
        # products.
        rows = x if x.ndim < 3 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
        y = np.matmul(rows, W.T)
    except (ValueError, AttributeError):  # AttributeError: a Python number
        y = None
    if y is None or np.ndim(W) != 2:
        raise ValueError(
            f"expected x (..., D) and W (H, D), got x {np.shape(x)} and W {np.shape(W)}"
        )
    if b is not None:
        if type(b) is not ndarray or b.ndim != 1 or len(b) != len(W):
            raise ValueError(f"expected b of shape ({len(W)},), got {np.shape(b)}")
        y = y + b
    return y if x.ndim < 3 else y.reshape(*x.shape[:-1], len(W))


# ── einsum ───────────────────────────────────────────────────────────────────────────────


def _explicit(subscripts: str, shapes: list[tuple[int, ...]]) -> tuple[list[str], str]:
    """The letters of each operand and of the result, with ``...`` and ``->`` spelled out."""
    inputs, arrow, result = subscripts.replace(" ", "").partition("->")
    operands = inputs.split(",")
    if len(operands) != len(shapes):
        raise ValueError(
            f"einsum: {subscripts!r} names {len(operands)} operands, got {len(shapes)}"
        )
    spare = [c for c in string.ascii_uppercase + string.ascii_lowercase if c not in inputs]
    batch = ""
    for i, (letters, shape) in enumerate(zip(operands, shapes, strict=True)):
        named = letters.replace("...", "")
        if letters.count("...") > 1 or not (named.isascii() and (named.isalpha() or not named)):
            raise ValueError(f"einsum: cannot read the subscripts {letters!r} in {subscripts!r}")
        extra = len(shape) - len(named)
        if extra < 0 or (extra and "..." not in letters):
            raise ValueError(
                f"einsum: {letters!r} has {len(named)} subscripts for operand {i} of shape {shape}"
            )
        # ``...`` stands for letters that nobody uses, counted from the last axis: so the dots of
        # two operands of different rank share their last letters, as in broadcasting.
        hidden = "".join(spare[-extra:]) if extra else ""
        operands[i] = letters.replace("...", hidden)
        batch = hidden if len(hidden) > len(batch) else batch
    if not arrow:
        # Without an arrow the result has the letters that occur once, in alphabetical order.
        every = "".join(operands)
        result = "..." + "".join(
            sorted(c for c in set(every) if every.count(c) == 1 and c not in batch)
        )
    result = result.replace("...", batch)
    for letter in result:
        if not any(letter in letters for letters in operands) or result.count(letter) > 1:
            raise ValueError(f"einsum: cannot read the result of {subscripts!r}")
    return operands, result


def _einsum_rule(index: int, g: Array, y: Array, *xs: Array, operands: Any, result: str) -> Array:
    """The same einsum, with the operand and the result exchanged.

    For C_ik = sum_j A_ij B_jk, the letters ``ij,jk->ik``, the gradient of A is ``ik,jk->ij``.
    """
    x = xs[index]
    wanted = operands[index]
    others = [(operands[i], xs[i]) for i in range(len(xs)) if i != index]
    sizes = dict(zip(wanted, x.shape, strict=True))
    # A repeated letter reads a diagonal: the gradient is a matrix with this diagonal, else 0.
    names, seen = "", set(result) | set("".join(operands))
    for letter in wanted:
        if letter in names:
            fresh = next(c for c in string.ascii_letters if c not in seen)
            seen.add(fresh)
            others.append((letter + fresh, np.eye(sizes[letter], dtype=x.dtype)))
            letter = fresh
        names += letter
    # "ij->i" of A: the rule is "i->i", and A's axis j is filled in below.
    known = set(result).union(*(letters for letters, _ in others))
    found = "".join(c for c in names if c in known)
    terms = ",".join([result, *(letters for letters, _ in others)])
    contribution = einsum(f"{terms}->{found}", g, *(other for _, other in others))
    # Axes that only this operand has were summed: all elements along them get the same gradient.
    shape = iter(shape_of(contribution))
    contribution = reshape(contribution, tuple(next(shape) if c in known else 1 for c in names))
    # An axis of length 1 may have been broadcast against a longer one.
    grown = tuple(c if n == 1 else n for c, n in zip(shape_of(contribution), x.shape, strict=True))
    return sum_to(broadcast_to(contribution, grown), x.shape)


def _einsum_forward(*xs: Array, operands: Any, result: str) -> Array:
    return np.einsum(f"{','.join(operands)}->{result}", *alike(*xs))


_einsum = table["einsum"] = Primitive(
    "einsum",
    _einsum_forward,
    ForEach(_einsum_rule),
    batch=_einsum_blocks,
    view=lambda keywords: "maybe" if len(keywords["operands"]) == 1 else False,
    linear="each",
)


@located
def einsum(subscripts: str, *operands: Array) -> Array:
    """Einstein's summation: ``einsum("ij,jk->ik", x, y)`` is ``z_ik = sum_j x_ij y_jk``.

    Shapes: given by the subscripts; each letter is an axis.

    Args:
        subscripts: as for ``np.einsum``, including ``...``, repeated letters (diagonals) and an
            implicit result.
        *operands: one for each comma-separated term.

    Raises:
        ValueError: the subscripts do not fit the operands.

    Source: https://numpy.org/doc/stable/reference/generated/numpy.einsum.html

    >>> einsum("i,i->", [1.0, 2.0], [3.0, 4.0])
    array(11.)
    """
    if not isinstance(subscripts, str):
        raise TypeError(f"einsum: expected subscripts (str), got {type(subscripts).__name__}")
    names, result = _explicit(subscripts, [shape_of(x) for x in operands])
    for letters, x in zip(names, operands, strict=True):
        # NumPy notices this too, but not where the first size is 0: it returns unfilled memory.
        shape = shape_of(x)
        if len(set(zip(letters, shape, strict=True))) > len(set(letters)):
            raise ValueError(
                f"einsum: the axes of a repeated letter of {letters!r} must have one size, got "
                f"shape {shape}"
            )
    return apply(_einsum, operands, {"operands": tuple(names), "result": result})
