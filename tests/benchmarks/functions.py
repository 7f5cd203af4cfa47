"""How many of NumPy's functions can be differentiated: ours, HIPS autograd's, MyGrad's.

python -m tests.benchmarks.functions             one line for each function that somebody lacks
python -m tests.benchmarks.functions --readme    and the table into README.md

Every public function of ``numpy`` and ``numpy.linalg`` that takes arrays of real numbers is called
on an example, on arrays that require a gradient. It *works* if the value is NumPy's and the
gradient is that of central differences. A function without a derivative (``argsort``,
``isnan``) has to give NumPy's answer. Where a library has NumPy's function under its own name only,
that one counts too. Aliases count once.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

import tinygrad_rnn as tg
from tests.cases import rows

from .table import README, write

PLACE = (
    "<!-- figures: python -m tests.benchmarks.functions --readme -->",
    "<!-- end of functions -->",
)


def _names(text: str) -> list[str]:
    return text.split()


#: What does not take arrays of real numbers, or computes nothing with them.
LEFT_OUT = {
    "makes arrays": _names(
        "arange array asanyarray asarray asarray_chkfinite ascontiguousarray asfortranarray "
        "asmatrix bartlett blackman bmat diag_indices empty empty_like eye from_dlpack frombuffer "
        "fromfile fromfunction fromiter fromregex fromstring full full_like genfromtxt hamming "
        "hanning identity indices ix_ kaiser load loadtxt mask_indices ones ones_like require tri "
        "tril_indices triu_indices zeros zeros_like"
    ),
    "writes files": _names("save savetxt savez savez_compressed"),
    "settings and texts": _names(
        "array2string array_repr array_str base_repr binary_repr format_float_positional "
        "format_float_scientific get_include get_printoptions getbufsize geterr geterrcall info "
        "printoptions set_printoptions setbufsize seterr seterrcall show_config show_runtime test "
        "typename linalg.test"
    ),
    "dtypes": _names(
        "can_cast common_type isdtype issubdtype min_scalar_type mintypecode promote_types "
        "result_type iterable isscalar isfortran broadcast_shapes frompyfunc nested_iters "
        "may_share_memory shares_memory"
    ),
    "dates": _names("busday_count busday_offset datetime_as_string datetime_data is_busday isnat"),
    "integers": _names(
        "bitwise_and bitwise_count bitwise_or bitwise_xor bitwise_invert bitwise_left_shift "
        "bitwise_not bitwise_right_shift gcd invert lcm left_shift right_shift packbits unpackbits "
        "ravel_multi_index unravel_index diag_indices_from tril_indices_from triu_indices_from"
    ),
    "deprecated": _names("row_stack in1d trapz"),
}
#: What cannot have a derivative: it gives complex numbers, or writes in place.
IMPOSSIBLE: dict[str, Callable[[Any], Any]] = {
    "linalg.eig": lambda x: np.linalg.eig(x[:, :2]),
    "linalg.eigvals": lambda x: np.linalg.eigvals(x[:, :2]),
    "roots": lambda x: np.roots(x[0]),
    "sort_complex": np.sort_complex,
    "copyto": lambda x: np.copyto(np.ones(3), x),
    "fill_diagonal": lambda x: np.fill_diagonal(x, 1.0),
    "place": lambda x: np.place(np.ones(3), [True, False, True], x),
    "put": lambda x: np.put(np.ones(3), [0], x[0, 0]),
    "put_along_axis": lambda x: np.put_along_axis(np.ones(3), np.array([0]), x[0, :1], 0),
    "putmask": lambda x: np.putmask(np.ones(3), np.array([True, False, True]), x[0]),
}

X = np.array([[0.3, 1.7, -0.6], [1.1, -1.3, 0.8]])
Example = Callable[..., Any]


def _example(name: str) -> Example:
    return lambda xp, x: getattr(xp, name)(x)


#: Functions without a derivative, and a few whose rows have no call for any namespace.
CONSTANT: dict[str, Example] = {
    name: _example(name)
    for name in _names(
        "shape ndim size all any argmax argmin argsort argwhere nonzero flatnonzero count_nonzero "
        "isfinite isinf isnan isposinf isneginf isreal iscomplex isrealobj iscomplexobj signbit "
        "sign floor ceil trunc fix rint round around nanargmax nanargmin logical_not spacing "
        "imag angle histogram histogram_bin_edges unique_all unique_counts unique_inverse"
    )
}
CONSTANT |= {
    name: lambda xp, x, name=name: getattr(xp, name)(x, 0.5)
    for name in _names(
        "equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor "
        "floor_divide isclose allclose array_equal array_equiv isin"
    )
}
CONSTANT |= {
    "argpartition": lambda xp, x: xp.argpartition(x, 1),
    "searchsorted": lambda xp, x: xp.searchsorted(xp.sort(x[0]), 0.5),
    "digitize": lambda xp, x: xp.digitize(x, np.array([0.0, 1.0])),
    "lexsort": lambda xp, x: xp.lexsort(x),
    "histogram2d": lambda xp, x: xp.histogram2d(x[0], x[1])[0],
    "histogramdd": lambda xp, x: xp.histogramdd(x, bins=2)[0],
    "einsum_path": lambda xp, x: xp.einsum_path("ij->i", x)[0],
    "intersect1d": lambda xp, x: xp.intersect1d(x, np.array([0.3, 9.0])),
    "union1d": lambda xp, x: xp.union1d(x, np.array([0.3, 9.0])),
    "setdiff1d": lambda xp, x: xp.setdiff1d(x, np.array([0.3, 9.0])),
    "setxor1d": lambda xp, x: xp.setxor1d(x, np.array([0.3, 9.0])),
    "linalg.matrix_rank": lambda xp, x: xp.linalg.matrix_rank(x),
    "frexp": lambda xp, x: xp.frexp(x)[1],
}
#: Functions with a derivative whose rows call them as ours only.
SMOOTH: dict[str, Example] = {
    "astype": lambda xp, x: xp.astype(x, np.float64),
    "concatenate": lambda xp, x: xp.concatenate([x, x]),
    "stack": lambda xp, x: xp.stack([x, x]),
    "split": lambda xp, x: xp.split(x, [1], axis=1)[1],
    "einsum": lambda xp, x: xp.einsum("ij,kj->ik", x, x),
    "matvec": lambda xp, x: xp.matvec(x, x[0]),
    "vecmat": lambda xp, x: xp.vecmat(x[:, 0], x),
    "real": lambda xp, x: xp.real(x * 2),
    "real_if_close": lambda xp, x: xp.real_if_close(x * 2),
    "conjugate": lambda xp, x: xp.conjugate(x * 2),
    "where": lambda xp, x: xp.where(X > 0, x, 2.0),
    "divmod": lambda xp, x: xp.divmod(x, 0.7)[1],
    "modf": lambda xp, x: xp.modf(x)[0],
    "ldexp": lambda xp, x: xp.ldexp(x, 3),
    "reshape": lambda xp, x: xp.reshape(x, (3, 2)),
    "broadcast_to": lambda xp, x: xp.broadcast_to(x, (2, 2, 3)),
    "clip": lambda xp, x: xp.clip(x, -0.5, 1.0),
    "pad": lambda xp, x: xp.pad(x, ((1, 0), (0, 2)), "constant"),
    "partition": lambda xp, x: xp.partition(x[0], 1),
    "diagonal": lambda xp, x: xp.diagonal(x),
    "copysign": lambda xp, x: xp.copysign(x, -1.0),
    "heaviside": lambda xp, x: xp.heaviside(np.zeros((2, 3)), x),
    "linalg.matmul": lambda xp, x: xp.linalg.matmul(x, np.ones((3, 2))),
    "linalg.matrix_transpose": lambda xp, x: xp.linalg.matrix_transpose(x),
    "linalg.tensordot": lambda xp, x: xp.linalg.tensordot(x, np.ones((3, 2)), axes=1),
    "linalg.vecdot": lambda xp, x: xp.linalg.vecdot(x, x),
    "unique_values": lambda xp, x: xp.sort(xp.unique_values(x)),
    "bincount": lambda xp, x: xp.bincount(np.array([0, 2, 2]), x[0]),
}


class Function(NamedTuple):
    """A function of NumPy's, and examples of calls: one that works is enough."""

    name: str
    examples: list[tuple[Example, tuple[np.ndarray, ...]]]
    smooth: bool


