"""NumPy's functions on Tensors: they find our rules, or say that there is none."""

import inspect
import operator

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.tensor import dispatch


def live(data=1.0, **options):
    return tg.Tensor(data, requires_grad=True, **options)


X = np.random.default_rng(0).uniform(0.1, 0.9, (2, 3, 4))

CALLS = {
    # ufuncs
    "add": lambda x: np.add(x, 1.0),
    "subtract": lambda x: np.subtract(1.0, x),
    "multiply": lambda x: np.multiply(x, X),
    "divide": lambda x: np.divide(X, x),
    "true_divide": lambda x: np.true_divide(x, 2),
    "power": lambda x: np.power(x, 3),
    "power of": lambda x: np.power(2.0, x),
    "negative": np.negative,
    "positive": np.positive,
    "abs": np.abs,
    "absolute": np.absolute,
    "exp": np.exp,
    "log": np.log,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "square": np.square,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "maximum": lambda x: np.maximum(x, 0.5),
    "minimum": lambda x: np.minimum(0.5, x),
    "matmul": lambda x: np.matmul(x, np.ones((4, 2))),
    "matmul on the left": lambda x: np.ones((2, 2, 3)) @ x,
    # functions
    "clip": lambda x: np.clip(x, 0.2, 0.8),
    "clip by name": lambda x: np.clip(x, a_min=None, a_max=0.8),
    "clip low": lambda x: np.clip(x, 0.3, None),
    "where": lambda x: np.where(X > 0.5, x, 0.0),
    "where mask": lambda x: np.where(x > 0.5, 1.0, x),
    "einsum": lambda x: np.einsum("ijk,ik->j", x, np.ones((2, 4))),
    "einsum second": lambda x: np.einsum("i,ijk->jk", [1.0, 2.0], x),
    "sum": np.sum,
    "sum axis": lambda x: np.sum(x, axis=(0, 2)),
    "sum positional": lambda x: np.sum(x, 1, None, None, True),
    "sum by name": lambda x: np.sum(a=x, axis=0, keepdims=True),
    "mean": lambda x: np.mean(x, -1),
    "mean positional": lambda x: np.mean(x, 0, None, None, True),
    "max": lambda x: np.max(x, axis=1, keepdims=True),
    "max positional": lambda x: np.max(x, 0, None, True),
    "min": lambda x: np.min(x, 0),
    "cumsum": lambda x: np.cumsum(x, axis=1),
    "cumsum all": np.cumsum,
    "reshape": lambda x: np.reshape(x, (6, -1)),
    "reshape order": lambda x: np.reshape(x, (6, 4), order="C"),
    "transpose": np.transpose,
    "transpose axes": lambda x: np.transpose(x, (1, 0, 2)),
    "transpose by name": lambda x: np.transpose(x, axes=[2, 0, 1]),
    "swapaxes": lambda x: np.swapaxes(x, 0, 1),
    "moveaxis": lambda x: np.moveaxis(x, 0, -1),
    "moveaxis by name": lambda x: np.moveaxis(x, source=[0, 1], destination=[2, 0]),
    "squeeze": lambda x: np.squeeze(x[:1], axis=0),
    "expand_dims": lambda x: np.expand_dims(x, 1),
    "expand_dims by name": lambda x: np.expand_dims(x, axis=(0, 2)),
    "broadcast_to": lambda x: np.broadcast_to(x, (5, 2, 3, 4)),
    "concatenate": lambda x: np.concatenate([x, X], axis=1),
    "concatenate flat": lambda x: np.concatenate((X, x), axis=None),
    "concatenate positional": lambda x: np.concatenate([x, x], -1),
    "stack": lambda x: np.stack([X, x], axis=-1),
    "flip": lambda x: np.flip(x, 1),
    "flip all": np.flip,
    "pad": lambda x: np.pad(x, 1),
    "pad mode": lambda x: np.pad(x, ((0, 1), (1, 0), (2, 2)), mode="constant", constant_values=3),
    "take": lambda x: np.take(x, [0, 1, 1], axis=2),
    "take all": lambda x: np.take(x, [0, 5]),
    "take mask": lambda x: np.take(x, [True, False]),
    "dot": lambda x: np.dot(x, np.ones((4, 2))),
    "dot of stacks": lambda x: np.dot(np.ones((5, 2, 3)), x),
    "dot of a vector": lambda x: np.dot(np.ones(3), x),
    "dot of a number": lambda x: np.dot(2.0, x),
    "dot by name": lambda x: np.dot(a=x, b=np.ones(4)),
}
if np.lib.NumpyVersion(np.__version__) >= "2.1.0":
    CALLS |= {
        "clip max": lambda x: np.clip(x, max=0.5),
        "clip min and max": lambda x: np.clip(x, min=0.2, max=0.5),
        "reshape by name": lambda x: np.reshape(x, shape=(4, 6)),
    }


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_numpys_functions_give_tensors_in_the_graph(call):
    x = live(X)
    y, expected = call(x), call(X)
    assert type(y) is tg.Tensor
    assert y.requires_grad
    assert y.dtype == expected.dtype
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-15)
    (dx,) = tg.grad((y * y).sum(), [x])
    step = 1e-6 * np.random.default_rng(1).standard_normal(X.shape)
    difference = (call(X + step) ** 2).sum() - (call(X - step) ** 2).sum()
    np.testing.assert_allclose((dx.numpy() * step).sum(), difference / 2, rtol=1e-5, atol=1e-12)
    # a Tensor without gradient gives a Tensor as well
    constant = call(tg.Tensor(X))
    assert type(constant) is tg.Tensor
    assert not constant.requires_grad


