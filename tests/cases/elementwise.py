"""Cases of the elementwise operations."""

from __future__ import annotations

import numpy as np

from tinygrad_rnn import ops
from tinygrad_rnn.ops import special

from .row import Point, Row, binary, call, of, unary

_mask = np.array([[True, False, True], [False, False, True], [True, True, False]])

_ends = [
    Point(([1000.0, -np.inf], [1000.0, -np.inf]), ([0.5, 0.5], [0.5, 0.5])),
    Point(([1000.0, np.inf], [-1000.0, np.inf]), ([1.0, 0.5], [0.0, 0.5])),
]

rows = [
    # arithmetic
    Row("add", binary),
    Row("subtract", binary),
    Row("multiply", binary),
    Row("divide", binary, domain=((-2, 2), (0.5, 2))),
    Row(
        "power",
        [
            *binary,
            call((3,), f=lambda x: ops.power(x, 3), label="x ** 3"),
            call((3,), f=lambda x: ops.power(x, -0.5), label="x ** -0.5"),
            call((3,), f=lambda x: ops.power(x, 1), label="x ** 1"),
            call((3,), f=lambda x: ops.power(x, 0), label="x ** 0"),
            call((3,), f=lambda x: ops.power(-x, 3), label="(-x) ** 3"),
            call(
                (3,),
                f=lambda x: ops.power(-x, np.array([2, 0, -1], np.int8)),
                label="(-x) ** integers",
            ),
            call((3,), f=lambda y: ops.power(2.0, y), label="2 ** y"),
            # x^0 is 1 for every x, but how its slope changes with the exponent is not 0.
            call(at=([0.5, 2.0, 1.5], [0.0, 1.0, 2.0])),
        ],
        domain=((0.3, 2), (-2, 2)),
        points=[
            Point(([0.0, 0.0, 0.0], [0.0, 1.0, 2.0]), ([0.0, 1.0, 0.0], [0.0, 0.0, 0.0])),
            Point(([0.0], [-1.0]), ([-np.inf], [-np.inf])),
            Point(([0.0, -2.0],), ([0.0, 12.0],), f=lambda x: ops.power(x, 3)),
            Point(([0.0],), ([0.0],), f=lambda x: ops.power(x, 0)),
        ],
    ),
    Row("positive", unary),
    Row("negative", unary),
    Row("abs", unary, away=(0.0,), points=[Point(([0.0, -1.0],), ([0.0, -1.0],))], analytic=False),
    # exponentials, roots and circular functions
    Row("exp", unary),
    Row("log", unary, domain=(0.3, 2)),
    Row("log1p", unary, domain=(-0.7, 2), points=[Point(([1e-18],), ([1.0],))]),
    Row("sqrt", unary, domain=(0.3, 2)),
    Row("square", unary),
    Row("sin", unary),
    Row("cos", unary),
    # what networks squash with
    Row("tanh", unary, points=[Point(([1000.0, -1000.0],), ([0.0, 0.0],))]),
    Row("sigmoid", unary, points=[Point(([1000.0, -1000.0, 0.0],), ([0.0, 0.0, 0.25],))]),
    Row("relu", unary, away=(0.0,), points=[Point(([0.0, 1.0, -1.0],), ([0.0, 1.0, 0.0],))]),
    Row("softplus", unary, points=[Point(([1000.0, -1000.0, 0.0],), ([1.0, 0.0, 0.5],))]),
    Row("erf", unary, points=[Point(([0.0, 30.0, -30.0],), ([2 / np.sqrt(np.pi), 0.0, 0.0],))]),
    Row(
        "_binary_cross_entropy",
        binary,
        f=special._binary_cross_entropy,
        domain=((0.1, 0.9), (0.0, 1.0)),
        points=[
            # At the ends, where the logarithm is infinite, the bounds that PyTorch has.
            Point(
                ([0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0]),
                ([0.0, -1e12, 1e12, 0.0], [100.0, 100.0, -100.0, -100.0]),
            )
        ],
    ),
    # choices
    Row(
        "maximum",
        binary,
        distinct=True,
        points=[Point(([1.0, 1.0, 2.0], [1.0, 3.0, 1.0]), ([0.5, 0.0, 1.0], [0.5, 1.0, 0.0]))],
    ),
    Row(
        "minimum",
        binary,
        distinct=True,
        points=[Point(([1.0, 1.0, 2.0], [1.0, 3.0, 1.0]), ([0.5, 1.0, 0.0], [0.5, 0.0, 1.0]))],
    ),
    Row(
        "_clip",
        [
            *(call(*c.shapes, a_min=-0.5, a_max=1.0) for c in unary),
            call((3,), a_min=-0.5),
            call((3,), a_max=1.0),
            call((3,)),
            call((3,), a_min=np.array([[-0.5], [1.0]], np.float32)),
        ],
        away=(-0.5, 1.0),
        points=[
            Point(
                ([-1.0, -0.5, 0.0, 1.0, 2.0],),
                ([0.0, 1.0, 1.0, 1.0, 0.0],),
                f=lambda x: ops.clip(x, -0.5, 1.0),
            )
        ],
        f=ops.clip,
    ),
    Row(
        "clip",
        [
            of(lambda xp, x, a, b: xp.clip(x, a - 2.5, b + 2.5), (2, 3), (3,), ()),
            call((2, 3), (3,), f=lambda x, a: ops.clip(x, a), label="a_min"),
            call((2, 3), (3,), f=lambda x, a: ops.clip(x, None, a), label="a_max"),
        ],
        distinct=True,
        points=[Point(([1.0, 2.0, 3.0], [1.0, 3.0, 0.0]), ([1.0, 0.0, 1.0], [0.0, 1.0, 0.0]))],
    ),
    Row(
        "where",
        [
            call((3, 3), (3, 3), f=lambda x, y: ops.where(_mask, x, y), label="mask"),
            call((3, 1), (3,), f=lambda x, y: ops.where(_mask, x, y), label="mask, broadcast"),
            call((), (3, 3), f=lambda x, y: ops.where(_mask, x, y), label="mask, 0-d"),
            call((3,), (), f=lambda x, y: ops.where(_mask, x, y), label="mask, 0-d at the end"),
            call((3,), f=lambda x: ops.where(_mask, x, 2.0), label="mask, x, 2.0"),
            call((), (), f=lambda x, y: ops.where(False, x, y), label="0-d"),
            call((2,), (2,), f=lambda x, y: ops.where(True, x, y), label="True"),
            call((0,), (0,), f=lambda x, y: ops.where(True, x, y), label="empty"),
        ],
    ),
    # exponentials, logarithms and roots
    Row("expm1", unary, points=[Point(([1e-18, -50.0],), ([1.0, np.exp(-50.0)],))]),
    Row("exp2", unary),
    Row("log2", unary, domain=(0.3, 2)),
    Row("log10", unary, domain=(0.3, 2)),
    Row("cbrt", unary, away=(0.0,), analytic=False, points=[Point(([0.0],), ([np.inf],))]),
    Row("reciprocal", unary, domain=(0.5, 2)),
    Row("logaddexp", binary, analytic=False, points=_ends),
    Row("logaddexp2", binary, analytic=False, points=_ends),
    # circular and hyperbolic functions
    Row("tan", unary, domain=(-1.2, 1.2)),
    Row("arcsin", unary, domain=(-0.9, 0.9)),
    Row("arccos", unary, domain=(-0.9, 0.9)),
    Row("arctan", unary),
    Row(
        "arctan2",
        binary,
        away=(0.0,),
        analytic=False,
        points=[
            Point(([0.0, 1e200], [0.0, 1e200]), ([0.0, 5e-201], [0.0, -5e-201])),
            Point(([0.0], [-1.0]), ([-1.0], [0.0])),
        ],
    ),
    Row(
        "hypot",
        binary,
        away=(0.0,),
        analytic=False,
        points=[Point(([0.0, 3e200], [0.0, 4e200]), ([0.0, 0.6], [0.0, 0.8]))],
    ),
    Row("deg2rad", unary, analytic=False),
    Row("rad2deg", unary, analytic=False),
    Row(
        "_sinc",
        [
            *(call(*c.shapes, order=0) for c in unary),
            call((4,), order=1),
            call((3,), order=2),
            call((3,), order=5),
            call(at=([0.0, 1.0, -2.0],), order=0),
            call(at=([0.0, 1e-9, 0.1],), order=3),
        ],
        f=ops.transcendental._sinc,
        domain=(-6, 6),
        points=[
            Point(([0.0, 1.0],), ([0.0, -1.0],), f=ops.sinc),
            Point(([0.0],), ([-(np.pi**2) / 3],), f=lambda x: ops.transcendental._sinc(x, 1)),
        ],
    ),
    Row(
        "_bessel",
        [
            *(call(*c.shapes, order=0) for c in unary[:4]),
            call((4,), order=1),
            call((3,), order=3),
            call(at=([0.0, 40.0, -3.0],), order=1),
        ],
        f=ops.transcendental._bessel,
        domain=(-4, 4),
        points=[
            Point(([1.0],), ([0.5651591039924851],), f=ops.i0),
        ],
    ),
    Row("i0", [of(lambda xp, x: xp.i0(x), (2, 3))]),
    Row("sinc", [of(lambda xp, x: xp.sinc(x), (2, 3))]),
    Row("sinh", unary),
    Row("cosh", unary),
    Row("arcsinh", unary, points=[Point(([1e200],), ([1e-200],))]),
    Row("arccosh", unary, domain=(1.2, 3)),
    Row("arctanh", unary, domain=(-0.9, 0.9)),
    # remainders and signs
    Row(
        "remainder",
        binary,
        domain=((-7, 7), (1.1, 1.9)),
        distinct=True,
        analytic=False,
        points=[
            Point(([7.5, -7.5, 7.5], [2.0, 2.0, -2.0]), ([1.0] * 3, [-3.0, 4.0, 4.0])),
            Point(([3.0], [np.inf]), ([1.0], [0.0])),
        ],
    ),
    Row(
        "fmod",
        binary,
        domain=((-7, 7), (1.1, 1.9)),
        distinct=True,
        analytic=False,
        points=[Point(([7.5, -7.5, 7.5], [2.0, 2.0, -2.0]), ([1.0] * 3, [-3.0, 3.0, 3.0]))],
    ),
    Row(
        "divmod",
        [call((2, 3), (3,), f=lambda x, y: ops.divmod(x, y)[1])],
        domain=((-7, 7), (1.1, 1.9)),
        analytic=False,
    ),
    Row("_fraction", unary, f=lambda x: ops.modf(x)[0], domain=(0.2, 0.9), analytic=False),
    Row("modf", [call((2, 3), f=lambda x: ops.modf(x)[0] * 2)], domain=(1.2, 1.8), analytic=False),
    Row("ldexp", [of(lambda xp, x: xp.ldexp(x, 3), (2, 3))], analytic=False),
    Row(
        "_ldexp",
        [
            call((2, 3), f=lambda x: ops.ldexp(x, 3), label="by 3"),
            call((3, 1), f=lambda x: ops.ldexp(x, np.array([1, -2])), label="by an array"),
            call((), f=lambda x: ops.ldexp(x, np.array([1, -2, 0])), label="0-d"),
            call((0,), f=lambda x: ops.ldexp(x, 1), label="empty"),
        ],
        analytic=False,
        f=ops.ldexp,
    ),
    Row("frexp", [of(lambda xp, x: xp.frexp(x)[0], (2, 3))], domain=(1.1, 1.9), analytic=False),
    Row("fabs", unary, away=(0.0,), points=[Point(([0.0, -1.0],), ([0.0, -1.0],))], analytic=False),
    Row(
        "copysign",
        [
            call(
                (2, 3), f=lambda x: ops.copysign(x, np.array([-0.0, 0.0, 2.0])), label="constants"
            ),
            call((2, 3), (3,)),
            call((3,), ()),
        ],
        away=(0.0,),
        analytic=False,
        points=[Point(([0.0, 1.0, 1.0], [-1.0, -0.0, 0.0]), ([0.0, -1.0, 1.0], [0.0] * 3))],
    ),
    Row(
        "fmax",
        binary,
        distinct=True,
        analytic=False,
        points=[
            Point(([1.0, 1.0, 2.0], [1.0, 3.0, 1.0]), ([0.5, 0.0, 1.0], [0.5, 1.0, 0.0])),
            Point(([np.nan, 1.0, np.nan], [1.0, np.nan, np.nan]), ([0, 1.0, 0.5], [1.0, 0, 0.5])),
        ],
    ),
    Row(
        "fmin",
        binary,
        distinct=True,
        analytic=False,
        points=[
            Point(([1.0, 1.0, 2.0], [1.0, 3.0, 1.0]), ([0.5, 1.0, 0.0], [0.5, 0.0, 1.0])),
            Point(([np.nan, 1.0, np.nan], [1.0, np.nan, np.nan]), ([0, 1.0, 0.5], [1.0, 0, 0.5])),
        ],
    ),
    Row(
        "heaviside",
        [call((2, 3), f=lambda h: ops.heaviside(np.array([-1.0, 0.0, 2.0]), h)), call((3,), (3,))],
        away=(0.0,),
        keeps_dtype=False,
        analytic=False,
        points=[Point(([-1.0, 0.0, 1.0], [7.0, 7.0, 7.0]), ([0.0] * 3, [0.0, 1.0, 0.0]))],
    ),
    Row(
        "nextafter",
        [
            of(lambda xp, x: xp.nextafter(x, 9.0), (2, 3)),
            call((3,), f=lambda x: ops.nextafter(x, 0.0)),
        ],
        away=(0.0,),
        analytic=False,
    ),
    Row(
        "float_power",
        [of(lambda xp, x, y: xp.float_power(x, y), (2, 3), (3,)), call((3,), ())],
        domain=(0.3, 2),
        keeps_dtype=False,
        analytic=False,
    ),
    Row(
        "nan_to_num",
        [of(lambda xp, x: xp.nan_to_num(x), (2, 3)), call((0,))],
        analytic=False,
        points=[Point(([np.nan, 1.0, np.inf, -np.inf],), ([0.0, 1.0, 0.0, 0.0],))],
    ),
]
