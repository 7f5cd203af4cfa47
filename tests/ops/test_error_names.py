"""An error begins with the name of the function that was called, not of one that it calls.

Every public operation is called with each argument wrong in turn, on Tensors and on arrays.
"""

import inspect
import re
import warnings

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import ops

A = np.random.default_rng(0).normal(size=(3, 3))
A = A @ A.T + np.eye(3)
IMAGE = np.ones((1, 1, 4, 4))


def each(names, arguments):
    return dict.fromkeys(names.split(), arguments)


#: A call that works takes these, by the names of the arguments that have no default ...
ARGUMENTS = {
    **dict.fromkeys(["x", "y", "a", "b", "W", "data", "operands"], A),
    **dict.fromkeys(["v", "p", "q", "roots", "values", "xp", "fp"], A[0]),
    **dict.fromkeys(["axis", "axis1", "source", "index"], 0),
    **dict.fromkeys(["axis2", "destination", "kth", "deg", "shift", "pad_width"], 1),
    **dict.fromkeys(["exponent", "n", "reps", "repeats", "kernel_size"], 2),
    **dict.fromkeys(["kernel", "stride", "dilation"], (1, 1)),
    "start": 1.0,
    "stop": 2.0,
    "indices": [0, 1],
    "axes": [0],
    "shape": (3, 3),
    "new_shape": (2,),
    "normalized_shape": 3,
    "indices_or_sections": 3,
    "dtype": np.float64,
    "arrays": [A, A],
    "condition": A[0] > 1,
    "condlist": [A > 0],
    "choicelist": [A],
    "choices": [A[0], A[1]],
    "funclist": [np.exp],
    "func1d": lambda v: v,
    "func": np.sum,
    "ids": np.array([0, 1]),
    "subscripts": "ij->j",
}
#: ... or, where these do not fit it, its own.
OWN = {
    **each("quantile percentile nanquantile nanpercentile", {"q": 0.5}),
    **each("convolve correlate outer linalg.outer", {"x": A[0], "y": A[1]}),
    **each("bitwise_and bitwise_or bitwise_xor", {"x": A > 0, "y": A > 1}),
    **each("cumulative_sum cumulative_prod trim_zeros vander", {"x": A[0]}),
    **each("max_pool2d windows", {"x": IMAGE}),
    "invert": {"x": A > 0},
    "conv2d": {"x": IMAGE, "W": np.ones((1, 1, 2, 2))},
    "unwindow": {"y": np.ones((1, 1, 4, 4, 1, 1)), "shape": (1, 1, 4, 4)},
    "bincount": {"x": np.array([0, 1])},
    "choose": {"a": np.array([0, 1, 0])},
    "dsplit": {"x": np.ones((2, 2, 3))},
    "interp": {"xp": np.arange(3.0)},
    "matvec": {"y": A[0]},
    "place": {"x": A[0]},
    "polyfit": {"x": A[0], "y": A[1]},
    "searchsorted": {"x": np.arange(3.0)},
    "take_along_axis": {"indices": np.zeros((3, 3), int)},
    "vecmat": {"x": A[0]},
    "linalg.tensorinv": {"a": np.ones((2, 2, 4)) + np.eye(4).reshape(2, 2, 4)},
    "linalg.tensorsolve": {"b": A[0]},
}
WRONG = [
    np.ones((2, 3, 5)),
    np.ones(4),
    np.zeros(0),
    np.array(["a", "b"]),
    np.array([1 + 2j, 2]),
    [[1, 2], [3]],
    "x",
    None,
    -7,
    7,
    3.5,
    (7,),
]
FUNCTIONS = {name: getattr(ops, name) for name in ops.__all__ if name != "linalg"}
FUNCTIONS |= {f"linalg.{name}": getattr(ops.linalg, name) for name in ops.linalg.__all__}


def live(x):
    if isinstance(x, np.ndarray) and x.dtype.kind == "f":
        return tg.Tensor(x, requires_grad=True)
    return [live(part) for part in x] if isinstance(x, list) else x


def has_tensor(x):
    return isinstance(x, tg.Tensor) or (isinstance(x, list) and any(map(has_tensor, x)))


def arguments(name, on_tensors):
    """Those without a default, by position, and the names of the others."""
    given, optional = [], []
    for p in inspect.signature(FUNCTIONS[name]).parameters.values():
        if p.default is not p.empty:
            optional.append(p.name)
        elif p.kind is p.VAR_POSITIONAL and p.name in ("arrays", "operands"):
            given.append(A)
        elif p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            given.append(OWN.get(name, {}).get(p.name, ARGUMENTS.get(p.name)))
    return [live(x) for x in given] if on_tensors else given, optional


def wrong_calls(name):
    for on_tensors in (False, True):
        given, optional = arguments(name, on_tensors)
        for wrong in WRONG:
            for i in range(len(given)):
                yield [*given[:i], wrong, *given[i + 1 :]], {}
            for keyword in optional:
                yield given, {keyword: wrong}


