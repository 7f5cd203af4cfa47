"""Elementwise operations in LLVM IR: one function for each value of ``Primitive.scalar``.

``INSTRUCTIONS[name](lanes, kind, *operands)`` writes the instructions and returns the name of the
result. All operands have the same kind. exp, log, tanh and the like are written without branches:
range reduction, a polynomial, scaling. ``UNITS`` says how accurate they are.

Sources: Cody and Waite, "Software Manual for the Elementary Functions" (1980), for the reductions;
the logarithm's series in s = f / (2 + f) after Ng's in FreeBSD's msun.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from .text import Lanes, is_float

Write = Callable[..., str]


class Unsupported(Exception):
    """An operation has no lowering for these operands; the message names it."""


#: The largest error of a function in units in the last place, in float and in double, over the
#: whole range (tested). Operations that are not named here are rounded correctly.
UNITS: dict[str, tuple[float, float]] = {
    "exp": (1, 1),
    "log": (1, 1),
    "log1p": (1, 1),
    "tanh": (2.5, 1.5),
    "sigmoid": (2.5, 1.5),
    "sin": (1, 1),
    "cos": (1, 1),
    "power": (1, 1),
}

#: For each kind: the bits of the mantissa, the bias of the exponent, the integer of the same size.
_mantissa = {"float": 23, "double": 52}
_bias = {"float": 127, "double": 1023}
_integer = {"float": "i32", "double": "i64"}
#: ln 2 as a sum of two numbers. The first ends in zeros, so that n times it is exact.
#: The pair for float is Cody and Waite's, that for double msun's.
_ln2_high = {"float": 0.693359375, "double": 0.6931471803691238}
_ln2_low = {"float": -2.12194440054690583e-4, "double": 1.9082149292705877e-10}
#: The number of terms of e^r - 1 = r + r^2 (1/2! + r/3! + ...) for |r| <= ln 2 / 2.
_terms = {"float": 7, "double": 13}
#: The largest number whose exponential is finite, and a number below which it is 0.
_exp_highest = {"float": 88.72283172607422, "double": 709.782712893384}
_exp_lowest = {"float": -104.0, "double": -746.0}
#: From here on tanh is 1.
_tanh_highest = {"float": 9.02, "double": 19.1}


def _polynomial(v: Lanes, kind: str, x: str, coefficients: list[float]) -> str:
    """c_0 + c_1 x + c_2 x^2 + ..."""
    *rest, last = coefficients
    y = v.all(last, kind)
    for c in reversed(rest):
        y = v.fma(kind, y, x, v.all(c, kind))
    return y


def _polynomial_by_pairs(v: Lanes, kind: str, x: str, coefficients: list[float]) -> str:
    """The same by Estrin's scheme: c_0 + c_1 x + (c_2 + c_3 x) x^2 + ...

    It needs a few more products, but they do not all depend on each other. A small recurrence
    spends most of its time waiting for results.
    """
    # Each round halves the number of terms; power is x, x^2, x^4, ...
    terms, power = [v.all(c, kind) for c in coefficients], x
    while len(terms) > 1:
        pairs = zip(terms[1::2], terms[::2], strict=False)
        odd = terms[-1:] if len(terms) % 2 else []
        terms = [*[v.fma(kind, high, power, low) for high, low in pairs], *odd]
        if len(terms) > 1:
            power = v.do("fmul", kind, power, power)
    return terms[0]


def _power_of_two(v: Lanes, kind: str, n: str) -> str:
    """2^n for an integer n for which 2^n is a normal number."""
    whole = _integer[kind]
    # A float is (exponent + bias) << mantissa bits, so 2^3 in float is (3 + 127) << 23.
    shifted = v.do("shl", whole, v.do("add", whole, n, v.all(_bias[kind], whole)), _bits(v, kind))
    return v.convert("bitcast", shifted, whole, kind)


def _bits(v: Lanes, kind: str) -> str:
    return v.all(_mantissa[kind], _integer[kind])


def _reduced(v: Lanes, kind: str, x: str) -> tuple[str, str, str]:
    """n and e^r - 1 for x = n ln 2 + r, |r| <= ln 2 / 2, and the rounding error of e^r - 1."""
    # Cody and Waite's reduction. n ln2_high has few bits, so it is exact. Subtracting it from x is
    # exact too, because the two are close. Only the small correction n ln2_low rounds.
    n = v.intrinsic("roundeven", kind, v.do("fmul", kind, x, v.all(1 / math.log(2), kind)))
    high = v.fma(kind, n, v.all(-_ln2_high[kind], kind), x)
    r = v.fma(kind, n, v.all(-_ln2_low[kind], kind), high)
    # The first term left out is below 6e-9 in float and 5e-18 in double: less than a tenth of what
    # rounding a number near 1 loses.
    series = [1 / math.factorial(k) for k in range(2, _terms[kind] + 1)]
    square = v.do("fmul", kind, r, r)
    polynomial = _polynomial if kind == "float" else _polynomial_by_pairs
    series_of_r = polynomial(v, kind, r, series)
    if kind == "float":
        return n, v.fma(kind, square, series_of_r, r), v.all(0, kind)
    # The rounding error of r.
    lost = v.fma(kind, n, v.all(-_ln2_low[kind], kind), v.do("fsub", kind, high, r))
    more = v.fma(kind, square, series_of_r, lost)
    # p and its error are together exactly more + r, as |r| is the larger operand (Dekker's
    # Fast2Sum).
    p = v.do("fadd", kind, more, r)
    return n, p, v.do("fadd", kind, more, v.do("fsub", kind, r, p))


def _above(v: Lanes, kind: str, x: str, least: float) -> str:
    """max(x, least), NaN for NaN."""
    bound = v.all(least, kind)
    return v.select(v.compare("olt", kind, x, bound), kind, bound, x)


def _below(v: Lanes, kind: str, x: str, most: float) -> str:
    bound = v.all(most, kind)
    return v.select(v.compare("ogt", kind, x, bound), kind, bound, x)


def exp(v: Lanes, kind: str, x: str) -> str:
    """e^x; Inf above the range of the kind, and 0 below it."""
    highest = _exp_highest[kind]
    # x is clamped first: a conversion of a number too large for the integer n is undefined in LLVM.
    # NaN passes the clamp and makes p NaN, and so the result, whatever n is.
    inside = _below(v, kind, _above(v, kind, x, _exp_lowest[kind]), highest)
    n, p, _ = _reduced(v, kind, inside)
    # Multiply by 2^n in two steps, since 2^n itself may not be a normal number.
    whole = _integer[kind]
    k = v.as_integer(n, kind, whole)
    half = v.do("ashr", whole, k, v.all(1, whole))
    first = _power_of_two(v, kind, half)
    second = _power_of_two(v, kind, v.do("sub", whole, k, half))
    y = v.do("fmul", kind, v.fma(kind, p, first, first), second)
    too_large = v.compare("ogt", kind, x, v.all(highest, kind))
    return v.select(too_large, kind, v.all(math.inf, kind), y)


def sigmoid(v: Lanes, kind: str, x: str) -> str:
    """1 / (1 + e^-x) as NumPy rounds it. Below e^-80 the value of e^-x no longer matters."""
    # Not e^x / (1 + e^x) for x < 0: that keeps tiny results where NumPy's quotient is 0.
    one, highest = v.all(1, kind), _exp_highest[kind]
    minus = v.negative(kind, x)
    inside = _below(v, kind, _above(v, kind, minus, -80.0), highest)
    n, p, _ = _reduced(v, kind, inside)
    # 2^n may overflow, so multiply by 2^(n - 1) and double the result.
    whole = _integer[kind]
    k = v.do("add", whole, v.as_integer(n, kind, whole), v.all(-1, whole))
    half = _power_of_two(v, kind, k)
    e = v.fma(kind, p, half, half)
    e = v.do("fadd", kind, e, e)
    below = v.do("fadd", kind, one, e)
    y = v.do("fdiv", kind, one, below)
    if kind == "double":  # a Newton step that includes the rounding error of 1 + e
        first = v.compare("ole", kind, e, one)
        # 1 + e loses at most half a unit. Fast2Sum finds what it lost, with the larger operand
        # first.
        large, less = v.select(first, kind, one, e), v.select(first, kind, e, one)
        lost = v.do("fsub", kind, less, v.do("fsub", kind, below, large))
        # y + y (1 - y d) for d = 1 + e. The fma gives 1 - y d with a single rounding.
        rest = v.fma(kind, v.negative(kind, y), below, one)
        rest = v.fma(kind, v.negative(kind, y), lost, rest)
        y = v.fma(kind, y, rest, y)
    # The clamp made e finite, but NumPy's e is Inf here:
    # 1 / (1 + Inf) = 0.
    too_large = v.compare("ogt", kind, minus, v.all(highest, kind))
    return v.select(too_large, kind, v.all(0, kind), y)


def tanh(v: Lanes, kind: str, x: str) -> str:
    """t / (t + 2) for t = e^2|x| - 1, which is accurate around 0 too; the sign is that of x."""
    # The clamp leaves 2^n a normal number: one multiplication is enough, unlike in exp.
    size = _below(v, kind, v.intrinsic("fabs", kind, x), _tanh_highest[kind])
    n, p, rest_of_p = _reduced(v, kind, v.do("fadd", kind, size, size))
    scale = _power_of_two(v, kind, v.as_integer(n, kind, _integer[kind]))
    # t = 2^n (p + 1) - 1 = p 2^n + (2^n - 1), with no cancellation at x = 0, where n = 0 and t = p.
    less_one = v.do("fadd", kind, scale, v.all(-1, kind))
    t = v.fma(kind, p, scale, less_one)
    # From t = 2 on as 1 - 2 / (t + 2): the last subtraction is the only rounding that the
    # derivative 1 - y^2 suffers from.
    below = v.do("fadd", kind, t, v.all(2, kind))
    small = v.compare("olt", kind, t, v.all(2, kind))
    share = v.do("fdiv", kind, v.select(small, kind, t, v.all(2, kind)), below)
    y = v.select(small, kind, share, v.do("fsub", kind, v.all(1, kind), share))
    y = v.select(v.compare("uno", kind, x, x), kind, x, y)
    if kind == "double":  # a Newton step that includes the rounding errors of t and t + 2
        lost = v.do("fsub", kind, t, v.do("fadd", kind, below, v.all(-2, kind)))
        rest_of_t = v.fma(kind, p, scale, v.do("fsub", kind, less_one, t))
        rest_of_t = v.fma(kind, rest_of_p, scale, rest_of_t)
        # y = t / d with d = t + 2, so the correction is (t + rest_of_t - y (d + lost)) / d.
        minus, slope = v.negative(kind, y), v.do("fsub", kind, v.all(1, kind), y)
        rest = v.fma(kind, slope, rest_of_t, v.do("fmul", kind, minus, lost))
        rest = v.do("fadd", kind, v.fma(kind, minus, below, t), rest)
        # 1 / (t + 2) is (1 - y) / 2.
        # Above t = 2 nothing is corrected: 1 - 2 / (t + 2) is accurate as it is.
        half = v.do("fmul", kind, slope, v.all(0.5, kind))
        y = v.fma(kind, v.select(small, kind, half, v.all(0, kind)), rest, y)
    return v.intrinsic("copysign", kind, y, x)


#: The coefficients of R in ln(1 + f) = f - f^2/2 + s (f^2/2 + R(s^2)), s = f / (2 + f).
_log_series = [
    0.6666666666666735130,
    0.3999999999940941908,
    0.2857142874366239149,
    0.2222219843214978396,
    0.1818357216161805012,
    0.1531383769920937332,
    0.1479819860511658591,
]


def _log(v: Lanes, kind: str, x: str, rest: str | None) -> str:
    """ln(x + rest), where rest is less than a unit in the last place of x."""
    # A denormal number has no exponent of its own. It is scaled up, and n is corrected below.
    whole, mantissa = _integer[kind], _mantissa[kind]
    smallest = 2.0 ** (1 - _bias[kind])
    small = v.compare("olt", kind, x, v.all(smallest, kind))
    larger = v.do("fmul", kind, x, v.all(2.0 ** (mantissa + 2), kind))
    u = v.select(small, kind, larger, x)
    bits = v.convert("bitcast", u, kind, whole)
    # Find n and m with u = 2^n m and sqrt(1/2) <= m < sqrt(2).
    # The bits of sqrt(1/2). Subtracting them lets the shift round the exponent, so m is near 1 and
    # f small. With 1 <= m < 2, x = 0.999 would be 2^-1 * 1.998, and -ln 2 + ln 1.998 cancels.
    half = 0x3F3504F3 if kind == "float" else 0x3FE6A09E667F3BCD
    above = v.do("sub", whole, bits, v.all(half, whole))
    n = v.do("ashr", whole, above, v.all(mantissa, whole))
    exponent = v.do("shl", whole, n, v.all(mantissa, whole))
    m = v.convert("bitcast", v.do("sub", whole, bits, exponent), whole, kind)
    fewer = v.select(small, whole, v.all(mantissa + 2, whole), v.all(0, whole))
    k = v.convert("sitofp", v.do("sub", whole, n, fewer), whole, kind)
    # s is at most 0.172, so a few terms of the even series in s are enough.
    f = v.do("fadd", kind, m, v.all(-1, kind))
    s = v.do("fdiv", kind, f, v.do("fadd", kind, f, v.all(2, kind)))
    z = v.do("fmul", kind, s, s)
    series = _log_series[:4] if kind == "float" else _log_series
    R = v.do("fmul", kind, z, _polynomial(v, kind, z, series))
    half_square = v.do("fmul", kind, v.all(0.5, kind), v.do("fmul", kind, f, f))
    # The terms are added from the smallest to the largest: f and k ln2_high come last.
    low = v.do("fmul", kind, k, v.all(_ln2_low[kind], kind))
    # ln(x + rest) = ln x + rest / x, and the next term is below rounding.
    if rest is not None:
        low = v.do("fadd", kind, low, v.do("fdiv", kind, rest, x))
    inner = v.fma(kind, s, v.do("fadd", kind, half_square, R), low)
    y = v.do("fsub", kind, v.do("fsub", kind, inner, half_square), v.negative(kind, f))
    y = v.fma(kind, k, v.all(_ln2_high[kind], kind), y)
    # ln Inf = Inf, ln 0 = -Inf; NaN for negative numbers and NaN.
    infinity = v.all(math.inf, kind)
    y = v.select(v.compare("oeq", kind, x, infinity), kind, infinity, y)
    zero = v.all(0, kind)
    y = v.select(v.compare("oeq", kind, x, zero), kind, v.all(-math.inf, kind), y)
    return v.select(v.compare("uge", kind, x, zero), kind, y, v.all(math.nan, kind))


def log(v: Lanes, kind: str, x: str) -> str:
    y = _log(v, kind, x, None)
    return v.select(v.compare("uno", kind, x, x), kind, x, y)


def log1p(v: Lanes, kind: str, x: str) -> str:
    """ln(u + (x - (u - 1))) for u = 1 + x, rounded; x if u rounds to 1."""
    one = v.all(1, kind)
    u = v.do("fadd", kind, x, one)
    rest = v.do("fsub", kind, x, v.do("fsub", kind, u, one))
    # For large x the rest is negligible. For Inf it would be Inf - Inf = NaN.
    big = v.compare("oge", kind, x, v.all(2.0 ** (_mantissa[kind] + 2), kind))
    y = _log(v, kind, u, v.select(big, kind, v.all(0, kind), rest))
    # ln(1 + x) = x for |x| below half a unit of 1. It keeps the sign of a zero.
    y = v.select(v.compare("oeq", kind, u, one), kind, x, y)
    return v.select(v.compare("uno", kind, x, x), kind, x, y)


def power(v: Lanes, kind: str, x: str, y: str) -> str:
    """x^y. For the exponents that occur most, without a call of libm."""
    if not is_float(kind):
        raise Unsupported("power of integers")
    # Operands are text: equal text is the same constant.
    if y == v.all(1, kind):
        return x
    if y == v.all(2, kind):
        return v.do("fmul", kind, x, x)
    if y == v.all(3, kind):
        return v.do("fmul", kind, v.do("fmul", kind, x, x), x)
    if y == v.all(-1, kind):
        return v.do("fdiv", kind, v.all(1, kind), x)
    if y == v.all(0.5, kind):  # pow gives 0 for -0 and Inf for -Inf
        root = v.do("fadd", kind, v.intrinsic("sqrt", kind, x), v.all(0, kind))
        lowest = v.compare("oeq", kind, x, v.all(-math.inf, kind))
        return v.select(lowest, kind, v.all(math.inf, kind), root)
    return v.each("pow", kind, x, y)


def _arithmetic(of_floats: str, of_integers: str, of_booleans: str | None) -> Write:
    def write(v: Lanes, kind: str, x: str, y: str) -> str:
        if kind == "i1":
            if of_booleans is None:
                raise Unsupported("arithmetic on booleans")
            return v.do(of_booleans, kind, x, y)
        return v.do(of_floats if is_float(kind) else of_integers, kind, x, y)

    return write


def _divide(v: Lanes, kind: str, x: str, y: str) -> str:
    if not is_float(kind):
        raise Unsupported("a quotient of integers")
    return v.do("fdiv", kind, x, y)


def _comparison(of_floats: str, of_integers: str, of_booleans: str) -> Write:
    def write(v: Lanes, kind: str, x: str, y: str) -> str:
        condition = of_floats if is_float(kind) else of_booleans if kind == "i1" else of_integers
        return v.compare(condition, kind, x, y)

    return write


def _extreme(larger: bool) -> Write:
    """NumPy's: x if x >= y or x is NaN, else y."""

    def write(v: Lanes, kind: str, x: str, y: str) -> str:
        if kind == "i1":
            return v.do("or" if larger else "and", kind, x, y)
        if not is_float(kind):
            return v.select(v.compare("sge" if larger else "sle", kind, x, y), kind, x, y)
        # Not LLVM's maxnum, which drops a NaN beside a number.
        first = v.compare("oge" if larger else "ole", kind, x, y)
        either = v.do("or", "i1", first, v.compare("uno", kind, x, x))
        return v.select(either, kind, x, y)

    return write