def functions() -> Iterator[Function]:
    """Every public function of NumPy's that takes real arrays, once."""
    left_out = {name for names in LEFT_OUT.values() for name in names} | set(IMPOSSIBLE)
    seen = set()
    for module, prefix in ((np, ""), (np.linalg, "linalg.")):
        for name in sorted(dir(module)):
            function = getattr(module, name)
            if name.startswith("_") or not callable(function) or isinstance(function, type):
                continue
            own = prefix + getattr(function, "__name__", name)
            if function in seen or {prefix + name, own} & left_out:
                continue
            seen.add(function)
            yield _function(own, {prefix + name, own}, name)


def _function(own: str, names: set[str], name: str) -> Function:
    for known in names:
        if known in CONSTANT:
            return Function(own, [(CONSTANT[known], (X,))], False)
    examples = [(SMOOTH[known], (X,)) for known in names if known in SMOOTH]
    rng = np.random.default_rng(0)
    aliased = getattr(getattr(tg.ops, name, None), "__name__", name)
    for known in (
        *names,
        aliased,
        f"_{aliased}",
        f"linalg.{name}" if own.startswith("linalg.") else "",
        f"_{name}",
        name,
    ):
        row = rows.get(known)
        if row is None:
            continue
        for call in row.calls:
            arrays = row.case(call, rng).arrays
            if call.written:
                examples.append((call.written, arrays))
            elif call.f is None and not any(k in own for k in ("linalg.",)):
                keywords = call.keywords

                def plain(xp: Any, *xs: Any, keywords: Any = keywords, name: str = name) -> Any:
                    return getattr(xp, name)(*xs, **keywords)

                examples.append((plain, arrays))
        break
    if examples:
        return Function(own, examples, True)
    raise LookupError(f"there is no example of {own}; leave it out, or give it one")


