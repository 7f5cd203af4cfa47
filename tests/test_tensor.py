"""Tensor: what it holds, Python's protocols, operators and methods."""

import copy
import math
import pickle
from fractions import Fraction

import numpy as np
import pytest

import tinygrad_rnn as tg


def live(data=1.0, **options):
    return tg.Tensor(data, requires_grad=True, **options)


# ── making one ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.0, np.float64),
        ([1.0, 2.0], np.float64),
        (np.float32(1), np.float32),
        (np.ones(2, np.float16), np.float16),
        (np.ones(2, np.longdouble), np.longdouble),
        (3, np.int64),
        ([True, False], np.bool_),
        ([[1, 2], [3, 4.0]], np.float64),
        (np.ones((2, 0), np.float32), np.float32),
        (range(3), np.int64),
        (np.ones(3, ">f4"), np.float32),
    ],
)
def test_the_dtype_is_numpys(data, dtype):
    t = tg.Tensor(data)
    assert t.dtype == dtype
    assert t.dtype.isnative
    assert t.shape == np.shape(data)
    np.testing.assert_array_equal(t.numpy(), np.asarray(data))


def test_dtype_converts():
    assert tg.Tensor([1, 2], dtype=np.float32, requires_grad=True).dtype == np.float32
    assert tg.Tensor([1.5], dtype="float32").dtype == np.float32
    assert tg.Tensor(tg.Tensor([1.0]), dtype=np.float32).numpy().tolist() == [1.0]


@pytest.mark.parametrize("data", ["a", None, 1j, object(), [1j], np.array([None]), {}, b"a"])
def test_only_real_numbers(data):
    with pytest.raises(TypeError, match="Tensor: expected real numbers, got"):
        tg.Tensor(data)


def test_a_ragged_list_is_no_array():
    with pytest.raises(ValueError, match="inhomogeneous"):
        tg.Tensor([[1.0], [1.0, 2.0]])


@pytest.mark.parametrize("dtype", [complex, object, str, "M8[s]"])
def test_only_real_dtypes(dtype):
    with pytest.raises(TypeError):
        tg.Tensor([1], dtype=dtype)


@pytest.mark.parametrize("data", [1, [1, 2], True, np.ones(2, np.int8)])
def test_only_floats_require_grad(data):
    with pytest.raises(TypeError, match="only tensors of floats can require grad, got"):
        tg.Tensor(data, requires_grad=True)
    with pytest.raises(TypeError, match="only tensors of floats can require grad, got"):
        tg.Tensor(data).requires_grad = True


def test_requires_grad_is_a_bool_and_can_be_switched():
    x = tg.Tensor([1.0], name="x")
    with pytest.raises(TypeError, match="requires_grad: expected a bool, got 1"):
        x.requires_grad = 1
    x.requires_grad = np.True_
    x.requires_grad = True
    assert (x * 2).requires_grad
    assert x.name == "x"
    x.requires_grad = False
    assert not (x * 2).requires_grad
    assert x.name == "x"
    y = live() * 2
    with pytest.raises(ValueError, match="requires_grad: this tensor was computed; use detach"):
        y.requires_grad = False
    y.requires_grad = True  # it does


def test_switching_off_does_not_reach_into_a_graph():
    x = live(2.0)
    y = x * x
    node = x.node
    x.requires_grad = False
    y.backward()
    assert x.grad is None
    assert node.grad == 4.0


def test_the_name():
    assert tg.Tensor(1.0, name="bias").name == "bias"
    assert live(name="W").name == "W"
    assert tg.Tensor(1.0).name is None
    for t in (tg.Tensor(1.0), live(), live() * 2):
        t.name = "h"
        assert t.name == "h"
        t.name = None
        assert t.name is None
        with pytest.raises(TypeError, match="name: expected a str or None, got int"):
            t.name = 3
    with pytest.raises(TypeError, match="name: expected a str or None, got int"):
        tg.Tensor(1.0, name=3)


# ── data ─────────────────────────────────────────────────────────────────────────────────


def test_data_are_copied_in_and_read_only_out():
    array = np.ones(2)
    t = tg.Tensor(array)
    array[:] = 5
    assert t.numpy().tolist() == [1.0, 1.0]
    with pytest.raises(ValueError, match="read-only"):
        t.data[0] = 5
    copied = t.numpy()
    copied[:] = 5
    assert t.numpy().tolist() == [1.0, 1.0]
    assert t.numpy().flags.writeable


