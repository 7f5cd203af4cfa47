"""NumPy's functions beside JAX's of the same names: values, first and second gradients, float64.

The cases are written for any namespace, so that ``jax.numpy`` runs the very same calls. Compared,
to a relative 1e-9, are

    y = f(x),   dL/dx for L = <u, y>,   and the derivatives of <v, dL/dx> for x and for u,

with random cotangents u and v. What JAX lacks is named here; the laws try it by a complex step or
by central differences.
"""

import functools
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.cases import Call, Row, rows
from tinygrad_rnn import ops

# Compiling is nearly all of the time, and these programs are small.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)
jax = pytest.importorskip("jax")
jnp = jax.numpy
pytestmark = pytest.mark.peers

RTOL = 1e-9
#: Cases that JAX does not run, and why.
LACKING = {
    "trim_zeros": "shapes that depend on values",
    "unique": "shapes that depend on values",
    "extract": "shapes that depend on values",
    "compress": "shapes that depend on values",
    "choose": "indices that are checked",
    "bincount": "indices that are checked",
    "partition": "several places at once",
    "tril": "vectors",
    "gradient": "edge_order and coordinates",
    "quantile": "methods beyond five",
    "linalg.lstsq": "the pieces NumPy returns",
    "linalg.svd": "derivatives of full matrices",
    "take": "an empty list of indices",
    "det": "the second derivative of matrices of one row or none",
    "nextafter": "its derivative",
}
#: What JAX gives another shape: its remainders keep their leading zeros.
OTHERWISE = {"polydiv"}


@pytest.fixture(autouse=True)
def double_precision():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)
    jax.clear_caches()


def namesake(row: Row, call: Call) -> tuple[Any, ...] | None:
    """The call as a function of arrays in our namespace and in JAX's."""
    if call.written:
        return (lambda *xs: call.written(ops, *xs)), (lambda *xs: call.written(jnp, *xs))
    if call.f is not None:
        return None
    for theirs in (jnp, jnp.linalg):
        if hasattr(theirs, row.name) and (row.f is None or theirs is jnp.linalg):
            return tuple(
                functools.partial(_called, f, call.keywords)
                for f in (row.function, getattr(theirs, row.name))
            )
    return None


def _called(f: Any, keywords: dict[str, Any], *xs: Any) -> Any:
    return f(*xs, **keywords)


def pairs(row: Row) -> Iterator[tuple[int, Call, Any, Any]]:
    """The calls that JAX may run: of the shapes that many operations share the first few."""
    plain = 0
    for i, call in enumerate(row.calls):
        pair = namesake(row, call)
        plain += call.written is None
        if pair is not None and (call.written or plain <= 4):
            yield i, call, *pair


PAIRS = {name: row for name, row in rows.items() if name not in OTHERWISE and any(pairs(row))}


def close(ours: Any, theirs: Any, what: str) -> None:
    a, b = ours.numpy(), np.asarray(theirs)
    assert a.shape == b.shape, what
    size = max(np.max(np.abs(a), initial=0), np.max(np.abs(b), initial=0), 1e-3)
    gap = np.max(np.abs(a - b), initial=0) / size
    assert gap <= RTOL, f"{what}: {gap:.1e}"


def compare(row: Row, call: Call, ours: Any, theirs: Any) -> None:
    arrays = row.case(call, np.random.default_rng(0)).arrays
    rng = np.random.default_rng(1)
    v = [rng.standard_normal(x.shape) for x in arrays]

    def value(*xs: Any) -> Any:
        return jnp.asarray(theirs(*xs))

    def gradients(u: Any, *xs: Any) -> Any:
        return jax.vjp(value, *xs)[1](u)

    def projected(u: Any, *xs: Any) -> Any:
        return sum(jnp.vdot(a, g) for a, g in zip(v, gradients(u, *xs), strict=True))

    @jax.jit
    def everything(u: Any, *xs: Any) -> Any:
        second = jax.grad(projected, argnums=tuple(range(len(xs) + 1)))(u, *xs)
        return value(*xs), gradients(u, *xs), second

    u = rng.standard_normal(jax.eval_shape(value, *map(jnp.asarray, arrays)).shape)
    y, first, second = everything(u, *arrays)

    xs = [tg.Tensor(x, requires_grad=True) for x in arrays]
    cotangent = tg.Tensor(u, requires_grad=True)
    found = ours(*xs)
    close(found, y, "the value")
    found_first = tg.grad(found, xs, cotangent, create_graph=True)
    total: Any = sum((g * a).sum() for g, a in zip(found_first, v, strict=True))
    found_second = tg.grad(total, [cotangent, *xs])
    for i, (a, b) in enumerate(zip(found_first, first, strict=True)):
        close(a, b, f"the gradient for input {i}")
    for i, (a, b) in enumerate(zip(found_second, second, strict=True)):
        close(a, b, f"the second gradient for {'u' if i == 0 else f'input {i - 1}'}")


@pytest.mark.parametrize("name", PAIRS)
def test_values_first_and_second_gradients(name: str) -> None:
    row, compared = PAIRS[name], 0
    for i, call, ours, theirs in pairs(row):
        try:
            compare(row, call, ours, theirs)
        except (TypeError, ValueError, IndexError, NotImplementedError) as error:
            if name not in LACKING:
                raise AssertionError(f"{name} {i}: {error!r}") from error
            continue
        compared += 1
    assert compared or name in LACKING


def test_most_of_numpys_functions_are_compared() -> None:
    assert len(PAIRS) >= 170
    assert set(LACKING) <= set(PAIRS)
