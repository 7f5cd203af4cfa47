"""Notebooks, DLPack, the array API, pandas and xarray: Tensors among other libraries' arrays."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg


class Page(HTMLParser):
    """The texts of a piece of HTML, whose tags have to be closed in order."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.rows = 0
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.rows += tag == "tr"
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


# ── notebooks ────────────────────────────────────────────────────────────────────────────


def test_a_tensor_shows_what_it_is_and_its_numbers() -> None:
    x = tg.Tensor([[1.5, -2.0]], requires_grad=True, name="<W>")
    (x * x).sum().backward()
    page = Page(x._repr_html_())
    text = " ".join(page.texts)
    assert "float64 · (1, 2) · requires grad · gradient of norm 5" in text
    assert {"Tensor", "<W>", "1.5", "-2"} <= set(page.texts)


@pytest.mark.parametrize("shape", [(), (0,), (3,), (0, 4), (200, 300), (2, 3, 4)])
def test_tensors_of_any_shape_are_shown_and_large_ones_in_part(shape: tuple[int, ...]) -> None:
    html = tg.Tensor(np.ones(shape))._repr_html_()
    page = Page(html)
    assert str(shape) in " ".join(page.texts)
    assert len(html) < 10_000
    if shape == (200, 300):
        assert page.rows == 12
        assert {"0", "4", "195", "199", "299"} <= set(page.texts)


def test_a_module_shows_shapes_and_how_many_parameters_there_are() -> None:
    model = tg.nn.Sequential(tg.nn.Embedding(7, 3), tg.nn.LSTM(3, 4), tg.nn.Linear(4, 7))
    model[2].again = model[2].weight
    page = Page(model.eval()._repr_html_())
    text = " ".join(page.texts)
    total = sum(p.size for p in model.parameters())
    assert f"{total:,} parameters" in text
    assert "· eval" in text
    assert {"weight_ih_l0 (16, 3)", "LSTM(3, 4)", "weight (7, 4)"} <= set(page.texts)
    assert sum(int(t.replace(",", "")) for t in page.texts if t.replace(",", "").isdigit()) >= total


# ── DLPack ───────────────────────────────────────────────────────────────────────────────


def test_dlpack_out_is_a_copy() -> None:
    x = tg.Tensor([1.0, 2.0])
    y = np.from_dlpack(x)
    assert y.tolist() == [1.0, 2.0]
    assert not np.shares_memory(y, x.data)
    assert x.__dlpack_device__() == np.ones(1).__dlpack_device__()


def test_dlpack_in() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    x = tg.from_dlpack(array)
    assert isinstance(x, tg.Tensor)
    assert (x.dtype, x.shape) == (np.float32, (2, 3))
    array[:] = 0
    assert x.data[1, 2] == 5

    class Foreign:
        """An array of a library that NumPy knows by DLPack alone."""

        def __dlpack__(self, **keywords: Any) -> Any:
            return np.ones(2).__dlpack__(**keywords)

        def __dlpack_device__(self) -> Any:
            return np.ones(2).__dlpack_device__()

    assert tg.from_dlpack(Foreign()).data.tolist() == [1, 1]
    assert tg.Tensor(Foreign()).data.tolist() == [1, 1]


def test_dlpack_refuses_what_it_would_lose() -> None:
    live = tg.Tensor([1.0], requires_grad=True)
    with pytest.raises(BufferError, match=r"drop the gradient.*detach"):
        np.from_dlpack(live)
    assert np.from_dlpack(live.detach()).tolist() == [1]
    with pytest.raises(BufferError, match="expected the device"):
        tg.Tensor([1.0]).__dlpack__(dl_device=(2, 0))
    with pytest.raises(TypeError, match="expected an array with __dlpack__, got list"):
        tg.from_dlpack([1.0])
    with pytest.raises(ValueError, match="copy=False"):
        tg.from_dlpack(np.ones(1), copy=False)
    with pytest.raises(ValueError, match="expected 'cpu'"):
        tg.from_dlpack(np.ones(1), device="cuda")


def test_torch_takes_and_gives() -> None:
    torch = pytest.importorskip("torch")
    x = tg.Tensor([1.0, 2.0])
    theirs = torch.from_dlpack(x)
    theirs[0] = 9
    assert x.data[0] == 1
    assert tg.from_dlpack(theirs).data.tolist() == [9, 2]


# ── the array API ────────────────────────────────────────────────────────────────────────