@pytest.mark.parametrize("x", [tg.Tensor([1.0, 2.0]), live([1.0, 2.0])], ids=["constant", "live"])
@pytest.mark.parametrize(
    "make",
    [
        lambda x: x,
        lambda x: x * 2,
        lambda x: x[0],
        lambda x: x.sum(),
        lambda x: x > 0,
        np.isnan,
        lambda x: np.isnan(x[0]),
        lambda x: x.detach(),
        lambda x: x.T,
        lambda x: tg.grad((y := live([1.0, 2.0])).sum(), y),
        lambda x: tg.broadcast_to(x, (3, 2)),
        lambda x: tg.sign(x[0]),
    ],
)
def test_every_result_holds_a_read_only_array(make, x):
    t = make(x)
    assert isinstance(t.data, np.ndarray)  # and no scalar
    assert not t.data.flags.writeable
    assert type(t.numpy()) is np.ndarray
    assert t.numpy().flags.writeable


def test_data_are_rebound_to_the_same_shape_and_dtype():
    t = live(np.ones(2, np.float32))
    new = np.array([3.0, 4.0], np.float32)
    t.data = new
    new[:] = 7
    assert t.numpy().tolist() == [3.0, 4.0]
    assert t.node.output.tolist() == [3.0, 4.0]
    t.data = tg.Tensor([5.0, 6.0], dtype=np.float32)
    assert (t * 1).numpy().tolist() == [5.0, 6.0]
    for bad in (np.ones(3, np.float32), np.ones(2), [1.0, 2.0], 1.0, "ab", None):
        with pytest.raises(ValueError, match=r"data: expected float32 \(2,\) as before, got"):
            t.data = bad
    constant = tg.Tensor([1, 2])
    constant.data = [3, 4]
    assert constant.numpy().tolist() == [3, 4]
    computed = t * 2
    computed.data = np.zeros(2, np.float32)
    assert (computed + 1).numpy().tolist() == [1.0, 1.0]


def test_grad_is_set_checked_and_forgotten():
    x = live(np.ones(2, np.float32))
    assert x.grad is None
    given = np.array([1.0, 2.0])
    x.grad = given
    given[:] = 9
    assert x.grad.tolist() == [1.0, 2.0]
    assert x.grad.dtype == np.float32
    x.grad = tg.Tensor([3.0, 4.0])
    assert x.grad.tolist() == [3.0, 4.0]
    x.sum().backward()
    assert x.grad.tolist() == [4.0, 5.0]
    x.grad = None
    assert x.grad is None
    with pytest.raises(ValueError, match=r"grad: expected shape \(2,\), got \(3,\)"):
        x.grad = np.ones(3)
    with pytest.raises(TypeError, match="grad: expected real numbers"):
        x.grad = ["a", "b"]
    constant = tg.Tensor(1.0)
    constant.grad = None
    assert constant.grad is None
    with pytest.raises(ValueError, match="grad: this tensor does not require grad"):
        constant.grad = 1.0


def test_shape_and_company():
    t = live(np.zeros((2, 3, 4), np.float32))
    assert (t.shape, t.ndim, t.size, t.dtype) == ((2, 3, 4), 3, 24, np.float32)
    assert t.T.shape == (4, 3, 2)
    assert t.mT.shape == (2, 4, 3)
    with pytest.raises(ValueError, match=r"mT: expected at least two dimensions, got shape \(2,\)"):
        _ = live([1.0, 2.0]).mT


def test_item():
    for t in (live(1.5), live([1.5]), live([[1.5]])):
        assert type(t.item()) is float
        assert t.item() == 1.5
    assert type(tg.Tensor(3).item()) is int
    for bad in (live([1.0, 2.0]), live(np.ones(0))):
        with pytest.raises(ValueError, match="item: expected a single element, got shape"):
            bad.item()


def test_detach_cuts_and_keeps_the_numbers_and_the_name():
    x = live([1.0, 2.0], name="h")
    d = x.detach()
    assert not d.requires_grad
    assert d.name == "h"
    (x * d).sum().backward()
    assert x.grad.tolist() == [1.0, 2.0]
    x.data = [5.0, 5.0]
    assert d.numpy().tolist() == [1.0, 2.0]