def _absolute(v: Lanes, kind: str, x: str) -> str:
    if kind == "i1":
        return x
    if is_float(kind):
        return v.intrinsic("fabs", kind, x)
    return v.select(v.compare("slt", kind, x, v.all(0, kind)), kind, v.negative(kind, x), x)


def _sign(v: Lanes, kind: str, x: str) -> str:
    if kind == "i1":
        raise Unsupported("the sign of booleans")
    zero, one, minus = v.all(0, kind), v.all(1, kind), v.all(-1, kind)
    above, below = ("ogt", "olt") if is_float(kind) else ("sgt", "slt")
    y = v.select(v.compare(below, kind, x, zero), kind, minus, zero)
    y = v.select(v.compare(above, kind, x, zero), kind, one, y)
    return v.select(v.compare("uno", kind, x, x), kind, x, y) if is_float(kind) else y


def _negative(v: Lanes, kind: str, x: str) -> str:
    if kind == "i1":
        raise Unsupported("the negative of booleans")
    return v.negative(kind, x)


def _not(v: Lanes, kind: str, x: str) -> str:
    if kind == "i1" or not is_float(kind):
        return v.do("xor", kind, x, v.all(-1 if kind != "i1" else True, kind))
    raise Unsupported("the complement of floats")


def _bitwise(name: str) -> Write:
    def write(v: Lanes, kind: str, x: str, y: str) -> str:
        if is_float(kind):
            raise Unsupported("bits of floats")
        return v.do(name, kind, x, y)

    return write


