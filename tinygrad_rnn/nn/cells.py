"""Recurrent cells: one step from the state before to the state after.

A cell's mathematics is a plain function of arrays or Tensors, written in the library's own
operations (``rnn_step``, ``lstm_step``); the Module around it holds the weights and looks at what
comes in. Gradients of any order are the operations' own. Names, shapes, gate order and first
values are PyTorch's, so that its weights load unchanged.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import graph, ops
from ..graph import Array, attach
from ..tensor import Tensor
from . import init
from .lstm_step import lstm_step, named
from .module import Module, Parameter, as_input, floating, sized

# ── the equations ────────────────────────────────────────────────────────────────────────

_nonlinearities = {"tanh": ops.tanh, "relu": ops.relu}


def rnn_step(
    x: Array,
    h: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array = None,
    bias_hh: Array = None,
    nonlinearity: str = "tanh",
) -> Array:
    """One step of a simple recurrent net: the h that follows.

        h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)       (or relu)

    Args:
        x: x_t, (N, D) or (D,).
        h: h_{t-1}, (N, H) or (H,).
        weight_ih: (H, D).
        weight_hh: (H, H).
        bias_ih, bias_hh: (H,) or None.
        nonlinearity: "tanh" or "relu".

    Returns:
        h_t, of h's shape.

    Source: Elman, "Finding Structure in Time", Cognitive Science 14 (1990).
    """
    summed = ops.add(ops.linear(x, weight_ih, bias_ih), ops.linear(h, weight_hh, bias_hh))
    return named("h_t", _nonlinearities[nonlinearity](summed))


# ── the modules ──────────────────────────────────────────────────────────────────────────


class _Cell(Module):
    """What cells share: the weights of ``gates`` gates, and a look at what comes in."""

    gates: int

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        dtype: Any,
        rng: init.Seed,
    ):
        kind = type(self).__name__
        sized(kind, input_size=input_size, hidden_size=hidden_size)
        dtype = floating(kind, dtype)
        rng = np.random.default_rng(rng)
        self.input_size, self.hidden_size = input_size, hidden_size
        bound = 1 / math.sqrt(hidden_size)
        rows = self.gates * hidden_size

        def parameter(*shape: int) -> Parameter:
            return Parameter(init.uniform(shape, bound, dtype=dtype, rng=rng))

        self.weight_ih = parameter(rows, input_size)
        self.weight_hh = parameter(rows, hidden_size)
        self.bias_ih = parameter(rows) if bias else None
        self.bias_hh = parameter(rows) if bias else None

    def _input(self, given: Any) -> Tensor:
        x = as_input(type(self).__name__, "x", given, self.weight_ih.dtype)
        shape = x.shape
        if not 1 <= len(shape) <= 2 or shape[-1] != self.input_size:
            raise ValueError(
                f"{type(self).__name__}: expected x (N, {self.input_size}) or "
                f"({self.input_size},), got {shape}{graph.current().scope}"
            )
        return x

    def _state(self, name: str, given: Any, x: Tensor) -> Tensor:
        """h or c, of the batch that x has."""
        state = as_input(type(self).__name__, name, given, self.weight_ih.dtype)
        expected = (*x.shape[:-1], self.hidden_size)
        if state.shape != expected:
            raise ValueError(
                f"{type(self).__name__}: expected {name} {expected} to go with x {x.shape}, "
                f"got {state.shape}{graph.current().scope}"
            )
        return state

    def _zeros(self, x: Tensor) -> Tensor:
        zeros = np.zeros((*x.shape[:-1], self.hidden_size), self.weight_ih.dtype)
        return attach(zeros, None)  # type: ignore[return-value]

    def extra_repr(self) -> str:
        bias = "" if self.bias_ih is not None else ", bias=False"
        return f"{self.input_size}, {self.hidden_size}{bias}"


class RNNCell(_Cell):
    """A simple recurrent net, one step at a time.

        h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)       (or relu)

    Args:
        input_size: D, the length of x_t.
        hidden_size: H, the length of h_t.
        bias: False leaves the biases out.
        nonlinearity: "tanh" or "relu".
        dtype: of the parameters.
        rng: a generator, or a seed for one.

    Attributes:
        weight_ih: (H, D); weight_hh: (H, H); bias_ih, bias_hh: (H,), None without. All from
            U(-1/sqrt(H), 1/sqrt(H)).

    Calling it: ``h_t = cell(x_t, h)`` with x_t (N, D) or (D,), and h (N, H) or (H,); zeros where
    h is None.

    Raises:
        ValueError: x or h has the wrong size, or there is no such nonlinearity.
        TypeError: a Tensor of another dtype than the cell's (arrays are converted).

    Source: Elman, "Finding Structure in Time", Cognitive Science 14 (1990);
    https://docs.pytorch.org/docs/stable/generated/torch.nn.RNNCell.html

    >>> import numpy as np
    >>> import tinygrad_rnn as tg
    >>> cell = tg.nn.RNNCell(3, 4, rng=0)
    >>> h = None
    >>> for t, x_t in tg.steps(np.ones((5, 2, 3))):
    ...     h = cell(x_t, h)
    >>> h.shape
    (2, 4)
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        *,
        dtype: Any = np.float32,
        rng: init.Seed = None,
    ):
        if nonlinearity not in _nonlinearities:
            raise ValueError(
                f"RNNCell: expected nonlinearity 'tanh' or 'relu', got {nonlinearity!r}"
            )
        super().__init__(input_size, hidden_size, bias, dtype, rng)
        self.nonlinearity = nonlinearity

    def forward(self, x: Any, state: Any = None) -> Tensor:
        x = self._input(x)
        h = self._zeros(x) if state is None else self._state("h", state, x)
        weights = self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh
        return rnn_step(x, h, *weights, self.nonlinearity)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        relu = "" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity!r}"
        return super().extra_repr() + relu


