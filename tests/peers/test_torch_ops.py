"""Every operation beside PyTorch's: values, first and second gradients, in float64.

One row per case: our function, theirs, the inputs. A row's check compares, to a relative 1e-9,

    y = f(x),   dL/dx for L = <u, y>,   and all derivatives of <v, dL/dx> for x and for u,

with random cotangents u and v; and ``backward()``, which runs the same rules on plain arrays.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_rnn as tg

torch = pytest.importorskip("torch")
F = torch.nn.functional
pytestmark = pytest.mark.peers

RTOL, ATOL = 1e-9, 1e-11


class Row(NamedTuple):
    op: str
    ours: Callable[..., Any]
    theirs: Callable[..., Any]
    inputs: Sequence[np.ndarray]


def number(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers away from 0, where kinks are."""
    return rng.uniform(0.2, 2.0, shape) * rng.choice([-1.0, 1.0], shape)


def some(*shapes: tuple[int, ...], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [number(rng, shape) for shape in shapes]


def positive(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    return [np.abs(x) for x in some(*shapes)]


def scalar(y: Any, cotangents: Sequence[Any]) -> Any:
    """<cotangents, y> of one output or several, in the library that y is of."""
    parts = y if isinstance(y, (list, tuple)) else [y]
    total: Any = 0.0
    for part, u in zip(parts, cotangents, strict=True):
        total = total + (part * u).sum()
    return total


def close(ours: Any, theirs: Any, what: str) -> None:
    array = theirs.numpy(force=True)
    assert ours.shape == array.shape, what
    assert ours.dtype == array.dtype, what
    np.testing.assert_allclose(ours.numpy(), array, rtol=RTOL, atol=ATOL, err_msg=what)


def compare(
    ours: Callable[..., Any], theirs: Callable[..., Any], inputs: Sequence[np.ndarray]
) -> None:
    rng = np.random.default_rng(1)
    xs = [tg.Tensor(x, requires_grad=True) for x in inputs]
    zs = [torch.tensor(x, requires_grad=True) for x in inputs]
    y, z = ours(*xs), theirs(*zs)
    several = isinstance(y, (list, tuple))
    ys, outs = (list(y), list(z)) if several else ([y], [z])
    assert len(ys) == len(outs)
    for part, other in zip(ys, outs, strict=True):
        close(part, other, "value")

    # First: dL/dx with live cotangents, so that the second also differentiates for them.
    cotangents = [rng.standard_normal(part.shape).astype(part.dtype) for part in ys]
    us = [tg.Tensor(u, requires_grad=True) for u in cotangents]
    ws = [torch.tensor(u, requires_grad=True) for u in cotangents]
    first = tg.grad(scalar(ys, us), xs, create_graph=True)
    others = torch.autograd.grad(
        scalar(outs, ws), zs, create_graph=True, allow_unused=True, materialize_grads=True
    )
    for i, (g, other) in enumerate(zip(first, others, strict=True)):
        close(g, other, f"first gradient, input {i}")

    vs = [rng.standard_normal(x.shape) for x in inputs]
    second = tg.grad(scalar(first, [tg.Tensor(v) for v in vs]), [*xs, *us])
    other_first = scalar(others, [torch.tensor(v) for v in vs])
    again = (
        torch.autograd.grad(other_first, [*zs, *ws], allow_unused=True, materialize_grads=True)
        if other_first.requires_grad
        else [torch.zeros_like(x) for x in (*zs, *ws)]  # the derivative of x^0 is no function
    )
    for i, (g, other) in enumerate(zip(second, again, strict=True)):
        close(g, other, f"second gradient, variable {i}")

    # The sweep on plain arrays.
    scalar(ys, [u.detach() for u in us]).backward()
    for x, other in zip(xs, others, strict=True):
        np.testing.assert_allclose(x.grad, other.numpy(force=True), rtol=RTOL, atol=ATOL)


# ── the table ────────────────────────────────────────────────────────────────────────────


def elementwise() -> list[Row]:
    rows = []
    shapes: list[tuple[int, ...]] = [(), (3,), (2, 0), (2, 3)]
    for op, theirs in {
        "negative": torch.neg,
        "abs": torch.abs,
        "exp": torch.exp,
        "square": torch.square,
        "sin": torch.sin,
        "cos": torch.cos,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "relu": F.relu,
        "softplus": F.softplus,
        "erf": torch.erf,
        "positive": torch.positive,
    }.items():
        rows += [Row(op, getattr(tg, op), theirs, some(shape)) for shape in shapes]
    for op, theirs in {"log": torch.log, "log1p": torch.log1p, "sqrt": torch.sqrt}.items():
        rows += [Row(op, getattr(tg, op), theirs, positive(shape)) for shape in shapes]
    pairs = [((), ()), ((3,), ()), ((2, 3), (3,)), ((2, 1), (1, 3)), ((0, 3), (3,)), ((1,), (0,))]
    for op, theirs in {
        "add": torch.add,
        "subtract": torch.subtract,
        "multiply": torch.multiply,
        "divide": torch.divide,
        "maximum": torch.maximum,
        "minimum": torch.minimum,
    }.items():
        ours = getattr(tg, op)
        rows += [Row(op, ours, theirs, some(*pair)) for pair in pairs]
        # Python numbers on either side, and the same tensor twice.
        rows.append(Row(op, lambda x, f=ours: f(x, 2.5), _with(theirs, 2.5), some((3,))))
        rows.append(Row(op, lambda x, f=ours: f(2.5, x), _with_left(theirs, 2.5), some((3,))))
    rows += [Row("power", tg.power, torch.pow, positive(*pair)) for pair in pairs]
    for exponent in (0, 1, 2, 3, -1, 0.5, -2.5):
        rows.append(
            Row("power", lambda x, e=exponent: x**e, lambda x, e=exponent: x**e, positive((2, 3)))
        )
    for base in (2, 0.5, 3.7):
        rows.append(Row("power", lambda x, b=base: b**x, lambda x, b=base: b**x, some((2, 3))))
    # Whole exponents of negative numbers and of 0.
    whole = np.array([-2.0, 0.0, 3.0, 0.0])
    rows += [
        Row("power", lambda x, e=e: x**e, lambda x, e=e: x**e, [whole]) for e in (0, 1, 2, 3, 4)
    ]
    rows += [
        Row("clip", lambda x: tg.clip(x, -0.7, 0.9), lambda x: x.clamp(-0.7, 0.9), some(shape))
        for shape in shapes
    ]
    bounds = np.array([-1.0, -0.1, 0.4])
    rows += [
        Row("clip", lambda x: tg.clip(x, 0.3), lambda x: x.clamp(0.3), some((2, 3))),
        Row("clip", lambda x: x.clip(max=0.3), lambda x: x.clamp(max=0.3), some((2, 3))),
        Row(
            "clip",
            lambda x: tg.clip(x, bounds, 1.0),
            lambda x: x.clamp(torch.tensor(bounds), torch.tensor(1.0, dtype=torch.float64)),
            some((2, 3)),
        ),
        # Elements on a bound pass the gradient in both.
        Row("clip", lambda x: tg.clip(x, -1, 1), lambda x: x.clamp(-1, 1), [np.array([-1.0, 1.0])]),
        Row("clip", tg.clip, lambda x: x * 1, some((2,))),
    ]
    binary = tg.ops.special._binary_cross_entropy
    rng = np.random.default_rng(0)
    for pair in (((2, 3), (2, 3)), ((3,), (3,)), ((), ()), ((0, 2), (0, 2))):
        xy = [rng.uniform(0.05, 0.95, shape) for shape in pair]
        rows.append(
            Row(
                "_binary_cross_entropy",
                binary,
                lambda x, y: F.binary_cross_entropy(x, y, reduction="none"),
                xy,
            )
        )
    mask = np.array([[True, False, True], [False, False, True]])
    for pair in (((2, 3), (2, 3)), ((3,), (2, 1)), ((), ()), ((2, 3), ())):
        rows.append(
            Row(
                "where",
                lambda x, y: tg.where(mask, x, y),
                lambda x, y: torch.where(torch.tensor(mask), x, y),
                some(*pair),
            )
        )
    rows.append(
        Row(
            "where",
            lambda x: tg.where(x > 0, x * x, 0.0),
            lambda x: torch.where(x > 0, x * x, 0.0),
            some((4,)),
        )
    )
    kept = tg.dropout(np.ones((3, 4)), 0.4, rng=7)
    rows += [
        Row(
            "dropout",
            lambda x: tg.dropout(x, 0.4, rng=7),
            lambda x: x * torch.tensor(kept),
            some((3, 4)),
        ),
        Row(
            "dropout",
            lambda x: tg.dropout(x, 0.4, training=False) * 1.0,
            lambda x: F.dropout(x, 0.4, training=False) * 1.0,
            some((3, 4)),
        ),
        Row("dropout", lambda x: tg.dropout(x, 1.0), lambda x: F.dropout(x, 1.0), some((3, 4))),
    ]
    return rows


def _with(f: Callable[..., Any], c: float) -> Callable[..., Any]:
    return lambda x: f(x, torch.tensor(c, dtype=torch.float64))


def _with_left(f: Callable[..., Any], c: float) -> Callable[..., Any]:
    return lambda x: f(torch.tensor(c, dtype=torch.float64), x)


def reductions() -> list[Row]:
    rows = []
    axes: list[tuple[tuple[int, ...], Any]] = [
        ((), None),
        ((3,), None),
        ((3,), 0),
        ((2, 3), -1),
        ((2, 3, 4), (0, 2)),
        ((2, 3, 4), (-1, 0)),
        ((0, 3), 1),
        ((1, 3), 0),
    ]
    for keepdims in (False, True):
        for shape, axis in axes:
            dim = tuple(range(len(shape))) if axis is None else axis
            for op, theirs in {
                "sum": torch.sum,
                "mean": torch.mean,
                "max": torch.amax,
                "min": torch.amin,
                "logsumexp": torch.logsumexp,
            }.items():
                ours = getattr(tg, op)
                rows.append(
                    Row(
                        op,
                        lambda x, f=ours, a=axis, k=keepdims: f(x, axis=a, keepdims=k),
                        lambda x, f=theirs, d=dim, k=keepdims: f(x, dim=d, keepdim=k),
                        some(shape),
                    )
                )
    # The sum over an axis of length 0 is 0.
    rows.append(Row("sum", lambda x: tg.sum(x, 0), lambda x: x.sum(0), some((0, 3))))
    for shape, axis in (((3,), -1), ((2, 3), 0), ((2, 3, 4), 1), ((), -1), ((0, 3), -1)):
        for op, theirs in {"softmax": F.softmax, "log_softmax": F.log_softmax}.items():
            ours = getattr(tg, op)
            rows.append(
                Row(
                    op,
                    lambda x, f=ours, a=axis: f(x, a),
                    lambda x, f=theirs, a=axis: f(x, dim=a),
                    some(shape),
                )
            )
    rows += [
        Row("softmax", tg.softmax, lambda x: F.softmax(x, -1), some((2, 3))),
        Row("log_softmax", tg.log_softmax, lambda x: F.log_softmax(x, -1), some((2, 3))),
        Row("logsumexp", tg.logsumexp, lambda x: x.logsumexp((0, 1)), some((2, 3))),
        Row(
            "softmax",
            lambda x: tg.softmax(x, (0, 2)),
            lambda x: (x - x.logsumexp((0, 2), keepdim=True)).exp(),
            some((2, 3, 2)),
        ),
    ]
    for shape, axis in (((4,), 0), ((2, 3), -1), ((2, 3, 2), 1), ((0, 3), 0)):
        rows.append(
            Row(
                "cumsum",
                lambda x, a=axis: tg.cumsum(x, a),
                lambda x, a=axis: x.cumsum(a),
                some(shape),
            )
        )
    rows.append(Row("cumsum", tg.cumsum, lambda x: x.flatten().cumsum(0), some((2, 3))))
    return rows


def shaping() -> list[Row]:
    x = some((2, 3, 4))
    permutation = (2, 0, 1)
    return [
        Row("reshape", lambda x: tg.reshape(x, (4, -1)), lambda x: x.reshape(4, -1), x),
        Row("reshape", lambda x: x.reshape(-1), lambda x: x.reshape(-1), some(())),
        Row("reshape", lambda x: x.reshape(0, 5), lambda x: x.reshape(0, 5), some((3, 0))),
        Row("transpose", lambda x: x.T, lambda x: x.permute(2, 1, 0), x),
        Row("transpose", lambda x: x.transpose(2, 0, 1), lambda x: x.permute(2, 0, 1), x),
        Row("transpose", lambda x: tg.transpose(x, permutation), lambda x: x.permute(2, 0, 1), x),
        Row("transpose", lambda x: tg.transpose(x, (-1, 0, -2)), lambda x: x.permute(2, 0, 1), x),
        Row("transpose", lambda x: x.mT, lambda x: x.mT, x),
        Row("swapaxes", lambda x: x.swapaxes(0, -1), lambda x: x.swapaxes(0, -1), x),
        Row("moveaxis", lambda x: tg.moveaxis(x, 0, -1), lambda x: x.moveaxis(0, -1), x),
        Row(
            "moveaxis",
            lambda x: tg.moveaxis(x, (0, 2), (1, 0)),
            lambda x: x.moveaxis((0, 2), (1, 0)),
            x,
        ),
        Row("squeeze", tg.squeeze, lambda x: x.squeeze(), some((1, 3, 1))),
        Row("squeeze", lambda x: tg.squeeze(x, -1), lambda x: x.squeeze(-1), some((1, 3, 1))),
        Row("squeeze", lambda x: x.squeeze((0, 2)), lambda x: x.squeeze((0, 2)), some((1, 3, 1))),
        Row("expand_dims", lambda x: tg.expand_dims(x, 1), lambda x: x.unsqueeze(1), x),
        Row("expand_dims", lambda x: tg.expand_dims(x, -1), lambda x: x.unsqueeze(-1), some(())),
        Row("expand_dims", lambda x: tg.expand_dims(x, (0, 2)), lambda x: x[None, :, None], x),
        Row(
            "broadcast_to",
            lambda x: tg.broadcast_to(x, (4, 2, 3)),
            lambda x: x.broadcast_to((4, 2, 3)),
            some((2, 1)),
        ),
        Row(
            "broadcast_to",
            lambda x: tg.broadcast_to(x, (0, 3)),
            lambda x: x.broadcast_to((0, 3)),
            some((3,)),
        ),
        Row(
            "concatenate",
            lambda x, y: tg.concatenate([x, y, x]),
            lambda x, y: torch.cat([x, y, x]),
            some((2, 3), (1, 3)),
        ),
        Row(
            "concatenate",
            lambda x, y: tg.concatenate([x, y], axis=-1),
            lambda x, y: torch.cat([x, y], -1),
            some((2, 3), (2, 0)),
        ),
        Row(
            "concatenate",
            lambda x, y: tg.concatenate([x, y], axis=None),
            lambda x, y: torch.cat([x.flatten(), y.flatten()]),
            some((2, 3), (2,)),
        ),
        Row(
            "stack",
            lambda x, y: tg.stack([x, y], axis=-1),
            lambda x, y: torch.stack([x, y], -1),
            some((2, 3), (2, 3)),
        ),
        Row("stack", lambda x: tg.stack([x, x]), lambda x: torch.stack([x, x]), some(())),
        Row("split", lambda x: tg.split(x, 2, -1), lambda x: x.tensor_split(2, -1), x),
        Row("split", lambda x: tg.split(x, [1, 1], 1), lambda x: x.tensor_split([1, 1], 1), x),
        Row("flip", tg.flip, lambda x: x.flip((0, 1, 2)), x),
        Row("flip", lambda x: tg.flip(x, -1), lambda x: x.flip(-1), x),
        Row("flip", lambda x: tg.flip(x, (0, 2)), lambda x: x.flip((0, 2)), x),
        Row("pad", lambda x: tg.pad(x, 2), lambda x: F.pad(x, (2, 2)), some((3,))),
        Row(
            "pad",
            lambda x: tg.pad(x, ((1, 0), (0, 2)), constant_values=3.0),
            lambda x: F.pad(x, (0, 2, 1, 0), value=3.0),
            some((2, 3)),
        ),
        Row("pad", lambda x: tg.pad(x, ((1, 2),)), lambda x: F.pad(x, (1, 2)), some((0,))),
        Row("astype", lambda x: x.astype(np.float32), lambda x: x.float(), some((2, 3))),
    ]


def indexing() -> list[Row]:
    x = some((3, 4, 2))
    rows_, columns = np.array([2, 0, 2]), np.array([1, 1, -1])
    mask = np.array([True, False, True])
    elements = some((3, 4, 2))[0] > 0
    ids = np.array([[1, 0, 1], [2, 2, 2]])
    cases: dict[str, Any] = {
        "integer": 1,
        "negative": -1,
        "slice": slice(1, None),
        "step": slice(None, None, 2),
        "empty slice": slice(2, 2),
        "basic tuple": (slice(None), 1, slice(0, 1)),
        "None": (None, 0, None),
        "Ellipsis": (..., 0),
        "nothing": (),
        "repeated": rows_,
        "list": [0, 0, 1],
        "matrix of indices": ids,
        "two arrays": (rows_, columns),
        "arrays that broadcast": (ids[:, :1], columns),
        "array and slice": (rows_, slice(1, 3)),
        "slice between arrays": (rows_, slice(None), np.array([0, 1, 1])),
        "integer and array": (0, columns),
        "mask of rows": mask,
        "mask of elements": elements,
        "mask and slice": (mask, slice(None), 0),
        "mask and array": (mask, np.array([0, 3])),
        "mask of nothing": np.zeros(3, bool),
        "no rows": np.array([], int),
    }
    rows = []
    for index in cases.values():
        theirs = _torch_index(index)
        rows.append(Row("getitem", lambda x, i=index: x[i], lambda x, i=theirs: x[i], x))
    rows.append(Row("getitem", lambda x: x[::-1], lambda x: x.flip(0), x))
    rows.append(Row("getitem", lambda x: x[...], lambda x: x[...], some(())))
    rows.append(Row("getitem", lambda x: tg.getitem(x, 0), lambda x: x[0], some((1,))))
    torch_ids = torch.tensor(ids)
    rows += [
        Row("take", lambda x: tg.take(x, ids), lambda x: x.take(torch_ids), some((2, 3))),
        Row("take", lambda x: x.take(ids, 1), lambda x: x[:, torch_ids], x),
        Row("take", lambda x: x.take(ids, axis=-2), lambda x: x[:, torch_ids], x),
        Row("take", lambda x: x.take(1, axis=0), lambda x: x[1], x),
        Row(
            "embedding",
            lambda W: tg.embedding(ids, W),
            lambda W: F.embedding(torch_ids, W),
            some((4, 3)),
        ),
        Row(
            "embedding",
            lambda W: tg.embedding(np.zeros((0, 2), int), W),
            lambda W: W[torch.zeros((0, 2), dtype=torch.int64)],
            some((4, 3)),
        ),
    ]
    return rows


def _torch_index(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(_torch_index(part) for part in index)
    return torch.tensor(index) if isinstance(index, np.ndarray) else index


def products() -> list[Row]:
    rows = [
        Row("matmul", lambda x, y: x @ y, torch.matmul, some(*shapes))
        for shapes in (
            ((3,), (3,)),
            ((2, 3), (3,)),
            ((3,), (3, 2)),
            ((2, 3), (3, 4)),
            ((5, 2, 3), (3, 4)),
            ((2, 3), (5, 3, 4)),
            ((3,), (5, 3, 4)),
            ((5, 2, 3), (3,)),
            ((5, 1, 2, 3), (4, 3, 2)),
            ((1, 2, 3), (4, 3, 2)),
            ((0, 3), (3, 2)),
            ((2, 0), (0, 3)),
            ((4, 2, 0), (0, 3)),
            ((4, 0, 2), (2, 3)),
        )
    ]
    rows += [
        Row("linear", tg.linear, F.linear, some(*shapes))
        for shapes in (
            ((3,), (4, 3), (4,)),
            ((2, 3), (4, 3), (4,)),
            ((5, 2, 3), (4, 3), (4,)),
            ((2, 3), (4, 3)),
            ((0, 3), (4, 3), (4,)),
            ((5, 2, 0), (4, 0), (4,)),
        )
    ]
    for subscripts, shapes in {
        "ij,jk->ik": ((2, 3), (3, 4)),
        "i,i->": ((3,), (3,)),
        "i,j->ij": ((2,), (3,)),
        "ii->i": ((3, 3),),
        "ii": ((3, 3),),
        "iij->j": ((2, 2, 3),),
        "ij->ji": ((2, 3),),
        "ij->": ((2, 3),),
        "ijk->j": ((2, 3, 4),),
        "bij,bjk->bik": ((2, 3, 4), (2, 4, 2)),
        "...ij,...jk->...ik": ((5, 2, 3), (3, 4)),
        "...i,...i->...": ((4, 3), (2, 1, 3)),
        "ij,jk": ((2, 3), (3, 4)),
        "ba": ((2, 3),),
        "ij,jk,kl->il": ((2, 3), (3, 4), (4, 2)),
        "i,ij,j->": ((2,), (2, 3), (3,)),
        "ij,ij,ij->ij": ((2, 3), (2, 3), (2, 3)),
        ",i->i": ((), (3,)),
        "ij,k->ik": ((2, 3), (4,)),
        "ij,jk->ijk": ((2, 0), (0, 4)),
    }.items():
        rows.append(
            Row(
                "einsum",
                lambda *xs, s=subscripts: tg.einsum(s, *xs),
                lambda *xs, s=subscripts: torch.einsum(s, *xs),
                some(*shapes),
            )
        )
    return rows


def networks() -> list[Row]:
    rows = []
    for shapes, options in (
        (((2, 3, 5, 4), (4, 3, 2, 2), (4,)), {}),
        (((2, 3, 5, 4), (4, 3, 2, 2)), {"stride": 2}),
        (((1, 2, 5, 6), (2, 2, 3, 2), (2,)), {"padding": (1, 2), "stride": (2, 1)}),
        (((1, 2, 6, 6), (2, 2, 2, 2), (2,)), {"dilation": 2, "padding": 1}),
        (((1, 4, 4, 4), (6, 2, 2, 2), (6,)), {"groups": 2}),
        (((2, 3, 4, 4), (3, 1, 3, 3), (3,)), {"groups": 3, "padding": 1, "stride": 2}),
        (((1, 4, 7, 5), (4, 2, 2, 2)), {"groups": 2, "dilation": (2, 1), "stride": (1, 3)}),
        (((3, 5, 4), (2, 3, 2, 2), (2,)), {}),
    ):
        rows.append(
            Row(
                "conv2d",
                lambda *xs, o=options: tg.conv2d(*xs, **o),
                lambda *xs, o=options: F.conv2d(*xs, **o),
                some(*shapes),
            )
        )
    for shape, arguments in (
        ((2, 3, 4, 6), (2,)),
        ((3, 4, 6), (2,)),
        ((1, 2, 5, 5), (3, 1)),
        ((1, 2, 5, 5), (3, 2, 1)),
        ((1, 1, 4, 5), ((2, 3), (1, 2), (0, 1))),
    ):
        rows.append(
            Row(
                "max_pool2d",
                lambda x, a=arguments: tg.max_pool2d(x, *a),
                lambda x, a=arguments: F.max_pool2d(x, *a),
                some(shape),
            )
        )
    for shape, normalized in (((4, 3), (3,)), ((2, 4, 3), (4, 3)), ((3,), (3,)), ((0, 3), (3,))):
        rows += [
            Row(
                "layer_norm",
                lambda x, n=normalized: tg.layer_norm(x, n),
                lambda x, n=normalized: F.layer_norm(x, n),
                some(shape),
            ),
            Row(
                "layer_norm",
                lambda x, w, b, n=normalized: tg.layer_norm(x, n, w, b, eps=1e-3),
                lambda x, w, b, n=normalized: F.layer_norm(x, n, w, b, eps=1e-3),
                some(shape, normalized, normalized),
            ),
        ]
    rows.append(
        Row(
            "layer_norm",
            lambda x, b: tg.layer_norm(x, 3, bias=b),
            lambda x, b: F.layer_norm(x, (3,), torch.ones(3, dtype=torch.float64), b),
            some((4, 3), (3,)),
        )
    )
    return rows


TABLE = [*elementwise(), *reductions(), *shaping(), *indexing(), *products(), *networks()]


@pytest.mark.parametrize("row", TABLE, ids=[f"{row.op}-{i}" for i, row in enumerate(TABLE)])
def test_values_first_and_second_gradients(row: Row) -> None:
    compare(row.ours, row.theirs, row.inputs)


def test_the_table_has_every_operation() -> None:
    """What NumPy has no function for; ``test_jax_numpy`` compares NumPy's own functions."""
    helpers = {"shape_of", "place", "sum_to", "windows", "unwindow", "array", "linalg", "getitem"}
    helpers |= {"one_hot"}  # of integers: below
    ours = {name for name in tg.ops.__all__ if not hasattr(np, name)} - helpers
    assert {row.op for row in TABLE} >= ours
    assert ours >= {"sigmoid", "relu", "softmax", "linear", "embedding", "conv2d", "layer_norm"}


# ── random configurations ────────────────────────────────────────────────────────────────


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[list[np.ndarray], dict[str, Any]]:
    def pair(low: int, high: int) -> tuple[int, int]:
        return draw(st.tuples(st.integers(low, high), st.integers(low, high)))

    groups = draw(st.integers(1, 3))
    batch, per_group, outputs = (draw(st.integers(1, 2)) for _ in range(3))
    kernel, stride, padding, dilation = pair(1, 3), pair(1, 3), pair(0, 2), pair(1, 2)
    least = [
        max(1, d * (k - 1) + 1 - 2 * p) for k, p, d in zip(kernel, padding, dilation, strict=True)
    ]
    size = [n + draw(st.integers(0, 3)) for n in least]
    inputs = some(
        (batch, per_group * groups, *size), (outputs * groups, per_group, *kernel), seed=len(least)
    )
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return inputs, options


@given(convolutions())
def test_any_convolution(case: tuple[list[np.ndarray], dict[str, Any]]) -> None:
    inputs, options = case
    compare(lambda x, W: tg.conv2d(x, W, **options), lambda x, W: F.conv2d(x, W, **options), inputs)


@given(st.data())
def test_any_pooling(data: st.DataObject) -> None:
    pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, stride = data.draw(pairs), data.draw(pairs)
    padding = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
    size = [k + data.draw(st.integers(0, 4)) for k in kernel]
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x = rng.permutation(float(np.prod(size)) + np.arange(2 * np.prod(size))).reshape(2, *size)
    compare(
        lambda x: tg.max_pool2d(x, kernel, stride, padding),
        lambda x: F.max_pool2d(x, kernel, stride, padding),
        [x],
    )


@given(hnp.mutually_broadcastable_shapes(signature="(n,k),(k,m)->(n,m)", max_dims=2, max_side=3))
def test_any_batched_product(shapes: hnp.BroadcastableShapes) -> None:
    compare(lambda x, y: x @ y, torch.matmul, some(*shapes.input_shapes))


@given(st.data())
def test_any_reduction(data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, max_side=3))
    axis = data.draw(hnp.valid_tuple_axes(len(shape), min_size=1))
    keepdims = data.draw(st.booleans())
    name, theirs = data.draw(
        st.sampled_from(
            [
                ("sum", torch.sum),
                ("mean", torch.mean),
                ("max", torch.amax),
                ("min", torch.amin),
                ("logsumexp", torch.logsumexp),
            ]
        )
    )
    compare(
        lambda x: getattr(tg, name)(x, axis, keepdims),
        lambda x: theirs(x, dim=axis, keepdim=keepdims),
        some(shape),
    )


@given(st.data())
def test_any_index(data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
    index = data.draw(
        hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(min_dims=0, max_dims=2))
        | hnp.basic_indices(shape, allow_newaxis=True)
        | hnp.arrays(bool, shape)
    )
    parts = index if isinstance(index, tuple) else (index,)
    # PyTorch has no negative steps.
    assume(all(not isinstance(part, slice) or (part.step or 1) > 0 for part in parts))
    theirs = _torch_index(index)
    compare(lambda x: x[index], lambda x: x[theirs], some(shape))


@given(st.data())
def test_any_einsum(data: st.DataObject) -> None:
    sizes = {letter: data.draw(st.integers(1, 3)) for letter in "abcd"}
    operands = data.draw(st.lists(st.text("abcd", min_size=1, max_size=3), min_size=1, max_size=3))
    used = sorted(set("".join(operands)))
    result = "".join(data.draw(st.permutations(data.draw(st.lists(st.sampled_from(used))))))
    result = "".join(dict.fromkeys(result))
    subscripts = ",".join(operands) + (f"->{result}" if data.draw(st.booleans()) else "")
    compare(
        lambda *xs: tg.einsum(subscripts, *xs),
        lambda *xs: torch.einsum(subscripts, *xs),
        some(*[tuple(sizes[letter] for letter in letters) for letters in operands]),
    )


# ── ties: the gradient is shared out differently, its sum is the same ────────────────────


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda x: tg.max(x, 1), lambda x: x.amax(1)),
        (lambda x: tg.min(x, 1), lambda x: x.amin(1)),
        (lambda x: tg.max(x, 1), lambda x: x.max(1).values),
        (lambda x: tg.maximum(x, 2.0), lambda x: x.maximum(torch.full((), 2.0).double())),
    ],
)
def test_the_gradients_of_ties_have_the_same_sums(ours: Any, theirs: Any) -> None:
    array = np.array([[2.0, 2.0, 1.0], [1.0, 1.0, 1.0], [2.0, 0.0, 3.0]])
    x, z = tg.Tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
    y, other = ours(x), theirs(z)
    np.testing.assert_array_equal(y.numpy(), other.detach().numpy())
    seed = np.arange(1.0, 1.0 + y.size).reshape(y.shape)
    y.backward(seed)
    other.backward(torch.tensor(seed))
    np.testing.assert_allclose(x.grad.sum(1), z.grad.numpy().sum(1), rtol=RTOL)