# ── Python's protocols ───────────────────────────────────────────────────────────────────


def test_repr_and_format():
    assert repr(tg.Tensor([1.0, 2.0])) == "Tensor([1., 2.])"
    assert repr(live(1.5, name="w", dtype=np.float32)) == (
        "Tensor(1.5, dtype=float32, requires_grad=True, name='w')"
    )
    assert str(tg.Tensor([1])) == "Tensor([1], dtype=int64)"
    assert f"{live(1.23456):.2f}" == "1.23"
    assert f"{live([1.0])}" == "Tensor([1.], requires_grad=True)"
    with pytest.raises(TypeError, match="format"):
        _ = f"{live([1.0, 2.0]):.2f}"


def test_len_iteration_and_membership():
    x = live([[1.0, 2.0], [3.0, 4.0]])
    assert len(x) == 2
    a, b = x
    assert (a * b).sum().item() == 11.0
    (a * b).sum().backward()
    assert x.grad.tolist() == [[3.0, 4.0], [1.0, 2.0]]
    assert [row.shape for row in reversed(x)] == [(2,), (2,)]
    assert 3.0 in x
    assert 5.0 not in x
    assert tg.Tensor(4.0) in x
    for f in (len, iter, list):
        with pytest.raises(TypeError, match="0-d tensor"):
            f(live())


def test_numbers_out():
    x = live([2.5])
    assert float(x) == 2.5
    assert int(x) == 2
    assert bool(x) is True
    assert not live(0.0)
    assert math.sqrt(live(4.0)) == 2.0
    assert list(range(5))[tg.Tensor(3)] == 3
    assert "abc"[: tg.Tensor(2)] == "ab"
    many = live([1.0, 2.0])
    for f in (float, int):
        with pytest.raises(ValueError, match="item: expected a single element"):
            f(many)
    with pytest.raises(ValueError, match="ambiguous"):
        bool(many)
    for bad in (live(3.0), tg.Tensor([1, 2])):
        with pytest.raises(TypeError):
            _ = "abc"[bad]


def test_a_tensor_is_never_written_into():
    x = live([1.0, 2.0])
    with pytest.raises(TypeError, match="a Tensor is never written into"):
        x[0] = 1.0
    with pytest.raises(TypeError, match=r"\+= cannot write into the leaf"):
        x += 1
    y = x + 0
    y += 1
    y *= 2
    y -= 1
    y /= 3
    y **= 2
    assert x.numpy().tolist() == [1.0, 2.0]
    y.sum().backward()
    np.testing.assert_allclose(x.grad, 2 * (2 * (np.array([1.0, 2.0]) + 1) - 1) / 3 * 2 / 3)


def test_hash_is_by_identity_and_equality_by_element():
    x, y = live([1.0, 2.0]), live([1.0, 3.0])
    assert len({x, y, x}) == 2
    assert {x: 1}[x] == 1
    equal = x == y
    assert equal.dtype == bool
    assert equal.numpy().tolist() == [True, False]
    assert not equal.requires_grad
    assert (x != y).numpy().tolist() == [False, True]
    assert (x == None).numpy().tolist() == [False, False]  # noqa: E711
    assert (x != None).numpy().all()  # noqa: E711
    with pytest.raises(TypeError, match="equal: expected real numbers, got str"):
        _ = x == "a"


@pytest.mark.parametrize(
    "clone", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))]
)
def test_copies_and_pickles(clone):
    x = live(np.array([1.0, 2.0], np.float32), name="W")
    (x * x).sum().backward()
    y = clone(x)
    assert y is not x
    assert y.numpy().tolist() == [1.0, 2.0]
    assert (y.dtype, y.name, y.requires_grad) == (np.float32, "W", True)
    assert y.grad.tolist() == [2.0, 4.0]
    assert y.grad is not x.grad
    y.data = np.zeros(2, np.float32)
    (y + 1).sum().backward()
    assert x.grad.tolist() == [2.0, 4.0]
    assert x.numpy().tolist() == [1.0, 2.0]
    constant = clone(tg.Tensor([1, 2]))
    assert constant.grad is None
    assert not constant.requires_grad
    with pytest.raises(ValueError, match=r"only leaves can be .*; detach"):
        clone(x * 2)
    clone((x * 2).detach())


