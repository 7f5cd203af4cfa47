"""Cases of linear algebra.

Symmetric matrices are made of any: the gradient of a function of these is symmetric by agreement,
and so is a change of one of them. Vectors that are determined up to their sign are squared.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_rnn import ops
from tinygrad_rnn.ops import decompositions, determinants, inverses, linalg

from .row import Point, Row, call, of


def _eye(x: Any) -> Any:
    return np.eye(x.shape[-1], dtype=np.finfo(x.dtype).dtype)


def _regular(xp: Any, x: Any) -> Any:
    """A matrix far from singular."""
    return x + 4 * _eye(x)


def _symmetric(xp: Any, x: Any) -> Any:
    """Symmetric, with eigenvalues apart."""
    n = x.shape[-1]
    return (x + xp.swapaxes(x, -1, -2)) / 2 + np.diag(3.0 * np.arange(n) - 4).astype(
        np.finfo(x.dtype).dtype
    )


def _positive(xp: Any, x: Any) -> Any:
    return xp.matmul(x, xp.swapaxes(x, -1, -2)) + _eye(x)


def _apart(xp: Any, x: Any) -> Any:
    """With singular values apart."""
    m, n = x.shape[-2:]
    return x / 4 + (np.eye(m, n) * (2.0 + np.arange(n))).astype(np.finfo(x.dtype).dtype)


def _squares(xp: Any, u: Any) -> Any:
    return u * u


def _outer_of(u: Any) -> Any:
    """The projection onto the columns: it does not depend on how they are turned."""
    return u @ u.mT


_square = [(3, 3), (1, 1), (2, 3, 3), (2, 1, 2, 2), (0, 2, 2), (0, 0)]

# What a rule writes into shows where the array is a leaf itself.
_itself = [[3.0, 0.1], [0.2, 1.0]]

rows = [
    Row(
        "inv",
        [of(lambda xp, x: xp.linalg.inv(_regular(xp, x)), shape) for shape in _square]
        + [call(at=(_itself,))],
        f=linalg.inv,
    ),
    Row(
        "solve",
        [
            of(lambda xp, a, b: xp.linalg.solve(_regular(xp, a), b), a, b)
            for a, b in (
                ((3, 3), (3,)),
                ((3, 3), (3, 3)),
                ((3, 3), (3, 2)),
                ((2, 3, 3), (3,)),
                ((2, 3, 3), (3, 2)),
                ((3, 3), (2, 3, 1)),
                ((2, 1, 2, 2), (3, 2, 2)),
                ((0, 2, 2), (2,)),
            )
        ],
        f=linalg.solve,
    ),
    Row(
        "det",
        [of(lambda xp, x: xp.linalg.det(_regular(xp, x)), shape) for shape in _square]
        + [
            call(at=([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]],)),
            call(at=([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 2.0, 3.0]],)),
            call((2, 2), label="any"),
        ],
        f=linalg.det,
        analytic=False,
        points=[
            Point(([[1.0, 2.0], [2.0, 4.0]],), ([[4.0, -2.0], [-2.0, 1.0]],)),
            Point(([[0.0, 0.0], [0.0, 0.0]],), ([[0.0, 0.0], [0.0, 0.0]],)),
            Point(
                ([[0.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]],),
                ([[6.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]],),
            ),
        ],
    ),
    Row(
        "_cofactors",
        [
            call((2, 2)),
            call((3, 3)),
            call((2, 4, 4), f=lambda x: determinants._cofactors(_apart(ops, x))),
        ],
        f=determinants._cofactors,
        analytic=False,
    ),
    Row(
        "_logabsdet",
        [call(s, f=lambda x: determinants._logabsdet(_regular(ops, x))) for s in _square],
        f=determinants._logabsdet,
        analytic=False,
    ),
    Row(
        "linalg.slogdet",
        [of(lambda xp, x: xp.linalg.slogdet(_regular(xp, x))[1], (2, 3, 3))],
        f=linalg.slogdet,
        analytic=False,
    ),
    Row(
        "_pinv",
        [
            call((3, 2), f=lambda x: inverses._pinv(_apart(ops, x), 1e-12), label="tall"),
            call((2, 3), f=lambda x: inverses._pinv(_apart(ops, x), 1e-12), label="wide"),
            call((2, 2, 2), f=lambda x: inverses._pinv(_regular(ops, x), 1e-12), label="a stack"),
            call(
                (3, 1),
                (1, 3),
                f=lambda x, y: inverses._pinv(x @ y, 1e-4),
                label="rank 1 of 3",
            ),
        ],
        f=inverses._pinv,
        domain=(0.5, 2),
        analytic=False,
    ),
    Row(
        "linalg.pinv",
        [
            of(lambda xp, x: xp.linalg.pinv(_apart(xp, x)), (3, 2)),
            of(lambda xp, x: xp.linalg.pinv(_apart(xp, x), rcond=1e-10), (2, 2, 3)),
        ],
        f=linalg.pinv,
        analytic=False,
    ),
    Row(
        "linalg.lstsq",
        [
            of(lambda xp, a, b: xp.linalg.lstsq(_apart(xp, a), b)[0], (4, 2), (4,)),
            of(lambda xp, a, b: xp.linalg.lstsq(_apart(xp, a), b)[1], (4, 2), (4, 3)),
            of(lambda xp, a, b: xp.linalg.lstsq(_apart(xp, a), b)[0], (2, 3), (2,)),
            of(lambda xp, a, b: xp.linalg.lstsq(_apart(xp, a), b)[3] * b[0], (4, 2), (4,)),
        ],
        f=linalg.lstsq,
        analytic=False,
    ),
    Row(
        "_cholesky",
        [call(s, f=lambda x: decompositions._cholesky(_positive(ops, x))) for s in _square]
        + [call(at=([[2.0]],))],
        f=decompositions._cholesky,
        analytic=False,
    ),
    Row(
        "linalg.cholesky",
        [
            of(lambda xp, x: xp.linalg.cholesky(_positive(xp, x)), (3, 3)),
            of(lambda xp, x: xp.linalg.cholesky(_positive(xp, x), upper=True), (2, 2, 2)),
        ],
        f=linalg.cholesky,
        analytic=False,
    ),
    Row(
        "_eigh",
        [call(s, f=lambda x: decompositions._eigh(_symmetric(ops, x), "L")) for s in _square[:4]]
        + [call(at=([[2.0]],), UPLO="L")],
        f=decompositions._eigh,
        analytic=False,
        points=[
            # Equal eigenvalues: their sum has a derivative, and so have the other vectors.
            Point(
                ([[2.0, 0.0], [0.0, 2.0]],),
                ([[1.0, 0.0], [0.0, 1.0]],),
                f=lambda x: linalg.eigvalsh(x),
            ),
            Point(
                ([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]],),
                ([[0.0, 0.0, 0.5], [0.0, 0.0, 0.0], [0.5, 0.0, 0.0]],),
                f=lambda x: _outer_of(linalg.eigh(x)[1][:, 2:])[0, 2],
            ),
        ],
    ),
    Row(
        "linalg.eigh",
        [
            of(lambda xp, x: xp.linalg.eigh(_symmetric(xp, x))[0], (3, 3)),
            of(lambda xp, x: _squares(xp, xp.linalg.eigh(_symmetric(xp, x))[1]), (2, 3, 3)),
            of(lambda xp, x: xp.linalg.eigh(_symmetric(xp, x), "U")[0], (3, 3)),
        ],
        f=linalg.eigh,
        analytic=False,
    ),
    Row(
        "linalg.eigvalsh",
        [of(lambda xp, x: xp.linalg.eigvalsh(_symmetric(xp, x)), (2, 3, 3))],
        f=linalg.eigvalsh,
        analytic=False,
    ),
    Row(
        "_svd",
        [
            call(s, f=lambda x: decompositions._svd(_apart(ops, x)))
            for s in ((3, 3), (4, 2), (2, 4), (2, 3, 2), (1, 1))
        ]
        + [call(at=(_itself,))],
        f=decompositions._svd,
        analytic=False,
        points=[
            # Equal singular values: their vectors have no derivative, their sum has one.
            Point(
                ([[2.0, 0.0], [0.0, 2.0]],),
                ([[np.nan, np.nan], [np.nan, np.nan]],),
                f=lambda x: linalg.svd(x).U[0, 1],
            ),
            Point(
                ([[2.0, 0.0], [0.0, 2.0]],),
                ([[np.nan, np.nan], [np.nan, np.nan]],),
                f=lambda x: linalg.svd(x).Vh[0, 1],
            ),
            Point(
                ([[2.0, 0.0], [0.0, 2.0]],),
                ([[1.0, 0.0], [0.0, 1.0]],),
                f=lambda x: linalg.svd(x).S,
            ),
            Point(
                ([[3.0, 0.0], [0.0, 0.0]],),
                ([[1.0, 0.0], [0.0, 0.0]],),
                f=lambda x: linalg.svd(x).S[0],
            ),
        ],
    ),
    Row(
        "linalg.svd",
        [
            of(lambda xp, x: xp.linalg.svd(_apart(xp, x))[1], (3, 2)),
            of(lambda xp, x: _squares(xp, xp.linalg.svd(_apart(xp, x), False)[0]), (3, 2)),
            of(lambda xp, x: _outer_of(xp.linalg.svd(_apart(xp, x))[0][..., 2:]), (4, 2)),
            of(lambda xp, x: _outer_of(xp.linalg.svd(_apart(xp, x))[2].mT[..., 2:]), (2, 2, 4)),
            of(lambda xp, x: xp.linalg.svd(_apart(xp, x), compute_uv=False), (2, 3)),
            of(lambda xp, x: xp.linalg.svd(_symmetric(xp, x), hermitian=True)[1], (3, 3)),
            of(
                lambda xp, x: _squares(xp, xp.linalg.svd(_symmetric(xp, x), hermitian=True)[0]),
                (3, 3),
            ),
        ],
        f=linalg.svd,
        analytic=False,
    ),
    Row(
        "linalg.svdvals",
        [of(lambda xp, x: xp.linalg.svdvals(_apart(xp, x)), (2, 3, 2))],
        f=linalg.svdvals,
        analytic=False,
    ),
    Row(
        "_qr",
        [
            call(s, f=lambda x: decompositions._qr(_apart(ops, x)))
            for s in ((3, 3), (4, 2), (2, 3, 2), (1, 1))
        ]
        + [call(at=(_itself,))],
        f=decompositions._qr,
        analytic=False,
    ),
    Row(
        "linalg.qr",
        [
            of(lambda xp, x: xp.linalg.qr(_apart(xp, x))[0], (3, 2)),
            of(lambda xp, x: xp.linalg.qr(_apart(xp, x))[1], (2, 2, 3)),
            of(lambda xp, x: xp.linalg.qr(_apart(xp, x), "r"), (3, 2)),
            of(
                lambda xp, x: _outer_of(xp.linalg.qr(_apart(xp, x), "complete")[0][..., 2:]), (4, 2)
            ),
            of(lambda xp, x: xp.linalg.qr(_apart(xp, x), "complete")[1], (4, 2)),
        ],
        f=linalg.qr,
        analytic=False,
    ),
    Row(
        "linalg.norm",
        [
            of(lambda xp, x: xp.linalg.norm(x), (2, 3)),
            of(lambda xp, x: xp.linalg.norm(x, keepdims=True), (2, 3, 2)),
            *(
                of(lambda xp, x, o=o: xp.linalg.norm(x, o, axis=1), (2, 3))
                for o in (None, 1, 2, 3, 0.5, -1, np.inf, -np.inf)
            ),
            *(
                of(lambda xp, x, o=o: xp.linalg.norm(_apart(xp, x), o, axis=(0, 2)), (2, 2, 3))
                for o in (None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)
            ),
            of(lambda xp, x: xp.linalg.norm(_apart(xp, x), 2), (3, 2)),
        ],
        f=linalg.norm,
        away=(0.0,),
        distinct=True,
        analytic=False,
        points=[
            Point(([0.0, 0.0],), ([0.0, 0.0],)),
            Point(([0.0, 0.0],), ([0.0, 0.0],), f=lambda x: linalg.norm(x, 3)),
            Point(([0.0, 2.0],), ([0.0, 1.0],), f=lambda x: linalg.norm(x, 3)),
        ],
    ),
    Row(
        "linalg.vector_norm",
        [
            of(lambda xp, x: xp.linalg.vector_norm(x), (2, 3)),
            of(
                lambda xp, x: xp.linalg.vector_norm(x, axis=(0, 2), ord=3, keepdims=True), (2, 3, 2)
            ),
        ],
        f=linalg.vector_norm,
        away=(0.0,),
        analytic=False,
    ),
    Row(
        "linalg.matrix_norm",
        [
            of(lambda xp, x: xp.linalg.matrix_norm(x), (2, 3, 2)),
            of(
                lambda xp, x: xp.linalg.matrix_norm(_apart(xp, x), ord="nuc", keepdims=True), (3, 2)
            ),
        ],
        f=linalg.matrix_norm,
        analytic=False,
    ),
    Row(
        "linalg.cond",
        [
            of(lambda xp, x, p=p: xp.linalg.cond(_apart(xp, x), p), (3, 3))
            for p in (None, 2, -2, "fro", 1, np.inf)
        ],
        f=linalg.cond,
        away=(0.0,),
        distinct=True,
        analytic=False,
    ),
    Row(
        "linalg.matrix_power",
        [
            of(lambda xp, x, n=n: xp.linalg.matrix_power(_regular(xp, x), n), (2, 2, 2))
            for n in (1, 2, 5, -1, -3)
        ],
        f=linalg.matrix_power,
    ),
    Row(
        "linalg.multi_dot",
        [
            of(lambda xp, x, y, z: xp.linalg.multi_dot([x, y, z]), (2, 3), (3, 1), (1, 4)),
            of(lambda xp, x, y, z: xp.linalg.multi_dot([x, y, z]), (3,), (3, 2), (2,)),
            of(lambda xp, x, y: xp.linalg.multi_dot([x, y]), (2, 3), (3, 2)),
        ],
        f=linalg.multi_dot,
    ),
    Row(
        "linalg.tensorsolve",
        [
            of(lambda xp, a, b: xp.linalg.tensorsolve(_big(xp, a), b), (4, 4), (2, 2)),
            of(
                lambda xp, a, b: xp.linalg.tensorsolve(_turned(xp, _big(xp, a)), b, axes=(0,)),
                (4, 4),
                (2, 2),
            ),
        ],
        f=linalg.tensorsolve,
    ),
    Row(
        "linalg.tensorinv",
        [of(lambda xp, a: xp.linalg.tensorinv(_big(xp, a), ind=2), (4, 4))],
        f=linalg.tensorinv,
    ),
    Row(
        "linalg.diagonal",
        [of(lambda xp, x: xp.linalg.diagonal(x, offset=1), (2, 3, 3))],
        f=linalg.diagonal,
    ),
    Row("linalg.trace", [of(lambda xp, x: xp.linalg.trace(x), (2, 3, 3))], f=linalg.trace),
    Row(
        "linalg.cross",
        [of(lambda xp, x, y: xp.linalg.cross(x, y), (2, 3), (3,))],
        f=linalg.cross,
    ),
    Row("linalg.outer", [of(lambda xp, x, y: xp.linalg.outer(x, y), (2,), (3,))], f=linalg.outer),
]


def _big(xp: Any, a: Any) -> Any:
    """A linear map of (4,) to (2, 2)."""
    return xp.reshape(_regular(xp, a), (2, 2, 4))


def _turned(xp: Any, a: Any) -> Any:
    return xp.moveaxis(a, 2, 0)
