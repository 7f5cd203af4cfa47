"""Recurrent layers: a cell run over a whole sequence, in several layers and both directions.

Each is a step: the cells' equations, from ``cells`` and ``lstm_step``. All else is ``layered``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import ops
from ..graph import current
from ..scan.backends import chosen_backend
from ..tensor import Tensor
from . import init
from .cells import candidate_apart, gru_step, nonlinearities, pair, rnn_step
from .checks import flags
from .layered import Carry, Layered, Recurrence, Step, closed
from .lstm_sequence import lstm_sequence
from .lstm_step import equations

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class RNN(Layered):
    """A simple recurrent net over a sequence.

        h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)       (or relu)

    In a stack of layers the h_t of one are the x_t of the next, zeroed with probability
    ``dropout`` while training; both directions of a bidirectional layer read the same x_t, one
    from the last step to the first, and their h_t are joined.

    Args:
        input_size: D, the length of x_t.
        hidden_size: H, the length of h_t.
        num_layers: L.
        nonlinearity: "tanh" or "relu".
        bias: False leaves the biases out.
        batch_first: x and y are (N, T, ...); states stay as they are.
        dropout: a probability, between layers.
        bidirectional: a second direction, from the end.
        dtype: of the parameters.
        rng: a generator, or a seed for one. Dropout goes on with it.

    Attributes:
        weight_ih_l0: (H, D), of layer 0; (H, H), or (H, 2H) where bidirectional, of weight_ih_l1
            and so on.
        weight_hh_l0: (H, H); bias_ih_l0, bias_hh_l0: (H,).
        weight_ih_l0_reverse, ...: the same of the second direction. All from
            U(-1/sqrt(H), 1/sqrt(H)).

    Calling it: ``y, h_n = layer(x, h_0, lengths=None, resets=None, unroll=False)``,
    with K = 2 directions or 1:

        x: (T, N, D), or (T, D) unbatched; or a PackedSequence, and y is one too.
        h_0: (L K, N, H), or (L K, H): of layer 0, of its second direction, of layer 1, ...; zeros
            where None.
        lengths: (N,) integers from 1 to T, for sequences of several lengths in a batch. Past the
            end of a sequence y is 0 and h stands still; a second direction starts at its last
            step; what x holds there, even NaN, reaches no value and no gradient.
        resets: (T, N) booleans, (N, T) if batch_first, (T,) unbatched: where True, another episode
            begins at this step, and the states before it are zeros. No direction reads across.
        unroll: record every step op by op, for pictures and gradients of single steps.
        y: (T, N, K H), or (T, K H): the h_t of the last layer.
        h_n: of h_0's shape, the last h of each layer and direction.

    Raises:
        ValueError: x, h_0, lengths or resets has a wrong shape or value, or there is no such
            nonlinearity.
        TypeError: a Tensor of another dtype than the layer's (arrays are converted), or lengths
            that are not integers.

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
        return closed(step, weights, self.nonlinearity)


