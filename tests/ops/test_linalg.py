"""Matrices that have no inverse, no factors, no order; options that NumPy has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.linalg import LinAlgError

import tinygrad_rnn as tg

rng = np.random.default_rng(0)
square = rng.normal(size=(3, 3)) + 3 * np.eye(3)
tall = rng.normal(size=(4, 2))
singular = np.ones((3, 3))


def live(x: Any) -> tg.Tensor:
    return tg.Tensor(x, requires_grad=True)


@pytest.mark.parametrize(
    ("f", "says"),
    [
        (lambda: tg.linalg.inv(live(singular)), "inv: Singular matrix"),
        (lambda: np.linalg.inv(live(singular)), "inv: Singular matrix"),
        (lambda: tg.linalg.inv(live(tall)), "must be square"),
        (lambda: tg.linalg.inv(live(tall[0])), "at least two-dimensional"),
        (lambda: tg.linalg.solve(live(singular), [1.0, 2.0, 3.0]), "solve: Singular matrix"),
        (lambda: tg.linalg.det(live(tall)), "must be square"),
        (lambda: tg.linalg.slogdet(live(tall)), "must be square"),
        (lambda: tg.linalg.cholesky(live(-square @ square.T)), "not positive definite"),
        (lambda: tg.linalg.eigh(live(tall)), "must be square"),
        (lambda: tg.linalg.matrix_power(live(tall), 2), "square matrices"),
        (lambda: tg.linalg.matrix_power(live(singular), -1), "Singular matrix"),
        (lambda: tg.linalg.lstsq(live(square[0]), square[0]), r"expected a \(m, n\)"),
        (lambda: tg.linalg.svd(live(square[0])), "at least two-dimensional"),
        (lambda: tg.linalg.qr(live(square[0])), "at least two-dimensional"),
    ],
)
def test_what_cannot_be_done_says_so(f: Any, says: str) -> None:
    with pytest.raises(LinAlgError, match=says):
        f()


@pytest.mark.parametrize(
    ("f", "error", "says"),
    [
        (lambda: tg.linalg.solve(live(square), [1.0, 2.0]), ValueError, "solve"),
        (lambda: tg.linalg.norm(live(square), axis=2), np.exceptions.AxisError, "axis 2"),
        (lambda: tg.linalg.norm(live(square), "nuclear"), ValueError, "nuclear"),
        (lambda: tg.linalg.norm(live(square), axis=(0, 0)), ValueError, "named twice"),
        (lambda: tg.linalg.eigh(live(square), "X"), ValueError, "UPLO"),
        (lambda: tg.linalg.qr(live(square), "raw"), ValueError, "raw"),
        (lambda: tg.linalg.matrix_power(live(square), 0.5), TypeError, "integer"),
        (lambda: tg.linalg.multi_dot([live(square)]), ValueError, "two"),
        (lambda: tg.linalg.pinv(live(square), 0.1, rtol=0.1), ValueError, "rtol"),
        (lambda: np.linalg.eig(live(square)), TypeError, "numpy.linalg.eig"),
        (lambda: np.linalg.eigvals(live(square)), TypeError, "eigvals"),
    ],
)
def test_bad_arguments(f: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        f()


def test_an_error_says_where() -> None:
    with tg.scope("layer"), pytest.raises(LinAlgError, match="layer"):
        tg.linalg.inv(live(singular))


def test_of_the_absolute_value_of_a_determinant_there_is_no_gradient_at_0() -> None:
    sign, logarithm = tg.linalg.slogdet(live(singular))
    assert (sign.data, logarithm.data) == (0, -np.inf)
    with pytest.raises(LinAlgError, match="Singular matrix"):
        logarithm.backward()


def test_the_gradient_of_a_determinant_that_is_0_are_the_cofactors() -> None:
    for matrix in (singular, np.diag([1.0, 2.0, 0.0]), np.zeros((2, 2)), np.zeros((1, 1))):
        x = live(matrix)
        tg.linalg.det(x).backward()
        n = len(matrix)
        minors = [
            [np.linalg.det(np.delete(np.delete(matrix, i, 0), j, 1)) for j in range(n)]
            for i in range(n)
        ]
        cofactors = np.array(minors) * (-1.0) ** np.add.outer(range(n), range(n))
        assert x.grad is not None
        np.testing.assert_allclose(x.grad, cofactors, atol=1e-14)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.prod(np.linalg.eigvalsh(x)) / np.linalg.eigvalsh(x)[2],  # of the equal ones
        lambda x: np.linalg.svdvals(x)[1:].sum(),
        lambda x: (np.linalg.eigh(x)[1][:, 2] ** 2 * [1, 2, 3]).sum(),  # of the other one
        lambda x: (np.linalg.svd(x)[0][:, 0] ** 2 * [1, 2, 3]).sum(),
        lambda x: np.linalg.norm(x, "nuc"),
        lambda x: np.linalg.norm(x, 2),
    ],
)
def test_a_gradient_at_equal_values_where_there_is_one(f: Any) -> None:
    turned = np.linalg.qr(square)[0]
    apart = turned @ np.diag([2.0, 2.0, 5.0]) @ turned.T
    apart = (apart + apart.T) / 2
    x = live(apart)
    f(x).backward()
    along = rng.normal(size=(3, 3))
    along = along + along.T
    h = 1e-5
    slope = (f(tg.Tensor(apart + h * along)) - f(tg.Tensor(apart - h * along))).data / (2 * h)
    np.testing.assert_allclose(np.sum(x.grad * along), slope, rtol=1e-6)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: (np.linalg.eigh(x)[1] * [1.0, 2.0, 3.0]).sum(),
        lambda x: np.linalg.eigh(x)[1][1, 0],
        lambda x: ((lambda w, v: v * w @ v.T)(*np.linalg.eigh(x)) * square).sum(),
        lambda x: ((lambda u, s, vh: u * s @ vh)(*np.linalg.svd(x)) * square).sum(),
    ],
)
def test_vectors_of_equal_values_have_no_gradient(f: Any) -> None:
    """Not a wrong one: how they depend on the matrix is not determined."""
    x = live(np.diag([2.0, 2.0, 5.0]))
    f(x).backward()
    assert np.isnan(x.grad).any()


def test_a_singular_value_of_0_asks_for_nothing() -> None:
    low = np.outer([1.0, 2.0, 3.0], [1.0, 0.5])
    u, _, v = np.linalg.svd(low, full_matrices=False)
    x = live(low)
    tg.linalg.svdvals(x)[0].backward()
    np.testing.assert_allclose(x.grad, np.outer(u[:, 0], v[0]), atol=1e-15)
    x = live(low)
    (tg.linalg.svd(x)[0][:, 1] ** 2 * [1, 2, 3]).sum().backward()
    assert np.isnan(x.grad).any()


@pytest.mark.parametrize("shape", [(0, 3, 3), (2, 0, 3, 3)])
@pytest.mark.parametrize("name", ["inv", "det", "cholesky", "eigvalsh", "svdvals", "pinv"])
def test_stacks_of_no_matrices(name: str, shape: tuple[int, ...]) -> None:
    x = live(np.zeros(shape))
    y = getattr(tg.linalg, name)(x)
    assert y.shape == getattr(np.linalg, name)(np.zeros(shape)).shape
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.shape == shape


def test_an_outer_loop_over_matrices_is_one_call() -> None:
    """A stack gives what its matrices give one by one, gradients too."""
    stack = rng.normal(size=(2, 3, 4, 4)) + 4 * np.eye(4)
    positive = stack @ np.swapaxes(stack, -1, -2)
    for name in ("inv", "det", "cholesky", "eigvalsh", "svdvals", "pinv"):
        f = getattr(tg.linalg, name)
        x = live(positive)
        y = f(x)
        tg.sum(y * y).backward()
        assert x.grad is not None
        for i in np.ndindex(2, 3):
            one = live(positive[i])
            y_i = f(one)
            tg.sum(y_i * y_i).backward()
            np.testing.assert_allclose(y.data[i], y_i.data, rtol=1e-12)
            np.testing.assert_allclose(x.grad[i], one.grad, rtol=1e-9)