def _float_only(write: Write) -> Write:
    def checked(v: Lanes, kind: str, *xs: str) -> str:
        if not is_float(kind):
            raise Unsupported("a function of integers")
        return write(v, kind, *xs)

    return checked


def _is_true(v: Lanes, kind: str, x: str) -> str:
    """x as a boolean."""
    # "une", since NaN counts as true.
    return (
        x if kind == "i1" else v.compare("une" if is_float(kind) else "ne", kind, x, v.all(0, kind))
    )


def _logical(name: str) -> Write:
    def write(v: Lanes, kind: str, x: str, y: str) -> str:
        return v.do(name, "i1", _is_true(v, kind, x), _is_true(v, kind, y))

    return write


def _is_finite(v: Lanes, kind: str, x: str) -> str:
    return v.compare("olt", kind, v.intrinsic("fabs", kind, x), v.all(math.inf, kind))


def _is_infinite(v: Lanes, kind: str, x: str) -> str:
    return v.compare("oeq", kind, v.intrinsic("fabs", kind, x), v.all(math.inf, kind))


#: Functions of many instructions. A program with many of them calls them (see ``lower.MANY``).
LONG = frozenset({"exp", "log", "log1p", "tanh", "sigmoid"})


def call_shared(v: Lanes, name: str, kind: str, x: str) -> str:
    """A call of an elementwise function, which is written once per module."""
    module, one = v.function.module, v.type(kind)
    # Each kind and width is a function of its own.
    full = f"{name}_{kind}_{v.width}"
    if full not in module.shared:
        module.shared.add(full)
        f = module.function(full, [f"{one} %x"], one)
        f.value = INSTRUCTIONS[name](Lanes(f, v.width), kind, "%x")
    return v.let(f"call {one} @{full}({one} {x})")


