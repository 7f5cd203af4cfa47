"""Cases of matrix products and of what networks are made of."""

from __future__ import annotations

import numpy as np

from tinygrad_rnn import ops

from .row import Call, Point, Row, Shape, call, of


def _einsum(subscripts: str, *shapes: Shape) -> Call:
    return call(*shapes, f=lambda *xs: ops.einsum(subscripts, *xs), label=f"{subscripts} {shapes}")


_knots = np.array([-1.5, -0.5, 0.7, 1.2])
_steps = np.arange(4.0)

rows = [
    # products
    Row(
        "matmul",
        [
            call((3, 3), (3, 3)),
            call((2, 3), (3, 4)),
            call((3,), (3,)),
            call((3,), (3, 2)),
            call((2, 3), (3,)),
            call((3,), (2, 3, 4)),
            call((2, 3, 4), (4,)),
            call((2, 3, 4), (4, 2)),
            call((2, 3), (2, 3, 4)),
            call((2, 3, 4), (2, 4, 2)),
            call((2, 1, 3, 4), (3, 4, 2)),
            call((1, 3, 4), (2, 4, 2)),
            call((2, 0), (0, 3)),
            call((0, 2), (2, 3)),
            call((2, 3, 0), (0, 4)),
            call((0, 3, 2), (2, 4)),
        ],
    ),
    Row(
        "linear",
        [
            call((3, 3), (3, 3), (3,)),
            call((2, 4), (3, 4), (3,)),
            call((2, 3, 4), (2, 4), (2,)),
            call((4,), (3, 4), (3,)),
            call((2, 4), (3, 4)),
            call((4,), (3, 4)),
            call((0, 4), (3, 4), (3,)),
            call((2, 3, 0), (2, 0), (2,)),
            call((2, 0, 4), (3, 4), (3,)),
        ],
    ),
    Row(
        "einsum",
        [
            _einsum("ij,jk->ik", (3, 3), (3, 3)),
            _einsum("ij,jk", (2, 3), (3, 4)),
            _einsum("ij,ij->", (2, 3), (2, 3)),
            _einsum("ji", (2, 3)),
            _einsum("ij->", (2, 3)),
            _einsum("ij->j", (2, 3)),
            _einsum("ii->i", (3, 3)),
            _einsum("ii", (3, 3)),
            _einsum("iij,i->j", (2, 2, 3), (2,)),
            _einsum("iii->i", (2, 2, 2)),
            _einsum("iji,k->jk", (2, 3, 2), (2,)),
            _einsum("i,j,k->kj", (2,), (3,), (2,)),
            _einsum("...i,ij->...j", (2, 4, 3), (3, 2)),
            _einsum("...ij,...jk", (2, 1, 2, 3), (4, 3, 2)),
            _einsum("i...,...->i...", (2, 3), (3,)),
            _einsum("ij,ij->ij", (1, 3), (2, 3)),
            _einsum("...,...", (1, 3), (2, 1)),
            _einsum(",ij->ij", (), (2, 3)),
            _einsum("->", ()),
            _einsum("i->", (0,)),
            _einsum("ij,jk->ik", (2, 0), (0, 3)),
            _einsum("i,i->i", (1,), (0,)),
            _einsum("ab , bc -> ac", (2, 3), (3, 2)),
        ],
    ),
    # networks
    Row(
        "windows",
        [
            call((3, 3), kernel=(2, 2)),
            call((2, 5, 6), kernel=(3, 2), stride=(2, 1)),
            call((1, 5, 7), kernel=(2, 3), stride=(1, 2), dilation=(2, 2)),
            call((3, 4), kernel=(3, 4)),
            call((0, 3, 3), kernel=(2, 1)),
        ],
    ),
    Row(
        "unwindow",
        [
            call((2, 2, 2, 2), shape=(3, 3), kernel=(2, 2), stride=(1, 1), dilation=(1, 1)),
            call((2, 2, 5, 3, 2), shape=(2, 5, 6), kernel=(3, 2), stride=(2, 1), dilation=(1, 1)),
            call((3, 2, 2, 3), shape=(5, 7), kernel=(2, 3), stride=(1, 2), dilation=(2, 2)),
            call((0, 2, 3, 2, 1), shape=(0, 3, 3), kernel=(2, 1), stride=(1, 1), dilation=(1, 1)),
        ],
    ),
    # network compositions
    Row(
        "conv2d",
        [
            call((2, 2, 4, 4), (3, 2, 3, 3), (3,)),
            call((1, 4, 5, 4), (4, 2, 2, 3), (4,), groups=2, padding=(1, 0)),
            call((2, 6, 6), (2, 2, 2, 2), stride=(2, 1), dilation=2, padding=1),
            call((1, 2, 3, 3), (2, 1, 1, 1), groups=2),
            call((0, 2, 4, 4), (3, 2, 3, 3), (3,)),
        ],
    ),
    Row(
        "max_pool2d",
        [
            call((2, 2, 4, 4), kernel_size=2),
            call((2, 5, 5), kernel_size=(2, 3), stride=(2, 1)),
            call((1, 1, 4, 4), kernel_size=3, stride=2, padding=1),
            call((0, 1, 4, 4), kernel_size=2),
        ],
        distinct=True,
        points=[
            Point(
                ([[[1.0, 1.0], [0.0, 1.0]]],),
                ([[[1.0, 0.0], [0.0, 0.0]]],),
                f=lambda x: ops.max_pool2d(x, 2),
            )
        ],
    ),
    Row(
        "dropout",
        [
            call((3, 3), p=0.4, rng=1),
            call((2, 3), p=0.0),
            call((2, 3), p=1.0, rng=1),
            call((2, 3), training=False),
            call((0,), rng=1),
        ],
    ),
    Row(
        "layer_norm",
        [
            call((3, 3), normalized_shape=3),
            call((2, 3, 4), (3, 4), (3, 4), f=lambda x, w, b: ops.layer_norm(x, (3, 4), w, b)),
            call((2, 4), (4,), f=lambda x, w: ops.layer_norm(x, 4, w)),
            call((2, 4), (4,), f=lambda x, b: ops.layer_norm(x, 4, None, b, eps=0.1)),
            call((0, 4), (4,), f=lambda x, w: ops.layer_norm(x, 4, w)),
        ],
    ),
    # NumPy's other products
    Row(
        "dot",
        [
            of(lambda xp, x, y: xp.dot(x, y), a, b)
            for a, b in (
                ((3,), (3,)),
                ((), (2, 3)),
                ((2, 3), (3,)),
                ((3,), (2, 3, 2)),
                ((2, 3), (2, 3, 4)),
                ((2, 2, 3), (3, 2)),
            )
        ],
    ),
    Row(
        "inner",
        [
            of(lambda xp, x, y: xp.inner(x, y), a, b)
            for a, b in (((3,), (3,)), ((2, 3), (3,)), ((2, 3), (4, 3)), ((), (2,)))
        ],
    ),
    Row("vdot", [of(lambda xp, x, y: xp.vdot(x, y), (2, 3), (2, 3))]),
    Row(
        "vecdot",
        [
            of(lambda xp, x, y: xp.vecdot(x, y), (2, 3), (3,)),
            of(lambda xp, x, y: xp.vecdot(x, y, axis=0), (2, 3), (2, 3)),
        ],
    ),
    Row("matvec", [call((2, 2, 3), (3,)), call((2, 3), (2, 1, 3))]),
    Row("vecmat", [call((3,), (2, 3, 2)), call((2, 1, 3), (3, 2))]),
    Row(
        "outer",
        [
            of(lambda xp, x, y: xp.outer(x, y), (3,), (2,)),
            of(lambda xp, x, y: xp.outer(x, y), (2, 2), ()),
        ],
    ),
    Row(
        "tensordot",
        [
            of(lambda xp, x, y: xp.tensordot(x, y), (2, 3, 2), (3, 2)),
            of(lambda xp, x, y: xp.tensordot(x, y, 0), (2,), (3,)),
            of(lambda xp, x, y: xp.tensordot(x, y, axes=([0, 2], [1, 0])), (2, 3, 4), (4, 2)),
            of(lambda xp, x, y: xp.tensordot(x, y, axes=(-1, 0)), (2, 3), (3, 2)),
        ],
    ),
    Row(
        "kron",
        [
            of(lambda xp, x, y: xp.kron(x, y), a, b)
            for a, b in (((2, 3), (2, 2)), ((2,), (2, 2)), ((), (2,)))
        ],
    ),
    Row(
        "cross",
        [
            of(lambda xp, x, y: xp.cross(x, y), (2, 3), (3,)),
            of(lambda xp, x, y: xp.cross(x, y, axis=0), (3, 2), (3, 2)),
            of(lambda xp, x, y: xp.cross(x, y, axisa=0, axisc=0), (3, 2), (2, 3)),
        ],
    ),
    Row(
        "convolve",
        [
            of(lambda xp, x, y, m=m: xp.convolve(x, y, m), a, b)
            for m in ("full", "same", "valid")
            for a, b in (((5,), (3,)), ((2,), (4,)), ((4,), (4,)), ((1,), (1,)))
        ],
    ),
    Row(
        "correlate",
        [
            of(lambda xp, x, y, m=m: xp.correlate(x, y, m), a, b)
            for m in ("full", "same", "valid")
            for a, b in (((5,), (3,)), ((2,), (5,)), ((4,), (4,)), ((5,), (2,)))
        ],
    ),
    Row(
        "interp",
        [
            of(lambda xp, x, f: xp.interp(x, _knots, f), (2, 3), (4,)),
            of(lambda xp, x, f: xp.interp(x, _knots, f, left=0.5, right=2.0), (3,), (4,)),
            of(lambda xp, x, p, f: xp.interp(x, p / 9 + _steps, f), (3,), (4,), (4,)),
            of(
                lambda xp, x, f: xp.interp(x, np.array([0.1, 2.9, 1.3, 0.4]), f, period=2.0),
                (5,),
                (4,),
            ),
            of(lambda xp, x, f: xp.interp(x, np.array([0.3]), f), (3,), (1,)),
        ],
        away=(*_knots, 0.1, 0.9, 1.3, -1.9, -1.1, -0.7, -1.6, 0.4, 0.0, 0.3),
        keeps_dtype=False,
        analytic=False,
    ),
]
