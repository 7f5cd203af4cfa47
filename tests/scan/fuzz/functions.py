"""Lines of NumPy's further functions: what ``lines`` has no line of already.

Each text keeps its values within the domain of its function, and clear of its kinks as far as that
can be said; what comes out of range all the same is left out by the pool.
"""

from __future__ import annotations

from .pool import Pool

ELEMENTWISE = [
    "tg.sinh(tg.tanh({0}))",
    "tg.cosh(tg.tanh({0}))",
    "tg.tan(tg.tanh({0}))",
    "tg.arcsin(0.9 * tg.tanh({0}))",
    "tg.arccos(0.9 * tg.tanh({0}))",
    "tg.arctan({0})",
    "tg.arcsinh({0})",
    "tg.arccosh(1.5 + tg.square({0}))",
    "tg.arctanh(0.9 * tg.tanh({0}))",
    "tg.expm1({0})",
    "tg.exp2({0})",
    "tg.log2(0.5 + tg.square({0}))",
    "tg.log10(0.5 + tg.square({0}))",
    "tg.cbrt(1.5 + tg.tanh({0}))",
    "tg.reciprocal(1.5 + tg.tanh({0}))",
    "tg.fabs({0})",
    "tg.deg2rad({0})",
    "tg.rad2deg({0})",
    "np.radians({0} * 3)",
    "tg.sinc({0})",
    "tg.i0({0})",
    "tg.nan_to_num({0})",
    "{0} - tg.floor({0})",
    "tg.heaviside({0}, 0.5) * {0}",
    "tg.fmod({0}, 1.3)",
    "{0} % 1.3",
    "{0} // 0.7 + {0}",
    "tg.fmax({0}, 0.1)",
    "tg.fmin({0}, 0.1)",
    "tg.float_power(1.5 + tg.tanh({0}), 1.7)",
    "tg.modf({0})[0]",
    "tg.ldexp({0}, 1)",
    "tg.frexp({0})[0]",
    "tg.round({0}) * {0}",
    "tg.copysign({0}, -1.0)",
    "tg.polyval([0.5, -1.0, 0.3], {0})",
    "tg.interp({0}, [-1.0, 0.0, 2.0], [0.5, -0.5, 1.0])",
    "np.select([{0} > 0.5, {0} > 0], [{0} * {0}, {0}], -0.1)",
]
TWO = [
    "tg.arctan2({0}, {1})",
    "tg.hypot({0}, 0.3 + {1})",
    "tg.logaddexp({0}, {1})",
    "tg.logaddexp2({0}, {1})",
    "tg.fmax({0}, {1})",
    "tg.fmin({0}, {1})",
    "tg.fmod({0}, 1.5 + tg.tanh({1}))",
    "tg.remainder({0}, 1.5 + tg.tanh({1}))",
    "{0} // (1.5 + tg.tanh({1})) + {0}",
    "tg.copysign({0}, {1})",
    "tg.heaviside({0}, {1})",
    "np.divmod({0}, 1.5 + tg.tanh({1}))[1]",
]
OF_AXES = [
    "tg.sort({0})",
    "tg.sort({0}, 0)",
    "tg.partition({0}, 0, -1)",
    "tg.roll({0}, 1)",
    "tg.roll({0}, -1, 0)",
    "tg.rot90({0})",
    "tg.tril({0})",
    "tg.triu({0}, 1)",
    "tg.diagonal({0})",
    "tg.trace({0})",
    "tg.diff({0}, axis=0)",
    "tg.diff({0})",
    "tg.gradient({0}, axis=0)",
    "tg.ediff1d({0})",
    "tg.trapezoid({0})",
    "tg.repeat({0}, 2, -1)",
    "tg.tile({0}, 2)",
    "tg.cumprod({0}, 0)",
    "tg.cumprod({0}, -1)",
    "tg.nancumsum({0}, 0)",
    "tg.ravel({0})",
    "tg.resize({0}, (3, 2))",
    "tg.atleast_2d({0})",
    "tg.delete({0}, 0, -1)",
    "tg.append({0}, {0}, 0)",
    "tg.pad({0}, 1, mode='edge')",
    "tg.pad({0}, 1, mode='wrap')",
    "tg.pad({0}, 1, mode='reflect')",
    "tg.pad({0}, 1, mode='linear_ramp')",
    "tg.take_along_axis({0}, np.zeros((1,) * {0}.ndim, int), -1)",
    "tg.take_along_axis({0}, tg.argmax({0}, -1, keepdims=True), -1)",
    "tg.compress([True] * {0}.shape[0], {0}, 0)",
    "tg.apply_along_axis(lambda row: row * row, -1, {0})",
    "tg.convolve({0}[0], [0.5, -1.0, 0.2])",
    "tg.median({0}, -1)",
    "tg.quantile({0}, [0.2, 0.7], 0)",
    "tg.average({0}, -1, weights=np.arange(1.0, 1 + {0}.shape[-1]))",
    "tg.cov({0})",
    "tg.linalg.norm({0})",
    "tg.linalg.norm({0}, axis=-1)",
    "tg.linalg.norm({0} + 3.0, 3, axis=-1, keepdims=True)",
]
OF_TWO_ARRAYS = [
    "tg.outer({0}, {1})",
    "tg.inner({0}, {1})",
    "tg.tensordot({0}, {1}, 1)",
    "tg.kron({0}, {1})",
    "tg.vdot({0}, {1})",
    "tg.cross({0}, {1})",
    "tg.hstack([{0}, {1}])",
    "tg.vstack([{0}, {1}])",
    "tg.column_stack([{0}, {1}])",
    "tg.dot({0}, {1})",
    "tg.linalg.multi_dot([{0}, {1}, {0}])",
    "tg.linalg.multi_dot([{0}, {0}.T, {1}])",
]
REDUCTIONS = [
    "std",
    "var",
    "prod",
    "ptp",
    "median",
    "nansum",
    "nanmean",
    "nanmax",
    "nanvar",
    "nanprod",
    "max",
    "min",
]
#: {0} is a matrix that is well conditioned and positive definite, {1} an array as long.
OF_MATRICES = [
    "tg.linalg.inv({0})",
    "tg.linalg.det({0})",
    "tg.linalg.slogdet({0})[1]",
    "tg.linalg.cholesky({0})",
    "tg.linalg.cholesky({0}, upper=True)",
    "tg.linalg.pinv({0})",
    "tg.linalg.solve({0}, {1})",
    "tg.linalg.solve(tg.tril({0}), {1})",
    "tg.linalg.eigvalsh({0})",
    "tg.linalg.svdvals({0})",
    "tg.linalg.matrix_power({0}, -2)",
    "tg.linalg.matrix_power({0}, 3)",
    "tg.linalg.norm({0}, 'nuc')",
    "tg.linalg.qr({0})[1]",
    "tg.linalg.qr({0}).Q",
    "tg.square(tg.linalg.eigh({0}).eigenvectors)",
    "tg.square(tg.linalg.svd({0}).U)",
]