# ── the libraries ────────────────────────────────────────────────────────────────────────


class Library(NamedTuple):
    """How a library is called.

    Attributes:
        namespaces: where its functions are looked for.
        gradient: ``(f, arrays, weights) -> (value, gradients)`` of the sum of f times the weights.
        answer: ``(f, array) -> value`` of a function without a derivative.
    """

    namespaces: list[Any]
    gradient: Callable[..., Any]
    answer: Callable[..., Any]


def _plain(y: Any) -> Any:
    """Whatever a library gives, as arrays."""
    if isinstance(y, (tuple, list)):
        return [_plain(part) for part in y]
    y = getattr(y, "_value", y)  # HIPS autograd's boxes
    return np.asarray(getattr(y, "data", y) if not isinstance(y, np.ndarray) else y)


def ours() -> Library:
    def gradient(f: Example, arrays: Any, weigh: Any) -> Any:
        xs = [tg.Tensor(x, requires_grad=True) for x in arrays]
        y = f(*xs)
        total = weigh(y)
        return _plain(y), [g.numpy() for g in tg.grad(total, xs)]

    def answer(f: Example, x: Any) -> Any:
        return _plain(f(tg.Tensor(x, requires_grad=True)))

    return Library([np], gradient, answer)


def hips() -> Library:
    import autograd
    import autograd.numpy as anp

    def gradient(f: Example, arrays: Any, weigh: Any) -> Any:
        kept = []

        def total(*xs: Any) -> Any:
            y = f(*xs)
            kept.append(_plain(y))
            return weigh(y)

        gradients = autograd.grad(total, tuple(range(len(arrays))))(*arrays)
        return kept[0], list(gradients)

    def answer(f: Example, x: Any) -> Any:
        kept = []

        def total(x: Any) -> Any:
            kept.append(_plain(f(x)))
            return anp.sum(x)

        autograd.grad(total)(x)
        return kept[0]

    return Library([anp], gradient, answer)


def mygrad() -> Library:
    import mygrad as mg

    def gradient(f: Example, arrays: Any, weigh: Any) -> Any:
        xs = [mg.tensor(x) for x in arrays]
        y = f(*xs)
        total = weigh(y)
        value = _plain(y)
        total.backward()
        return value, [x.grad for x in xs]

    def answer(f: Example, x: Any) -> Any:
        return _plain(f(mg.tensor(x)))

    return Library([np, mg], gradient, answer)


# ── counting ─────────────────────────────────────────────────────────────────────────────


def _weigh(y: Any) -> Any:
    """A sum with different weights for all elements, of one array or several."""
    total: Any = 0.0
    for i, part in enumerate(y if isinstance(y, (tuple, list)) else [y]):
        weights = np.cos(1.0 + i + np.arange(np.prod(part.shape, dtype=int)))
        total = total + (part * weights.reshape(part.shape)).sum()
    return total