def test_ties_of_two_inputs_have_the_same_sums() -> None:
    array = np.array([1.0, 2.0, 3.0])
    for ours, theirs in ((tg.maximum, torch.maximum), (tg.minimum, torch.minimum)):
        xs = [tg.Tensor(array, requires_grad=True) for _ in range(2)]
        zs = [torch.tensor(array, requires_grad=True) for _ in range(2)]
        ours(*xs).sum().backward()
        theirs(*zs).sum().backward()
        np.testing.assert_allclose(
            xs[0].grad + xs[1].grad, (zs[0].grad + zs[1].grad).numpy(), rtol=RTOL
        )


def test_ties_of_pooling_have_the_same_sum() -> None:
    array = np.ones((1, 1, 4, 4))
    x, z = tg.Tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
    tg.max_pool2d(x, 2).sum().backward()
    F.max_pool2d(z, 2).sum().backward()
    # Both send it to the first place.
    np.testing.assert_array_equal(x.grad, z.grad.numpy())


# ── far out: +-1000 stays finite and accurate ────────────────────────────────────────────

FAR = np.array([[1000.0, -1000.0, 0.0], [-1000.0, 1000.0, 1.0], [30.0, -30.0, 700.0]])


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (tg.sigmoid, torch.sigmoid),
        (tg.softplus, F.softplus),
        (tg.tanh, torch.tanh),
        (lambda x: tg.logsumexp(x, -1), lambda x: x.logsumexp(-1)),
        (tg.logsumexp, lambda x: x.logsumexp((0, 1))),
        (tg.softmax, lambda x: x.softmax(-1)),
        (tg.log_softmax, lambda x: x.log_softmax(-1)),
        (
            lambda x: tg.nn.cross_entropy(x, np.array([1, 0, 2])),
            lambda x: F.cross_entropy(x, torch.tensor([1, 0, 2])),
        ),
        (
            lambda x: tg.nn.cross_entropy(x, np.array([0, 1, 0]), reduction="none"),
            lambda x: F.cross_entropy(x, torch.tensor([0, 1, 0]), reduction="none"),
        ),
    ],
    ids=[
        "sigmoid",
        "softplus",
        "tanh",
        "logsumexp",
        "logsumexp of all",
        "softmax",
        "log_softmax",
        "cross_entropy",
        "cross_entropy of each",
    ],
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_thousand_stays_finite_and_accurate(ours: Any, theirs: Any, dtype: Any) -> None:
    x = tg.Tensor(FAR, dtype=dtype, requires_grad=True)
    z = torch.tensor(FAR, requires_grad=True)  # in float64: the reference of both
    y, other = ours(x), theirs(z)
    (dx,) = tg.grad(y, [x], np.ones(y.shape), create_graph=True)
    (dz,) = torch.autograd.grad(other.sum(), z, create_graph=True)
    (ddx,) = tg.grad(dx.sum(), [x])
    (ddz,) = torch.autograd.grad(dz.sum(), z, materialize_grads=True)
    rtol, atol = (RTOL, 1e-12) if dtype == np.float64 else (1e-5, 1e-5)
    for mine, torchs in ((y, other), (dx, dz), (ddx, ddz)):
        assert mine.dtype == dtype
        assert np.isfinite(mine.numpy()).all()
        np.testing.assert_allclose(mine.numpy(), torchs.detach().numpy(), rtol=rtol, atol=atol)


def test_the_left_tail_of_sigmoid_keeps_its_relative_accuracy() -> None:
    x = np.array([-5.0, -40.0, -300.0, -700.0])
    np.testing.assert_allclose(
        tg.sigmoid(x), torch.sigmoid(torch.tensor(x)).numpy(), rtol=1e-15, atol=0
    )


def test_one_hot() -> None:
    ids = np.array([[0, 3], [2, 2]])
    found = np.asarray(tg.one_hot(ids, 4))
    np.testing.assert_array_equal(found, F.one_hot(torch.tensor(ids), 4).numpy())
