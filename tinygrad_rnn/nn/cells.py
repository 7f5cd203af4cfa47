"""Recurrent cells: one time step, from h_{t-1} to h_t.

The mathematics of a cell is a plain function of arrays or Tensors, written in the library's own
operations: ``rnn_step``, ``lstm_step``, ``gru_step``. The operations bring gradients of any order.
A Module around the function holds the weights and checks the arguments. Names, shapes, gate order
and initial values are PyTorch's, so PyTorch's weights load unchanged.
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
from .checks import as_input, float_dtype, require_bools, require_sizes
from .lstm_step import lstm_equations, lstm_step, with_name
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
    """One time step of :class:`RNN`, from h_{t-1} to h_t.

    Args:
        x: x_t, (N, D) or (D,).
        h: h_{t-1}, (N, H) or (H,).
        weight_ih, weight_hh, bias_ih, bias_hh: the weights of :class:`RNNCell`.
        nonlinearity: "tanh" or "relu".
    """
    summed = ops.add(ops.linear(x, weight_ih, bias_ih), ops.linear(h, weight_hh, bias_hh))
    return with_name("h_t", nonlinearities[nonlinearity](summed))


def gru_step(
    x: Array,
    h: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array = None,
    bias_hh: Array = None,
    reset_after: bool = True,
) -> Array:
    """One time step of :class:`GRU`, from h_{t-1} to h_t.

    It computes h_t = n_t + z_t (h_{t-1} - n_t), which is (1 - z_t) n_t + z_t h_{t-1} with one
    product less.

    Args:
        x: x_t, (N, D) or (D,).
        h: h_{t-1}, (N, H) or (H,).
        weight_ih, weight_hh, bias_ih, bias_hh: the weights of :class:`GRUCell`. Without
            reset_after, weight_hh and bias_hh may already be split by :func:`split_candidate`,
            once for a whole loop.
        reset_after: whether r_t acts after the product.
    """
    r_x, z_x, n_x = ops.split(ops.linear(x, weight_ih, bias_ih), 3, -1)
    if reset_after:
        r_h, z_h, n_h = ops.split(ops.linear(h, weight_hh, bias_hh), 3, -1)
        r = with_name("r_t", ops.sigmoid(ops.add(r_x, r_h)))
        n_h = ops.multiply(r, n_h)
    else:
        weight_rz, weight_n = split_candidate(weight_hh)
        bias_rz, bias_n = split_candidate(bias_hh)
        r_h, z_h = ops.split(ops.linear(h, weight_rz, bias_rz), 2, -1)
        r = with_name("r_t", ops.sigmoid(ops.add(r_x, r_h)))
        n_h = ops.linear(ops.multiply(r, h), weight_n, bias_n)
    z = with_name("z_t", ops.sigmoid(ops.add(z_x, z_h)))
    n = with_name("n_t", ops.tanh(ops.add(n_x, n_h)))
    return with_name("h_t", ops.add(n, ops.multiply(z, ops.subtract(h, n))))


def split_candidate(parameter: Array) -> Sequence[Array]:
    """Split a GRU parameter (3H, ...) into the rows of r and z, and those of n; None into two."""
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
        gates: how many matrices ``weight_ih`` and ``weight_hh`` contain.
        input_size: D.
        hidden_size: H.
        bias: whether there are biases.
        proj_size: P, the length of a projected h; 0 for none.
        peepholes: whether the gates see the cell state.

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


def require_proj_size(where: str, proj_size: int, hidden_size: int) -> None:
    """Refuse a projected size that is not smaller than the hidden size."""
    if not isinstance(proj_size, (int, np.integer)) or isinstance(proj_size, bool):
        raise TypeError(f"{where}: proj_size must be an integer, got {proj_size!r}")
    if not 0 <= proj_size < hidden_size:
        raise ValueError(
            f"{where}: proj_size must be from 0 (none) to hidden_size - 1 = {hidden_size - 1}, "
            f"got {proj_size}"
        )


class _Cell(Module):
    """What cells share: the weights of ``gates`` gates, and the checks of the arguments."""

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
        require_sizes(kind, input_size=input_size, hidden_size=hidden_size)
        require_bools(kind, bias=bias)
        dtype = float_dtype(kind, dtype)
        rng = np.random.default_rng(rng)
        self.input_size, self.hidden_size = input_size, hidden_size
        bound = 1 / math.sqrt(hidden_size)
        shapes = weight_shapes(self.gates, input_size, hidden_size, bias=bias, **parts)
        for name, shape in shapes.items():
            setattr(self, name, Parameter(init.uniform(shape, bound, dtype=dtype, rng=rng)))

    @property
    def _weights(self) -> tuple[Parameter | None, ...]:
        return self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh

    def _run_step(
        self,
        equations: Callable[..., Any],
        inputs: tuple[Tensor, ...],
        weights: tuple[Parameter | None, ...],
        *others: Any,
        by_hand: Callable[..., Any] | None = None,
    ) -> Any:
        """One time step. Compiled, it is one node of the graph; on NumPy it is recorded op by op.

        Args:
            equations: the step as a function of the inputs, the weights and the other arguments.
            inputs: x_t and the state.
            weights: those of the cell, None for those that it does not have.
            others: settings.
            by_hand: a faster function of the same arguments for the NumPy back end; None for
                ``equations``.
        """
        if chosen_backend() == "numpy":
            return (by_hand or equations)(*inputs, *weights, *others)

        def step(*inputs: Tensor) -> Any:
            return equations(*inputs, *weights, *others)

        absent = tuple([w is None for w in weights])
        values = tuple([w for w in weights if w is not None])
        step.scan_dependencies = Dependencies((equations, absent, others), values)  # type: ignore[attr-defined]
        return one_node(step, inputs)

    def _input(self, value: Any) -> Tensor:
        x = as_input(type(self).__name__, "x", value, self.weight_ih._array.dtype)
        shape = x._array.shape
        if not 1 <= len(shape) <= 2 or shape[-1] != self.input_size:
            raise ValueError(
                f"{type(self).__name__}: expected x (N, {self.input_size}) or "
                f"({self.input_size},), got {shape}{graph.current().scope}"
            )
        return x

    def as_step(self, carry: Any, xs: Any) -> tuple[Any, Any, Any]:
        """What ``scan`` needs to run this cell: a step, its initial carry and the inputs.

        The step swaps the arguments: a cell is called ``cell(x_t, state)``, but ``scan`` calls
        ``step(carry, x_t)``.

        Args:
            carry: the initial state; None means zeros.
            xs: (T, N, D) or (T, D).
        """
        xs = as_input(type(self).__name__, "xs", xs, self.weight_ih._array.dtype)
        if not 2 <= xs.ndim <= 3 or xs.shape[-1] != self.input_size:
            raise ValueError(
                f"scan: {type(self).__name__} expects xs (T, N, {self.input_size}) or "
                f"(T, {self.input_size}), got {xs.shape}"
            )
        # A stand-in for x_t: _initial reads only its shape.
        x = attach(np.broadcast_to(xs.dtype.type(0), xs.shape[1:]), None)

        def step(state: Any, x_t: Any) -> tuple[Any, Any]:
            state = self(x_t, state)
            return state, state[0] if isinstance(state, tuple) else state

        return step, self._initial(carry, x), xs  # type: ignore[arg-type]

    def _initial(self, state: Any, x: Tensor) -> Any:
        """The initial state that fits x; None means zeros."""
        return self._state("h", state, x, self.hidden_size)

    def _state(self, name: str, value: Any, x: Tensor, size: int) -> Tensor:
        """h or c as a Tensor (N, size), where N is the batch of x; None means zeros."""
        expected = (*x._array.shape[:-1], size)
        if value is None:
            return attach(np.zeros(expected, self.weight_ih.dtype), None)  # type: ignore[return-value]
        state = as_input(type(self).__name__, name, value, self.weight_ih._array.dtype)
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
    """One time step of a simple recurrent net. :class:`RNN` has the equation.

    Args:
        input_size: D, the length of x_t.
        hidden_size: H, the length of h_t.
        bias: False leaves the biases out.
        nonlinearity: "tanh" or "relu".
        dtype: of the parameters.
        rng: a generator, or a seed for one.

    Attributes:
        weight_ih: (H, D). weight_hh: (H, H). bias_ih, bias_hh: (H,), or None without biases. All
            start from U(-1/sqrt(H), 1/sqrt(H)).

    Calling it: ``h_t = cell(x_t, h)`` with x_t (N, D) and h (N, H), or (D,) and (H,). h is zeros
    if it is None.

    Raises:
        ValueError: x or h has the wrong size, or the nonlinearity is unknown.
        TypeError: x or h is a Tensor of another dtype than the cell's (arrays are converted).

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
        return self._run_step(rnn_step, (x, h), self._weights, self.nonlinearity)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        relu = "" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity!r}"
        return super().extra_repr() + relu