class LSTM(Layered):
    """A long short-term memory over a sequence.

        i_t = sigmoid(W_ii x_t + b_ii + W_hi h_{t-1} + b_hi)      input gate
        f_t = sigmoid(W_if x_t + b_if + W_hf h_{t-1} + b_hf)      forget gate
        g_t =    tanh(W_ig x_t + b_ig + W_hg h_{t-1} + b_hg)      candidate
        o_t = sigmoid(W_io x_t + b_io + W_ho h_{t-1} + b_ho)      output gate
        c_t = f_t c_{t-1} + i_t g_t
        h_t = o_t tanh(c_t)

    With ``peepholes`` the gates see the cell as well, i_t and f_t as it was and o_t as it has
    become: inside their sigmoids they add p_i c_{t-1}, p_f c_{t-1} and p_o c_t. With ``proj_size``
    h_t = W_hr (o_t tanh(c_t)), shorter than c_t.

    In a stack of layers the h_t of one are the x_t of the next, zeroed with probability
    ``dropout`` while training; both directions of a bidirectional layer read the same x_t, one
    from the last step to the first, and their h_t are joined.

    Args:
        input_size: D, the length of x_t.
        hidden_size: H, the length of h_t and of c_t.
        num_layers: L.
        bias: False leaves the biases out.
        batch_first: x and y are (N, T, ...); states stay as they are.
        dropout: a probability, between layers.
        bidirectional: a second direction, from the end.
        proj_size: P < H, the length of h_t in the place of H; 0 for no projection.
        peepholes: whether the gates see the cell.
        dtype: of the parameters.
        rng: a generator, or a seed for one. Dropout goes on with it.

    Attributes:
        weight_ih_l0: (4H, D), the rows of W_ii, W_if, W_ig and W_io in this order; of weight_ih_l1
            and so on (4H, H), or (4H, 2H) where bidirectional.
        weight_hh_l0: (4H, H), bias_ih_l0, bias_hh_l0: (4H,), likewise.
        weight_hr_l0: (P, H), W_hr where there is a projection; P then stands for H in the columns
            of weight_hh_l0 and of weight_ih_l1.
        weight_pi_l0, weight_pf_l0, weight_po_l0: (H,), p_i, p_f and p_o where there are peepholes.
        weight_ih_l0_reverse, ...: the same of the second direction. All from
            U(-1/sqrt(H), 1/sqrt(H)).

    Calling it: ``y, (h_n, c_n) = layer(x, (h_0, c_0), lengths=None, resets=None,
    unroll=False)``, with K = 2 directions or 1:

        x: (T, N, D), or (T, D) unbatched; or a PackedSequence, and y is one too.
        h_0: (L K, N, H), or (L K, H), P for H where there is a projection: of layer 0, of its
            second direction, of layer 1, ...; c_0: (L K, N, H), or (L K, H). Zeros where the state
            is None.
        lengths: (N,) integers from 1 to T, for sequences of several lengths in a batch. Past the
            end of a sequence y is 0 and h and c stand still; a second direction starts at its last
            step; what x holds there, even NaN, reaches no value and no gradient.
        resets: (T, N) booleans, (N, T) if batch_first, (T,) unbatched: where True, another episode
            begins at this step, and the states before it are zeros. No direction reads across.
        unroll: record every step op by op, for pictures and gradients of single steps.
        y: (T, N, K H), or (T, K H), P for H where there is a projection: the h_t of the last
            layer.
        h_n, c_n: of the shapes of h_0 and c_0, the last h and c of each layer and direction.

    Raises:
        ValueError: x, h_0, c_0, lengths or resets has a wrong shape or value, or proj_size is not
            below hidden_size.
        TypeError: a Tensor of another dtype than the layer's (arrays are converted), a state that
            is not a pair, or lengths that are not integers.

    Source: Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural Computation 9 (1997);
    forget gate: Gers, Schmidhuber and Cummins, Neural Computation 12 (2000); peepholes: Gers,
    Schraudolph and Schmidhuber, JMLR 3 (2002); projection: Sak, Senior and Beaufays,
    arXiv:1402.1128; https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html

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
            h, c = equations(x_t, *carry, **weights)
            return (h, c), h

        if not self.proj_size:
            step.recurrence = Recurrence("LSTM", weights, {})  # type: ignore[attr-defined]
        return closed(step, weights)

    def _sequence(
        self, weights: dict[str, Any], carry: Carry, xs: Tensor, *, unroll: bool, **options: Any
    ) -> tuple[Carry, Tensor]:
        by_hand = not unroll and current().tracing is None and chosen_backend() == "numpy"
        by_hand = by_hand and "resets" not in options
        found = lstm_sequence(xs, carry, weights, **options) if by_hand else None
        if found is None:
            return super()._sequence(weights, carry, xs, unroll=unroll, **options)
        return found

    def _initial(self, state: Any, batch: tuple[int, ...]) -> list[Carry]:
        h, c = pair("LSTM", state)
        hs = self._part("h", h, batch, self._output_size)
        return list(zip(hs, self._part("c", c, batch, self.hidden_size), strict=True))

    def _final(self, carries: list[Carry]) -> tuple[Tensor, Tensor]:
        hs, cs = zip(*carries, strict=True)
        if len(carries) == 1:  # a view of it costs a third
            return hs[0][np.newaxis], cs[0][np.newaxis]
        return ops.stack(hs), ops.stack(cs)


class GRU(Layered):
    """A gated recurrent unit over a sequence.

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

    In a stack of layers the h_t of one are the x_t of the next, zeroed with probability
    ``dropout`` while training; both directions of a bidirectional layer read the same x_t, one
    from the last step to the first, and their h_t are joined.

    Args:
        input_size: D, the length of x_t.
        hidden_size: H, the length of h_t.
        num_layers: L.
        bias: False leaves the biases out.
        batch_first: x and y are (N, T, ...); states stay as they are.
        dropout: a probability, between layers.
        bidirectional: a second direction, from the end.
        reset_after: where r_t acts, see above.
        dtype: of the parameters.
        rng: a generator, or a seed for one. Dropout goes on with it.

    Attributes:
        weight_ih_l0: (3H, D), the rows of W_ir, W_iz and W_in in this order; of weight_ih_l1 and
            so on (3H, H), or (3H, 2H) where bidirectional.
        weight_hh_l0: (3H, H), bias_ih_l0, bias_hh_l0: (3H,), likewise.
        weight_ih_l0_reverse, ...: the same of the second direction. All from
            U(-1/sqrt(H), 1/sqrt(H)).

    Calling it: ``y, h_n = layer(x, h_0, lengths=None, resets=None, unroll=False)``,
    with K = 2 directions or 1:

        x: (T, N, D), or (T, D) unbatched; or a PackedSequence, and y is one too.
        h_0: (L K, N, H), or (L K, H): of layer 0, of its second direction, of layer 1, ...; zeros
            where None.
        lengths: (N,) integers from 1 to T, for sequences of several lengths in a batch. Past the
            end of a sequence y is 0 and h stands still; a second direction starts at its last
            step; what x holds there, even NaN, reaches no value and no gradient.
        resets: (T, N) booleans, (N, T) if batch_first, (T,) unbatched: where True, another episode
            begins at this step, and the states before it are zeros. No direction reads across.
        unroll: record every step op by op, for pictures and gradients of single steps.
        y: (T, N, K H), or (T, K H): the h_t of the last layer.
        h_n: of h_0's shape, the last h of each layer and direction.

    Raises:
        ValueError: x, h_0, lengths or resets has a wrong shape or value.
        TypeError: a Tensor of another dtype than the layer's (arrays are converted), or lengths
            that are not integers.

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
        flags("GRU", reset_after=reset_after)
        self.reset_after = reset_after
        sizes = input_size, hidden_size, num_layers
        super().__init__(*sizes, bias, batch_first, dropout, bidirectional, dtype, rng)

    def _step(self, weights: dict[str, Any], unroll: bool) -> Step:
        recurrence = Recurrence("GRU", weights, {"reset_after": self.reset_after})
        if not (self.reset_after or unroll):
            # Once for all steps: 3.2 -> 1.5 times PyTorch's GRU at (T, N, D, H) = (32, 1, 32, 32).
            names = ("weight_hh", "bias_hh")
            apart = {name: tuple(candidate_apart(weights.get(name))) for name in names}
            weights = {**weights, **apart}

        def step(carry: Carry, x_t: Tensor) -> tuple[Carry, Tensor]:
            (h,) = carry
            h = gru_step(x_t, h, reset_after=self.reset_after, **weights)
            return (h,), h

        step.recurrence = recurrence  # type: ignore[attr-defined]
        return closed(step, weights, self.reset_after)