def _differences(f: Example, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    gradients = []
    for k, x in enumerate(arrays):
        g = np.zeros(x.shape)
        for i in np.ndindex(x.shape):
            ends = []
            for step in (1e-6, -1e-6):
                moved = [np.array(a) for a in arrays]
                moved[k][i] += step
                ends.append(_weigh(f(*moved)))
            g[i] = (ends[0] - ends[1]) / 2e-6
        gradients.append(g)
    return gradients


def _same(a: Any, b: Any, tolerance: float) -> bool:
    if isinstance(a, list) or isinstance(b, list):
        return len(a) == len(b) and all(_same(p, q, tolerance) for p, q in zip(a, b, strict=True))
    if a.dtype.kind not in "fiub" or b.dtype.kind not in "fiub":
        return bool(np.array_equal(a, b))
    return a.shape == b.shape and np.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)


def holds(library: Library, function: Function) -> bool:
    """Whether the library gets one of the examples right."""
    for example, arrays in function.examples:
        for namespace in library.namespaces:
            try:
                if _right(library, namespace, example, arrays, function.smooth):
                    return True
            except Exception:  # however it says that it cannot
                continue
    return False


def _right(library: Library, xp: Any, example: Example, arrays: Any, smooth: bool) -> bool:
    def f(*xs: Any) -> Any:
        return example(xp, *xs)

    def reference(*xs: Any) -> Any:
        return example(np, *xs)

    if not smooth:
        return _same(library.answer(f, arrays[0]), _plain(reference(*arrays)), 1e-12)
    value, gradients = library.gradient(f, arrays, _weigh)
    if not _same(value, _plain(reference(*arrays)), 1e-9):
        return False
    expected = _differences(reference, arrays)
    return all(_same(np.asarray(g), e, 1e-5) for g, e in zip(gradients, expected, strict=True))


def refused() -> list[str]:
    """What cannot have a derivative and says so, by its name."""
    found = []
    for name, call in IMPOSSIBLE.items():
        try:
            call(tg.Tensor(X, requires_grad=True))
        except TypeError as error:
            if f"numpy.{name}" in str(error):
                found.append(name)
    return found


def table() -> tuple[str, list[str]]:
    """The table, and one line for each function that somebody lacks."""
    libraries = {"tinygrad_rnn": ours}
    libraries |= {"HIPS autograd": hips, "MyGrad": mygrad}
    found = list(functions())
    counts: dict[str, SimpleNamespace] = {}
    lacks: dict[str, list[str]] = {}
    for name, make in libraries.items():
        try:
            library = make()
        except ImportError:
            continue
        right = {f.name for f in found if holds(library, f)}
        counts[name] = SimpleNamespace(
            smooth=sum(f.smooth and f.name in right for f in found),
            constant=sum(not f.smooth and f.name in right for f in found),
        )
        for f in found:
            if f.name not in right:
                lacks.setdefault(f.name, []).append(name)
    smooth, constant = sum(f.smooth for f in found), sum(not f.smooth for f in found)
    lines = [
        f"| of NumPy {np.__version__}'s functions on real arrays | {' | '.join(counts)} |",
        "|---|" + "---:|" * len(counts),
        f"| {smooth} with a derivative: value and gradient right | "
        + " | ".join(str(c.smooth) for c in counts.values()),
        f"| {constant} without: NumPy's answer on what requires a gradient | "
        + " | ".join(str(c.constant) for c in counts.values()),
        f"| {len(IMPOSSIBLE)} that give complex numbers or write in place: refused by name | "
        + " | ".join(str(len(refused())) if name == "tinygrad_rnn" else "" for name in counts),
    ]
    lines[2:] = [line + " |" for line in lines[2:]]
    return "\n".join(lines), [f"{name}: not {', '.join(who)}" for name, who in lacks.items()]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.functions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--readme",
        nargs="?",
        type=Path,
        const=README,
        metavar="FILE",
        help="write the table between the two comments in README.md, or in this file",
    )
    options = parser.parse_args(argv)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        text, lines = table()
    print(*lines, text, sep="\n")
    if options.readme:
        write(options.readme, text, PLACE)
        print(f"wrote {options.readme}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