def standardised(x: Any) -> Any:
    """A function as it is written for any library with the array API."""
    xp = x.__array_namespace__()
    mean = xp.mean(x, axis=0, keepdims=True)
    spread = xp.sqrt(xp.mean(xp.pow(x - mean, xp.asarray(2.0)), axis=0, keepdims=True))
    y = (x - mean) / spread
    ordered = xp.sort(y, axis=0)
    angles = xp.atan2(y, xp.ones_like(y))
    return xp.sum(xp.concat([ordered, angles, xp.permute_dims(y, (0, 1))], axis=0) ** 2)


def test_a_function_for_the_array_api_takes_tensors_and_their_gradients() -> None:
    x = np.random.default_rng(0).standard_normal((4, 3))
    assert np.allclose(standardised(tg.Tensor(x)).item(), standardised(x))
    assert tg.testing.gradcheck(standardised, x)


def test_the_namespace_gives_tensors() -> None:
    x = tg.Tensor([[3.0, 1.0], [2.0, 2.0]])
    xp = x.__array_namespace__(api_version="2023.12")
    made = [
        xp.zeros((2, 3)), xp.arange(4), xp.eye(2), xp.full_like(x, 7), xp.linspace(0, 1, 5),
        xp.asarray([1, 2]), xp.any(x), xp.count_nonzero(x), xp.argmax(x), xp.argsort(x, axis=1),
        xp.unique_values(x), xp.searchsorted(xp.asarray([1.0, 2.0]), xp.asarray(1.5)),
        *xp.nonzero(x), *xp.unique_counts(x), *xp.meshgrid(xp.arange(2), xp.arange(3)),
        xp.clip(x, max=2), xp.reshape(x, (4,), copy=False), xp.conj(x), xp.acosh(x),
        xp.linalg.inv(x),
    ]  # fmt: skip
    assert all(isinstance(y, tg.Tensor) for y in made)
    assert xp.argsort(xp.asarray([1.0, 3.0, 1.0]), descending=True).data.tolist() == [1, 0, 2]
    assert xp.result_type(x, xp.float32) == np.float64
    assert xp.can_cast(xp.asarray([1]), xp.float64)
    assert xp.isdtype(x.dtype, "real floating")
    info = xp.__array_namespace_info__()
    assert info.default_device() == x.device == "cpu"
    assert set(info.dtypes(kind="real floating")) == {"float32", "float64"}
    assert x.to_device("cpu") is x
    assert all(hasattr(xp, name) for name in xp.__all__)


def test_the_namespace_has_the_standards_names_but_for_what_tensors_are_not() -> None:
    standard = """
    abs acos acosh add all any arange argmax argmin argsort asarray asin asinh astype
    atan atan2 atanh bitwise_and bitwise_invert bitwise_left_shift bitwise_or bitwise_right_shift
    bitwise_xor bool broadcast_arrays broadcast_shapes broadcast_to can_cast ceil clip concat conj
    copysign cos cosh count_nonzero cumulative_prod cumulative_sum diff divide e empty empty_like
    equal exp expand_dims expm1 eye finfo flip float32 float64 floor floor_divide from_dlpack full
    full_like greater greater_equal hypot iinfo inf int16 int32 int64 int8 isdtype isfinite isinf
    isnan less less_equal linalg linspace log log10 log1p log2 logaddexp logical_and logical_not
    logical_or logical_xor matmul matrix_transpose max maximum mean meshgrid min minimum moveaxis
    multiply nan negative newaxis nextafter nonzero not_equal ones ones_like permute_dims pi
    positive pow prod real reciprocal remainder repeat reshape result_type roll round searchsorted
    sign signbit sin sinh sort sqrt square squeeze stack std subtract sum take take_along_axis tan
    tanh tensordot tile tril triu trunc uint16 uint32 uint64 uint8 unique_all unique_counts
    unique_inverse unique_values unstack var vecdot where zeros zeros_like
    """
    xp = tg.Tensor(1.0).__array_namespace__()
    assert set(standard.split()) == set(xp.__all__)


def test_other_devices_and_later_versions_are_refused() -> None:
    x = tg.Tensor(1.0)
    with pytest.raises(ValueError, match="expected 'cpu'"):
        x.to_device("cuda")
    xp = x.__array_namespace__()
    with pytest.raises(ValueError, match="expected 'cpu'"):
        xp.zeros(2, device="cuda")
    with pytest.raises(ValueError, match="api_version up to"):
        x.__array_namespace__(api_version="2999.12")
    with pytest.raises(ValueError, match="copy=False"):
        xp.asarray([1.0], copy=False)


# ── pandas and xarray ────────────────────────────────────────────────────────────────────


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
