"""Attention: read a memory at the places that fit a query.

A recurrent net forgets if it must compress a whole sequence into its last state. With attention it
keeps every state in a memory. Each place of the memory has a key, and the query scores all keys.
The scores give weights. Soft attention returns the mean of the values with these weights; hard
attention draws one place with them.
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
from .checks import (
    as_constant,
    as_input,
    checked_lengths,
    float_dtype,
    is_exported_input,
    require_sizes,
)
from .lstm_step import with_name
from .module import Module, Parameter


class _Memory(NamedTuple):
    """The part of attention that does not depend on the query."""

    keys: Tensor  # (..., T, A), already multiplied by their weight
    values: Tensor  # (..., T, V)
    mask: Tensor | None  # (..., 1, T)


class Attention(Module):
    """Read a memory of T places: score its keys with a query, and average its values.

        e_t = score(query, key_t)
        a_t = exp(e_t) / sum_s exp(e_s)             s over the places that are not masked
        context = sum_t a_t value_t

    with one of these scores:

        "dot"         query . key_t                             (query_size = key_size)
        "general"     query . (W key_t)
        "additive"    v . tanh(W_q query + W_k key_t)

    With ``scaled``, the first two are divided by sqrt(query_size).

    **Hard** attention draws one place s with the probabilities a, and context = value_s. The draw
    has no derivative. REINFORCE estimates the gradient of the expected loss:

        d E[L] / d theta  ~  d L_s / d theta + (L_s - b) d log a_s / d theta

    The estimate is unbiased for every baseline b that does not depend on s. It is less noisy if b
    is near the mean of L. ``backward`` computes the first term; for the second, hard attention
    also returns log a_s. With one loss per query, this gives both:

        (losses + (losses.detach() - b) * log_a).mean().backward()

    Masked places reach no value and no gradient, even if they hold NaN.

    Args:
        query_size: Q, the length of a query.
        key_size: K, the length of a key; None means Q.
        kind: "dot", "general" or "additive".
        hard: draw one place instead of averaging all.
        scaled: divide by sqrt(Q), so that long vectors do not saturate the softmax.
        hidden_size: A, the number of units of the additive score; None means Q.
        dtype: of the parameters and inputs.
        rng: a generator, or a seed for one. It draws the parameters and then the places.

    Attributes:
        weight: (Q, K), W of the general score.
        weight_query, weight_key: (A, Q) and (A, K), W_q and W_k of the additive score.
        weight_score: (A,), v of the additive score. Each weight starts from
            U(-1/sqrt(n), 1/sqrt(n)), where n is the length of its last axis. A weight that the
            score does not use is None.
        rng: the generator that draws the places.

    Calling it: ``context, weights = attention(query, keys, values, mask, lengths)``, and
    ``context, weights, log_a = attention(...)`` for hard attention, with

        query       (N, Q), or (N, L, Q) for L queries each
        keys        (N, T, K)
        values      (N, T, V); None means the keys
        mask        (N, T) booleans, True for the places that may be read; or None
        lengths     (N,) integers from 1 to T, how many places may be read; or None
        context     (N, V), or (N, L, V)
        weights     (N, T), or (N, L, T): a; for hard attention 1 at s, else 0, a constant
        log_a       (N,), or (N, L): log a_s, in training and in eval mode

    or all without N. If a loop reads the same memory at every step, use :meth:`over`: it computes
    the part that does not depend on the query only once. The outputs (T, N, K) of a layer become
    keys by ``tg.swapaxes(y, 0, 1)``.

    Raises:
        TypeError: a Tensor of another dtype than the layer's (arrays are converted), a mask that
            is not boolean, or lengths that are not integers.
        ValueError: sizes that do not fit, lengths below 1 or above T, or a mask without any
            place to read.

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
        require_sizes("Attention", query_size=query_size, key_size=key_size)
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
        self.dtype = float_dtype("Attention", dtype)
        self.rng = np.random.default_rng(rng)

        def parameter(*shape: int) -> Parameter:
            bound = 1 / math.sqrt(shape[-1])
            return Parameter(init.uniform(shape, bound, dtype=self.dtype, rng=self.rng))

        if kind == "general":
            self.weight = parameter(query_size, key_size)
        if kind == "additive":
            hidden_size = query_size if hidden_size is None else hidden_size
            require_sizes("Attention", hidden_size=hidden_size)
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
        return self._read(query, self._memory(keys, values, mask, lengths))

    def over(
        self, keys: Any, values: Any = None, mask: Any = None, lengths: Any = None
    ) -> Callable[[Any], tuple[Tensor, ...]]:
        """The attention over one memory, as a function of the query.

            look = attention.over(keys)             computes W_k key_t once,
            for ...: context, weights = look(h)     not at every step

        Args:
            keys, values, mask, lengths: as for calling the layer.

        Returns:
            A function ``look(query)``, equal to ``attention(query, keys, values, mask, lengths)``.

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
                return self._read(query, memory)

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
            # A weight of 0 does not stop a NaN: 0 times NaN is NaN, also in the gradient.
            real = as_constant(readable[..., None])
            keys = ops.where(real, keys, 0)
            values = None if values is None else ops.where(real, values, 0)
            scores_mask = as_constant(readable[..., None, :])
        values = keys if values is None else values
        weight = self.weight if self.kind == "general" else self.weight_key
        return _Memory(keys if weight is None else ops.linear(keys, weight), values, scores_mask)

    # ── reading it ───────────────────────────────────────────────────────────────────────

    def _read(self, query: Any, memory: _Memory) -> tuple[Tensor, ...]:
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
        outputs = self._hard(scores, memory) if self.hard else self._soft(scores, memory)
        if not several:
            outputs = tuple(ops.squeeze(y, len(batch)) for y in outputs)
        for name, y in zip(("context", "weights", "log_a"), outputs, strict=False):
            with_name(name, y)
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

    def _soft(self, scores: Any, memory: _Memory) -> tuple[Tensor, ...]:
        weights = ops.softmax(scores)
        return ops.matmul(weights, memory.values), weights

    def _hard(self, scores: Any, memory: _Memory) -> tuple[Tensor, ...]:
        log_a = ops.log_softmax(scores)
        # The place of the largest log a_t + Gumbel noise is a draw from a (Gumbel 1954; Maddison et
        # al., arXiv:1411.0030). Unlike a search in cumulative sums, it never draws a place with
        # a_t = 0 by rounding.
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
    """Which places (N, T) or (T,) may be read, as an array of our own; None for all.

    While a model is exported, the mask or the lengths may be inputs without numbers.
    """
    *batch, T = shape
    if lengths is not None:
        lengths = checked_lengths("Attention", lengths, tuple(batch), T)
    if is_exported_input(mask) or is_exported_input(lengths):
        if lengths is None:
            return mask
        within = ops.less(np.arange(T), ops.expand_dims(lengths, -1))
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
        within = np.arange(T) < lengths[:, None]
        readable = within if readable is None else readable & within
    if readable is not None and not readable.any(-1).all():
        row = "" if len(shape) == 1 else f" in row {np.flatnonzero(~readable.any(-1))[0]}"
        raise ValueError(f"Attention: the mask leaves no place to read{row}")
    return readable
