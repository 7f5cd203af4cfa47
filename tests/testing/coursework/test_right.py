"""check_bptt raises no false alarm: right solutions pass in every convention."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.testing import check_bptt

from .right import all_ways, functions

ALL = list(all_ways())


@pytest.mark.parametrize("seed", range(200))
def test_a_right_solution_passes(seed):
    rng = np.random.default_rng(seed)
    ways = [w for w in ALL if w.net == ("rnn", "lstm", "gru")[seed % 3]]
    written = ways[rng.integers(len(ways))]
    T = int(rng.integers(1, 7))
    N, D, H = (int(n) for n in rng.choice(np.arange(1, 9), 3, replace=False))
    forward, backward = functions(written)
    dtype = np.float32 if written.single else np.float64
    assert check_bptt(forward, backward, written.net, sizes=(T, N, D, H), dtype=dtype, rng=seed), (
        written
    )


@pytest.mark.parametrize("net", ["rnn", "lstm", "gru"])
def test_what_was_asked_for_passes_and_what_was_not_does_not(net):
    rng = np.random.default_rng(0)
    ways = [w for w in ALL if w.net == net and not w.last and w.biases == 1 and not w.single]
    for _ in range(5):
        written = ways[rng.integers(len(ways))]
        asked = {"batch_first": written.batch_first, "columns": written.columns}
        if net != "rnn":
            asked["gates"] = written.gates
        if net == "gru":
            asked |= {"z_keeps": written.z_keeps, "reset_after": written.reset_after}
        assert check_bptt(*functions(written), net, **asked)
        for name in ("z_keeps", "reset_after"):
            if name in asked:
                with pytest.raises(AssertionError, match="the forward is wrong"):
                    check_bptt(*functions(written), net, **{**asked, name: not asked[name]})


def test_the_layers_of_this_library_pass():
    """forward and backward made of tg's own LSTM."""

    def forward(x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh):
        leaves = [tg.Tensor(a, requires_grad=True) for a in (x, h0, c0)]
        weights = [
            tg.Tensor(a, requires_grad=True) for a in (weight_ih, weight_hh, bias_ih, bias_hh)
        ]
        h, c, hs = leaves[1], leaves[2], []
        for t in range(len(x)):
            h, c = tg.nn.cells.lstm_step(leaves[0][t], h, c, *weights)
            hs.append(h)
        y = tg.stack(hs)
        return y.data, (y, leaves, weights)

    def backward(dout, cache):
        y, leaves, weights = cache
        return tuple(g.numpy() for g in tg.grad(y, [*leaves, *weights], dout))

    assert check_bptt(forward, backward, "lstm", gates="ifgo", batch_first=False, columns=False)


def test_inputs_of_ones_own():
    from .solutions import LSTM
    from .solutions import functions as written

    rng = np.random.default_rng(0)
    inputs = {
        "x": rng.normal(size=(2, 7, 3)),
        "h0": np.zeros((2, 4)),
        "Wx": rng.normal(size=(3, 16)),
        "Wh": rng.normal(size=(4, 16)),
        "b": np.zeros(16),
    }
    assert check_bptt(*written(LSTM), "lstm", inputs)
    assert check_bptt(*written(LSTM), "lstm", list(inputs.values()), gates="ifog")
    with pytest.raises(ValueError, match="expected inputs for x, h0, Wx, Wh, b, got 4"):
        check_bptt(*written(LSTM), "lstm", list(inputs.values())[:4])
