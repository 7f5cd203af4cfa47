"""Objects of pandas and xarray as inputs, wherever arrays are."""

import numpy as np
import pytest

import tinygrad_rnn as tg

pytestmark = pytest.mark.peers


def test_pandas_objects_are_inputs() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    x = tg.Tensor(np.ones((2, 2)), requires_grad=True)
    for y in (x * frame, frame * x, frame["a"] + x, x - frame["a"], frame @ np.eye(2) - x):
        assert isinstance(y, tg.Tensor)
        assert y.requires_grad
    (frame * x).sum().backward()
    assert (x.grad == frame.to_numpy()).all()
    assert isinstance(frame > x, tg.Tensor)
    assert tg.nn.Linear(2, 3, rng=0)(frame).dtype == np.float32
    assert tg.embedding(pd.Series([1, 0]), x).shape == (2, 2)
    assert tg.nn.cross_entropy(x, pd.Series([0, 1])).shape == ()
    batches = list(tg.data.DataLoader(frame, frame["a"], batch_size=1))
    assert batches[1][0].tolist() == [[2, 4]]
    with pytest.raises(TypeError, match="expected real numbers, got DataFrame of dtype"):
        tg.Tensor(pd.DataFrame({"a": ["x", "y"]}))


def test_xarray_objects_are_inputs() -> None:
    xr = pytest.importorskip("xarray")
    array = xr.DataArray(np.arange(4.0).reshape(2, 2), dims=("time", "unit"))
    x = tg.Tensor(np.ones((2, 2)), requires_grad=True)
    y = x * array
    assert isinstance(y, tg.Tensor)
    y.sum().backward()
    assert (x.grad == array.to_numpy()).all()
    assert tg.nn.Linear(2, 3, rng=0)(array).shape == (2, 3)
    assert tg.Tensor(array).data[1, 1] == 3