def test_a_tensor_that_is_shared_stays_shared_in_a_deep_copy():
    x = live([1.0])
    a, b = copy.deepcopy([x, x])
    assert a is b


def test_subclasses_keep_their_class_in_copies_and_lose_it_in_operations():
    class Weight(tg.Tensor):
        pass

    w = Weight([1.0], requires_grad=True)
    assert type(copy.deepcopy(w)) is Weight
    assert type(w * 2) is tg.Tensor
    assert (2 * w).requires_grad
    (w * w).sum().backward()
    assert w.grad == 2.0


# ── operators ────────────────────────────────────────────────────────────────────────────

OPERATORS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "**": lambda a, b: a**b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


@pytest.mark.parametrize("f", OPERATORS.values(), ids=OPERATORS)
@pytest.mark.parametrize(
    "other",
    [2, 2.5, True, np.float64(2.5), np.float32(2.5), np.int8(2), np.array([1.0, 3.0]), [1.0, 3.0]],
    ids=repr,
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_operators_with_anything_on_either_side(f, other, dtype):
    array = np.array([1.5, 2.5], dtype)
    x = live(array)
    plain = np.asarray(other) if isinstance(other, list) else other
    for y, expected in (
        (f(x, other), f(array, plain)),
        (f(other, x), f(plain, array)),
        (f(tg.Tensor(array), other), f(array, plain)),
    ):
        assert type(y) is tg.Tensor
        assert y.dtype == expected.dtype
        np.testing.assert_array_equal(y.numpy(), expected)
    if y.dtype != bool:
        z = f(other, x)
        z.sum().backward()
        assert x.grad.dtype == dtype
    else:
        assert not f(other, x).requires_grad


def test_unary_operators_and_matmul():
    x = live([1.0, -2.0])
    A = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert (-x).numpy().tolist() == [-1.0, 2.0]
    assert (+x).numpy().tolist() == [1.0, -2.0]
    assert abs(x).numpy().tolist() == [1.0, 2.0]
    assert (x @ A).numpy().tolist() == (np.array([1.0, -2.0]) @ A).tolist()
    assert (A @ x).numpy().tolist() == (A @ np.array([1.0, -2.0])).tolist()
    assert (A.tolist() @ x).numpy().tolist() == (A @ x).numpy().tolist()
    for y in (A @ x, A.tolist() @ x, x @ x):
        assert y.requires_grad


@pytest.mark.parametrize("f", OPERATORS.values(), ids=OPERATORS)
def test_a_python_number_never_changes_the_dtype(f):
    for dtype in (np.float16, np.float32, np.int8):
        array = np.array([1, 2], dtype)
        t = tg.Tensor(array)
        for number in (2, True) + ((2.5,) if dtype is not np.int8 else ()):
            assert f(t, number).dtype == f(array, number).dtype
            assert f(number, t).dtype == f(number, array).dtype


def test_an_array_scalar_does():
    x = live(np.float32([1, 2]))
    assert (x * np.float64(2)).dtype == np.float64
    assert (np.float64(2) * x).dtype == np.float64
    assert (x * 2.0).dtype == np.float32
    (x * np.float64(2)).sum().backward()
    assert x.grad.dtype == np.float32


def test_python_numbers_among_arrays_of_a_list():
    x = live(np.float32(1.5))
    assert tg.stack([x, 2.0]).dtype == np.float32
    assert tg.einsum("i,->i", live(np.float32([1, 2])), 2.0).dtype == np.float32
    assert tg.where([True, False], x, 2.0).dtype == np.float32
    assert tg.clip(x, 0.0, 1).dtype == np.float32
    assert tg.maximum(x, 0).dtype == np.float32


def test_integer_arithmetic_is_numpys():
    t = tg.Tensor([1, 2])
    assert (t + t).dtype == np.int64
    assert (t / 2).dtype == np.float64
    assert t.mean().item() == 1.5
    assert (t > 1).sum().item() == 1
    assert (t * live([0.5, 0.5])).requires_grad


@pytest.mark.parametrize("bad", ["a", None, object(), Fraction(1, 2), 1j])
def test_operators_with_no_number(bad):
    for f in (lambda a, b: a + b, lambda a, b: b - a, lambda a, b: a < b):
        with pytest.raises(TypeError):
            f(live([1.0]), bad)


def test_a_float_is_not_inverted():
    with pytest.raises(TypeError):
        ~live(1.5)


def test_remainders_and_rounding_are_operators():
    x, y = live([7.5, -7.5]), live([2.0, -3.0])
    (x % y).sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]
    assert y.grad.tolist() == [-3.0, -2.0]
    for f in (
        lambda a, b: a // b,
        lambda a, b: a % b,
        lambda a, b: divmod(a, b)[0],
        lambda a, b: divmod(a, b)[1],
    ):
        for a, b in ((x, y), (x, 2), (9.0, y), (x.numpy(), y), ([9.0, 8.0], y)):
            p, q = (v.numpy() if isinstance(v, tg.Tensor) else np.asarray(v) for v in (a, b))
            assert f(a, b).numpy().tolist() == f(p, q).tolist()
    assert round(live([1.26, 2.5]), 1).numpy().tolist() == [1.3, 2.5]
    assert round(live(2.5)).item() == 2.0
    assert not (x // y).requires_grad


def test_powers():
    x = live(np.array([2.0, 3.0], np.float32))
    for y in (x**2, x**0.5, x**-1, 2**x, 2.0**x, np.power(2.0, x), np.power(x, 2)):
        assert y.dtype == np.float32
        assert y.requires_grad
    with pytest.raises(ValueError, match="power: Integers to negative"):
        tg.Tensor([2]) ** -1


# ── methods ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.sum(),
        lambda x: x.sum(0),
        lambda x: x.sum(axis=(0, -1), keepdims=True),
        lambda x: x.mean((0, 1)),
        lambda x: x.mean(axis=-1),
        lambda x: x.max(),
        lambda x: x.max(axis=1, keepdims=True),
        lambda x: x.min(-1),
        lambda x: x.cumsum(),
        lambda x: x.cumsum(axis=-2),
        lambda x: x.clip(0, 1),
        lambda x: x.clip(min=0.5),
        lambda x: x.clip(max=0.5),
        lambda x: x.clip(None, 0.5),
        lambda x: x.take([0, 1]),
        lambda x: x.take([0, 1], 1),
        lambda x: x.take([[0], [-1]], axis=-1),
        lambda x: x.swapaxes(0, 2),
        lambda x: x[:1].squeeze(),
        lambda x: x[:1].squeeze(0),
        lambda x: x[:1].squeeze(axis=(0,)),
        lambda x: x.astype(np.float32),
        lambda x: x.astype("float16"),
        lambda x: x.astype(int),
        lambda x: x.reshape(-1),
        lambda x: x.reshape(6, -1),
        lambda x: x.reshape((6, 4)),
        lambda x: x.reshape([4, 6]),
        lambda x: x.transpose(),
        lambda x: x.transpose(0, 2, 1),
        lambda x: x.transpose((2, 0, 1)),
        lambda x: x.transpose([-1, 0, 1]),
        lambda x: x.transpose(None),
        lambda x: x[0, 0].transpose(0),
        lambda x: x.flatten(),
        lambda x: x.ravel(),
        lambda x: x.dot(np.ones(4)),
        lambda x: x.dot(np.ones((4, 2))),
        lambda x: x.dot(2.0),
        lambda x: x.dot(np.arange(24.0).reshape(3, 4, 2)),
        lambda x: x[0, 0].dot(np.arange(24.0).reshape(3, 4, 2)),
        lambda x: x.dot(np.zeros((3, 4, 0))),
        lambda x: x.prod(0),
        lambda x: x.var(axis=1),
        lambda x: x.std(ddof=1),
        lambda x: x.sort(),
        lambda x: x.sort(0),
        lambda x: x.repeat(2, 1),
        lambda x: x.diagonal(0, 1, 2),
        lambda x: x.trace(),
        lambda x: x.cumprod(1),
        lambda x: x.compress([True, False, True], 1),
        lambda x: x.partition(2)[..., 2],
        lambda x: x.copy(),
        lambda x: x.ravel("F"),
        lambda x: x.flatten(order="F"),
        lambda x: x.reshape(6, 4, order="F"),
        lambda x: x.round(1),
        lambda x: x.T,
        lambda x: x.mT,
        lambda x: x[::-1, ..., None],
        lambda x: x[x > 0.5],
        lambda x: x[0][True],
    ],
)
def test_methods_are_numpys(call):
    array = np.random.default_rng(0).random((2, 3, 4))
    x = live(array)
    y, expected = call(x), call(NotInPlace(array))
    assert y.shape == expected.shape
    assert y.dtype == expected.dtype
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-15)
    assert y.requires_grad == (expected.dtype.kind == "f" and "round" not in call.__code__.co_names)
    if y.requires_grad and y.dtype == np.float64:
        # a random cotangent against a difference
        g = np.random.default_rng(1).random(y.shape)
        y.backward(g)
        step = 1e-7 * np.random.default_rng(2).standard_normal(array.shape)
        np.testing.assert_allclose(
            (x.grad * step).sum(),
            ((call(NotInPlace(array + step)) - call(NotInPlace(array - step))) * g).sum() / 2,
            rtol=1e-6,
            atol=1e-12,
        )


