"""The written rule: what has vanished and what has exploded, beside what the loss sends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.viz.nets import layer_loss


def linear(scale: float, T: int = 16, *, every: bool = False, factor: float = 1.0) -> Any:
    """h_t = scale U h_{t-1} + x_t with an orthogonal U; a loss at the end, or at every step."""
    rng = np.random.default_rng(0)
    U = tg.Tensor(scale * np.linalg.qr(rng.normal(size=(4, 4)))[0], requires_grad=True, name="U")
    h: Any = tg.Tensor(np.ones((1, 4)))
    total: Any = 0.0
    for _, x_t in tg.steps(rng.normal(size=(T, 1, 4))):
        h = h @ U + x_t
        if every:
            total = total + factor * tg.sum(h)
    return tg.gradient_flow(total if every else factor * tg.sum(h))


def regimes(flow: Any, name: str = "h") -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for t, regime in sorted(flow.states[name].regimes.items()):
        found.setdefault(regime, []).append(t)
    return found


@pytest.mark.parametrize("factor", [1e-9, 1.0, 1e9])
def test_an_explosion_is_not_called_vanishing(factor: float) -> None:
    """Whatever the loss's unit."""
    flow = linear(3.0, factor=factor)
    assert flow.sent_by_loss == pytest.approx(2 * factor)
    assert regimes(flow) == {"": list(range(11, 16)), "exploded": list(range(11))}  # 3^5 > 100
    svg = flow.svg()
    assert "vanished" not in svg
    assert "exploded: above 100 R" in svg


def test_a_gradient_that_stays_is_neither() -> None:
    assert regimes(linear(1.0, 200)) == {"": list(range(200))}
    # Nor is one that adds up, though it is 200 times larger at the first step than at the last.
    flow = linear(1.0, 200, every=True)
    assert flow.sent_by_loss == pytest.approx(400)
    assert set(regimes(flow)) == {""}


def test_what_vanished_is_small_against_what_the_loss_sends() -> None:
    flow = linear(0.11)
    assert regimes(flow) == {"vanished": list(range(7)), "": list(range(7, 16))}
    assert "vanished: below 1e-8 R" in flow.svg()


def test_what_the_loss_sends_from_within_the_steps() -> None:
    """By way of a readout, not around through other steps."""
    W, V = (tg.Tensor(np.eye(2) * k, requires_grad=True, name=f"W{k}") for k in (1, 3))
    h: Any = tg.Tensor(np.ones(2))
    total: Any = 0.0
    for _, x_t in tg.steps(np.ones((5, 2))):
        h = W @ h + x_t
        total = total + tg.sum(V @ h)
    assert tg.gradient_flow(total).sent_by_loss == pytest.approx(5 * 3 * np.sqrt(2))


def test_a_state_that_the_loss_does_not_depend_on() -> None:
    net = tg.nn.GRU(3, 4, bidirectional=True, rng=0)
    y, _ = net(np.ones((5, 1, 3)), unroll=True)
    flow = tg.gradient_flow(tg.sum(y[:, :, :4]))  # the first direction alone
    assert regimes(flow, "gru.l0_reverse.h") == {"none": [0, 1, 2, 3, 4]}
    svg = flow.svg()
    assert "no gradient: the loss does not depend on it" in svg
    assert "vanished" not in svg


def test_a_gradient_that_underflows_to_0_has_vanished() -> None:
    w = tg.Tensor(1e-200, requires_grad=True, name="w")
    h: Any = tg.Tensor(1.0)
    for _, x_t in tg.steps(np.ones(5)):
        h = w * h + x_t
    flow = tg.gradient_flow(h)
    assert flow.states["h"].norms[0] == 0
    assert regimes(flow) == {"vanished": [0, 1, 2, 3], "": [4]}


def test_nan_and_inf_show_as_themselves() -> None:
    w = tg.Tensor(1e200, requires_grad=True, name="w")
    h: Any = tg.Tensor(1.0)
    with np.errstate(all="ignore"):
        for _, x_t in tg.steps(np.ones(5)):
            h = w * h + x_t
        flow = tg.gradient_flow(h)
        poisoned = tg.gradient_flow(tg.sum(h * np.nan))
    assert regimes(flow) == {"NaN": [0, 1, 2], "exploded": [3], "": [4]}
    lines = str(flow).splitlines()
    assert [line.split()[1] for line in lines[2:7]] == [
        "inf",
        "inf",
        "inf",
        "1.00e+200",
        "1.00e+00",
    ]
    assert "NaN or Inf" in flow.svg()
    assert "|dL/d h| = Inf" in flow.html()
    assert regimes(poisoned) == {"NaN": [0, 1, 2, 3, 4]}
    assert "nan" in str(poisoned)
    assert "|dL/d h| = NaN" in poisoned.html()


def test_gates_of_two_layers_stand_beside_their_own_states() -> None:
    flow = tg.gradient_flow(layer_loss("lstm", num_layers=2)[0])
    titles, first, *_ = (line.split("  ") for line in str(flow).splitlines()[1:])
    titles = [title.strip() for title in titles if title.strip()]
    for name in ("lstm.l1.c", "lstm.l0.c"):
        at = titles.index(f"|dL/d{name}|")
        assert titles[at + 1 : at + 3] == [f"gate of {name}", "by gates"]
    row = str(flow).splitlines()[-2].split()
    for name in ("lstm.l1.c", "lstm.l0.c"):
        state, at = flow.states[name], titles.index(f"gate of {name}")
        assert float(row[at]) == pytest.approx(state.gates[-1], abs=0.006)
        assert float(row[at + 1]) == pytest.approx(state.carried[-1], rel=0.01)
    assert first


def test_names_in_the_table_stay_in_their_line() -> None:
    W = tg.Tensor(np.eye(2), requires_grad=True, name="W\nwith a line\rand\t" + 120 * "x")
    h: Any = tg.Tensor(np.ones(2))
    for _, x_t in tg.steps(np.ones((3, 2))):
        h = tg.tanh(W @ h + x_t)
        h.name = "h\n_t"
    lines = str(tg.gradient_flow(tg.sum(h))).splitlines()
    assert len(lines) == 2 + 3 + 1
    assert max(map(len, lines[:-1])) < 80
    assert r"h\n" in lines[1]