def test_split_gives_a_list():
    x = live(X)
    for parts in (np.split(x, 2, axis=2), np.split(x, indices_or_sections=[1], axis=1)):
        assert [type(part) for part in parts] == [tg.Tensor] * 2
    (parts[0].sum() + 3 * parts[1].sum()).backward()
    assert x.grad[:, 0].tolist() == np.ones((2, 4)).tolist()
    assert x.grad[:, 1:].tolist() == np.full((2, 2, 4), 3.0).tolist()


@pytest.mark.parametrize(
    "call",
    [
        np.shape,
        np.ndim,
        np.size,
        np.argmax,
        lambda x: np.argmax(x, axis=1),
        lambda x: np.argmin(x, 0),
        np.zeros_like,
        lambda x: np.ones_like(x, dtype=np.float32),
        lambda x: np.array_equal(x, X),
        lambda x: np.allclose(X, x),
        np.array2string,
        np.array_repr,
    ],
)
def test_what_has_no_derivative_to_drop_sees_the_array(call):
    answer, expected = call(live(X)), call(X)
    assert type(answer) is type(expected)
    np.testing.assert_array_equal(answer, expected)


REDUCTIONS = [np.add, np.multiply, np.maximum, np.minimum, np.fmax, np.fmin, np.logaddexp]
METHODS = [
    *(
        (lambda x, ufunc=ufunc, keywords=keywords: ufunc.reduce(x, **keywords))
        for ufunc in REDUCTIONS
        for keywords in ({}, {"axis": -1, "keepdims": True}, {"axis": None}, {"axis": (0, 2)})
        if ufunc is not np.logaddexp or isinstance(keywords.get("axis", 0), int)  # as in NumPy
    ),
    *(
        (lambda x, ufunc=ufunc: ufunc.reduce(x, axis=1, initial=0.4, where=X > 0.3))
        for ufunc in REDUCTIONS[:-1]
    ),
    lambda x: np.add.reduce(x, 1, None, None, True),
    np.add.accumulate,
    lambda x: np.multiply.accumulate(x, axis=-1),
    *(
        (lambda x, ufunc=ufunc: ufunc.outer(x[0, 0], x[:, 1]))
        for ufunc in (np.add, np.subtract, np.multiply, np.divide, np.hypot, np.power, np.maximum)
    ),
    lambda x: np.multiply.outer(X[0, 0], x),
]


@pytest.mark.parametrize("call", METHODS)
def test_methods_of_ufuncs_are_the_functions_that_they_stand_for(call):
    np.testing.assert_allclose(call(live(X)).numpy(), call(X), rtol=1e-12)
    tg.testing.gradcheck(call, [X])
    tg.testing.gradgradcheck(call, [X])


def test_methods_of_logical_ufuncs_give_booleans():
    for call in (
        lambda x: np.logical_and.reduce(x > 0.5),
        lambda x: np.logical_or.reduce(x > 0.5, axis=(0, 2), keepdims=True),
        lambda x: np.logical_and.reduce(x > 0.3, axis=1, where=x > 0.5),
        lambda x: np.logical_or.accumulate(x > 0.5, axis=1),
    ):
        answer = call(live(X))
        assert answer.dtype == np.bool_
        np.testing.assert_array_equal(answer.numpy(), call(X))