class NotInPlace(np.ndarray):
    """An array whose sort and partition return what they make, as a Tensor's do."""

    def __new__(cls, array):
        return array.view(cls)

    def sort(self, axis=-1):
        return np.sort(np.asarray(self), axis)

    def partition(self, kth, axis=-1):
        return np.partition(np.asarray(self), kth, axis)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.argmax(),
        lambda x: x.argmin(axis=1),
        lambda x: x.argsort(0),
        lambda x: x.argsort(axis=None),
        lambda x: x.argpartition(0)[..., 0],
        lambda x: x.any(),
        lambda x: x.all(axis=(0, 1)),
        lambda x: x.nonzero()[1],
        lambda x: x.tolist(),
        lambda x: x.itemsize,
        lambda x: x.nbytes,
        lambda x: x[0, 0].searchsorted(0.4),
    ],
)
def test_what_carries_no_gradient_gives_plain_answers(call):
    array = np.random.default_rng(0).random((2, 3, 4)).round(1)
    answer, expected = call(live(array)), call(array)
    assert type(answer) is type(expected)
    np.testing.assert_array_equal(answer, expected)


def test_functions_are_methods_too():
    x = live([[4.0, 9.0]])
    for name in ("sqrt", "square", "abs", "sin", "cos", "ptp"):
        assert np.array_equal(getattr(x, name)().numpy(), getattr(np, name)(x.numpy()))
    ids = tg.Tensor([1, 0])
    assert ids.choose([x[0], x[0] * 2]).numpy().tolist() == [8.0, 9.0]
    assert tg.Tensor([True]).copy().dtype == bool