class LSTMCell(_Cell):
    """A long short-term memory, one step at a time.

        i_t = sigmoid(W_ii x_t + b_ii + W_hi h_{t-1} + b_hi)      input gate
        f_t = sigmoid(W_if x_t + b_if + W_hf h_{t-1} + b_hf)      forget gate
        g_t =    tanh(W_ig x_t + b_ig + W_hg h_{t-1} + b_hg)      candidate
        o_t = sigmoid(W_io x_t + b_io + W_ho h_{t-1} + b_ho)      output gate
        c_t = f_t c_{t-1} + i_t g_t
        h_t = o_t tanh(c_t)

    Where f_t is near 1, dL/dc passes from c_t to c_{t-1} almost unchanged: that is what the cell
    remembers by.

    Args:
        input_size: D, the length of x_t.
        hidden_size: H, the length of h_t and of c_t.
        bias: False leaves the biases out.
        dtype: of the parameters.
        rng: a generator, or a seed for one.

    Attributes:
        weight_ih: (4H, D), the rows of W_ii, W_if, W_ig and W_io in this order; weight_hh:
            (4H, H), bias_ih and bias_hh: (4H,) likewise. All from U(-1/sqrt(H), 1/sqrt(H)).

    Calling it: ``h_t, c_t = cell(x_t, (h, c))`` with x_t (N, D) or (D,), and h and c (N, H) or
    (H,); zeros where the state is None.

    Raises:
        ValueError: x, h or c has the wrong size.
        TypeError: a Tensor of another dtype than the cell's (arrays are converted), or a state
            that is not a pair.

    Source: Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural Computation 9 (1997);
    https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTMCell.html

    >>> import numpy as np
    >>> import tinygrad_rnn as tg
    >>> cell = tg.nn.LSTMCell(3, 4, rng=0)
    >>> state = None
    >>> for t, x_t in tg.steps(np.ones((5, 2, 3))):
    ...     h, c = state = cell(x_t, state)
    >>> h.shape, c.shape
    ((2, 4), (2, 4))
    """

    gates = 4

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        dtype: Any = np.float32,
        rng: init.Seed = None,
    ):
        super().__init__(input_size, hidden_size, bias, dtype, rng)

    def forward(self, x: Any, state: Any = None) -> tuple[Tensor, Tensor]:
        x = self._input(x)
        if state is None:
            h = c = self._zeros(x)
        elif isinstance(state, (tuple, list)) and len(state) == 2:
            h, c = self._state("h", state[0], x), self._state("c", state[1], x)
        else:
            raise TypeError(
                f"LSTMCell: expected the state as a pair (h, c), got {type(state).__name__}"
                f"{graph.current().scope}"
            )
        weights = self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh
        return lstm_step(x, h, c, *weights)  # type: ignore[no-any-return]
