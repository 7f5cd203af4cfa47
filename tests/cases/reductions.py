"""Cases of the reductions and the softmax family."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_rnn import ops
from tinygrad_rnn.ops import sorting, statistics

from .row import Point, Row, call, normalising, of, reduction

_mask = np.array([[True, False, True], [True, True, True]])


def _along(x: Any, indices: Any, axis: int) -> Any:
    return sorting._take_along(x, np.array(indices), axis)


def _added(x: Any, indices: Any, axis: int, n: int) -> Any:
    return sorting._add_along(x, np.array(indices), axis, n)


def _holed(xp: Any, x: Any) -> Any:
    """x with NaN as its second element."""
    hole = np.zeros(x.shape, bool)
    hole.flat[1] = True
    return xp.where(hole, np.nan, x)


rows = [
    # reductions
    Row("sum", [*reduction, call((0,)), call((2, 0), axis=0)]),
    Row("mean", reduction),
    Row(
        "max",
        reduction,
        distinct=True,
        points=[
            Point(([[1.0, 3.0], [3.0, 3.0]],), ([[0.0, 1.0], [0.0, 0.0]],)),
            Point(
                ([[1.0, 3.0, 3.0], [2.0, 2.0, 1.0]],),
                ([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]],),
                f=lambda x: ops.max(x, 1),
            ),
        ],
    ),
    Row(
        "min",
        reduction,
        distinct=True,
        points=[
            Point(([[3.0, 1.0], [1.0, 1.0]],), ([[0.0, 1.0], [0.0, 0.0]],)),
            Point(
                ([[3.0, 1.0, 1.0], [2.0, 2.0, 3.0]],),
                ([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]],),
                f=lambda x: ops.min(x, -1),
            ),
        ],
    ),
    Row(
        "cumsum",
        [
            call((3, 3)),
            call((3, 3), axis=0),
            call((2, 3, 4), axis=1),
            call((2, 3), axis=-1),
            call(()),
            call((0, 2), axis=1),
        ],
    ),
    Row(
        "logsumexp",
        [*reduction, call((2, 0), axis=0)],
        points=[
            Point(([1000.0, 1000.0],), ([0.5, 0.5],)),
            Point(([-1000.0, -1000.0],), ([0.5, 0.5],)),
            Point(([0.0, -np.inf],), ([1.0, 0.0],)),
        ],
    ),
    Row(
        "softmax",
        normalising,
        points=[
            Point(([1000.0, -1000.0],), ([0.0, 0.0],), f=lambda x: ops.softmax(x)[0]),
            Point(([0.0, -np.inf],), ([0.0, 0.0],)),
        ],
    ),
    Row(
        "log_softmax",
        normalising,
        points=[Point(([1000.0, -1000.0],), ([-1.0, 1.0],), f=lambda x: ops.log_softmax(x)[1])],
    ),
    Row(
        "prod",
        [*reduction, call((5,)), call((2, 7), axis=-1), call((2, 0), axis=0)],
        points=[
            Point(([0.0, 2.0, 3.0],), ([6.0, 0.0, 0.0],)),
            Point(([0.0, 0.0, 3.0],), ([0.0, 0.0, 0.0],)),
            Point(
                ([0.0, 0.0, 3.0],),
                ([0.0, 0.0, 0.0],),
                f=lambda x: ops.prod(x * 1.0) + ops.prod(ops.getitem(x, [0, 1])),
            ),
        ],
    ),
    Row(
        "cumprod",
        [
            call((3, 3)),
            call((3, 3), axis=0),
            call((2, 5), axis=-1),
            call((2, 3, 2), axis=1),
            call(()),
            call((0, 2), axis=1),
        ],
        points=[
            Point(([2.0, 0.0, 3.0, 5.0],), ([1.0, 2.0 + 6.0 + 30.0, 0.0, 0.0],)),
            Point(([0.0, 0.0, 3.0],), ([1.0, 0.0, 0.0],)),
        ],
    ),
    # sorting
    Row(
        "_take_along",
        [
            call((2, 3), f=lambda x: _along(x, [[2, 0, 2], [1, 1, 2]], 1), label="axis 1"),
            call((3, 3), f=lambda x: _along(x, [[2, 0, 1]], 0), label="axis 0, broadcast"),
            call((2, 0), f=lambda x: _along(x, np.zeros((2, 0), int), 1), label="empty"),
        ],
        f=sorting._take_along,
    ),
    Row(
        "_add_along",
        [
            call((2, 3), f=lambda x: _added(x, [[2, 0, 2], [1, 1, 3]], 1, 4), label="axis 1"),
            call(
                (3, 3),
                f=lambda x: _added(x, [[0, 1, 0], [0, 1, 2], [1, 1, 1]], 0, 3),
                label="axis 0",
            ),
            call((2, 0), f=lambda x: _added(x, np.zeros((2, 0), int), 1, 3), label="empty"),
        ],
        f=sorting._add_along,
    ),
    Row(
        "take_along_axis",
        [
            of(lambda xp, x: xp.take_along_axis(x, np.array([[2, 2], [1, -1]]), 1), (2, 3)),
            of(lambda xp, x: xp.take_along_axis(x, np.array([5, 0]), None), (2, 3)),
            of(lambda xp, x: xp.take_along_axis(x, np.array([[2, 1], [0, 0]]), 1), (1, 3)),
            of(lambda xp, x: xp.take_along_axis(x, np.array([[0, 1, 1]]), axis=0), (2, 3)),
        ],
    ),
    Row(
        "sort",
        [
            of(lambda xp, x: xp.sort(x), (3, 4)),
            of(lambda xp, x: xp.sort(x, axis=0), (4, 2)),
            of(lambda xp, x: xp.sort(x, axis=None), (3, 4)),
            of(lambda xp, x: xp.sort(x), (0,)),
        ],
        distinct=True,
        analytic=False,
        points=[
            Point(
                ([2.0, 1.0, 2.0],),
                ([3.0, 0.0, 5.0],),
                f=lambda x: ops.sort(x) * np.array([0.0, 3.0, 5.0]),
            ),
        ],
    ),
    Row(
        "partition",
        [
            of(lambda xp, x: xp.partition(x, 1)[..., 1:2], (3, 4)),
            of(lambda xp, x: xp.partition(x, (0, 2), axis=0)[2], (4, 2)),
            of(lambda xp, x: xp.partition(x, 3, axis=None)[3:4], (3, 4)),
        ],
        distinct=True,
        analytic=False,
    ),
    Row(
        "unique",
        [of(lambda xp, x: xp.unique(x), (4,)), of(lambda xp, x: xp.unique(x, axis=0), (3, 2))],
        distinct=True,
        analytic=False,
        points=[Point(([3.0, 1.0, 3.0],), ([1.0, 1.0, 0.0],))],
    ),
    Row(
        "compress",
        [
            of(lambda xp, x: xp.compress(np.array([True, False, True]), x), (2, 3)),
            of(lambda xp, x: xp.compress(np.array([False, True]), x, axis=1), (2, 3)),
        ],
    ),
    Row("extract", [of(lambda xp, x: xp.extract(_mask, x), (2, 3))]),
    Row(
        "select",
        [
            of(lambda xp, x, y: xp.select([_mask, ~_mask], [x, y]), (2, 3), (3,)),
            of(lambda xp, x: xp.select([_mask], [x], 2.0), (2, 3)),
            of(lambda xp, x, y: xp.select([_mask, _mask], [x, y], default=y), (2, 3), (2, 3)),
        ],
    ),
    Row(
        "choose",
        [
            of(lambda xp, x, y: xp.choose(np.array([1, 0, 1]), [x, y]), (2, 3), (3,)),
            of(lambda xp, x, y: xp.choose(np.array([3, -1, 1]), [x, y], mode="wrap"), (3,), (3,)),
            of(lambda xp, x, y: xp.choose(np.array([3, -1, 1]), [x, y], mode="clip"), (3,), (3,)),
        ],
    ),
    Row(
        "bincount",
        [
            of(lambda xp, w: xp.bincount(np.array([1, 3, 1, 0]), w), (4,)),
            of(lambda xp, w: xp.bincount(np.array([1, 0]), weights=w, minlength=4), (2,)),
        ],
    ),
    # statistics
    Row(
        "var",
        [
            *reduction[:-2],
            of(lambda xp, x: xp.var(x, axis=1, ddof=1), (2, 3)),
            of(lambda xp, x: xp.var(x, axis=0, correction=0.5, keepdims=True), (3, 2)),
            of(lambda xp, x: xp.var(x, axis=1, where=_mask), (2, 3)),
            of(lambda xp, x: xp.var(x, where=_mask, ddof=1), (2, 3)),
            of(lambda xp, x: xp.var(x, axis=0, mean=xp.mean(x, axis=0, keepdims=True)), (3, 2)),
        ],
    ),
    Row(
        "std",
        [
            *reduction[:4],
            of(lambda xp, x: xp.std(x, axis=1, ddof=1), (2, 3)),
            of(lambda xp, x: xp.std(x, where=_mask, keepdims=True), (2, 3)),
        ],
        points=[Point(([2.0, 2.0],), ([0.0, 0.0],))],
    ),
    Row(
        "average",
        [
            of(lambda xp, x: xp.average(x, axis=1), (2, 3)),
            of(lambda xp, x, w: xp.average(x, weights=w), (2, 3), (2, 3)),
            of(lambda xp, x, w: xp.average(x, axis=1, weights=w), (2, 3), (3,)),
            of(lambda xp, x, w: xp.average(x, axis=0, weights=w, keepdims=True), (2, 3), (2,)),
            of(lambda xp, x, w: xp.average(x, axis=0, weights=w, returned=True)[0], (2, 3), (2,)),
        ],
        domain=(0.5, 2),
    ),
    Row(
        "cov",
        [
            of(lambda xp, x: xp.cov(x), (2, 4)),
            of(lambda xp, x: xp.cov(x), (4,)),
            of(lambda xp, x, y: xp.cov(x, y, bias=True), (2, 4), (4,)),
            of(lambda xp, x: xp.cov(x, rowvar=False, ddof=0), (4, 2)),
            of(
                lambda xp, x: xp.cov(
                    x, fweights=np.array([1, 2, 0, 1]), aweights=np.array([1.0, 2.0, 0.5, 1.0])
                ),
                (2, 4),
            ),
            of(lambda xp, x: xp.cov(x, aweights=np.array([1.0, 2.0, 0.5, 1.0])), (2, 4)),
        ],
    ),
    Row(
        "corrcoef",
        [
            of(lambda xp, x: xp.corrcoef(x), (3, 4)),
            of(lambda xp, x, y: xp.corrcoef(x, y), (4,), (4,)),
        ],
    ),
    Row(
        "ptp",
        [
            of(lambda xp, x: xp.ptp(x), (2, 3)),
            of(lambda xp, x: xp.ptp(x, axis=1, keepdims=True), (2, 3)),
        ],
        distinct=True,
        analytic=False,
    ),
    Row(
        "median",
        [
            of(lambda xp, x: xp.median(x), (3, 3)),
            of(lambda xp, x: xp.median(x, axis=1), (2, 4)),
            of(lambda xp, x: xp.median(x, axis=(0, 2), keepdims=True), (2, 3, 2)),
        ],
        distinct=True,
        analytic=False,
    ),
    Row(
        "quantile",
        [
            of(lambda xp, x: xp.quantile(x, 0.3), (3, 3)),
            of(lambda xp, x: xp.quantile(x, np.array([0.0, 0.4, 1.0]), axis=1), (2, 4)),
            of(lambda xp, x: xp.quantile(x, np.array([[0.2, 0.9]]), axis=0, keepdims=True), (3, 2)),
            *(
                of(
                    lambda xp, x, m=method: xp.quantile(
                        x, np.array([0.1, 0.35, 0.5, 0.8]), method=m
                    ),
                    (7,),
                    label=method,
                )
                for method in (*statistics._continuous, *statistics._discontinuous)
            ),
        ],
        distinct=True,
        analytic=False,
    ),
    Row(
        "percentile",
        [of(lambda xp, x: xp.percentile(x, np.array([20, 75]), axis=-1), (2, 4))],
        distinct=True,
        analytic=False,
    ),
    Row(
        "trapezoid",
        [
            of(lambda xp, y: xp.trapezoid(y), (2, 4)),
            of(lambda xp, y: xp.trapezoid(y, dx=0.5, axis=0), (3, 2)),
            of(lambda xp, y, x: xp.trapezoid(y, x), (2, 4), (4,)),
            of(lambda xp, y, x: xp.trapezoid(y, x, axis=0), (3, 2), (3, 2)),
        ],
    ),
    # reductions that skip NaN
    *(
        Row(
            name,
            [
                of(lambda xp, x, f=name: getattr(xp, f)(_holed(xp, x)), (2, 3)),
                of(lambda xp, x, f=name: getattr(xp, f)(_holed(xp, x), axis=1), (2, 3)),
                of(lambda xp, x, f=name: getattr(xp, f)(x, axis=0, keepdims=True), (2, 3)),
            ],
            distinct=True,
            analytic=False,
        )
        for name in (
            "nansum",
            "nanprod",
            "nanmean",
            "nanvar",
            "nanstd",
            "nanmax",
            "nanmin",
            "nanmedian",
        )
    ),
    *(
        Row(
            name,
            [
                of(lambda xp, x, f=name: getattr(xp, f)(_holed(xp, x)), (2, 3)),
                of(lambda xp, x, f=name: getattr(xp, f)(_holed(xp, x), axis=1), (2, 3)),
            ],
            analytic=False,
        )
        for name in ("nancumsum", "nancumprod")
    ),
    *(
        Row(
            name,
            [
                of(lambda xp, x, f=name, q=q: getattr(xp, f)(_holed(xp, x), q), (2, 4)),
                of(lambda xp, x, f=name, q=q: getattr(xp, f)(_holed(xp, x), q, axis=1), (2, 4)),
            ],
            distinct=True,
            analytic=False,
        )
        for name, q in (
            ("nanquantile", np.array([0.3, 0.9])),
            ("nanpercentile", np.array([30, 90])),
        )
    ),
]
