"""What export takes, what it writes, and what it refuses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import tinygrad_rnn as tg
from tests.cases import rows
from tinygrad_rnn.graph import table

from .running import called, error, run


class Net(tg.nn.Module):
    def __init__(self) -> None:
        self.embedding = tg.nn.Embedding(7, 3, rng=0)
        self.lstm = tg.nn.LSTM(3, 4, rng=1)
        self.drop = tg.nn.Dropout(0.5, rng=2)
        self.out = tg.nn.Linear(4, 7, rng=3)

    def forward(self, ids: Any, state: Any = None) -> Any:
        y, state = self.lstm(self.embedding(ids), state)
        return self.out(self.drop(y)), state


IDS = np.array([[1, 2], [3, 4], [6, 0]])


def names_of(values: Any) -> list[str]:
    return [value.name for value in values]


def test_a_module_with_weights_by_name_in_a_file(tmp_path: Path) -> None:
    net = Net()
    path = tmp_path / "net.onnx"
    tg.onnx.export(net, IDS, path)
    model = onnx.load(path)
    assert set(names_of(model.graph.initializer)) == {n for n, _ in net.named_parameters()}
    assert names_of(model.graph.input) == ["ids"]
    assert names_of(model.graph.output) == ["y_0", "y_1", "y_2"]
    assert net.training
    assert net.drop.training
    assert error(run(model, IDS), called(net, IDS)) <= 1e-6


def test_names_and_keywords() -> None:
    net, state = Net(), (np.zeros((1, 2, 4)), np.ones((1, 2, 4)))
    model = tg.onnx.export(
        net,
        {"ids": IDS, "state": state},
        names=["tokens", "h_0", "c_0", "logits", "h_n", "c_n"],
    )
    assert names_of(model.graph.input) == ["tokens", "h_0", "c_0"]
    assert names_of(model.graph.output) == ["logits", "h_n", "c_n"]
    pair = tg.onnx.export(net, (IDS, state), names=(["a", "b", "c"], ["d", "e", "f"]))
    assert names_of((*pair.graph.input, *pair.graph.output)) == list("abcdef")
    assert names_of(tg.onnx.export(net, (IDS, state)).graph.input) == ["ids", "state_0", "state_1"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": ["a", "a"]}, "'a' occurs twice"),
        ({"names": ["a", "b"]}, "names for 3 outputs, got 1"),
        ({"names": []}, "names for 1 inputs, got 0"),
        ({"dynamic_axes": {"x": [0]}}, "'x', which is no input; there are ids"),
        ({"dynamic_axes": {"ids": [2]}}, "axis 2 of ids, which has shape"),
        ({"dynamic_axes": {"ids": {0: "T", 1: "T"}}}, "sizes 3 and 2 in the example 'T'"),
    ],
)
def test_wrong_names_and_axes(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tg.onnx.export(Net(), IDS, **options)


def test_no_operator_is_an_error_with_its_place() -> None:
    class Inverse(tg.nn.Module):
        def forward(self, x: Any) -> Any:
            for _, x_t in tg.steps(x):
                y = tg.linalg.inv(x_t)
            return y

    with pytest.raises(TypeError, match="inv has no ONNX operator in inverse at time step 0"):
        tg.onnx.export(Inverse(), np.ones((3, 2, 2)))


@pytest.mark.parametrize(
    "look",
    [
        lambda x: x if x[0] > 0 else -x,
        lambda x: x * x[0].item(),
        lambda x: x + np.asarray(x),
        lambda x: np.arange(3)[tg.argmax(x)],
        lambda x: x[x > 0],
        lambda x: x.numpy(),
    ],
)
def test_looking_at_numbers_is_refused(look: Any) -> None:
    with pytest.raises(TypeError, match=r"onnx.export: the function looked at the numbers"):
        tg.onnx.export(look, np.ones(3))


def test_random_numbers_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="called twice, the function does not do the same"):
        tg.onnx.export(lambda x: x + rng.normal(size=3), np.ones(3))


@pytest.mark.parametrize(
    "derivative",
    [
        lambda w, x: tg.grad(tg.sum(w * x), w),
        lambda w, x: tg.value_and_grad(lambda x: tg.sum(x * x))(x)[1],
        lambda w, x: tg.jvp(tg.exp, x, np.ones(2)),
        lambda w, x: tg.jacobian(tg.exp, x),
        lambda w, x: tg.hessian(lambda x: tg.sum(x * x), x),
        lambda w, x: tg.hvp(lambda x: tg.sum(x * x), x, np.ones(2)),
        lambda w, x: tg.sum(w * x).backward(),
    ],
)
def test_derivatives_are_refused(derivative: Any) -> None:
    w = tg.Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(TypeError, match=r"onnx.export: .*gradient|backward: "):
        tg.onnx.export(lambda x: derivative(w, x), np.ones(2))


def test_nothing_is_written_where_something_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with pytest.raises(TypeError):
        tg.onnx.export(tg.linalg.inv, np.eye(2), path)
    assert not path.exists()
    with pytest.raises(FileNotFoundError, match="no folder"):
        tg.onnx.export(tg.exp, np.ones(2), tmp_path / "missing" / "model.onnx")
    with pytest.raises(TypeError, match="expected a Tensor from the function, got none"):
        tg.onnx.export(lambda x: None, np.ones(2))
    with pytest.raises(TypeError, match="from the function, got a dict"):
        tg.onnx.export(lambda x: {"y": x}, np.ones(2))
    with pytest.raises(TypeError, match="expected a Module or a function"):
        tg.onnx.export(3, np.ones(2))


# ── operations ───────────────────────────────────────────────────────────────────────────


def test_an_operation_of_ones_own_says_what_it_is() -> None:
    rules = (np.sinh, lambda g, y, x: g * tg.cosh(x))
    x = np.array([0.5, -1.0], np.float32)
    by_name = tg.primitive(*rules, name="mine", elementwise=True, onnx="Sinh")
    in_nodes = tg.primitive(
        *rules,
        name="mine",
        onnx=lambda b, x: b.node("Mul", b.node("Sinh", x), np.array(1, np.float32)),
    )
    written_out = tg.primitive(
        *rules, name="mine", written_out=lambda x: (tg.exp(x) - tg.exp(-x)) / 2
    )
    for operation in (by_name, in_nodes, written_out):
        model = tg.onnx.export(operation, x)
        assert error(run(model, x), [np.sinh(x)]) <= 1e-6
    nothing = tg.primitive(*rules, name="mine")
    with pytest.raises(
        TypeError, match=r"mine has no ONNX operator.*tg.primitive\(..., onnx=...\)"
    ):
        tg.onnx.export(nothing, x)
    with pytest.raises(TypeError, match="onnx must be a name, a function or None"):
        tg.primitive(*rules, onnx=3)


#: Operations that ONNX has no operator for, and derivatives of others.
WITHOUT = {
    "_scatter", "_add_along", "unwindow", "inv", "solve", "_pinv", "_cholesky", "_eigh", "_svd",
    "_qr", "_cofactors", "_logabsdet", "_ldexp", "_bessel",
}  # fmt: skip


def test_every_primitive_is_in_onnx_or_known_not_to_be() -> None:
    tg.onnx.export(tg.exp, np.ones(1))  # the room is there
    lacking = {name for name, op in table.items() if op.onnx is None and op.written_out is None}
    assert lacking == WITHOUT


@pytest.mark.parametrize("name", [n for n in table if n not in {*WITHOUT, "_sinc", "_astype"}])
def test_a_primitive(name: str) -> None:
    row = rows[name]
    case = next(row.cases(np.random.default_rng(0)))
    model = tg.onnx.export(case.f, case.arrays)
    if name in ("det", "arcsin", "arccos", "arctan", "arctan2"):  # no float64 in onnxruntime
        case32 = tuple(a.astype(np.float32) for a in case.arrays)
        model = tg.onnx.export(case.f, case32)
        assert error(run(model, *case32), called(case.f, *case32)) <= 1e-5
        return
    assert error(run(model, *case.arrays), called(case.f, *case.arrays)) <= 1e-9


INDICES = [
    np.s_[1], np.s_[-1, 2], np.s_[::-1], np.s_[3:0:-2, 1:], np.s_[..., None, 0], np.s_[None, :, 1],
    np.s_[[0, 2, -1]], np.s_[:, [1, 1]], np.s_[[0, 1], [2, 3]], np.s_[1, :, [0, 2]],
    np.s_[:, [[0], [1]], [1, 2]], np.s_[[0, 1], None, :, 1], np.s_[[True, False, True, False]],
    np.s_[:0],
]  # fmt: skip


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_indices(index: Any) -> None:
    x = np.arange(4 * 5 * 6.0).reshape(4, 5, 6)
    model = tg.onnx.export(lambda x: x[index], x)
    assert error(run(model, x), [x[index]]) == 0


def test_indices_that_are_computed() -> None:
    x, i = np.arange(4 * 5 * 6.0).reshape(4, 5, 6), np.array([3, 0, 0])
    for f in (
        lambda x, i: x[i],
        lambda x, i: x[:, i, 1:],
        lambda x, i: x[i, :, i],
        lambda x, i: x[i, [0, 1, 2]],
        lambda x, i: tg.take(x, i, axis=-1),
        lambda x, i: x[tg.argmax(x[:, 0, 0])],
    ):
        assert error(run(tg.onnx.export(f, (x, i)), x, i), called(f, x, i)) == 0


def test_dtypes_are_numpys() -> None:
    x, n = np.array([1.5, -2.0], np.float32), np.array([3, -4])
    for f in (
        lambda x, n: x * n,
        lambda x, n: n / 2,
        lambda x, n: n // 3 + n % 3,
        lambda x, n: (n > 0) & (x > 0),
        lambda x, n: (x > 0) * (n > 0),
        lambda x, n: tg.sum(x > 0),
        lambda x, n: tg.where(n > 0, x, n),
        lambda x, n: tg.mean(n),
        lambda x, n: tg.astype(x, np.float64) + x,
    ):
        assert error(run(tg.onnx.export(f, (x, n)), x, n), called(f, x, n)) <= 1e-15


def test_what_the_readme_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = (Path(tg.__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n([^`]*tg\.onnx\.export[^`]*)```", readme)
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {"np": np, "tg": tg}
    exec(program, found)
    x = np.ones((7, 4, 3), np.float32)
    y, (h, c) = found["lstm"](x)
    assert error(called(found["model"], x), [y.numpy(), h.numpy(), c.numpy()]) <= 1e-6