@pytest.mark.parametrize(
    "call",
    [
        np.isnan,
        np.isfinite,
        np.isinf,
        np.floor,
        np.sign,
        np.logical_not,
        lambda x: np.logical_and(x > 0.5, True),
        lambda x: np.logical_or([False], x > 0.5),
        lambda x: np.greater(x, 0.5),
        lambda x: np.equal(0.5, x),
        lambda x: x > X,
    ],
)
@pytest.mark.parametrize("data", [X, np.array(0.5)])
def test_piecewise_constant_ufuncs_give_tensors_without_gradient(call, data):
    if data.ndim == 0:
        x = live(0.5)
        answer, expected = call(x), call(np.array(0.5))
    else:
        answer, expected = call(live(data)), call(data)
    assert type(answer) is tg.Tensor
    assert not answer.requires_grad
    assert type(answer.data) is np.ndarray
    np.testing.assert_array_equal(answer.numpy(), expected)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (np.add.reduceat, "numpy.add.reduceat"),
        (np.subtract.reduce, "numpy.subtract.reduce"),
        (np.maximum.accumulate, "numpy.maximum.accumulate"),
        (lambda x: np.add.at(np.ones(2), [0], x), "numpy.add.at"),
        (np.put_along_axis, "numpy.put_along_axis"),
        (np.linalg.eigvals, "numpy.linalg.eigvals"),
        (np.linalg.eig, "numpy.linalg.eig"),
        (np.fft.fft, "numpy.fft.fft"),
        (np.sort_complex, "numpy.sort_complex"),
        (lambda x: np.copyto(np.ones(2), x), "numpy.copyto"),
        (lambda x: np.fill_diagonal(x, 1.0), "numpy.fill_diagonal"),
        (lambda x: np.save("x.npy", x), "numpy.save"),
        (lambda x: np.put(np.ones(2), [0], x), "numpy.put"),
    ],
)
def test_what_has_no_rule_says_so(call, name):
    binary = {np.add.reduceat: ([0],), np.put_along_axis: ([0], 1.0, 0)}
    for x in (live([0.5, 1.5]), tg.Tensor([0.5, 1.5])):
        with pytest.raises(TypeError, match=f"{name} has no rule for Tensors"):
            call(x, *binary.get(call, ()))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: np.add(x, x, out=np.empty(2)), "numpy.add of Tensors takes no out"),
        (lambda x: np.add(x, x, where=[True, False]), "numpy.add of Tensors takes no where"),
        (lambda x: np.exp(x, dtype=np.float32), "numpy.exp of Tensors takes no dtype"),
        (lambda x: np.isnan(x, out=np.empty(2, bool)), "numpy.isnan"),
        (lambda x: np.gcd(x, 2, where=[True, False]), "numpy.gcd of Tensors takes no where"),
        (
            lambda x: np.logical_or.reduce(x > 1, out=np.empty((), bool)),
            "numpy.logical_or of Tensors takes no out",
        ),
        (lambda x: np.sum(x, out=np.empty(())), "numpy.sum: .*'out'"),
        (lambda x: np.concatenate([x, x], out=np.empty(4)), "numpy.concatenate: .*'out'"),
        (lambda x: np.stack([x, x], out=np.empty((2, 2))), "numpy.stack: .*'out'"),
        (lambda x: np.einsum(x, [0], [0]), "numpy.einsum: expected subscripts"),
        (lambda x: np.take(x, [0], mode="clip"), "numpy.take: .*'mode'"),
        (lambda x: np.broadcast_to(x, (2, 2), subok=True), "numpy.broadcast_to: .*'subok'"),
        (lambda x: np.pad(x, 1, mode=lambda *_: None), "numpy.pad: "),
        (lambda x: np.std(x, out=np.empty(())), "numpy.std: .*'out'"),
        (lambda x: np.median(x, overwrite_input=True), "numpy.median: .*'overwrite_input'"),
        (lambda x: np.reshape(x, (2,), copy=False), "reshape.*'copy'"),
        (lambda x: np.clip(x, 0, 1, out=np.empty(2)), "numpy.clip: .*'out'"),
        (lambda x: np.einsum("i->i", x, out=np.empty(2)), "numpy.einsum: .*'out'"),
        (lambda x: np.add.reduce(x, out=np.empty(())), "numpy.add of Tensors takes no out"),
        (lambda x: np.sum(x, bogus=1), "numpy.sum|bogus"),
    ],
)
def test_options_without_meaning_here_are_refused_by_name(call, message):
    with pytest.raises(TypeError, match=message):
        call(live([0.5, 1.5]))