#: Functions of the C library, called for each number: from NumPy's names to C's.
OF_C = {
    "sin": "sin",
    "cos": "cos",
    "tan": "tan",
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    "arctan2": "atan2",
    "sinh": "sinh",
    "cosh": "cosh",
    "arcsinh": "asinh",
    "arccosh": "acosh",
    "arctanh": "atanh",
    "expm1": "expm1",
    "exp2": "exp2",
    "log2": "log2",
    "log10": "log10",
    "cbrt": "cbrt",
    "hypot": "hypot",
    "fmod": "fmod",
}


def _of_c(name: str) -> Write:
    return _float_only(lambda v, kind, *xs: v.each(name, kind, *xs))


def _divided(v: Lanes, kind: str, x: str, y: str) -> tuple[str, str, str]:
    """The remainder of x / y with the sign of x; the exact quotient for that remainder; and whether
    the remainder is not 0 and has another sign than y.
    """
    # fmod is exact. x - rest is a multiple of y, so the quotient is a whole number up to rounding.
    rest = v.each("fmod", kind, x, y)
    whole = v.do("fdiv", kind, v.do("fsub", kind, x, rest), y)
    zero = v.all(0, kind)
    below = [v.compare("olt", kind, a, zero) for a in (y, rest)]
    other = v.do("and", "i1", v.do("xor", "i1", *below), v.compare("une", kind, rest, zero))
    return rest, whole, other


