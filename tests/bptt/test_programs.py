"""Every number of a gradient flow of random programs, against sequences run alone, numerically."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import tinygrad_rnn as tg
from tinygrad_rnn.bptt import grads_by_step
from tinygrad_rnn.bptt.flow import Flow
from tinygrad_rnn.bptt.masks import find_masks
from tinygrad_rnn.bptt.steps import Steps, scalar_node

from .programs import Numbers, Program, gradient, programs, run

MANY = 60


def flow_of(loss: Any) -> Flow:
    return Flow(scalar_node(loss, "flow_of"))


def close(found: Any, expected: Any) -> Any:
    """Central differences with a step of 1e-6 have about nine digits of the largest numbers."""
    return found == pytest.approx(expected, rel=1e-5, abs=2e-7)


def states_of(p: Program, flow: Any) -> dict[tuple[Any, ...], Any]:
    """The states of a flow by the keys of the oracle: (layer, direction, part), or ("decoder",)."""
    found: dict[tuple[Any, ...], Any] = {}
    order = [(layer, d) for layer in range(p.layers) for d in p.directions]
    for state in flow.states.values():
        path = state.trajectory.loop.path
        name = state.name.rsplit(".", 1)[-1].split(" ")[0]
        if name not in ("h", "c"):
            continue
        part = int(name == "c")
        if path[:1] == ("decoder",):
            found["decoder", part] = state
        elif p.own:
            found[0, "", part] = state
        else:
            label = path[-1]  # l0, l0_reverse
            layer, _, direction = label[1:].partition("_")
            found[int(layer), f"_{direction}" if direction else "", part] = state
    assert order
    return found


@given(programs())
@settings(max_examples=MANY)
def test_a_flow_is_what_its_sequences_show_alone(p: Program) -> None:
    numbers = Numbers(p)
    loss, weights = run(p, numbers)
    flow = flow_of(loss)
    states = states_of(p, flow)
    H = p.hidden
    encoder_T = flow.T - p.decoder  # less than max(lengths) where it was detached
    assert encoder_T <= p.T

    # ── |dL/dh_t|: the root of the sum of squares, and nothing past a sequence's end ──
    for key, state in states.items():
        if key[0] == "decoder":
            for t in range(p.decoder):
                whole = [gradient(p, numbers, n, ("decoder", key[1], t), (H,)) for n in range(p.N)]
                assert close(state.norms[t], np.linalg.norm(whole)), (key, t)
            continue
        for t in range(len(state.norms)):
            whole = [
                gradient(p, numbers, n, ("state", key[2], (*key[:2], t)), (H,))
                for n in range(p.N)
                if t < p.lengths[n]
            ]
            expected = float(np.linalg.norm(whole)) if whole else 0.0
            if math.isnan(state.norms[t]):
                assert expected < 1e-9, (key, t)
            else:
                assert whole, (key, t)
                assert close(state.norms[t], expected), (key, t)
        came = np.sqrt(sum(np.square(s) for s in state.sent.values()))
        assert (state.norms[state.steps] <= 2 * came[state.steps] + 1e-12).all()

    # ── hand-overs and reads ──
    handed: dict[tuple[int, int], float] = {}
    reads: dict[tuple[int, int], float] = {}
    for link in flow.links:
        if link.loop is not None and link.loop.path[:1] == ("decoder",):
            if link.kind == "state":
                part = int(link.trajectory.name.rsplit(".", 1)[-1].startswith("c"))
                handed[part, link.t] = link.norm
            else:
                reads[link.at, link.t] = link.norm
    if p.decoder:
        for part in range(1 + (p.cell == "lstm")):
            by_end = defaultdict(list)
            for n in range(p.N):
                g = gradient(p, numbers, n, ("handed", part), (H,))
                by_end[p.lengths[n] - 1].append(g)
            for end, whole in by_end.items():
                expected = float(np.linalg.norm(whole))
                if p.detach is not None and end <= p.detach < p.T:
                    expected = 0.0
                assert close(handed.get((part, end), 0.0), expected), (part, end)
        for t in range(p.decoder if p.attention else 0):
            for s in range(max(p.lengths)):
                whole = [
                    gradient(p, numbers, n, ("read", t, s), (H,))
                    for n in range(p.N)
                    if s < p.lengths[n]
                ]
                assert close(reads.get((t, s), 0.0), np.linalg.norm(whole)), (t, s)

    # ── shares ──
    for name, W in weights.items():
        by_step = grads_by_step(loss, W)
        assert by_step.shape == (flow.T, *W.shape)
        total = tg.grad(loss, W).data
        np.testing.assert_allclose(by_step.sum(0), total, rtol=1e-9, atol=1e-12)
        later = name.startswith("decoder.")
        for column in range(flow.T):
            t = column - encoder_T if later else column
            key = ("decoder weight", name.removeprefix("decoder."), t)
            if not later:
                key = ("weight", name, t)
            if (t < 0) if later else (t >= encoder_T):
                assert not by_step[column].any()
                continue
            expected = sum(gradient(p, numbers, n, key, W.shape) for n in range(p.N))
            np.testing.assert_allclose(by_step[column], expected, rtol=1e-5, atol=3e-7)


@given(programs())
@settings(max_examples=MANY)
def test_a_graph_that_may_not_mask_has_no_masks(p: Program) -> None:
    loss, _ = run(p, Numbers(p))
    steps = Steps(scalar_node(loss, "steps"))
    may_mask = steps.may_mask
    find_masks(steps)
    assert may_mask or not (steps.updates or steps.output_masks or steps.over)


@given(programs())
@settings(max_examples=MANY)
def test_both_paths_show_the_same(p: Program) -> None:
    from dataclasses import replace

    if p.own and not p.scan:
        return
    flows = [flow_of(run(replace(p, unroll=unroll), Numbers(p))[0]) for unroll in (True, False)]
    fast, slow = flows
    assert fast.T == slow.T
    assert list(fast.states) == list(slow.states)
    for a, b in zip(fast.states.values(), slow.states.values(), strict=True):
        np.testing.assert_allclose(a.norms, b.norms, rtol=1e-9, atol=1e-14)
        assert (a.gates is None) == (b.gates is None)
        if a.gates is not None:
            np.testing.assert_allclose(a.gates, b.gates, rtol=1e-9)
            np.testing.assert_allclose(a.carried, b.carried, rtol=1e-9, atol=1e-14)
        for where, sent in a.sent.items():
            np.testing.assert_allclose(sent, b.sent[where], rtol=1e-9, atol=1e-14)
    for a, b in zip(fast.weights.values(), slow.weights.values(), strict=True):
        assert a.name == b.name
        np.testing.assert_allclose(a.norms, b.norms, rtol=1e-9, atol=1e-14)
    links = [
        sorted((f.trajectory.name, f.t, f.kind, f.at or 0) for f in flow.links) for flow in flows
    ]
    assert links[0] == links[1]
