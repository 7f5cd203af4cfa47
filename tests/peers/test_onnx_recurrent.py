"""The node cases that ONNX backends are checked with, for its operators RNN, LSTM and GRU.

An ONNX node has the weights of both directions in one array, W (K, G H, D) and R (K, G H, H), one
bias for both, and its own gate order: i, o, f, c for LSTM, z, r, h for GRU, and i, o, f for the
peepholes P. All cases have the default activations.

Source: https://onnx.ai/onnx/operators/onnx__LSTM.html (and __RNN, __GRU)
"""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn

onnx = pytest.importorskip("onnx")
pytestmark = pytest.mark.peers

# Importing a module makes its cases. collect_testcases() would import those of all operators,
# whose warnings are no business of ours.
import onnx.backend.test.case.node as node_cases  # noqa: E402
from onnx.backend.test.case.node import gru, lstm, rnn  # noqa: E402

ORDER = {"RNN": [0], "LSTM": [0, 2, 3, 1], "GRU": [1, 0, 2]}  # theirs in ours


CASES = [
    pytest.param(case, node, id=case.name)
    for case in node_cases._NodeTestCases
    for node in case.model.graph.node
    if node.op_type in ORDER
]


def by_our_gates(kind, stacked):
    """(G H, ...) with the gates in our order."""
    parts = np.split(stacked, len(ORDER[kind]))
    return np.concatenate([parts[k] for k in ORDER[kind]])


def state_dict(kind, given, direction):
    """The parameters of one direction of the layer, without ``_l0``."""
    state = {
        "weight_ih": by_our_gates(kind, given["W"][direction]),
        "weight_hh": by_our_gates(kind, given["R"][direction]),
    }
    if "B" in given:
        of_x, of_h = np.split(given["B"][direction], 2)
        state |= {"bias_ih": by_our_gates(kind, of_x), "bias_hh": by_our_gates(kind, of_h)}
    if "P" in given:
        i, o, f = np.split(given["P"][direction], 3)
        state |= {"weight_pi": i, "weight_pf": f, "weight_po": o}
    return state


def run(kind, node, given, unroll):
    """Y (T, K, N, H), Y_h and, of an LSTM, Y_c (K, N, H); N first where the layout says so."""
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    assert set(attributes) <= {"hidden_size", "layout", "direction", "linear_before_reset"}
    way = attributes.get("direction", b"forward").decode()
    layout = attributes.get("layout", 0)
    keywords = {"bias": "B" in given, "bidirectional": way == "bidirectional"}
    if kind == "LSTM":
        keywords["peepholes"] = "P" in given
    if kind == "GRU":
        keywords["reset_after"] = bool(attributes.get("linear_before_reset", 0))
    D, H = given["W"].shape[-1], attributes["hidden_size"]
    layer = getattr(nn, kind)(D, H, batch_first=layout == 1, **keywords)
    parameters = {}
    for direction, suffix in enumerate(["_l0", "_l0_reverse"][: len(given["W"])]):
        for name, array in state_dict(kind, given, direction).items():
            parameters[name + suffix] = array
    layer.load_state_dict(parameters)
    x = given["X"]
    if way == "reverse":  # our layers have the reverse direction only as a second one
        assert "sequence_lens" not in given
        x = np.flip(x, layout)
    first = [given[name] for name in ("initial_h", "initial_c") if name in given]
    first = [np.swapaxes(s, 0, 1) if layout else s for s in first]
    state = None if not first else tuple(first) if kind == "LSTM" else first[0]
    y, state = layer(x, state, lengths=given.get("sequence_lens"), unroll=unroll)
    y = y.numpy().reshape(*y.shape[:2], len(given["W"]), H)
    if way == "reverse":
        y = np.flip(y, layout)
    states = [s.numpy() for s in (state if kind == "LSTM" else (state,))]
    if layout:
        return [y, *(np.swapaxes(s, 0, 1) for s in states)]
    return [y.transpose(0, 2, 1, 3), *states]


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize(("case", "node"), CASES)
def test_a_node_case_of_onnx(case, node, unroll):
    for inputs, outputs in case.data_sets:
        names = [name for name in node.input if name]
        given = dict(zip(names, inputs, strict=True))
        computed = run(node.op_type, node, given, unroll)
        expected = dict(zip([name for name in node.output if name], outputs, strict=True))
        assert expected
        for name, ours in zip(node.output, computed, strict=False):
            if name:
                theirs = expected[name]
                assert ours.shape == theirs.shape
                np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_every_case_of_theirs_is_here():
    names = {parameter.id for parameter in CASES}
    assert len(names) >= 18
    for kind in ("lstm", "gru", "simple_rnn"):
        for case in ("defaults", "with_initial_bias", "batchwise", "reverse", "bidirectional"):
            assert f"test_{kind}_{case}" in names
    assert {"test_lstm_with_peepholes", "test_gru_seq_length", "test_rnn_seq_length"} <= names