def _signed(v: Lanes, kind: str, x: str, sign: str) -> str:
    """x, but a 0 gets the given sign."""
    zero = v.all(0, kind)
    is_zero = v.compare("oeq", kind, x, zero)
    return v.select(is_zero, kind, v.intrinsic("copysign", kind, zero, sign), x)


def _whole_divided(v: Lanes, kind: str, x: str, y: str) -> tuple[str, str]:
    """floor(x / y) and x - y floor(x / y) of integers; 0 for y = 0, as in NumPy.

    The processor traps on a division by 0, and on one of the smallest integer by -1. So both
    divide by 1 instead, and the result is replaced.
    """
    if kind == "i1":
        raise Unsupported("a quotient of booleans")
    zero, minus = v.all(0, kind), v.all(-1, kind)
    # Both are computed by a select, not by a branch: the lanes of a vector cannot branch apart.
    none, turned = (v.compare("eq", kind, y, at) for at in (zero, minus))
    by = v.select(v.do("or", "i1", none, turned), kind, v.all(1, kind), y)
    quotient, rest = v.do("sdiv", kind, x, by), v.do("srem", kind, x, by)
    # sdiv rounds towards 0, floor down. They differ if there is a rest of the other sign than y.
    # The xor of two numbers is negative if their signs differ.
    other = v.compare("slt", kind, v.do("xor", kind, rest, y), zero)
    other = v.do("and", "i1", other, v.compare("ne", kind, rest, zero))
    quotient = v.select(other, kind, v.do("add", kind, quotient, minus), quotient)
    # x // -1 = -x. The smallest integer stays what it is, as in NumPy.
    quotient = v.select(turned, kind, v.negative(kind, x), quotient)
    rest = v.select(other, kind, v.do("add", kind, rest, y), rest)
    return v.select(none, kind, zero, quotient), v.select(none, kind, zero, rest)


