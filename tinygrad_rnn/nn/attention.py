"""Attention: reading from a memory at the places that fit a query.

A recurrent net that has to squeeze a whole sequence into its last state forgets. With attention
it keeps every state as a memory and, whenever it needs something, looks for it: each place of the
memory has a key, the query scores all keys, and what comes back is a mean of the values with
weights that the scores give, or the value of one place drawn with these weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from .. import graph, ops
from ..graph import attach
from ..tensor import Tensor
from . import init
from .checks import as_constant, as_input, floating, sized, unknown
from .lstm_step import named
from .module import Module, Parameter


class _Memory(NamedTuple):
    """What does not depend on the query."""

    keys: Tensor  # (..., T, A), multiplied by their weight already
    values: Tensor  # (..., T, V)
    mask: Tensor | None  # (..., 1, T)


class Attention(Module):
    """Read a memory of T places: score its keys with a query, and mix its values accordingly.

        e_t = score(query, key_t)
        a_t = exp(e_t) / sum_s exp(e_s)             s over the places that the mask lets through
        context = sum_t a_t value_t

    with one of these scores:

        "dot"         query . key_t                             (query_size = key_size)
        "general"     query . (W key_t)
        "additive"    v . tanh(W_q query + W_k key_t)

    of which the first two are divided by sqrt(query_size) where ``scaled``.

    **Hard** attention does not mix but draws one place s with the probabilities a, and
    context = value_s. The draw has no derivative; the gradient of an expected loss is estimated by

        d E[L] / d theta  ~  d L_s / d theta + (L_s - b) d log a_s / d theta

    (REINFORCE), unbiased for every baseline b that does not depend on s, and the less noisy the
    nearer b is to the mean of L. The first term is what ``backward`` computes anyway; for the
    second, hard attention returns log a_s too. With one loss for each query, both come from

        (losses + (losses.detach() - b) * log_a).mean().backward()

    Places that are masked, even where they hold NaN, reach no value and no gradient.

    Args:
        query_size: Q, the length of a query.
        key_size: K, the length of a key; Q where None.
        kind: "dot", "general" or "additive".
        hard: draw one place instead of mixing all.
        scaled: divide by sqrt(Q), so that long vectors do not saturate the softmax.
        hidden_size: A, how many units the additive score has; Q where None.
        dtype: of the parameters and of what comes in.
        rng: a generator, or a seed for one: for the parameters first, then for the draws.

    Attributes:
        weight: (Q, K), W of the general score.
        weight_query, weight_key: (A, Q) and (A, K), W_q and W_k of the additive score.
        weight_score: (A,), its v. Each from U(-1/sqrt(n), 1/sqrt(n)) for sums of n products; None
            where the score has no such weight.
        rng: the generator of the draws.

    Calling it: ``context, weights = attention(query, keys, values, mask, lengths)``, and
    ``context, weights, log_a = attention(...)`` for hard attention, with

        query       (N, Q), or (N, L, Q) for L queries each
        keys        (N, T, K)
        values      (N, T, V); the keys where None
        mask        (N, T) booleans, True for the places that may be read; or None
        lengths     (N,) integers from 1 to T: only the first ones may be read; or None
        context     (N, V), or (N, L, V)
        weights     (N, T), or (N, L, T): a; for hard attention 1 at s, else 0, a constant
        log_a       (N,), or (N, L): log a_s, in training and in eval mode

    or all without N. Where a loop reads the same memory at every step, :meth:`over` computes once
    what does not depend on the query. A layer's outputs (T, N, K) become keys by
    ``tg.swapaxes(y, 0, 1)``.

    Raises:
        TypeError: a Tensor of another dtype than the layer's (arrays are converted), a mask that
            is not boolean, or lengths that are not integers.
        ValueError: sizes that do not fit, lengths below 1 or above T, or a mask that lets no
            place through.

    Source: dot and general: Luong, Pham and Manning, arXiv:1508.04025, eq. 7-8; scaled: Vaswani et
    al., arXiv:1706.03762, eq. 1; additive: Bahdanau, Cho and Bengio, arXiv:1409.0473, appendix
    A.1.2; hard: Xu et al., "Show, Attend and Tell", arXiv:1502.03044, section 4.1; its estimator:
    Williams, "Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement
    Learning", Machine Learning 8 (1992).

    >>> import numpy as np
    >>> import tinygrad_rnn as tg
    >>> attention = tg.nn.Attention(2, dtype=np.float64)
    >>> memory = np.array([[0.0, 0.0], [0.0, 5.0], [5.0, 0.0]])
    >>> context, weights = attention([0.0, 1.0], memory)
    >>> weights.data.round(3), context.data.round(3)
    (array([0.007, 0.987, 0.007]), array([0.033, 4.934]))
    """

    weight: Parameter | None = None
    weight_query: Parameter | None = None
    weight_key: Parameter | None = None
    weight_score: Parameter | None = None

    def __init__(
        self,
        query_size: int,
        key_size: int | None = None,
        kind: str = "dot",
        hard: bool = False,
        *,
        scaled: bool = False,
        hidden_size: int | None = None,
        dtype: Any = np.float32,
        rng: init.Seed = None,
    ):
        key_size = query_size if key_size is None else key_size
        sized("Attention", query_size=query_size, key_size=key_size)
        if kind not in ("dot", "general", "additive"):
            raise ValueError(
                f"Attention: expected kind 'dot', 'general' or 'additive', got {kind!r}"
            )
        if kind == "dot" and key_size != query_size:
            raise ValueError(
                f"Attention: a query of {query_size} has no dot product with keys of {key_size}; "
                "use kind 'general' or 'additive'"
            )
        if kind == "additive" and scaled:
            raise ValueError("Attention: only scores by a product are scaled, not 'additive'")
        if kind != "additive" and hidden_size is not None:
            raise ValueError(f"Attention: hidden_size goes with kind 'additive', not {kind!r}")
        self.query_size, self.key_size, self.kind = query_size, key_size, kind
        self.hard, self.scaled = bool(hard), bool(scaled)
        self.dtype = floating("Attention", dtype)
        self.rng = np.random.default_rng(rng)

        def parameter(*shape: int) -> Parameter:
            bound = 1 / math.sqrt(shape[-1])
            return Parameter(init.uniform(shape, bound, dtype=self.dtype, rng=self.rng))

        if kind == "general":
            self.weight = parameter(query_size, key_size)
        if kind == "additive":
            hidden_size = query_size if hidden_size is None else hidden_size
            sized("Attention", hidden_size=hidden_size)
            self.weight_query = parameter(hidden_size, query_size)
            self.weight_key = parameter(hidden_size, key_size)
            self.weight_score = parameter(hidden_size)

    def forward(
        self,
        query: Any,
        keys: Any,
        values: Any = None,
        mask: Any = None,
        lengths: Any = None,
    ) -> tuple[Tensor, ...]:
        return self._look(query, self._memory(keys, values, mask, lengths))

    def over(
        self, keys: Any, values: Any = None, mask: Any = None, lengths: Any = None
    ) -> Callable[[Any], tuple[Tensor, ...]]:
        """The attention over one memory, as a function of the query.

            look = attention.over(keys)             W_k key_t is computed here, once,
            for ...: context, weights = look(h)     and not at every step

        Args:
            keys, values, mask, lengths: as for calling the layer.

        Returns:
            ``look(query)``, which gives what ``attention(query, keys, values, mask, lengths)``
            gives.

        >>> import numpy as np
        >>> from tinygrad_rnn import nn
        >>> attention = nn.Attention(4, 3, kind="additive", rng=0)
        >>> look = attention.over(np.ones((2, 5, 3)), lengths=[5, 2])
        >>> for t in range(3):
        ...     context, weights = look(np.ones((2, 4)))
        >>> weights.data[1]
        array([0.5, 0.5, 0. , 0. , 0. ], dtype=float32)
        """
        name = self._name or type(self).__name__.lower()
        with graph.scope(name):
            memory = self._memory(keys, values, mask, lengths)

        def look(query: Any) -> tuple[Tensor, ...]:
            with graph.scope(name):
                return self._look(query, memory)

        return look

    # ── the memory ───────────────────────────────────────────────────────────────────────

    def _memory(self, keys: Any, values: Any, mask: Any, lengths: Any) -> _Memory:
        keys = as_input("Attention", "keys", keys, self.dtype)
        shape = keys.shape
        if len(shape) not in (2, 3) or shape[-1] != self.key_size or shape[-2] == 0:
            raise ValueError(
                f"Attention: expected keys (N, T, {self.key_size}) or (T, {self.key_size}) with "
                f"at least one place, got {shape}{graph.current().scope}"
            )
        if values is not None:
            values = as_input("Attention", "values", values, self.dtype)
            if values.shape[:-1] != shape[:-1]:
                raise ValueError(
                    f"Attention: expected values {(*shape[:-1], 'V')} to go with keys {shape}, "
                    f"got {values.shape}{graph.current().scope}"
                )
        readable = _readable(mask, lengths, shape[:-1])
        scores_mask: Any = None
        if readable is not None:
            # A weight of 0 is not enough: 0 times NaN is NaN, in a product and in its gradient.
            real = as_constant(readable[..., None])
            keys = ops.where(real, keys, 0)
            values = None if values is None else ops.where(real, values, 0)
            scores_mask = as_constant(readable[..., None, :])
        values = keys if values is None else values
        weight = self.weight if self.kind == "general" else self.weight_key
        return _Memory(keys if weight is None else ops.linear(keys, weight), values, scores_mask)

    # ── reading it ───────────────────────────────────────────────────────────────────────

    def _look(self, query: Any, memory: _Memory) -> tuple[Tensor, ...]:
        query = as_input("Attention", "query", query, self.dtype)
        batch = memory.values.shape[:-2]
        several = query.ndim == len(batch) + 2
        if (
            (query.ndim != len(batch) + 1 and not several)
            or query.shape[-1] != self.query_size
            or query.shape[: len(batch)] != batch
        ):
            one = ", ".join(map(str, (*batch, self.query_size)))
            more = ", ".join(map(str, (*batch, "L", self.query_size)))
            raise ValueError(
                f"Attention: expected query ({one}) or ({more}), got {query.shape}"
                f"{graph.current().scope}"
            )
        scores = self._scores(query if several else ops.expand_dims(query, -2), memory.keys)
        if memory.mask is not None:
            scores = ops.where(memory.mask, scores, -math.inf)
        outputs = self._drawn(scores, memory) if self.hard else self._mixed(scores, memory)
        if not several:
            outputs = tuple(ops.squeeze(y, len(batch)) for y in outputs)
        for name, y in zip(("context", "weights", "log_a"), outputs, strict=False):
            named(name, y)
        return outputs

    def _scores(self, query: Tensor, keys: Tensor) -> Any:
        """(..., L, Q) and (..., T, A) to (..., L, T)."""
        if self.kind == "additive":
            assert self.weight_query is not None
            assert self.weight_score is not None
            query = ops.linear(query, self.weight_query)
            hidden = ops.tanh(ops.add(ops.expand_dims(query, -2), ops.expand_dims(keys, -3)))
            return ops.matmul(hidden, self.weight_score)
        scores = ops.matmul(query, ops.swapaxes(keys, -1, -2))
        return ops.multiply(scores, 1 / math.sqrt(self.query_size)) if self.scaled else scores

    def _mixed(self, scores: Any, memory: _Memory) -> tuple[Tensor, ...]:
        weights = ops.softmax(scores)
        return ops.matmul(weights, memory.values), weights

    def _drawn(self, scores: Any, memory: _Memory) -> tuple[Tensor, ...]:
        log_a = ops.log_softmax(scores)
        # The largest of log a_t + Gumbel noise is a draw from a, and never one of a_t = 0, which
        # rounding could lead to in a table of running sums. (Gumbel 1954; Maddison et al.,
        # arXiv:1411.0030.)
        drawn: ndarray = np.argmax(log_a.data + self.rng.gumbel(size=log_a.shape), -1)
        places = (*np.indices(drawn.shape), drawn)
        weights = np.zeros(log_a.shape, self.dtype)
        weights[places] = 1
        context = ops.getitem(memory.values, (*places[:-2], drawn))
        return context, attach(weights, None), ops.getitem(log_a, places)  # type: ignore[return-value]

    def extra_repr(self) -> str:
        hidden = "" if self.weight_score is None else f", hidden_size={self.weight_score.size}"
        hard = ", hard=True" if self.hard else ""
        scaled = ", scaled=True" if self.scaled else ""
        return f"{self.query_size}, {self.key_size}, kind={self.kind!r}{hidden}{hard}{scaled}"


def _readable(mask: Any, lengths: Any, shape: tuple[int, ...]) -> Any:
    """Which places (N, T) or (T,) may be read, as an array of our own; None for all."""
    if unknown(mask) or unknown(lengths):
        if lengths is None:
            return mask
        within = ops.less(np.arange(shape[-1]), ops.expand_dims(lengths, -1))
        return within if mask is None else ops.logical_and(within, mask)
    readable = None
    if mask is not None:
        readable = np.array(graph.numbers(mask, "Attention: mask"))
        if readable.dtype != np.bool_:
            raise TypeError(f"Attention: expected a mask of booleans, got {readable.dtype}")
        if readable.shape != shape:
            raise ValueError(
                f"Attention: expected mask {shape}, got {readable.shape}{graph.current().scope}"
            )
    if lengths is not None:
        counts = graph.numbers(lengths, "Attention: lengths")
        if counts.size == 0 and counts.dtype.kind == "f":  # [] is of floats
            counts = counts.astype(np.intp)
        if counts.dtype.kind not in "iu":
            raise TypeError(f"Attention: expected lengths of integers, got {counts.dtype}")
        if counts.shape != shape[:-1] or len(shape) == 1:
            raise ValueError(
                f"Attention: expected lengths (N,) to go with keys (N, T, K), got "
                f"{counts.shape} for {shape}{graph.current().scope}"
            )
        if counts.size and (counts.min() < 1 or counts.max() > shape[-1]):
            bad = counts.min() if counts.min() < 1 else counts.max()
            raise ValueError(
                f"Attention: expected lengths from 1 to {shape[-1]}, got {bad}"
                f"{graph.current().scope}"
            )
        within = np.arange(shape[-1]) < counts[:, None]
        readable = within if readable is None else readable & within
    if readable is not None and not readable.any(-1).all():
        row = "" if len(shape) == 1 else f" in row {np.flatnonzero(~readable.any(-1))[0]}"
        raise ValueError(f"Attention: the mask lets no place through{row}")
    return readable
