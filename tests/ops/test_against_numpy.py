"""Every operation that NumPy has too gives NumPy's values: called as ours, and through NumPy."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.cases import rows
from tinygrad_rnn import ops

WRITTEN = [
    pytest.param(row, call, id=f"{row.name} {i}")
    for row in rows.values()
    for i, call in enumerate(row.calls)
    if call.written
]


OLD = np.lib.NumpyVersion(np.__version__) < "2.2.0"


def missing(call) -> bool:
    """Whether this NumPy is too old for the call."""
    if OLD and call.label == "closest_observation":  # mended in NumPy 2.2
        return True
    try:
        call.written(np, *(np.ones(shape) for shape in call.shapes))
    except AttributeError:
        return True
    except Exception:  # ones are no example of these arguments
        return False
    return False


def each(y):
    return y if isinstance(y, (tuple, list)) else [y]


@pytest.mark.parametrize(("row", "call"), WRITTEN)
def test_values_are_numpys(row, call):
    if missing(call):
        pytest.skip("this NumPy has no such function")
    arrays = row.case(call, np.random.default_rng(0)).arrays
    expected = each(call.written(np, *arrays))
    live = [tg.Tensor(x, requires_grad=True) for x in arrays]
    ways = {
        "ours on arrays": (each(call.written(ops, *arrays)), np.ndarray),
        "ours on Tensors": (each(call.written(ops, *live)), tg.Tensor),
        "NumPy's on Tensors": (each(call.written(np, *live)), tg.Tensor),
        "NumPy's on constants": (each(call.written(np, *map(tg.Tensor, arrays))), tg.Tensor),
    }
    for way, (found, kind) in ways.items():
        assert len(found) == len(expected), way
        for y, e in zip(found, expected, strict=True):
            assert isinstance(y, kind), way
            assert y.dtype == e.dtype, way
            assert y.shape == np.shape(e), way
            array = y.numpy() if isinstance(y, tg.Tensor) else y
            np.testing.assert_allclose(array, e, rtol=1e-11, atol=1e-12, err_msg=way)
    assert all(y.requires_grad for y in ways["NumPy's on Tensors"][0])
    assert not any(y.requires_grad for y in ways["NumPy's on constants"][0])