def _remainder(v: Lanes, kind: str, x: str, y: str) -> str:
    """x - y floor(x / y), exactly, with the sign of y; NaN for y = 0."""
    if not is_float(kind):
        return _whole_divided(v, kind, x, y)[1]
    rest, _, other = _divided(v, kind, x, y)
    moved = v.select(other, kind, v.do("fadd", kind, rest, y), rest)
    return _signed(v, kind, moved, y)


def _floor_divide(v: Lanes, kind: str, x: str, y: str) -> str:
    """floor(x / y), computed from the remainder as NumPy does."""
    if not is_float(kind):
        return _whole_divided(v, kind, x, y)[0]
    # The floor of the rounded quotient would be wrong next to whole numbers: 1 // 0.1 is 9, since
    # 0.1 is a little more than a tenth, but 1 / 0.1 rounds to 10.
    quotient = v.do("fdiv", kind, x, y)
    _, whole, other = _divided(v, kind, x, y)
    whole = v.select(other, kind, v.do("fadd", kind, whole, v.all(-1, kind)), whole)
    floor = v.intrinsic("floor", kind, whole)
    # whole may be rounded to just below a whole number. Then its floor is 1 too small.
    far = v.compare("ogt", kind, v.do("fsub", kind, whole, floor), v.all(0.5, kind))
    floor = v.select(far, kind, v.do("fadd", kind, floor, v.all(1, kind)), floor)
    # A zero gets the sign of x / y; y = 0 gives x / y itself, which is Inf or NaN.
    floor = v.select(v.compare("oeq", kind, whole, v.all(0, kind)), kind, whole, floor)
    floor = _signed(v, kind, floor, quotient)
    return v.select(v.compare("oeq", kind, y, v.all(0, kind)), kind, quotient, floor)


