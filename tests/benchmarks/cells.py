"""The recurrent nets that are timed: their steps, and numbers to run them on.

A step is written once for all libraries: ``o`` has their ``linear sigmoid tanh norm split``, ``w``
their weights: weight_ih, weight_hh, bias_ih, bias_hh, and the cell's own vectors.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

Size = tuple[int, int, int, int]  # T, N, D, H
Cell = Callable[[Any, Any], tuple[Any, Any]]


def lstm(o: Any, w: Any) -> Cell:
    def cell(state: Any, x: Any) -> Any:
        h, c = state
        gates = o.linear(x, w[0], w[2]) + o.linear(h, w[1], w[3])
        i, f, g, out = o.split(gates, 4)
        c = o.sigmoid(f) * c + o.sigmoid(i) * o.tanh(g)
        h = o.sigmoid(out) * o.tanh(c)
        return (h, c), h

    return cell


def peephole_lstm(o: Any, w: Any) -> Cell:
    def cell(state: Any, x: Any) -> Any:
        h, c = state
        gates = o.linear(x, w[0], w[2]) + o.linear(h, w[1], w[3])
        i, f, g, out = o.split(gates, 4)
        c = o.sigmoid(f + w[5] * c) * c + o.sigmoid(i + w[4] * c) * o.tanh(g)
        h = o.sigmoid(out + w[6] * c) * o.tanh(c)
        return (h, c), h

    return cell


def gru(o: Any, w: Any) -> Cell:
    def cell(state: Any, x: Any) -> Any:
        (h,) = state
        from_x, from_h = o.linear(x, w[0], w[2]), o.linear(h, w[1], w[3])
        (r, z, n), (r_h, z_h, n_h) = o.split(from_x, 3), o.split(from_h, 3)
        r, z = o.sigmoid(r + r_h), o.sigmoid(z + z_h)
        n = o.tanh(n + r * n_h)
        h = (1 - z) * n + z * h
        return (h,), h

    return cell


def layer_norm_rnn(o: Any, w: Any) -> Cell:
    def cell(state: Any, x: Any) -> Any:
        (h,) = state
        h = o.tanh(o.norm(o.linear(x, w[0], w[2]) + o.linear(h, w[1], w[3]), w[4], w[5]))
        return (h,), h

    return cell


class Kind(NamedTuple):
    """A net: a layer that libraries have built in, or a cell of one's own."""

    gates: int
    carries: int
    vectors: int = 0  #: of length H, beside the weights and biases that all have
    cell: Callable[[Any, Any], Cell] | None = None  #: None where it is a built-in layer


KINDS = {
    "nn.LSTM": Kind(4, 2),
    "nn.GRU": Kind(3, 1),
    "nn.RNN": Kind(1, 1),
    "peephole LSTM": Kind(4, 2, 3, peephole_lstm),
    "layer-norm RNN": Kind(1, 1, 2, layer_norm_rnn),
    "LSTM": Kind(4, 2, 0, lstm),
    "GRU": Kind(3, 1, 0, gru),
}


@dataclass(frozen=True)
class Problem:
    """A training step to take, the same numbers for every library, all in float32.

    Values of all steps, then their gradients for every input and weight, given a cotangent of all
    outputs.
    """

    name: str
    size: Size

    @property
    def kind(self) -> Kind:
        return KINDS[self.name]

    @functools.cached_property
    def weights(self) -> list[np.ndarray]:
        _, _, D, H = self.size
        rows = self.kind.gates * H
        shapes = [(rows, D), (rows, H), (rows,), (rows,)] + [(H,)] * self.kind.vectors
        rng = np.random.default_rng(0)
        return [rng.uniform(-1, 1, s).astype(np.float32) / np.sqrt(np.float32(H)) for s in shapes]

    @functools.cached_property
    def xs(self) -> np.ndarray:
        T, N, D, _ = self.size
        return np.random.default_rng(1).standard_normal((T, N, D), np.float32)

    @functools.cached_property
    def cotangent(self) -> np.ndarray:
        T, N, _, H = self.size
        return np.random.default_rng(2).standard_normal((T, N, H), np.float32)

    @functools.cached_property
    def carry(self) -> list[np.ndarray]:
        _, N, _, H = self.size
        return [np.zeros((N, H), np.float32)] * self.kind.carries


__all__ = ["KINDS", "Cell", "Kind", "Problem", "Size"]
