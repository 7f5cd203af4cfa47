"""Recurrent layers and scans, exported and run elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

import tinygrad_rnn as tg

from .running import called, error, run

T, N, D, H = 5, 3, 3, 4


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def layers(dtype: Any = np.float32) -> list[Any]:
    nn = tg.nn
    return [
        nn.RNN(D, H, nonlinearity="relu", dtype=dtype, rng=0),
        nn.RNN(D, H, bias=False, dtype=dtype, rng=0),
        nn.LSTM(D, H, num_layers=2, dropout=0.5, dtype=dtype, rng=0),
        nn.LSTM(D, H, peepholes=True, dtype=dtype, rng=0),
        nn.LSTM(D, H, proj_size=2, dtype=dtype, rng=0),
        nn.GRU(D, H, dtype=dtype, rng=0),
        nn.GRU(D, H, reset_after=False, batch_first=True, dtype=dtype, rng=0),
    ]


@pytest.mark.parametrize("layer", [*layers(), *layers(np.float64)], ids=lambda m: f"{m}-{m.dtype}")
def test_a_layer(layer: Any) -> None:
    x = np.random.default_rng(0).standard_normal((T, N, D))
    model = tg.onnx.export(layer, x)
    # onnx's own evaluator knows no other activations of layers.
    relu = layer.dtype == np.float32 and "relu" in repr(layer)
    assert error(run(model, x, runtime=relu), called(layer, x)) <= (
        1e-6 if layer.dtype == np.float32 else 1e-14
    )


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_a_layer_of_float32_is_the_operator_of_its_name(kind: str) -> None:
    layer = getattr(tg.nn, kind)(D, H, bidirectional=True, rng=0)
    model = tg.onnx.export(layer, np.zeros((T, N, D)))
    assert operators(model).count(kind) == 2
    assert "Scan" not in operators(model)
    names = {weight.name for weight in model.graph.initializer}
    assert names == {name for name, _ in layer.named_parameters()}


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_initial_states_and_both_directions(kind: str, bidirectional: bool) -> None:
    layer = getattr(tg.nn, kind)(D, H, 2, bidirectional=bidirectional, rng=0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((T, N, D))
    states = [
        rng.standard_normal((2 + 2 * bidirectional, N, H)) for _ in range(1 + (kind == "LSTM"))
    ]
    state = tuple(states) if kind == "LSTM" else states[0]
    model = tg.onnx.export(layer, (x, state))
    given = [tg.Tensor(s, dtype=np.float32) for s in states]
    expected = layer(tg.Tensor(x, dtype=np.float32), tuple(given) if kind == "LSTM" else given[0])
    flat = [expected[0], *(expected[1] if kind == "LSTM" else expected[1:])]
    assert error(run(model, x, *states), [y.numpy() for y in flat]) <= 1e-6


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_lengths_are_an_input_or_fixed(kind: str, bidirectional: bool, dtype: Any) -> None:
    layer = getattr(tg.nn, kind)(D, H, bidirectional=bidirectional, dtype=dtype, rng=0)
    x = np.random.default_rng(0).standard_normal((T, N, D)).astype(dtype)
    lengths = np.array([2, 5, 1])
    for t, n in ((2, 0), (3, 0), (1, 2)):
        x[t:, n] = np.nan
    x[np.isnan(x)] = np.nan
    expected = called(lambda x: layer(x, lengths=lengths), x)
    model = tg.onnx.export(lambda x, lengths: layer(x, lengths=lengths), (x, lengths))
    assert error(run(model, x, lengths, runtime=True), expected) <= 1e-6
    model = tg.onnx.export(lambda x: layer(x, lengths=[2, 5, 1]), x)
    assert error(run(model, x, runtime=True), expected) <= 1e-6


def test_unbatched_and_empty_names() -> None:
    layer = tg.nn.LSTM(D, H, rng=0)
    x = np.random.default_rng(0).standard_normal((T, D))
    assert error(run(tg.onnx.export(layer, x), x), called(layer, x)) <= 1e-6


# ── scans ────────────────────────────────────────────────────────────────────────────────


def weights(rng: np.random.Generator, *shapes: tuple[int, ...]) -> list[tg.nn.Parameter]:
    return [tg.nn.Parameter((rng.standard_normal(s) * 0.5).astype(np.float32)) for s in shapes]


def peephole(W: Any, U: Any, b: Any, p: Any, q: Any, r: Any) -> Any:
    def cell(state: Any, x: Any) -> Any:
        h, c = state
        i, f, g, o = tg.split(tg.linear(x, W, b) + tg.linear(h, U), 4, -1)
        c = tg.sigmoid(f + p * c) * c + tg.sigmoid(i + q * c) * tg.tanh(g)
        h = tg.sigmoid(o + r * c) * tg.tanh(c)
        return (h, c), h

    return cell


def layer_norm(W: Any, U: Any, b: Any, gain: Any, shift: Any) -> Any:
    def cell(h: Any, x: Any) -> Any:
        h = tg.tanh(tg.layer_norm(tg.linear(x, W, b) + tg.linear(h, U), H, gain, shift))
        return h, h

    return cell


def convex(W: Any, U: Any) -> Any:
    """The cell of the README."""

    def cell(h: Any, x_t: Any) -> Any:
        f, n = tg.split(tg.linear(x_t, W) + tg.linear(h, U), 2, -1)
        f = tg.sigmoid(f)
        h = f * h + (1 - f) * tg.tanh(n)
        return h, h

    return cell


CELLS = {
    "peephole": (peephole, [(4 * H, D), (4 * H, H), (4 * H,), (H,), (H,), (H,)], 2),
    "layer norm": (layer_norm, [(H, D), (H, H), (H,), (H,), (H,)], 1),
    "README": (convex, [(2 * H, D), (2 * H, H)], 1),
}


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, [4, 5, 2]])
def test_a_cell_of_ones_own_becomes_scan(name: str, reverse: bool, lengths: Any) -> None:
    make, shapes, count = CELLS[name]
    rng = np.random.default_rng(0)
    cell = make(*weights(rng, *shapes))
    states = [rng.standard_normal((N, H)).astype(np.float32) for _ in range(count)]
    x = rng.standard_normal((T, N, D)).astype(np.float32)

    def f(x: Any, *states: Any) -> Any:
        first = states if count > 1 else states[0]
        return tg.scan(cell, first, x, reverse=reverse, lengths=lengths)

    model = tg.onnx.export(f, (x, *states))
    assert operators(model).count("Scan") == 1
    assert len(model.graph.initializer) == len(shapes)
    assert error(run(model, x, *states, runtime=reverse), called(f, x, *states)) <= 1e-5


def test_what_does_not_depend_on_the_step_is_done_before_the_loop() -> None:
    rng = np.random.default_rng(0)
    cell = convex(*weights(rng, (2 * H, D), (2 * H, H)))
    model = tg.onnx.export(
        lambda x: tg.scan(cell, np.zeros(H, np.float32), x), np.zeros((T, D), np.float32)
    )
    (scan,) = [node for node in model.graph.node if node.op_type == "Scan"]
    (body,) = [a.g for a in scan.attribute if a.name == "body"]
    assert "Transpose" in operators(model)
    assert "Transpose" not in [node.op_type for node in body.node]


def test_a_scan_within_a_scan() -> None:
    (W,) = weights(np.random.default_rng(0), (H, H))

    def inner(h: Any, x: Any) -> Any:
        h = tg.tanh(h @ W + x)
        return h, h

    def outer(h: Any, x: Any) -> Any:
        h, ys = tg.scan(inner, h, x)
        return h, tg.sum(ys, 0)

    x = np.random.default_rng(1).standard_normal((3, 4, N, H)).astype(np.float32)

    def f(x: Any) -> Any:
        return tg.scan(outer, np.zeros((N, H), np.float32), x)

    assert error(run(tg.onnx.export(f, x), x), called(f, x)) <= 1e-6


# ── dynamic axes ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_other_lengths_and_batches_than_the_examples(dtype: Any) -> None:
    layer = tg.nn.GRU(D, H, bidirectional=True, dtype=dtype, rng=0)

    def f(x: Any, lengths: Any) -> Any:
        y, h = layer(x, lengths=lengths)
        return y.reshape(-1, 2 * H), tg.mean(y, 0), h

    rng = np.random.default_rng(0)
    example = rng.standard_normal((T, N, D)).astype(dtype), np.array([3, 5, 1])
    axes = {"x": {0: "T", 1: "N"}, "lengths": {0: "N"}}
    model = tg.onnx.export(f, example, dynamic_axes=axes)
    shapes = [
        [d.dim_param or d.dim_value for d in y.type.tensor_type.shape.dim]
        for y in model.graph.output
    ]
    assert shapes == [["T * N", 8], ["N", 8], [2, "N", 4]]
    for steps, batch in ((7, 2), (1, 1), (3, 6)):
        x = rng.standard_normal((steps, batch, D)).astype(dtype)
        lengths = rng.integers(1, steps + 1, batch)
        assert error(run(model, x, lengths, runtime=True), called(f, x, lengths)) <= 1e-6


def test_a_loop_over_a_dynamic_axis_is_refused() -> None:
    cell = tg.nn.RNNCell(D, H, rng=0)

    def f(x: Any) -> Any:
        h = None
        for _, x_t in tg.steps(x):
            h = cell(x_t, h)
        return h

    x = np.zeros((T, N, D), np.float32)
    assert error(run(tg.onnx.export(f, x), x), called(f, x)) <= 1e-6
    with pytest.raises(ValueError, match=r"dynamic axes \(T\).* at time step .*tg.scan or a layer"):
        tg.onnx.export(f, x, dynamic_axes={"x": {0: "T"}})


def test_a_number_taken_from_a_dynamic_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a number .* of multiply differs"):
        tg.onnx.export(lambda x: x * (1 / len(x)), np.ones(3), dynamic_axes={"x": [0]})
    with pytest.raises(ValueError, match=r"with x_0 = .* for the dynamic axes: .*shapes"):
        tg.onnx.export(lambda x: x + np.ones(3), np.ones(3), dynamic_axes={"x": [0]})


@pytest.mark.parametrize("given", ["mask", "lengths", "both"])
def test_attention_over_what_an_input_lets_through(given: str) -> None:
    attention = tg.nn.Attention(3, kind="general", rng=0)
    rng = np.random.default_rng(0)
    query, keys = (rng.standard_normal(s).astype(np.float32) for s in ((2, 3), (2, 5, 3)))
    mask, lengths = rng.random((2, 5)) < 0.7, np.array([4, 2])
    mask[:, 0] = True

    def f(query: Any, keys: Any, mask: Any, lengths: Any) -> Any:
        chosen = {"mask": mask, "lengths": lengths} if given == "both" else {given: mask}
        chosen = {"lengths": lengths} if given == "lengths" else chosen
        return attention(query, keys, **chosen)

    model = tg.onnx.export(f, (query, keys, mask, lengths))
    assert (
        error(run(model, query, keys, mask, lengths), called(f, query, keys, mask, lengths)) < 1e-6
    )