def test_resets_before_and_after_against_a_larger_case_of_their_reference():
    rng = np.random.default_rng(0)
    T, N, D, H = 6, 4, 3, 5
    shapes = {"X": (T, N, D), "W": (1, 3 * H, D), "R": (1, 3 * H, H), "B": (1, 6 * H)}
    given = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    given["initial_h"] = rng.standard_normal((1, N, H))
    for reset_after in (False, True):
        layer = nn.GRU(D, H, reset_after=reset_after, dtype=np.float64)
        state = state_dict("GRU", given, 0)
        layer.load_state_dict({name + "_l0": array for name, array in state.items()})
        y, h = layer(given["X"], given["initial_h"])
        Y, Y_h = gru.GRUHelper(**given, linear_before_reset=int(reset_after)).step()
        np.testing.assert_allclose(y.numpy(), Y[:, 0], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(h.numpy(), Y_h, rtol=1e-9, atol=1e-12)


def test_simple_nets_against_a_larger_case_of_their_reference():
    rng = np.random.default_rng(0)
    T, N, D, H = 6, 4, 3, 5
    shapes = {"X": (T, N, D), "W": (2, H, D), "R": (2, H, H), "B": (2, 2 * H)}
    given = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    given["initial_h"] = rng.standard_normal((2, N, H))
    layer = nn.RNN(D, H, bidirectional=True, dtype=np.float64)
    for direction, suffix in enumerate(["_l0", "_l0_reverse"]):
        state = state_dict("RNN", given, direction)
        layer.load_state_dict({k + suffix: v for k, v in state.items()}, strict=False)
    y, h = layer(given["X"], given["initial_h"])
    Y, Y_h = rnn.RNNHelper(**given, direction="bidirectional").step()
    both = np.concatenate([Y[:, 0], Y[:, 1]], -1)
    np.testing.assert_allclose(y.numpy(), both, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(h.numpy(), Y_h, rtol=1e-9, atol=1e-12)


def test_peepholes_and_lengths_against_a_larger_case_of_their_reference():
    """Their cases have equal weights and full lengths; their reference code takes any."""
    rng = np.random.default_rng(0)
    T, N, D, H = 6, 4, 3, 5
    shapes = {"X": (T, N, D), "W": (2, 4 * H, D), "R": (2, 4 * H, H), "B": (2, 8 * H)}
    shapes |= {"P": (2, 3 * H), "initial_h": (2, N, H), "initial_c": (2, N, H)}
    given = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    lengths = np.array([6, 1, 4, 3])
    layer = nn.LSTM(D, H, bidirectional=True, peepholes=True, dtype=np.float64)
    for direction, suffix in enumerate(["_l0", "_l0_reverse"]):
        state = state_dict("LSTM", given, direction)
        layer.load_state_dict({k + suffix: v for k, v in state.items()}, strict=False)
    for unroll in (False, True):
        y, (h, c) = layer(
            given["X"],
            (given["initial_h"], given["initial_c"]),
            lengths=lengths,
            unroll=unroll,
        )
        assert isinstance(y, tg.Tensor)
        for n, length in enumerate(lengths):  # the reference knows no lengths: one by one
            alone = {k: v for k, v in given.items() if k not in ("X", "initial_h", "initial_c")}
            alone["X"] = given["X"][:length, n : n + 1]
            alone |= {k: given[k][:, n : n + 1] for k in ("initial_h", "initial_c")}
            Y, Y_h, Y_c = lstm.LSTMHelper(**alone, direction="bidirectional").step()
            both = np.concatenate([Y[:, 0, 0], Y[:, 1, 0]], -1)
            np.testing.assert_allclose(y.numpy()[:length, n], both, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(h.numpy()[:, n], Y_h[:, 0], rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(c.numpy()[:, n], Y_c[:, 0], rtol=1e-9, atol=1e-12)
