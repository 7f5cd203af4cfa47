"""Cases of the operations that move elements: indexing, shapes, joining and cutting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_rnn import ops

from .row import Call, Point, Row, Shape, call, of, short

repeated = np.array([0, 2, 2, 1])
grid = np.array([[0, 2], [2, -1]])


def _at(*shape: int, index: Any) -> Call:
    return call(shape, f=lambda x: ops.getitem(x, index), label=f"{shape}[{short(index)}]")


def _put(*given: int, index: Any, shape: Shape) -> Call:
    return call(
        given,
        f=lambda x: ops.place(x, index, shape),
        label=f"{given} into {shape} at [{short(index)}]",
    )


indices: list[tuple[Shape, Any]] = [
    ((3, 3), (slice(None), 1)),
    ((4, 3), repeated),
    ((4, 3), 1),
    ((4, 3), -1),
    ((4, 3), slice(None, None, -2)),
    ((4, 3), (Ellipsis, None, slice(1, None))),
    ((4, 3), grid),
    ((4, 3), (repeated, slice(1, 3))),
    ((4, 3), (1, (1, 1))),
    ((4, 3), ([0, 0, 3], [1, 1, 2])),
    ((4, 3), (slice(None), [2, 2])),
    ((2, 3, 4), ([1, 1], slice(None), [0, 0])),
    ((4, 3), np.array([True, False, True, True])),
    ((2, 2), np.array([[True, False], [True, True]])),
    ((4,), np.uint8(2)),
    ((4,), np.array([3, 3], np.uint8)),
    ((4, 3), np.array(2)),
    ((4, 3), np.zeros(0, int)),
    ((4, 0), repeated),
    ((3,), []),
    ((), ()),
    ((), None),
    ((), Ellipsis),
    ((3,), slice(0, 0)),
]


def _place_shape(shape: Shape, index: Any) -> Shape:
    """Of ``zeros(shape)[index]``."""
    return np.shape(ops.getitem(np.zeros(shape), index))


def _list_of(f: Callable[..., Any], **keywords: Any) -> Callable[..., Any]:
    return lambda *xs: f(xs, **keywords)


def _split(x: Any, sections: Any, axis: int) -> Any:
    """The parts with a different weight each, so that mixing them up shows."""
    parts = ops.split(x, sections, axis)
    return ops.concatenate([part * (i + 1.0) for i, part in enumerate(parts)][::-1], axis)


_one, _zero = np.ones(1, np.float32), np.zeros(1, np.float32)
_ids = np.array([[1, 0, 1], [3, 1, 1]])
_P = ops.indexing.PLACE


def _gathered(shape: Shape, pattern: Any, *ids: Any) -> Call:
    return call(
        shape,
        f=lambda x: ops.indexing._gather((x, *ids), pattern=pattern),
        label=f"{shape} {pattern}",
    )


def _scattered(shape: Shape, pattern: Any, *ids: Any) -> Call:
    small = ops.indexing._gather((np.zeros(shape), *ids), pattern=pattern).shape
    return call(
        small,
        f=lambda x: ops.indexing._scatter((x, *ids), pattern=pattern, shape=shape),
        label=f"into {shape} {pattern}",
    )


def _mixed(xp: Any, parts: Any) -> Any:
    """Several arrays in a row, with different weights, so that mixing them up shows."""
    return xp.concatenate([xp.reshape(part, (-1,)) * (i + 1.0) for i, part in enumerate(parts)])


rows = [
    # indexing
    Row("_getitem", [_at(*shape, index=index) for shape, index in indices], f=ops.getitem),
    Row(
        "_place",
        [_put(*_place_shape(s, index), index=index, shape=s) for s, index in indices],
        f=ops.place,
    ),
    Row(
        "_gather",
        [
            _gathered((4, 3), (_P,), _ids),
            _gathered((4, 3), (slice(None), _P), _ids % 3),
            _gathered((4, 3), (_P, 1), np.array([0, 0, 2])),
            _gathered((2, 3, 4), (_P, slice(None), _P), np.array([1, 1]), np.array([0, 3])),
            _gathered((4, 3), (Ellipsis, _P), np.array(2)),
            _gathered((3,), (_P,), np.zeros((0, 2), int)),
        ],
        f=ops.indexing._gather,
    ),
    Row(
        "_scatter",
        [
            _scattered((4, 3), (_P,), _ids),
            _scattered((4, 3), (slice(None), _P), _ids % 3),
            _scattered((4, 3), (_P, 1), np.array([0, 0, 2])),
            _scattered((2, 3, 4), (_P, slice(None), _P), np.array([1, 1]), np.array([0, 3])),
            _scattered((4, 3), (Ellipsis, _P), np.array(2)),
            _scattered((3,), (_P,), np.zeros((0, 2), int)),
        ],
        f=ops.indexing._scatter,
    ),
    Row(
        "_rows_added",
        [
            call(
                (2, 3, 2), f=lambda x: ops.indexing._rows_added(x, _ids, (4, 2)), label="ids (2, 3)"
            ),
            call(
                (3,), f=lambda x: ops.indexing._rows_added(x, np.array(1), (2, 3)), label="one id"
            ),
            call(
                (0, 2), f=lambda x: ops.indexing._rows_added(x, _ids[:0, 0], (4, 2)), label="no ids"
            ),
        ],
        f=ops.indexing._rows_added,
    ),
    Row(
        "embedding",
        [
            call((4, 2), f=lambda W: ops.embedding(_ids, W), label="ids (2, 3)"),
            call((2, 2), f=lambda W: ops.embedding(np.array([1, 0]), W), label="each id once"),
            call((4, 2), f=lambda W: ops.embedding(2, W), label="one id"),
            call((4, 2), f=lambda W: ops.embedding(np.zeros(0, int), W), label="no ids"),
            call((4, 0), f=lambda W: ops.embedding(_ids, W), label="no features"),
            call((4, 2), f=lambda W: ops.embedding(_ids.astype(np.uint8), W), label="uint8"),
        ],
    ),
    # shaping
    Row(
        "reshape",
        [
            call((3, 3), shape=(9,)),
            call((2, 3), shape=(3, 2)),
            call((2, 3), shape=(-1,)),
            call((2, 3), shape=6),
            call((2, 3, 4), shape=(4, -1)),
            call((), shape=(1, 1)),
            call((1,), shape=()),
            call((0, 3), shape=(3, 0)),
        ],
    ),
    Row(
        "transpose",
        [
            call((3, 3)),
            call((2, 3, 4)),
            call((2, 3, 4), axes=(1, 2, 0)),
            call((2, 3, 4), axes=(-1, 0, -2)),
            call((4,)),
            call(()),
            call((0, 2)),
        ],
    ),
    Row(
        "swapaxes",
        [
            call((3, 3), axis1=0, axis2=1),
            call((2, 3, 4), axis1=-1, axis2=0),
            call((2, 3, 4), axis1=1, axis2=1),
            call((2, 0, 1), axis1=0, axis2=1),
        ],
    ),
    Row(
        "moveaxis",
        [
            call((3, 3), source=0, destination=1),
            call((2, 3, 4), source=0, destination=-1),
            call((3, 3, 3), source=(0, 1), destination=(-1, 0)),
            call((3, 3, 3), source=0, destination=2),
            call((2, 0, 4), source=0, destination=1),
        ],
    ),
    Row(
        "squeeze",
        [
            call((3, 1, 3)),
            call((1, 2, 1), axis=0),
            call((1, 2, 1), axis=(0, -1)),
            call((1, 1)),
            call(()),
            call((1, 0)),
        ],
    ),
    Row(
        "expand_dims",
        [
            call((3, 3), axis=0),
            call((2, 3), axis=-1),
            call((2, 3), axis=(0, 2)),
            call((), axis=0),
            call((0,), axis=1),
        ],
    ),
    Row(
        "flip",
        [
            call((3, 3)),
            call((2, 3), axis=1),
            call((2, 3), axis=-2),
            call((2, 3, 4), axis=(0, -1)),
            call(()),
            call((0, 2), axis=1),
        ],
    ),
    Row(
        "_astype",
        [
            call((3, 3), dtype=np.float64),
            call((2,), dtype=np.longdouble),
            call((), dtype=np.float64),
            call((0,), dtype=np.longdouble),
        ],
        f=ops.astype,
        points=[Point(([1.5, 2.0],), ([1.0, 1.0],), f=lambda x: ops.astype(x, np.float32))],
        analytic=False,
        keeps_dtype=False,
    ),
    Row(
        "broadcast_to",
        [
            call((3, 3), shape=(2, 3, 3)),
            call((3, 1), shape=(3, 3)),
            call((1, 3), shape=(2, 2, 3)),
            call((3,), shape=(3,)),
            call((), shape=(2, 3)),
            call((1, 2), shape=(0, 2)),
            call((0,), shape=(2, 0)),
        ],
    ),
    Row(
        "sum_to",
        [
            call((3, 3), shape=(3,)),
            call((3, 3), shape=(3, 1)),
            call((2, 3, 4), shape=(3, 1)),
            call((2, 3), shape=(2, 3)),
            call((2, 3), shape=()),
            call((0, 3), shape=(1, 3)),
            call((), shape=()),
        ],
    ),
    Row(
        "_concatenate",
        [
            call((3, 3), (3, 3), f=_list_of(ops.concatenate), label="axis 0"),
            call((2, 3), (1, 3), (2, 3), f=_list_of(ops.concatenate), label="three"),
            call((2, 3), (2, 1), f=_list_of(ops.concatenate, axis=1), label="axis 1"),
            call((2, 3, 1), (2, 2, 1), f=_list_of(ops.concatenate, axis=-2), label="axis -2"),
            call((2, 3), (2,), f=_list_of(ops.concatenate, axis=None), label="axis None"),
            call((3,), (0,), f=_list_of(ops.concatenate), label="one empty"),
            call((3,), f=_list_of(ops.concatenate), label="one"),
            call((2,), f=lambda x: ops.concatenate([x, _one, x]), label="a constant between"),
        ],
    ),
    Row(
        "_stack",
        [
            call((3, 3), (3, 3), f=_list_of(ops.stack), label="axis 0"),
            call((2, 3), (2, 3), (2, 3), f=_list_of(ops.stack, axis=1), label="axis 1"),
            call((2, 3), (2, 3), f=_list_of(ops.stack, axis=-1), label="axis -1"),
            call((2, 3), (2, 3), f=_list_of(ops.stack, axis=-2), label="axis -2"),
            call((), (), f=_list_of(ops.stack), label="0-d"),
            call((0,), (0,), f=_list_of(ops.stack), label="empty"),
        ],
    ),
    Row(
        "split",
        [
            call((4, 3), f=lambda x: _split(x, 2, 0), label="2 parts"),
            call((2, 6), f=lambda x: _split(x, 3, -1), label="3 parts, axis -1"),
            call((5, 2), f=lambda x: _split(x, [1, 3], 0), label="at 1 and 3"),
            call((3,), f=lambda x: _split(x, [0, 1], 0), label="an empty part"),
            call((0, 2), f=lambda x: _split(x, 2, 0), label="empty"),
        ],
    ),
    Row(
        "_pad",
        [
            call((3, 3), f=lambda x: ops.pad(x, 1), label="1"),
            call((2, 3), f=lambda x: ops.pad(x, ((1, 0), (0, 2))), label="pairs"),
            call((2,), f=lambda x: ops.pad(x, (2, 1)), label="a pair"),
            call((0,), f=lambda x: ops.pad(x, 1), label="empty"),
        ],
        f=ops.pad,
    ),
    Row(
        "take",
        [
            call((4, 3), indices=np.array([2, 2, -1]), axis=0),
            call((4, 3), indices=grid, axis=1),
            call((2, 4, 3), indices=np.array([1, 1]), axis=-2),
            call((4, 3), indices=np.array([11, 0, 0])),
            call((4, 3), indices=1, axis=-1),
            call((4,), indices=[]),
        ],
    ),
    # joining, repeating, cutting, differences
    Row(
        "ravel",
        [
            of(lambda xp, x: xp.ravel(x), (2, 3)),
            of(lambda xp, x: xp.ravel(x, order="F"), (2, 3, 2)),
        ],
    ),
    Row(
        "atleast_1d",
        [of(lambda xp, x: xp.atleast_1d(x), ()), of(lambda xp, x: xp.atleast_1d(x, x)[1], (2,))],
    ),
    Row(
        "atleast_2d",
        [of(lambda xp, x: xp.atleast_2d(x), shape) for shape in ((), (2,), (2, 3), (0,))],
    ),
    Row(
        "atleast_3d",
        [of(lambda xp, x: xp.atleast_3d(x), shape) for shape in ((), (2,), (2, 3), (1, 2, 1))],
    ),
    Row("matrix_transpose", [of(lambda xp, x: xp.matrix_transpose(x), (2, 3, 3))]),
    Row(
        "rollaxis",
        [
            of(lambda xp, x, a=a, s=s: xp.rollaxis(x, a, s), (2, 3, 4))
            for a, s in ((2, 0), (0, 3), (1, 1), (-1, 1), (0, 2))
        ],
    ),
    Row(
        "broadcast_arrays",
        [
            of(
                lambda xp, x, y: xp.broadcast_arrays(x, y)[0] * xp.broadcast_arrays(x, y)[1],
                (3, 1),
                (2,),
            )
        ],
    ),
    Row(
        "meshgrid",
        [
            of(lambda xp, x, y: _mixed(xp, xp.meshgrid(x, y)), (2,), (3,)),
            of(
                lambda xp, x, y: _mixed(xp, xp.meshgrid(x, y, indexing="ij", sparse=True)),
                (2,),
                (3,),
            ),
            of(lambda xp, x, y, z: _mixed(xp, xp.meshgrid(x, y, z)), (2,), (1,), (2,)),
            of(lambda xp, x: _mixed(xp, xp.meshgrid(x)), (2,)),
        ],
    ),
    Row("copy", [of(lambda xp, x: xp.copy(x), (2, 3))]),
    Row(
        "array",
        [
            call((), (), f=lambda x, y: ops.array([[x, 0.0], [1.0, y]]), label="numbers"),
            call(
                (2,),
                (2,),
                f=lambda x, y: ops.array([x, y, np.zeros(2, np.float32)]),
                label="vectors",
            ),
            call((2, 3), f=ops.array, label="one"),
        ],
    ),
    Row(
        "vstack",
        [
            of(lambda xp, x, y: xp.vstack([x, y]), (3,), (2, 3)),
            of(lambda xp, x: xp.vstack(x), (2, 3)),
        ],
    ),
    Row(
        "hstack",
        [
            of(lambda xp, x, y: xp.hstack([x, y]), (2, 1), (2, 3)),
            of(lambda xp, x, y: xp.hstack((x, y)), (2,), ()),
        ],
    ),
    Row(
        "dstack",
        [
            of(lambda xp, x, y: xp.dstack([x, y]), (2,), (2,)),
            of(lambda xp, x, y: xp.dstack([x, y]), (2, 3), (2, 3, 2)),
        ],
    ),
    Row("column_stack", [of(lambda xp, x, y: xp.column_stack([x, y]), (2,), (2, 3))]),
    Row(
        "append",
        [
            of(lambda xp, x, y: xp.append(x, y), (2, 2), (3,)),
            of(lambda xp, x, y: xp.append(x, y, axis=0), (2, 3), (1, 3)),
            of(lambda xp, x: xp.append(x, 1.0), (2,)),
        ],
    ),
    Row(
        "block",
        [
            of(lambda xp, a, b, c, d: xp.block([[a, b], [c, d]]), (2, 2), (2, 1), (1, 2), (1, 1)),
            of(lambda xp, a, b: xp.block([a, b, 3.0]), (2,), ()),
            of(lambda xp, a: xp.block(a), (2,)),
            of(lambda xp, a, b: xp.block([[a], [b]]), (3,), (2, 3)),
        ],
    ),
    Row(
        "insert",
        [
            of(lambda xp, x, y: xp.insert(x, 1, y), (3,), ()),
            of(lambda xp, x, y: xp.insert(x, np.array([0, 2]), y), (3,), (2,)),
            of(lambda xp, x, y: xp.insert(x, 1, y, axis=1), (2, 3), (2,)),
            of(lambda xp, x, y: xp.insert(x, np.array([1, 1]), y, axis=0), (2, 3), (2, 3)),
            of(lambda xp, x, y: xp.insert(x, slice(0, 2), y), (3,), (2,)),
        ],
    ),
    Row(
        "delete",
        [
            of(lambda xp, x: xp.delete(x, 1), (2, 3)),
            of(lambda xp, x: xp.delete(x, np.array([0, -1]), axis=1), (2, 3)),
            of(lambda xp, x: xp.delete(x, slice(0, 2), 0), (3, 2)),
        ],
    ),
    Row(
        "repeat",
        [
            of(lambda xp, x: xp.repeat(x, 2), (2, 3)),
            of(lambda xp, x: xp.repeat(x, 3, axis=1), (2, 3)),
            of(lambda xp, x: xp.repeat(x, np.array([2, 0, 1]), axis=-1), (2, 3)),
            of(lambda xp, x: xp.repeat(x, 0), (2,)),
        ],
    ),
    Row(
        "tile",
        [
            of(lambda xp, x, r=r: xp.tile(x, r), shape)
            for shape, r in (((2, 3), 2), ((2, 3), (2, 1, 3)), ((2,), (2, 2)), ((), 3), ((2,), 0))
        ],
    ),
    Row("resize", [of(lambda xp, x, n=n: xp.resize(x, n), (2, 2)) for n in ((3, 3), 2, (0,))]),
    Row(
        "_roll",
        [
            call((2, 3), shift=1, axis=1),
            call((3, 2), shift=-4, axis=0),
            call((3, 3), shift=3, axis=-1),
            call((2, 0), shift=1, axis=1),
        ],
        f=ops.repeating._roll,
    ),
    Row(
        "roll",
        [
            of(lambda xp, x: xp.roll(x, 1), (2, 3)),
            of(lambda xp, x: xp.roll(x, -4, axis=1), (2, 3)),
            of(lambda xp, x: xp.roll(x, (1, 2), axis=(0, 1)), (2, 3)),
            of(lambda xp, x: xp.roll(x, 1, axis=(0, 1)), (2, 3)),
            of(lambda xp, x: xp.roll(x, 1), (0,)),
        ],
    ),
    Row("fliplr", [of(lambda xp, x: xp.fliplr(x), (2, 3))]),
    Row("flipud", [of(lambda xp, x: xp.flipud(x), (2, 3))]),
    Row(
        "rot90",
        [of(lambda xp, x, k=k: xp.rot90(x, k), (2, 3)) for k in (-1, 0, 1, 2, 7)]
        + [of(lambda xp, x: xp.rot90(x, 1, axes=(2, 0)), (2, 3, 2))],
    ),
    Row(
        "array_split",
        [
            of(lambda xp, x, n=n: _mixed(xp, xp.array_split(x, n, axis=1)), (2, 5))
            for n in (2, 3, [1, 4], 7)
        ],
    ),
    Row(
        "hsplit",
        [
            of(lambda xp, x: _mixed(xp, xp.hsplit(x, 2)), (2, 4)),
            of(lambda xp, x: _mixed(xp, xp.hsplit(x, [1])), (3,)),
        ],
    ),
    Row("vsplit", [of(lambda xp, x: _mixed(xp, xp.vsplit(x, [1])), (3, 2))]),
    Row("dsplit", [of(lambda xp, x: _mixed(xp, xp.dsplit(x, 2)), (1, 2, 4))]),
    Row("unstack", [of(lambda xp, x: _mixed(xp, xp.unstack(x, axis=1)), (2, 3))]),
    Row(
        "trim_zeros",
        [of(lambda xp, x: xp.trim_zeros(xp.concatenate([_zero, x, _zero])), (3,))],
        away=(0.0,),
        analytic=False,
    ),
    Row(
        "diagonal",
        [
            of(lambda xp, x: xp.diagonal(x), (3, 3)),
            of(lambda xp, x: xp.diagonal(x, 1), (2, 3)),
            of(lambda xp, x: xp.diagonal(x, -1, 2, 0), (3, 2, 3)),
            of(lambda xp, x: xp.diagonal(x, 5), (2, 3)),
        ],
    ),
    Row(
        "trace",
        [of(lambda xp, x: xp.trace(x), (3, 3)), of(lambda xp, x: xp.trace(x, 1, 1, 2), (2, 3, 3))],
    ),
    Row(
        "diag",
        [
            of(lambda xp, x, k=k: xp.diag(x, k), shape)
            for shape, k in (((3,), 0), ((2,), 1), ((2,), -2), ((2, 3), 0), ((3, 3), -1))
        ],
    ),
    Row("diagflat", [of(lambda xp, x: xp.diagflat(x, 1), (2, 2))]),
    Row(
        "tril",
        [of(lambda xp, x, k=k: xp.tril(x, k), (2, 3, 3)) for k in (0, 1, -1)]
        + [of(lambda xp, x: xp.tril(x), (3,))],
    ),
    Row("triu", [of(lambda xp, x, k=k: xp.triu(x, k), (2, 3, 3)) for k in (0, 1, -1)]),
    Row(
        "diff",
        [
            of(lambda xp, x: xp.diff(x), (2, 4)),
            of(lambda xp, x: xp.diff(x, 2, axis=0), (4, 2)),
            of(lambda xp, x: xp.diff(x, 0), (2,)),
            of(lambda xp, x, y: xp.diff(x, prepend=y, append=1.0), (3,), ()),
            of(lambda xp, x, y: xp.diff(x, axis=0, prepend=y), (2, 3), (1, 3)),
        ],
    ),
    Row(
        "ediff1d",
        [
            of(lambda xp, x: xp.ediff1d(x), (2, 2)),
            of(lambda xp, x, y: xp.ediff1d(x, to_begin=y, to_end=y), (3,), (2,)),
        ],
    ),
    Row(
        "gradient",
        [
            of(lambda xp, x: xp.gradient(x), (4,)),
            of(lambda xp, x: _mixed(xp, xp.gradient(x)), (3, 4)),
            of(lambda xp, x: xp.gradient(x, 0.5, axis=1, edge_order=2), (2, 4)),
            of(lambda xp, x: _mixed(xp, xp.gradient(x, 2.0, 0.5, edge_order=1)), (2, 3)),
            of(
                lambda xp, x: xp.gradient(x, [0.0, 1.0, 1.5, 4.0], edge_order=2),
                (4,),
            ),
            of(lambda xp, x: xp.gradient(x, [0.0, 1.0, 1.5], axis=0), (3, 2)),
        ],
        keeps_dtype=False,
    ),
    Row("unwrap", [of(lambda xp, x: xp.unwrap(x * 4), (2, 4))], analytic=False),
    Row(
        "cumulative_sum",
        [
            of(lambda xp, x: xp.cumulative_sum(x, axis=1, include_initial=True), (2, 3)),
            of(lambda xp, x: xp.cumulative_sum(x), (3,)),
        ],
    ),
    Row(
        "cumulative_prod",
        [of(lambda xp, x: xp.cumulative_prod(x, axis=0, include_initial=True), (3, 2))],
    ),
    Row(
        "pad",
        [
            of(lambda xp, x: xp.pad(x, ((1, 0), (0, 2)), constant_values=3.0), (2, 3)),
            of(lambda xp, x: xp.pad(x, (1, 2), constant_values=((1.0, 2.0),)), (2,)),
            of(lambda xp, x: xp.pad(x, ((1, 2), (7, 1)), mode="edge"), (2, 3)),
            of(lambda xp, x: xp.pad(x, ((1, 2), (7, 1)), mode="wrap"), (2, 3)),
            of(lambda xp, x: xp.pad(x, ((1, 2), (0, 5)), mode="reflect"), (2, 3)),
            of(lambda xp, x: xp.pad(x, 5, mode="reflect", reflect_type="odd"), (3,)),
            of(lambda xp, x: xp.pad(x, 4, mode="symmetric"), (3,)),
            of(lambda xp, x: xp.pad(x, 7, mode="symmetric", reflect_type="odd"), (3,)),
            of(
                lambda xp, x: xp.pad(
                    x, ((1, 0), (2, 3)), mode="linear_ramp", end_values=(1.0, 2.0)
                ),
                (2, 3),
            ),
            *(
                of(lambda xp, x, m=m: xp.pad(x, ((0, 1), (2, 1)), mode=m, stat_length=2), (3, 4))
                for m in ("mean", "maximum", "minimum", "median")
            ),
            of(lambda xp, x: xp.pad(x, ((1, 1), (1, 1)), mode="mean"), (2, 3)),
        ],
        distinct=True,
        analytic=False,
    ),
]