def _extreme_number(larger: bool) -> Write:
    """x if x >= y or y is NaN, else y."""

    def write(v: Lanes, kind: str, x: str, y: str) -> str:
        # A comparison with NaN is false. So NaN in x gives y, and only NaN in y needs a test.
        first = v.compare("oge" if larger else "ole", kind, x, y)
        either = v.do("or", "i1", first, v.compare("uno", kind, y, y))
        return v.select(either, kind, x, y)

    return _float_only(write)


def _sign_bit(v: Lanes, kind: str, x: str) -> str:
    whole = _integer[kind]
    return v.compare("slt", whole, v.convert("bitcast", x, kind, whole), v.all(0, whole))


def _step(v: Lanes, kind: str, x: str) -> str:
    """1 where x > 0, else 0; NaN for NaN."""
    zero = v.all(0, kind)
    y = v.select(v.compare("ogt", kind, x, zero), kind, v.all(1, kind), zero)
    return v.select(v.compare("uno", kind, x, x), kind, x, y)


def _rounded(name: str) -> Write:
    return _float_only(lambda v, kind, x: v.intrinsic(name, kind, x))


#: Operations whose result is boolean for every kind of operand.
PREDICATES = frozenset(
    {
        "equal",
        "not_equal",
        "less",
        "less_equal",
        "greater",
        "greater_equal",
        "isnan",
        "isfinite",
        "isinf",
        "logical_and",
        "logical_or",
        "logical_xor",
        "logical_not",
        "signbit",
    }
)

