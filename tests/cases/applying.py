"""Cases of polynomials, of functions applied to parts, and of ranges."""

from __future__ import annotations

import numpy as np

from .row import Row, of

_mask = np.array([[True, False, True], [False, False, True]])
_places = np.array([0.0, 1.0, 2.0, 4.0])

rows = [
    # polynomials
    Row(
        "polyval",
        [
            of(lambda xp, p, x: xp.polyval(p, x), (3,), (2, 2)),
            of(lambda xp, p: xp.polyval(p, 2.0), (3,)),
        ],
    ),
    Row(
        "vander",
        [
            of(lambda xp, x: xp.vander(x), (3,)),
            of(lambda xp, x: xp.vander(x, 2, increasing=True), (3,)),
        ],
    ),
    Row("polyadd", [of(lambda xp, p, q: xp.polyadd(p, q), (3,), (2,))]),
    Row("polysub", [of(lambda xp, p, q: xp.polysub(p, q), (1,), (3,))]),
    Row("polymul", [of(lambda xp, p, q: xp.polymul(p, q), (3,), (2,))]),
    Row("polyder", [of(lambda xp, p, m=m: xp.polyder(p, m), (4,)) for m in (1, 2)]),
    Row(
        "polydiv",
        [
            of(lambda xp, p, q: xp.polydiv(p, q)[0], (4,), (2,)),
            of(lambda xp, p, q: xp.polydiv(p, q)[1], (4,), (3,)),
        ],
        domain=(0.5, 2),
    ),
    Row(
        "polyint",
        [
            of(lambda xp, p: xp.polyint(p), (3,)),
            of(lambda xp, p: xp.polyint(p, 2, np.array([3.0, 1.0])), (3,)),
        ],
    ),
    Row("poly", [of(lambda xp, r: xp.poly(r), (3,))]),
    Row(
        "polyfit",
        [
            of(lambda xp, y: xp.polyfit(_places, y, 2), (4,)),
            of(lambda xp, x, y: xp.polyfit(x + _places, y, 1), (4,), (4, 2)),
            of(lambda xp, y: xp.polyfit(_places, y, 1, w=np.array([1.0, 2.0, 1.0, 0.5])), (4,)),
        ],
        domain=(-0.4, 0.4),
        keeps_dtype=False,
        analytic=False,
    ),
    # functions applied to parts
    Row(
        "apply_along_axis",
        [
            of(lambda xp, x: xp.apply_along_axis(lambda v: v[0] * v[:2], 1, x), (2, 3)),
            of(lambda xp, x: xp.apply_along_axis(lambda v: (v * v).sum(), 0, x), (2, 3, 2)),
        ],
    ),
    Row(
        "apply_over_axes",
        [of(lambda xp, x: xp.apply_over_axes(xp.sum, x, [0, -1]), (2, 3, 2))],
    ),
    Row(
        "piecewise",
        [
            of(lambda xp, x: xp.piecewise(x, [_mask], [lambda v: v * v]), (2, 3)),
            of(
                lambda xp, x: xp.piecewise(
                    x, [_mask, ~_mask], [lambda v: v * v, lambda v: 2 * v, 3.0]
                ),
                (2, 3),
            ),
            of(lambda xp, x: xp.piecewise(x, [_mask], [1.0, lambda v, k: k * v], 3), (2, 3)),
        ],
    ),
    # ranges
    Row(
        "linspace",
        [
            of(lambda xp, a, b: xp.linspace(a, b, 5), (), ()),
            of(lambda xp, a, b: xp.linspace(a, b, 3, endpoint=False, axis=-1), (2,), (3, 2)),
            of(lambda xp, a, b: xp.linspace(a, b, 4, retstep=True)[1], (2,), (2,)),
            of(lambda xp, a: xp.linspace(a, 2.0, 1), (2,)),
        ],
    ),
    Row(
        "logspace",
        [
            of(lambda xp, a, b: xp.logspace(a, b, 3), (), ()),
            of(lambda xp, a, b: xp.logspace(a, b, 3, base=2.0, axis=1), (2,), (2,)),
        ],
    ),
    Row(
        "geomspace",
        [
            of(lambda xp, a, b: xp.geomspace(a, b, 4), (), ()),
            of(lambda xp, a, b: xp.geomspace(-a, -b, 3), (2,), (2,)),
        ],
        domain=(0.5, 3),
        analytic=False,
    ),
]
