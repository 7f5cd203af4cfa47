"""Recurrent layers: a cell run over a whole sequence, in several layers and both directions.

A class here holds the equations in its docstring and the step of its cell. ``layered`` holds what
the three have in common.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import ops
from ..graph import current
from ..scan.backends import chosen_backend
from ..tensor import Tensor
from . import init
from .cells import gru_step, nonlinearities, rnn_step, split_candidate, state_pair
from .checks import require_bools
from .layered import Carry, Layered, Recurrence, Step, with_closure
from .lstm_sequence import lstm_sequence
from .lstm_step import lstm_equations

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class RNN(Layered):
    """A simple recurrent net over a sequence.

        h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)       (or relu)

    Layers and directions are stacked as those of :class:`LSTM`.

    Args:
        nonlinearity: "tanh" or "relu".
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, rng:
            see :class:`LSTM`.

    Attributes:
        weight_ih_l0: (H, D), W_ih. In the layers above, weight_ih_l1 and so on are (H, H), or
            (H, 2H) if bidirectional.
        weight_hh_l0: (H, H), W_hh.
        bias_ih_l0, bias_hh_l0: (H,).
        weight_ih_l0_reverse, ...: the weights of the second direction. All weights start from
            U(-1/sqrt(H), 1/sqrt(H)).

    Calling it: ``y, h_n = layer(x, h_0, lengths=None, resets=None, unroll=False)`` with x
    (T, N, D), y (T, N, K H), h_0 and h_n (L K, N, H), for K = 2 directions or 1. For lengths,
    resets, unroll and other shapes see :meth:`forward`.

    Raises:
        ValueError: a size or nonlinearity is wrong; for errors of a call see :meth:`forward`.

    Source: Elman, "Finding Structure in Time", Cognitive Science 14 (1990); two directions:
    Schuster and Paliwal, IEEE Transactions on Signal Processing 45 (1997);
    https://docs.pytorch.org/docs/stable/generated/torch.nn.RNN.html

    >>> import numpy as np
    >>> import tinygrad_rnn as tg
    >>> rnn = tg.nn.RNN(3, 4, num_layers=2, bidirectional=True, rng=0)
    >>> y, h_n = rnn(np.ones((5, 2, 3)), lengths=[5, 3])
    >>> y.shape, h_n.shape
    ((5, 2, 8), (4, 2, 4))
    """

    gates = 1

    if TYPE_CHECKING:

        def forward(
            self,
            x: Tensor | ArrayLike,
            state: Any = None,
            *,
            lengths: Any = None,
            resets: Any = None,
            unroll: bool = False,
        ) -> tuple[Tensor, Tensor]: ...

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        dtype: Any = np.float32,
        rng: init.Seed = None,
    ):
        if nonlinearity not in nonlinearities:
            raise ValueError(f"RNN: expected nonlinearity 'tanh' or 'relu', got {nonlinearity!r}")
        self.nonlinearity = nonlinearity
        sizes = input_size, hidden_size, num_layers
        super().__init__(*sizes, bias, batch_first, dropout, bidirectional, dtype, rng)

    def _step(self, weights: dict[str, Any], unroll: bool) -> Step:
        def step(carry: Carry, x_t: Tensor) -> tuple[Carry, Tensor]:
            (h,) = carry
            h = rnn_step(x_t, h, nonlinearity=self.nonlinearity, **weights)
            return (h,), h

        options = {"nonlinearity": self.nonlinearity}
        step.recurrence = Recurrence("RNN", weights, options)  # type: ignore[attr-defined]
        return with_closure(step, weights, self.nonlinearity)


class LSTM(Layered):
    """A long short-term memory over a sequence.

        i_t = sigmoid(W_ii x_t + b_ii + W_hi h_{t-1} + b_hi)      input gate
        f_t = sigmoid(W_if x_t + b_if + W_hf h_{t-1} + b_hf)      forget gate
        g_t =    tanh(W_ig x_t + b_ig + W_hg h_{t-1} + b_hg)      candidate
        o_t = sigmoid(W_io x_t + b_io + W_ho h_{t-1} + b_ho)      output gate
        c_t = f_t c_{t-1} + i_t g_t                               cell state
        h_t = o_t tanh(c_t)                                       hidden state

    Where f_t is near 1, dL/dc passes from c_t to c_{t-1} almost unchanged. This is how an LSTM
    remembers over many time steps.

    With ``peepholes`` the gates also see the cell state. Inside their sigmoids, i_t adds
    p_i c_{t-1}, f_t adds p_f c_{t-1}, and o_t adds p_o c_t. With ``proj_size``,
    h_t = W_hr (o_t tanh(c_t)), which is shorter than c_t.

    Several layers are stacked: h_t of one layer is x_t of the next. While training, each of its
    elements is zeroed with probability ``dropout``. With ``bidirectional``, a second direction
    reads the same x_t from the last time step to the first. The h_t of both directions are
    concatenated.

    Args:
        input_size: D, the length of x_t.
        hidden_size: H, the length of h_t and c_t.
        num_layers: L, the number of stacked layers.
        bias: False leaves the biases out.
        batch_first: x and y are (N, T, ...) instead of (T, N, ...). States keep their shape.
        dropout: the probability of dropout between layers.
        bidirectional: add a second direction, from the last time step to the first.
        proj_size: P < H, the length of h_t with a projection; 0 for no projection.
        peepholes: whether the gates see the cell state.
        dtype: of the parameters.
        rng: a generator, or a seed for one. It draws the weights and then the dropout masks.

    Attributes:
        weight_ih_l0: (4H, D), the rows of W_ii, W_if, W_ig and W_io in this order. In the layers
            above, weight_ih_l1 and so on are (4H, H), or (4H, 2H) if bidirectional.
        weight_hh_l0: (4H, H), the rows of W_hi, W_hf, W_hg and W_ho.
        bias_ih_l0, bias_hh_l0: (4H,), in the same order.
        weight_hr_l0: (P, H), W_hr, with a projection. The columns of weight_hh_l0 and weight_ih_l1
            then number P instead of H.
        weight_pi_l0, weight_pf_l0, weight_po_l0: (H,), p_i, p_f and p_o, with peepholes.
        weight_ih_l0_reverse, ...: the weights of the second direction. All weights start from
            U(-1/sqrt(H), 1/sqrt(H)).

    Calling it: ``y, (h_n, c_n) = layer(x, (h_0, c_0), lengths=None, resets=None, unroll=False)``
    with x (T, N, D), y (T, N, K H), and states (L K, N, H), for K = 2 directions or 1. For
    lengths, resets, unroll and other shapes see :meth:`forward`.

    Raises:
        ValueError: a size is out of its range, such as a proj_size that is not below hidden_size;
            for errors of a call see :meth:`forward`.

    Source: Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural Computation 9 (1997);
    forget gate: Gers, Schmidhuber and Cummins, Neural Computation 12 (2000); peepholes: Gers,
    Schraudolph and Schmidhuber, JMLR 3 (2002); projection: Sak, Senior and Beaufays,
    arXiv:1402.1128, eq. 5; https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html

    >>> import numpy as np
    >>> import tinygrad_rnn as tg
    >>> lstm = tg.nn.LSTM(3, 4, num_layers=2, rng=0)
    >>> y, (h_n, c_n) = lstm(np.ones((5, 2, 3)))
    >>> y.shape, h_n.shape, c_n.shape
    ((5, 2, 4), (2, 2, 4), (2, 2, 4))
    >>> bool((y.data[-1] == h_n.data[-1]).all())
    True
    """

    gates = 4

    if TYPE_CHECKING:

        def forward(
            self,
            x: Tensor | ArrayLike,
            state: Any = None,
            *,
            lengths: Any = None,
            resets: Any = None,
            unroll: bool = False,
        ) -> tuple[Tensor, tuple[Tensor, Tensor]]: ...

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        *,
        peepholes: bool = False,
        dtype: Any = np.float32,
        rng: init.Seed = None,
    ):
        self.peepholes = peepholes
        parts: dict[str, Any] = {"proj_size": proj_size, "peepholes": peepholes}
        sizes = input_size, hidden_size, num_layers
        super().__init__(*sizes, bias, batch_first, dropout, bidirectional, dtype, rng, **parts)

    def _step(self, weights: dict[str, Any], unroll: bool) -> Step:
        def step(carry: Carry, x_t: Tensor) -> tuple[Carry, Tensor]:
            h, c = lstm_equations(x_t, *carry, **weights)
            return (h, c), h

        if not self.proj_size:
            step.recurrence = Recurrence("LSTM", weights, {})  # type: ignore[attr-defined]
        return with_closure(step, weights)

    def _sequence(
        self, weights: dict[str, Any], carry: Carry, xs: Tensor, *, unroll: bool, **options: Any
    ) -> tuple[Carry, Tensor]:
        # On NumPy, the hand-written loop is faster than scan (see lstm_sequence).
        by_hand = not unroll and current().tracing is None and chosen_backend() == "numpy"
        by_hand = by_hand and "resets" not in options
        result = lstm_sequence(xs, carry, weights, **options) if by_hand else None
        if result is None:
            return super()._sequence(weights, carry, xs, unroll=unroll, **options)
        return result

    def _initial(self, state: Any, batch: tuple[int, ...]) -> list[Carry]:
        h, c = state_pair("LSTM", state)
        hs = self._split_state("h", h, batch, self._output_size)
        return list(zip(hs, self._split_state("c", c, batch, self.hidden_size), strict=True))

    def _final(self, carries: list[Carry]) -> tuple[Tensor, Tensor]:
        hs, cs = zip(*carries, strict=True)
        if len(carries) == 1:  # a view takes a third of the time of a stack
            return hs[0][np.newaxis], cs[0][np.newaxis]
        return ops.stack(hs), ops.stack(cs)


class GRU(Layered):
    """A gated recurrent unit over a sequence.

        r_t = sigmoid(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)             reset gate
        z_t = sigmoid(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)             update gate
        n_t = tanh(W_in x_t + b_in + r_t (W_hn h_{t-1} + b_hn))          candidate
        h_t = (1 - z_t) n_t + z_t h_{t-1}                                hidden state

    The literature has two conventions for each gate:

    * z_t near 1 keeps the old value here. PyTorch, cuDNN and ONNX do the same, and so does eq. 7
      of Cho et al. (arXiv:1406.1078). The form that is mostly quoted as the GRU of Cho et al. is
      the other one, h_t = z_t n_t + (1 - z_t) h_{t-1}, where z_t near 1 takes the new value; it
      is that of Chung, Gulcehre, Cho and Bengio (arXiv:1412.3555). Since
      1 - sigmoid(a) = sigmoid(-a), negating the rows of W_iz, W_hz, b_iz and b_hz turns one into
      the other.
    * r_t resets W_hn h_{t-1} + b_hn here, after the product, as in PyTorch and cuDNN. With
      ``reset_after=False`` it resets h_{t-1} before the product, as in Cho et al.:

        n_t = tanh(W_in x_t + b_in + W_hn (r_t h_{t-1}) + b_hn)

    Layers and directions are stacked as those of :class:`LSTM`.

    Args:
        reset_after: whether r_t acts after the product, see above.
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, rng:
            see :class:`LSTM`.

    Attributes:
        weight_ih_l0: (3H, D), the rows of W_ir, W_iz and W_in in this order. In the layers above,
            weight_ih_l1 and so on are (3H, H), or (3H, 2H) if bidirectional.
        weight_hh_l0: (3H, H), the rows of W_hr, W_hz and W_hn.
        bias_ih_l0, bias_hh_l0: (3H,), in the same order.
        weight_ih_l0_reverse, ...: the weights of the second direction. All weights start from
            U(-1/sqrt(H), 1/sqrt(H)).

    Calling it: ``y, h_n = layer(x, h_0, lengths=None, resets=None, unroll=False)`` with x
    (T, N, D), y (T, N, K H), h_0 and h_n (L K, N, H), for K = 2 directions or 1. For lengths,
    resets, unroll and other shapes see :meth:`forward`.

    Raises:
        ValueError: a size is out of its range; for errors of a call see :meth:`forward`.

    Source: Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for Statistical
    Machine Translation", arXiv:1406.1078, eq. 5-8;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.GRU.html

    >>> import numpy as np
    >>> import tinygrad_rnn as tg
    >>> gru = tg.nn.GRU(3, 4, batch_first=True, rng=0)
    >>> y, h_n = gru(np.ones((2, 5, 3)))
    >>> y.shape, h_n.shape
    ((2, 5, 4), (1, 2, 4))
    """

    gates = 3

    if TYPE_CHECKING:

        def forward(
            self,
            x: Tensor | ArrayLike,
            state: Any = None,
            *,
            lengths: Any = None,
            resets: Any = None,
            unroll: bool = False,
        ) -> tuple[Tensor, Tensor]: ...

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        reset_after: bool = True,
        dtype: Any = np.float32,
        rng: init.Seed = None,
    ):
        require_bools("GRU", reset_after=reset_after)
        self.reset_after = reset_after
        sizes = input_size, hidden_size, num_layers
        super().__init__(*sizes, bias, batch_first, dropout, bidirectional, dtype, rng)

    def _step(self, weights: dict[str, Any], unroll: bool) -> Step:
        recurrence = Recurrence("GRU", weights, {"reset_after": self.reset_after})
        if not (self.reset_after or unroll):
            # Split the weights before the loop: at (T, N, D, H) = (32, 1, 32, 32) the layer takes
            # 1.5 times as long as PyTorch's GRU, and 3.2 times with a split in every step.
            names = ("weight_hh", "bias_hh")
            split = {name: tuple(split_candidate(weights.get(name))) for name in names}
            weights = {**weights, **split}

        def step(carry: Carry, x_t: Tensor) -> tuple[Carry, Tensor]:
            (h,) = carry
            h = gru_step(x_t, h, reset_after=self.reset_after, **weights)
            return (h,), h

        step.recurrence = recurrence  # type: ignore[attr-defined]
        return with_closure(step, weights, self.reset_after)