INSTRUCTIONS: dict[str, Write] = {
    "add": _arithmetic("fadd", "add", "or"),
    "subtract": _arithmetic("fsub", "sub", None),
    "multiply": _arithmetic("fmul", "mul", "and"),
    "divide": _divide,
    "power": power,
    "negative": _negative,
    "positive": lambda v, kind, x: x,
    "absolute": _absolute,
    "square": lambda v, kind, x: _arithmetic("fmul", "mul", "and")(v, kind, x, x),
    "sqrt": _float_only(lambda v, kind, x: v.intrinsic("sqrt", kind, x)),
    "floor": _rounded("floor"),
    "ceil": _rounded("ceil"),
    "trunc": _rounded("trunc"),
    "rint": _rounded("roundeven"),
    "remainder": _remainder,
    "floor_divide": _floor_divide,
    "exp": _float_only(exp),
    "log": _float_only(log),
    "log1p": _float_only(log1p),
    **{name: _of_c(function) for name, function in OF_C.items()},
    "tanh": _float_only(tanh),
    "sigmoid": _float_only(sigmoid),
    "maximum": _extreme(larger=True),
    "minimum": _extreme(larger=False),
    "fmax": _extreme_number(larger=True),
    "fmin": _extreme_number(larger=False),
    "signbit": _float_only(_sign_bit),
    "step": _float_only(_step),
    "equal": _comparison("oeq", "eq", "eq"),
    "not_equal": _comparison("une", "ne", "ne"),
    "less": _comparison("olt", "slt", "ult"),
    "less_equal": _comparison("ole", "sle", "ule"),
    "greater": _comparison("ogt", "sgt", "ugt"),
    "greater_equal": _comparison("oge", "sge", "uge"),
    "sign": _sign,
    "isnan": _float_only(lambda v, kind, x: v.compare("uno", kind, x, x)),
    "isfinite": _float_only(_is_finite),
    "isinf": _float_only(_is_infinite),
    "logical_and": _logical("and"),
    "logical_or": _logical("or"),
    "logical_xor": _logical("xor"),
    "logical_not": lambda v, kind, x: _not(v, "i1", _is_true(v, kind, x)),
    "bitwise_and": _bitwise("and"),
    "bitwise_or": _bitwise("or"),
    "bitwise_xor": _bitwise("xor"),
    "invert": _not,
}


def converted(v: Lanes, x: str, kind: str, to: str) -> str:
    """A number converted to another kind, like NumPy's ``astype``."""
    if kind == to:
        return x
    if to == "i1":
        return _is_true(v, kind, x)
    if kind == "i1":
        # True is the bit 1, which is -1 as a signed number: so "uitofp" and "zext".
        return v.convert("uitofp" if is_float(to) else "zext", x, kind, to)
    if is_float(kind) and is_float(to):
        return v.convert("fpext" if to == "double" else "fptrunc", x, kind, to)
    if is_float(kind):
        return v.convert("fptosi", x, kind, to)
    if is_float(to):
        return v.convert("sitofp", x, kind, to)
    return v.convert("sext" if to == "i64" else "trunc", x, kind, to)


__all__ = ["INSTRUCTIONS", "PREDICATES", "UNITS", "Unsupported", "Write", "converted"]