def elementwise(pool: Pool) -> object:
    return pool.line(pool.one_of(ELEMENTWISE), pool.some())


def two(pool: Pool) -> object:
    x = pool.some()
    return pool.line(pool.one_of(TWO), x, pool.beside(x))


def of_axes(pool: Pool) -> object:
    return pool.line(pool.one_of(OF_AXES), pool.some("f", lambda name: len(pool.shape(name)) > 0))


def of_two_arrays(pool: Pool) -> object:
    has_axes = lambda name: len(pool.shape(name)) > 0  # noqa: E731
    return pool.line(pool.one_of(OF_TWO_ARRAYS), pool.some("f", has_axes), pool.some("f", has_axes))


def reduction(pool: Pool) -> object:
    x = pool.some()
    if x is None:
        return None
    axes: list[object] = [None, *range(len(pool.shape(x))), -1]
    name, axis = pool.one_of(REDUCTIONS), pool.one_of(axes)
    options = ", keepdims=True" if pool.chance(0.4) else ""
    if name in ("std", "var", "nanvar") and pool.chance(0.3):
        options += ", ddof=1"
    if name in ("prod", "max", "min") and pool.chance(0.3):
        options += ", initial=0.5"
        if pool.chance(0.5):
            options += ", where={0} > 0"
    return pool.line(f"tg.{name}({{0}}, {axis}{options})", x)


def of_matrices(pool: Pool) -> object:
    """Of a matrix whose eigenvalues are apart and not near 0: A A^T and a diagonal."""
    x = pool.some("f", lambda name: len(pool.shape(name)) > 1)
    if x is None:
        return None
    n = pool.shape(x)[-2]
    made = pool.line(
        "tg.tanh({0}) @ tg.swapaxes(tg.tanh({0}), -2, -1) "
        "+ np.diag(2.0 + np.arange({0}.shape[-2]))",
        x,
    )
    if made is None:
        return None
    other = pool.some("f", lambda name: n in pool.shape(name)[-2:-1])
    return pool.line(pool.one_of(OF_MATRICES), made[0], other or x)


def questions(pool: Pool) -> object:
    """Booleans and counts about elements: lines that NumPy answers from the numbers."""
    x, b = pool.some(), pool.some("b")
    options: list[tuple[str, list[str | None]]] = [
        ("np.any({0} > 0.1)", [x]),
        ("np.all({0} < 0.5, axis=-1)", [x]),
        ("np.isclose({0}, {1}, 0.1)", [x, pool.beside(x)]),
        ("np.isin(tg.sign({0}), [0, 1])", [x]),
        ("np.count_nonzero({0}, axis=-1)", [x]),
        ("np.isposinf({0}) | np.isneginf({0})", [x]),
        ("np.full_like({0}, 0.5) * {0}", [x]),
    ]
    if b is not None:
        options += [
            ("{0}.any(-1, keepdims=True)", [b]),
            ("{0}.all()", [b]),
            ("np.logical_and.reduce({0})", [b]),
        ]
    text, reads = pool.one_of(options)
    return pool.line(text, *reads)


KINDS = [
    (0.5, questions),
    (2.5, elementwise),
    (1.5, two),
    (2.0, of_axes),
    (1.0, of_two_arrays),
    (1.0, reduction),
    (1.0, of_matrices),
]