# ── lists of tensors ─────────────────────────────────────────────────────────────────────


def test_nested_lists_of_tensors_keep_the_graph():
    a, b = live(2.0), live(3.0)
    m = tg.array([[a, 0], [1, a * b]])
    assert m.numpy().tolist() == [[2.0, 0.0], [1.0, 6.0]]
    m.sum().backward()
    assert a.grad == 4.0
    assert b.grad == 2.0
    for joined in (
        tg.stack([[a, b], [b, a]]),
        tg.vstack([[a, b], (b, 1.0)]),
        tg.concatenate([[a, b], [1.0]]),
        tg.std([a, b]),
        tg.linalg.norm([[a, 1], [b, 2]]),
        np.stack([a, b]),
        tg.array((live([1.0, 2.0]), [a, 3])),
    ):
        assert joined.requires_grad


def test_arrays_of_no_tensor_are_numpys():
    assert type(tg.array([[1, 2]])) is np.ndarray
    assert tg.array([1, 2], dtype=np.float32).dtype == np.float32
    assert tg.array([live(np.float32(1.0)), 2.5]).dtype == np.float32
    assert tg.array([live(1.0)], dtype=np.float32).dtype == np.float32


def test_ragged_lists_of_tensors_are_refused():
    with pytest.raises(ValueError, match="array: the parts of a list differ in shape"):
        tg.array([[live(1.0), 2.0], [3.0]])
    with pytest.raises(TypeError, match=r"for a list of tensors, tg.array"):
        np.array([live(1.0), 2.0])


def test_activations_are_methods_too():
    x = live([[0.5, 1.5]])
    for name in ("tanh", "sigmoid", "relu", "exp", "log"):
        np.testing.assert_array_equal(getattr(x, name)().numpy(), getattr(tg, name)(x.numpy()))
    np.testing.assert_array_equal(x.softmax(0).numpy(), [[1.0, 1.0]])
    np.testing.assert_array_equal(x.softmax(axis=-1).numpy(), tg.softmax(x.numpy()))
