"""Recurrent cells: one step from the state before to the state after.

A cell's mathematics is a plain function of arrays or Tensors, written in the library's own
operations (``rnn_step``, ``lstm_step``, ``gru_step``); the Module around it holds the weights and
looks at what comes in. Gradients of any order are the operations' own. Names, shapes, gate order
and first values are PyTorch's, so that its weights load unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import graph, ops
from ..graph import Array, attach
from ..scan.arguments import Dependencies
from ..scan.backends import chosen_backend
from ..scan.one_node import one_node
from ..tensor import Tensor
from . import init
from .checks import as_input, flags, floating, sized
from .lstm_step import equations, lstm_step, named
from .module import Module, Parameter

# ── the equations ────────────────────────────────────────────────────────────────────────

nonlinearities = {"tanh": ops.tanh, "relu": ops.relu}


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
    return named("h_t", nonlinearities[nonlinearity](summed))


def gru_step(
    x: Array,
    h: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array = None,
    bias_hh: Array = None,
    reset_after: bool = True,
) -> Array:
    """One step of a gated recurrent unit: the h that follows.

        r_t = sigmoid(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)             reset gate
        z_t = sigmoid(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)             update gate
        n_t = tanh(W_in x_t + b_in + r_t (W_hn h_{t-1} + b_hn))          candidate, reset_after
        n_t = tanh(W_in x_t + b_in + W_hn (r_t h_{t-1}) + b_hn)          candidate, else
        h_t = (1 - z_t) n_t + z_t h_{t-1} = n_t + z_t (h_{t-1} - n_t)

    Args:
        x: x_t, (N, D) or (D,).
        h: h_{t-1}, (N, H) or (H,).
        weight_ih: (3H, D), the rows of W_ir, W_iz and W_in in this order.
        weight_hh: (3H, H), likewise.
        bias_ih, bias_hh: (3H,), likewise, or None. Without reset_after, weight_hh and bias_hh may
            also be as :func:`candidate_apart` cuts them, once for a whole loop.
        reset_after: whether r_t resets W_hn h_{t-1} + b_hn, or h_{t-1} before the product.

    Returns:
        h_t, of h's shape.

    Source: Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for Statistical
    Machine Translation", arXiv:1406.1078, eq. 5-8, with z_t in the sense of PyTorch (see
    :class:`GRUCell`).
    """
    r_x, z_x, n_x = ops.split(ops.linear(x, weight_ih, bias_ih), 3, -1)
    if reset_after:
        r_h, z_h, n_h = ops.split(ops.linear(h, weight_hh, bias_hh), 3, -1)
        r = named("r_t", ops.sigmoid(ops.add(r_x, r_h)))
        n_h = ops.multiply(r, n_h)
    else:
        weight_rz, weight_n = candidate_apart(weight_hh)
        bias_rz, bias_n = candidate_apart(bias_hh)
        r_h, z_h = ops.split(ops.linear(h, weight_rz, bias_rz), 2, -1)
        r = named("r_t", ops.sigmoid(ops.add(r_x, r_h)))
        n_h = ops.linear(ops.multiply(r, h), weight_n, bias_n)
    z = named("z_t", ops.sigmoid(ops.add(z_x, z_h)))
    n = named("n_t", ops.tanh(ops.add(n_x, n_h)))
    return named("h_t", ops.add(n, ops.multiply(z, ops.subtract(h, n))))


def candidate_apart(parameter: Array) -> Sequence[Array]:
    """The rows of r and z, and those of n, of a (3H, ...) parameter of a GRU; None gives two."""
    if isinstance(parameter, (list, tuple)):
        return parameter
    if parameter is None:
        return None, None
    return ops.split(parameter, [2 * (len(parameter) // 3)])


# ── the modules ──────────────────────────────────────────────────────────────────────────


def weight_shapes(
    gates: int,
    input_size: int,
    hidden_size: int,
    *,
    bias: bool = True,
    proj_size: int = 0,
    peepholes: bool = False,
) -> dict[str, tuple[int, ...]]:
    """The shapes of a cell's weights by name, in PyTorch's order.

    Args:
        gates: how many matrices ``weight_ih`` and ``weight_hh`` hold.
        input_size: D.
        hidden_size: H.
        bias: whether there are biases.
        proj_size: P, the length of a projected h; 0 for none.
        peepholes: whether the gates see the cell.

    >>> weight_shapes(4, 2, 3, bias=False)
    {'weight_ih': (12, 2), 'weight_hh': (12, 3)}
    """
    rows = gates * hidden_size
    shapes: dict[str, tuple[int, ...]] = {
        "weight_ih": (rows, input_size),
        "weight_hh": (rows, proj_size or hidden_size),
    }
    if bias:
        shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
    if proj_size:
        shapes["weight_hr"] = (proj_size, hidden_size)
    if peepholes:
        shapes |= {f"weight_p{gate}": (hidden_size,) for gate in "ifo"}
    return shapes


def projected(where: str, proj_size: int, hidden_size: int) -> None:
    """Refuse a projection that is not one to something smaller."""
    if not isinstance(proj_size, (int, np.integer)) or isinstance(proj_size, bool):
        raise TypeError(f"{where}: proj_size must be an integer, got {proj_size!r}")
    if not 0 <= proj_size < hidden_size:
        raise ValueError(
            f"{where}: proj_size must be from 0 (none) to hidden_size - 1 = {hidden_size - 1}, "
            f"got {proj_size}"
        )


class _Cell(Module):
    """What cells share: the weights of ``gates`` gates, and a look at what comes in."""

    gates: int
    weight_ih: Parameter
    weight_hh: Parameter
    bias_ih: Parameter | None = None
    bias_hh: Parameter | None = None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        dtype: Any,
        rng: init.Seed,
        **parts: Any,
    ):
        kind = type(self).__name__
        sized(kind, input_size=input_size, hidden_size=hidden_size)
        flags(kind, bias=bias)
        dtype = floating(kind, dtype)
        rng = np.random.default_rng(rng)
        self.input_size, self.hidden_size = input_size, hidden_size
        bound = 1 / math.sqrt(hidden_size)
        shapes = weight_shapes(self.gates, input_size, hidden_size, bias=bias, **parts)
        for name, shape in shapes.items():
            setattr(self, name, Parameter(init.uniform(shape, bound, dtype=dtype, rng=rng)))

    @property
    def _weights(self) -> tuple[Parameter | None, ...]:
        return self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh

    def _stepped(
        self,
        equations: Callable[..., Any],
        inputs: tuple[Tensor, ...],
        weights: tuple[Parameter | None, ...],
        *others: Any,
        by_hand: Callable[..., Any] | None = None,
    ) -> Any:
        """One step as one node of the graph, compiled; where NumPy runs it, op by op or by hand."""
        if chosen_backend() == "numpy":
            return (by_hand or equations)(*inputs, *weights, *others)

        def step(*inputs: Tensor) -> Any:
            return equations(*inputs, *weights, *others)

        absent = tuple([w is None for w in weights])
        values = tuple([w for w in weights if w is not None])
        step.scan_dependencies = Dependencies((equations, absent, others), values)  # type: ignore[attr-defined]
        return one_node(step, inputs)

    def _input(self, given: Any) -> Tensor:
        x = as_input(type(self).__name__, "x", given, self.weight_ih._array.dtype)
        shape = x._array.shape
        if not 1 <= len(shape) <= 2 or shape[-1] != self.input_size:
            raise ValueError(
                f"{type(self).__name__}: expected x (N, {self.input_size}) or "
                f"({self.input_size},), got {shape}{graph.current().scope}"
            )
        return x

    def as_step(self, carry: Any, xs: Any) -> tuple[Any, Any, Any]:
        """The arguments with which ``scan`` runs this cell: a step, its carry and the inputs.

        A cell is called ``cell(x_t, state)``, and ``scan`` calls ``step(carry, x_t)``.

        Args:
            carry: the initial state; zeros where it is None.
            xs: (T, N, D) or (T, D).
        """
        xs = as_input(type(self).__name__, "xs", xs, self.weight_ih._array.dtype)
        if not 2 <= xs.ndim <= 3 or xs.shape[-1] != self.input_size:
            raise ValueError(
                f"scan: {type(self).__name__} expects xs (T, N, {self.input_size}) or "
                f"(T, {self.input_size}), got {xs.shape}"
            )
        # Only the shape of x_t is looked at.
        x = attach(np.broadcast_to(xs.dtype.type(0), xs.shape[1:]), None)

        def step(state: Any, x_t: Any) -> tuple[Any, Any]:
            state = self(x_t, state)
            return state, state[0] if isinstance(state, tuple) else state

        return step, self._initial(carry, x), xs  # type: ignore[arg-type]

    def _initial(self, state: Any, x: Tensor) -> Any:
        """The state that goes with x; zeros where there is none."""
        return self._state("h", state, x, self.hidden_size)

    def _state(self, name: str, given: Any, x: Tensor, size: int) -> Tensor:
        """h or c, of the batch that x has and of this length; zeros where none is given."""
        expected = (*x._array.shape[:-1], size)
        if given is None:
            return attach(np.zeros(expected, self.weight_ih.dtype), None)  # type: ignore[return-value]
        state = as_input(type(self).__name__, name, given, self.weight_ih._array.dtype)
        if state._array.shape != expected:
            raise ValueError(
                f"{type(self).__name__}: expected {name} {expected} to go with x {x.shape}, "
                f"got {state.shape}{graph.current().scope}"
            )
        return state

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
        if nonlinearity not in nonlinearities:
            raise ValueError(
                f"RNNCell: expected nonlinearity 'tanh' or 'relu', got {nonlinearity!r}"
            )
        super().__init__(input_size, hidden_size, bias, dtype, rng)
        self.nonlinearity = nonlinearity

    def forward(self, x: Any, state: Any = None) -> Tensor:
        x = self._input(x)
        h = self._initial(state, x)
        return self._stepped(rnn_step, (x, h), self._weights, self.nonlinearity)  # type: ignore[no-any-return]

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

    With ``peepholes`` the gates see the cell as well, i_t and f_t as it was and o_t as it has
    become: inside their sigmoids they add p_i c_{t-1}, p_f c_{t-1} and p_o c_t. With ``proj_size``
    h_t = W_hr (o_t tanh(c_t)), shorter than c_t.

    Args:
        input_size: D, the length of x_t.
        hidden_size: H, the length of h_t and of c_t.
        bias: False leaves the biases out.
        proj_size: P < H, the length of h_t in the place of H; 0 for no projection.
        peepholes: whether the gates see the cell.
        dtype: of the parameters.
        rng: a generator, or a seed for one.

    Attributes:
        weight_ih: (4H, D), the rows of W_ii, W_if, W_ig and W_io in this order; weight_hh:
            (4H, H), bias_ih and bias_hh: (4H,) likewise, None without. weight_hr: (P, H) and
            weight_hh: (4H, P) where there is a projection; weight_pi, weight_pf and weight_po:
            (H,) where there are peepholes. All from U(-1/sqrt(H), 1/sqrt(H)).

    Calling it: ``h_t, c_t = cell(x_t, (h, c))`` with x_t (N, D) or (D,), and h and c (N, H) or
    (H,), h (N, P) or (P,) where there is a projection; zeros where the state is None.

    Raises:
        ValueError: x, h or c has the wrong size, or proj_size is not below hidden_size.
        TypeError: a Tensor of another dtype than the cell's (arrays are converted), or a state
            that is not a pair.

    Source: Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural Computation 9 (1997);
    forget gate: Gers, Schmidhuber and Cummins, Neural Computation 12 (2000); peepholes: Gers,
    Schraudolph and Schmidhuber, JMLR 3 (2002); projection: Sak, Senior and Beaufays,
    arXiv:1402.1128; https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTMCell.html

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
    weight_hr: Parameter | None = None
    weight_pi: Parameter | None = None
    weight_pf: Parameter | None = None
    weight_po: Parameter | None = None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        proj_size: int = 0,
        peepholes: bool = False,
        dtype: Any = np.float32,
        rng: init.Seed = None,
    ):
        sized("LSTMCell", hidden_size=hidden_size)
        projected("LSTMCell", proj_size, hidden_size)
        flags("LSTMCell", peepholes=peepholes)
        self.proj_size, self.peepholes = proj_size, peepholes
        parts = {"proj_size": proj_size, "peepholes": peepholes}
        super().__init__(input_size, hidden_size, bias, dtype, rng, **parts)

    def _initial(self, state: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        h, c = pair("LSTMCell", state)
        return (
            self._state("h", h, x, self.proj_size or self.hidden_size),
            self._state("c", c, x, self.hidden_size),
        )

    def forward(self, x: Any, state: Any = None) -> tuple[Tensor, Tensor]:
        x = self._input(x)
        h, c = self._initial(state, x)
        parts = self.weight_hr, self.weight_pi, self.weight_pf, self.weight_po
        weights = (*self._weights, *parts)
        return self._stepped(equations, (x, h, c), weights, by_hand=lstm_step)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        projection = f", proj_size={self.proj_size}" if self.proj_size else ""
        peepholes = ", peepholes=True" if self.peepholes else ""
        return super().extra_repr() + projection + peepholes


def pair(where: str, state: Any) -> tuple[Any, Any]:
    """An LSTM's state (h, c), each None where there is no state.

    Raises:
        TypeError: the state is not a pair.
    """
    if state is None:
        return None, None
    if isinstance(state, (tuple, list)) and len(state) == 2:
        return state[0], state[1]
    raise TypeError(
        f"{where}: expected the state as a pair (h, c), got {type(state).__name__}"
        f"{graph.current().scope}"
    )


class GRUCell(_Cell):
    """A gated recurrent unit, one step at a time.

        r_t = sigmoid(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)             reset gate
        z_t = sigmoid(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)             update gate
        n_t = tanh(W_in x_t + b_in + r_t (W_hn h_{t-1} + b_hn))          candidate
        h_t = (1 - z_t) n_t + z_t h_{t-1}

    The literature has two conventions for each gate:

    * z_t near 1 keeps the old value here, h_t = (1 - z_t) n_t + z_t h_{t-1}: so PyTorch, cuDNN and
      ONNX, and eq. 7 of Cho et al. (arXiv:1406.1078). What is mostly quoted as the GRU of Cho et
      al. is the other one, where z_t near 1 takes the new value,
      h_t = z_t n_t + (1 - z_t) h_{t-1}: so Chung, Gulcehre, Cho and Bengio (arXiv:1412.3555). As
      1 - sigmoid(a) = sigmoid(-a), negating the rows of W_iz, W_hz, b_iz and b_hz turns one into
      the other.
    * r_t resets W_hn h_{t-1} + b_hn here, after the product: so PyTorch and cuDNN. With
      ``reset_after=False`` it resets h_{t-1} before the product, as Cho et al. have it:

        n_t = tanh(W_in x_t + b_in + W_hn (r_t h_{t-1}) + b_hn)

    Args:
        input_size: D, the length of x_t.
        hidden_size: H, the length of h_t.
        bias: False leaves the biases out.
        reset_after: where r_t acts, see above.
        dtype: of the parameters.
        rng: a generator, or a seed for one.

    Attributes:
        weight_ih: (3H, D), the rows of W_ir, W_iz and W_in in this order; weight_hh: (3H, H),
            bias_ih and bias_hh: (3H,) likewise, None without. All from U(-1/sqrt(H), 1/sqrt(H)).

    Calling it: ``h_t = cell(x_t, h)`` with x_t (N, D) or (D,), and h (N, H) or (H,); zeros where
    h is None.

    Raises:
        ValueError: x or h has the wrong size.
        TypeError: a Tensor of another dtype than the cell's (arrays are converted).

    Source: Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for Statistical
    Machine Translation", arXiv:1406.1078, eq. 5-8;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.GRUCell.html

    >>> import numpy as np
    >>> import tinygrad_rnn as tg
    >>> cell = tg.nn.GRUCell(3, 4, rng=0)
    >>> h = None
    >>> for t, x_t in tg.steps(np.ones((5, 2, 3))):
    ...     h = cell(x_t, h)
    >>> h.shape
    (2, 4)
    """

    gates = 3

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        reset_after: bool = True,
        dtype: Any = np.float32,
        rng: init.Seed = None,
    ):
        flags("GRUCell", reset_after=reset_after)
        super().__init__(input_size, hidden_size, bias, dtype, rng)
        self.reset_after = reset_after

    def forward(self, x: Any, state: Any = None) -> Tensor:
        x = self._input(x)
        h = self._initial(state, x)
        return self._stepped(gru_step, (x, h), self._weights, self.reset_after)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.reset_after else ", reset_after=False")
