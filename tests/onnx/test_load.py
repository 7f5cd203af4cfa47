"""Models from elsewhere as Modules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import tinygrad_rnn as tg

from .running import called, error
from .test_export import IDS, Net
from .test_layers import CELLS, D, H, N, T, layers, weights


def loaded_error(f: Any, *arrays: Any, tolerance: float = 1e-6) -> tg.onnx.Loaded:
    """Export, load, and compare."""
    model = tg.onnx.load(tg.onnx.export(f, arrays))
    assert error(called(model, *arrays), called(f, *arrays)) <= tolerance
    return model


@pytest.mark.parametrize("layer", layers(), ids=str)
def test_a_round_trip_of_layers(layer: Any) -> None:
    loaded_error(layer, np.random.default_rng(0).standard_normal((T, N, D)).astype(np.float32))


@pytest.mark.parametrize("name", CELLS)
def test_a_round_trip_of_cells(name: str) -> None:
    make, shapes, count = CELLS[name]
    rng = np.random.default_rng(0)
    cell = make(*weights(rng, *shapes))
    states = [rng.standard_normal((N, H)).astype(np.float32) for _ in range(count)]
    x = rng.standard_normal((T, N, D)).astype(np.float32)
    loaded_error(
        lambda x, *s: tg.scan(cell, s if count > 1 else s[0], x, lengths=[2, 5, 4]), x, *states
    )


def test_a_module_with_its_weights_and_their_names(tmp_path: Path) -> None:
    net = Net()
    path = tmp_path / "net.onnx"
    tg.onnx.export(net, IDS, path, dynamic_axes={"ids": {0: "T", 1: "N"}})
    model = tg.onnx.load(path)
    assert {n for n, _ in model.named_parameters()} == {n for n, _ in net.named_parameters()}
    ids = np.array([[1, 2, 3], [4, 5, 6]])
    assert error(called(model, ids), called(net, ids)) <= 1e-6
    assert model.input_names == ("ids",)
    # It is differentiated and trained like any other.
    loss = tg.nn.cross_entropy(model(IDS)[0].reshape(-1, 7), IDS.reshape(-1))
    loss.backward()
    tg.nn.cross_entropy(net(tg.Tensor(IDS))[0].reshape(-1, 7), IDS.reshape(-1)).backward()
    assert np.allclose(model.out.weight.grad, net.out.weight.grad, atol=1e-6)
    assert all(p.grad is not None for p in model.parameters())
    optimizer = tg.optim.SGD(model.parameters(), lr=0.1)
    optimizer.step()
    again = tg.nn.cross_entropy(model(IDS)[0].reshape(-1, 7), IDS.reshape(-1))
    assert again.item() < loss.item()
    # And exported once more.
    assert error(called(tg.onnx.load(tg.onnx.export(model, IDS)), IDS), called(model, IDS)) <= 1e-6


def graph_of(nodes: list[Any], **options: Any) -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["T", 2, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [x], [y], **options)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_names_that_are_no_attributes() -> None:
    W = helper.make_tensor("onnx::MatMul_7", TensorProto.FLOAT, [3, 2], np.ones(6))
    forward = helper.make_tensor("forward", TensorProto.FLOAT, [2], np.ones(2))
    nodes = [
        helper.make_node("MatMul", ["x", "onnx::MatMul_7"], ["z"]),
        helper.make_node("Add", ["z", "forward"], ["y"]),
    ]
    model = tg.onnx.load(graph_of(nodes, initializer=[W, forward]))
    assert [n for n, _ in model.named_parameters()] == ["onnx__MatMul_7", "forward_"]
    assert (model(np.ones((1, 2, 3))).data == 4).all()
    assert (model(x=np.ones((1, 2, 3))).data == 4).all()


def test_what_is_not_known_is_named() -> None:
    node = helper.make_node("LpNormalization", ["x"], ["y"], name="norm/1")
    with pytest.raises(ValueError, match=r"'norm/1' \(LpNormalization\)"):
        tg.onnx.load(graph_of([node]))
    custom = helper.make_node("Tanh", ["x"], ["y"], name="t", domain="com.example")
    with pytest.raises(ValueError, match=r"'t' \(Tanh\): the operator of com.example"):
        tg.onnx.load(graph_of([custom]))
    W, R = (
        helper.make_tensor(n, TensorProto.FLOAT, [1, 4, k], np.ones(4 * k))
        for n, k in (("W", 3), ("R", 4))
    )
    rnn = helper.make_node(
        "RNN", ["x", "W", "R"], ["y"], name="r", hidden_size=4, activations=["Affine"]
    )
    with pytest.raises(ValueError, match=r"'r' \(RNN\): the activations Affine"):
        tg.onnx.load(graph_of([rnn], initializer=[W, R]))(np.ones((5, 2, 3)))
    old = graph_of([helper.make_node("Tanh", ["x"], ["y"])])
    old.opset_import[0].version = 9
    with pytest.raises(ValueError, match="opset 13 or later, got 9"):
        tg.onnx.load(old)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        tg.onnx.load(tmp_path / "missing.onnx")
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(ValueError, match=r"text.onnx: not an ONNX model"):
        tg.onnx.load(tmp_path / "text.onnx")


def test_inputs_are_looked_at() -> None:
    model = tg.onnx.load(graph_of([helper.make_node("Tanh", ["x"], ["y"])]))
    x = np.ones((1, 2, 3))
    for arguments, named, message in (
        ((), {}, "'x' is missing"),
        ((x, x), {}, r"expected 1 inputs \(x\), got 2"),
        ((x,), {"x": x}, "'x' is given twice"),
        ((), {"z": x}, "'z' is none of x"),
        ((tg.Tensor(x),), {}, "expected x of dtype float32, got a Tensor of float64"),
    ):
        with pytest.raises(TypeError, match=message):
            model(*arguments, **named)