class LSTMCell(_Cell):
    """One time step of a long short-term memory. :class:`LSTM` has the equations.

    Args:
        input_size: D, the length of x_t.
        hidden_size: H, the length of h_t and c_t.
        bias: False leaves the biases out.
        proj_size: P < H, the length of h_t with a projection; 0 for no projection.
        peepholes: whether the gates see the cell state.
        dtype: of the parameters.
        rng: a generator, or a seed for one.

    Attributes:
        weight_ih: (4H, D), in gate order i, f, g, o. weight_hh: (4H, H), or (4H, P) with a
            projection. bias_ih, bias_hh: (4H,), or None without biases. weight_hr: (P, H) with a
            projection. weight_pi, weight_pf, weight_po: (H,) with peepholes. All start from
            U(-1/sqrt(H), 1/sqrt(H)).

    Calling it: ``h_t, c_t = cell(x_t, (h, c))`` with x_t (N, D), h and c (N, H); or (D,) and
    (H,). With a projection, h has P in place of H. h and c are zeros if the state is None.

    Raises:
        ValueError: x, h or c has the wrong size, or proj_size is not below hidden_size.
        TypeError: x, h or c is a Tensor of another dtype than the cell's (arrays are converted),
            or the state is not a pair.

    Source: see :class:`LSTM`;
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
        require_sizes("LSTMCell", hidden_size=hidden_size)
        require_proj_size("LSTMCell", proj_size, hidden_size)
        require_bools("LSTMCell", peepholes=peepholes)
        self.proj_size, self.peepholes = proj_size, peepholes
        parts = {"proj_size": proj_size, "peepholes": peepholes}
        super().__init__(input_size, hidden_size, bias, dtype, rng, **parts)

    def _initial(self, state: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        h, c = state_pair("LSTMCell", state)
        return (
            self._state("h", h, x, self.proj_size or self.hidden_size),
            self._state("c", c, x, self.hidden_size),
        )

    def forward(self, x: Any, state: Any = None) -> tuple[Tensor, Tensor]:
        x = self._input(x)
        h, c = self._initial(state, x)
        parts = self.weight_hr, self.weight_pi, self.weight_pf, self.weight_po
        weights = (*self._weights, *parts)
        return self._run_step(lstm_equations, (x, h, c), weights, by_hand=lstm_step)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        projection = f", proj_size={self.proj_size}" if self.proj_size else ""
        peepholes = ", peepholes=True" if self.peepholes else ""
        return super().extra_repr() + projection + peepholes


def state_pair(where: str, state: Any) -> tuple[Any, Any]:
    """The state of an LSTM as a pair (h, c). None gives a pair of None.

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
    """One time step of a gated recurrent unit. :class:`GRU` has the equations.

    The literature has two conventions for z_t. z_t near 1 keeps the old value here, as in PyTorch.
    In the form that is mostly quoted from Cho et al., z_t near 1 takes the new value. :class:`GRU`
    gives both with their sources.

    Args:
        input_size: D, the length of x_t.
        hidden_size: H, the length of h_t.
        bias: False leaves the biases out.
        reset_after: whether r_t acts after the product, see :class:`GRU`.
        dtype: of the parameters.
        rng: a generator, or a seed for one.

    Attributes:
        weight_ih: (3H, D), in gate order r, z, n. weight_hh: (3H, H). bias_ih, bias_hh: (3H,), or
            None without biases. All start from U(-1/sqrt(H), 1/sqrt(H)).

    Calling it: ``h_t = cell(x_t, h)`` with x_t (N, D) and h (N, H), or (D,) and (H,). h is zeros
    if it is None.

    Raises:
        ValueError: x or h has the wrong size.
        TypeError: x or h is a Tensor of another dtype than the cell's (arrays are converted).

    Source: see :class:`GRU`; https://docs.pytorch.org/docs/stable/generated/torch.nn.GRUCell.html

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
        require_bools("GRUCell", reset_after=reset_after)
        super().__init__(input_size, hidden_size, bias, dtype, rng)
        self.reset_after = reset_after

    def forward(self, x: Any, state: Any = None) -> Tensor:
        x = self._input(x)
        h = self._initial(state, x)
        return self._run_step(gru_step, (x, h), self._weights, self.reset_after)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.reset_after else ", reset_after=False")