def test_other_errors_keep_their_kind():
    x = live([0.5, 1.5])
    with pytest.raises(ValueError, match=r"pad: expected one of constant, empty, edge.* as mode"):
        np.pad(x, 1, mode="other")
    with pytest.raises(ValueError, match="reshape"):
        np.reshape(x, (3,))
    with pytest.raises(IndexError, match="sum"):
        np.sum(x, axis=3)


def test_the_plain_array_of_a_live_tensor_is_refused():
    x = live([1.0, 2.0])
    for call in (
        lambda: np.asarray(x),
        lambda: np.array(x),
        lambda: np.asarray(x, dtype=np.float32),
        lambda: np.array([x, x]),
        lambda: np.array([x[0], x[1]]),
        lambda: np.sum([x, x]),
        lambda: tg.Tensor([x[0], x[1]]),
        lambda: np.add(np.ones(2), [x[0], x[1]]),
        lambda: np.testing.assert_allclose(x, x),
    ):
        with pytest.raises(TypeError, match=r"use .detach\(\) or .numpy\(\)|has no rule"):
            call()
    array = np.ones(2)
    with pytest.raises(TypeError):
        array += x
    with pytest.raises(TypeError):
        array[:] = x
    assert array.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    "operation", [operator.add, operator.mul, operator.truediv, operator.matmul]
)
def test_masked_arrays_are_refused_on_either_side(operation):
    # np.ma takes what it finds in an operand's _data for its array: no tensor may have one.
    masked = np.ma.MaskedArray([1.0, 2.0, 3.0], [0, 1, 0])
    x = live(np.ones(3))
    with pytest.raises(TypeError, match=r"would (lose its mask|drop its gradient)"):
        operation(masked, x)
    with pytest.raises(TypeError, match=r"MaskedArray would lose its mask.*filled\(0\)"):
        operation(x, masked)
    with pytest.raises(TypeError, match="Tensor: a MaskedArray"):
        tg.Tensor(masked)


def test_the_plain_array_of_a_constant_is_read_only_or_a_copy():
    t = tg.Tensor([1.0, 2.0])
    view = np.asarray(t)
    assert not view.flags.writeable
    copied = np.array(t)
    copied[:] = 5
    assert t.numpy().tolist() == [1.0, 2.0]
    assert np.asarray(t, dtype=np.float32).dtype == np.float32
    assert np.array([t, t]).tolist() == [[1.0, 2.0], [1.0, 2.0]]
    assert (live([1.0, 2.0]) * 2).detach().numpy().tolist() == np.asarray([2.0, 4.0]).tolist()


@pytest.mark.parametrize("scalar", [np.float64(2), np.float32(2), np.int64(2), np.bool_(True)])
def test_numpys_scalars_on_the_left(scalar):
    x = live([1.0, 2.0])
    for f in (
        lambda a, b: a + b,
        lambda a, b: a * b,
        lambda a, b: a / b,
        lambda a, b: a**b,
        lambda a, b: a < b,
    ):
        y = f(scalar, x)
        assert type(y) is tg.Tensor
        np.testing.assert_allclose(y.numpy(), f(scalar, np.array([1.0, 2.0])))


def test_the_functions_are_ours_whatever_they_are_called():
    x = live([[1.0, 2.0], [3.0, 4.0]])
    assert np.sum(x).node.primitive is tg.sum.primitive
    assert np.tanh(x).node.primitive is tg.tanh.primitive
    assert (np.ones(2) @ x).node.primitive is tg.matmul.primitive


def test_numpy_before_it_told_its_signatures(monkeypatch):
    told = dict(dispatch._signatures)
    for function in told:
        ours = dispatch.functions[function]
        assert (
            dispatch._written(
                function, dispatch._signature(function), inspect.signature(ours)
            ).__name__
            == function.__name__
        )
    x = live([1.0, 2.0])
    assert np.concatenate([x, x], axis=0).shape == (4,)
    assert np.dot(a=x, b=np.ones(2)).item() == 3.0
    assert np.where([True, False], x, 0.0).requires_grad