def is_numpys_own(name, args, keywords):
    """A primitive without a Tensor is NumPy's function and nothing else."""
    bare = hasattr(FUNCTIONS[name], "primitive") or name == "shape_of"
    return bare and not any(map(has_tensor, [*args, *keywords.values()]))


def error_of(function, args, keywords):
    try:
        function(*args, **keywords)
    except (ValueError, TypeError, IndexError) as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_error_names_what_was_called(name):
    function = FUNCTIONS[name]
    starts = (f"{function.__name__}:", f"{function.__name__}()")  # the latter are Python's own
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        function(*arguments(name, on_tensors=False)[0])
        for args, keywords in wrong_calls(name):
            if is_numpys_own(name, args, keywords):
                continue
            text = error_of(function, args, keywords)
            assert text is None or text.startswith(starts), (args, keywords)


WITH_AXIS = [
    (name, keyword)
    for name, function in FUNCTIONS.items()
    for keyword in inspect.signature(function).parameters
    if keyword in ("axis", "axes", "axis1", "axis2", "axisa", "axisb", "axisc", "source")
]


@pytest.mark.parametrize(("name", "keyword"), WITH_AXIS)
def test_a_wrong_axis_is_an_error_of_the_function_that_was_called(name, keyword):
    given, _ = arguments(name, on_tensors=True)
    bound = inspect.signature(FUNCTIONS[name]).bind(*given)
    bound.arguments[keyword] = 7 if keyword != "axes" else (7, 8)
    with pytest.raises((ValueError, IndexError)) as error:
        FUNCTIONS[name](*bound.args, **bound.kwargs)
    assert str(error.value).startswith(f"{FUNCTIONS[name].__name__}:")


@pytest.mark.parametrize(
    "call",
    [
        lambda x: tg.std(x, axis=3),
        lambda x: x.std(axis=3),
        lambda x: np.std(x, axis=3),
        lambda x: np.std(x, axis="x"),
        lambda x: tg.std(x, dtype="x"),
        lambda x: tg.std(x, where=np.ones(7, bool)),
    ],
)
def test_std_is_named_however_it_is_called_and_so_is_the_place(call):
    x = tg.Tensor(A, requires_grad=True)
    with tg.scope("encoder"), pytest.raises((ValueError, TypeError)) as error:
        call(x)
    assert str(error.value).partition(": ")[0] in ("std", "numpy.std")
    assert str(error.value).count("encoder") == 1
    assert "mean" not in str(error.value)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: tg.percentile(A, 120), "percentile: expected q from 0 to 100, got 120.0"),
        (lambda: np.nanpercentile(live(A), -1), "nanpercentile: expected q from 0 to 100, got -1"),
        (lambda: tg.quantile(A, [0.5, 1.5]), "quantile: expected q from 0 to 1, got [0.5 1.5]"),
        (lambda: np.median(live(A[:0])), "median: there is nothing to take a quantile of"),
        (lambda: np.triu(tg.Tensor(1.0)), "triu: expected one dimension or more, got none"),
        (lambda: tg.trim_zeros(A[0], "x"), "trim_zeros: expected 'f', 'b' or 'fb', got 'x'"),
        (lambda: np.linalg.eigh(live(A), "x"), "eigh: expected UPLO 'L' or 'U', got 'x'"),
        (lambda: np.linalg.inv(live(np.ones((2, 2)))), "inv: Singular matrix [operands: float64"),
    ],
)
def test_an_error_says_what_was_expected_in_the_terms_of_the_call(call, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}"):
        call()


def test_an_error_on_the_way_back_names_the_operation_and_its_place():
    x = tg.Tensor(np.ones((2, 2)), requires_grad=True)
    with tg.scope("layer"):
        _, y = np.linalg.slogdet(x)  # -inf, which has no derivative
    for differentiate in (y.backward, lambda: tg.grad(y, x, create_graph=True)):
        with pytest.raises(np.linalg.LinAlgError, match=r"logabsdet, backward .* Singular .*layer"):
            differentiate()
    with pytest.raises(np.linalg.LinAlgError, match="Singular"):
        tg.grad(y, x)


def test_what_is_wrong_in_a_function_of_the_users_is_said_to_be_there():
    x = tg.Tensor(A, requires_grad=True)

    def spread(v):
        return tg.std(v, axis=3)

    for call in (
        lambda: tg.apply_along_axis(spread, 0, x),
        lambda: tg.piecewise(x, [A > 0], [spread]),
        lambda: tg.apply_over_axes(lambda x, axis: spread(x), x, [0]),
    ):
        with pytest.raises(ValueError, match=r"in (spread|<lambda>): std: axis 3 is out of bounds"):
            call()
