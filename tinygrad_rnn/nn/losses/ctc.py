"""Connectionist temporal classification: a loss for targets whose times are unknown."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import ndarray

from ... import graph, ops
from ...graph import Array, Value
from .reduction import require_reduction

#: Stands for log 0. It is finite, so gradients stay finite, and exp of it is 0.
_NEVER = -1e30


def ctc_loss(
    log_probs: Array,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Array:
    """The negative log probability of the targets, summed over all alignments, in nats.

        L = -log sum over paths of prod_t p_t(path_t)

    A path has a symbol or the blank at every time step. It spells a target: repeated symbols are
    merged, then blanks are removed. Let l' be the target with a blank before, between and after its
    symbols. The sum over the paths that end at place s of l' is

        alpha_t(s) = p_t(l'_s) (alpha_{t-1}(s) + alpha_{t-1}(s-1) + alpha_{t-1}(s-2))

    The last term is there only if l'_s is not a blank and differs from l'_{s-2}.

    Args:
        log_probs: (T, N, C) log probabilities, as of ``log_softmax``; or (T, C) unbatched.
        targets: (N, S) integers without the blank; or all targets concatenated in one array;
            (S,) unbatched.
        input_lengths: (N,) integers from 1 to T, the number of time steps of each sequence.
        target_lengths: (N,) integers, the number of symbols of each target.
        blank: the class of the blank.
        reduction: "none", "sum", or "mean", which divides each loss by the length of its target
            and then takes the mean over the batch.
        zero_infinity: replace an infinite loss by 0. A loss is infinite if its target needs more
            time steps than there are.

    Returns:
        A scalar; (N,) for "none", a scalar if unbatched.

    Raises:
        ValueError: shapes, lengths, the blank or the reduction are wrong.
        TypeError: log_probs is not floats; targets or lengths are not integers.

    Source: Graves et al., "Connectionist Temporal Classification", ICML 2006;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.ctc_loss.html

    >>> import numpy as np
    >>> p = np.log([[[0.4, 0.6]], [[0.4, 0.6]]])         # two steps: blank and one symbol
    >>> float(ctc_loss(p, [[1]], [2], [1]).round(4))     # -log(0.6^2 + 2 * 0.6 * 0.4)
    0.1744
    """
    require_reduction(reduction, "ctc_loss")
    shape = ops.shape_of(log_probs)
    single = len(shape) == 2
    if single:
        log_probs = ops.expand_dims(log_probs, 1)
        shape = (shape[0], 1, shape[1])
    if len(shape) != 3:
        raise ValueError(f"ctc_loss: expected log_probs (T, N, C) or (T, C), got {shape}")
    kind = (log_probs._array if isinstance(log_probs, Value) else np.asarray(log_probs)).dtype
    if kind.kind != "f":
        raise TypeError(f"ctc_loss: expected log_probs of floats, got {kind}")
    T, N, C = shape
    if not 0 <= blank < C:
        raise ValueError(f"ctc_loss: expected blank from 0 to {C - 1}, got {blank}")
    steps = _lengths("input_lengths", input_lengths, N, T, 1)
    sizes = _lengths("target_lengths", target_lengths, N, None, 0)
    symbols = _rows(targets, sizes, N, C, blank)
    with_blanks = np.full((N, 2 * symbols.shape[1] + 1), blank)
    with_blanks[:, 1::2] = symbols
    skips = np.zeros(with_blanks.shape, bool)  # True where a path may come from s - 2
    skips[:, 2:] = (with_blanks[:, 2:] != blank) & (with_blanks[:, 2:] != with_blanks[:, :-2])
    emitted = ops.maximum(log_probs[:, np.arange(N)[:, None], with_blanks], _NEVER)
    alpha = _alphas(emitted, skips, steps)
    batch, ends = np.arange(N), 2 * sizes
    last = alpha[batch, ends]
    # A path may end in the last blank or in the last symbol.
    before = ops.where(sizes > 0, alpha[batch, np.maximum(ends - 1, 0)], _NEVER)
    losses = ops.negative(ops.logsumexp(ops.stack([last, before]), axis=0))
    numbers = losses._array if isinstance(losses, Value) else losses
    # No path spells the target: its log probability is about _NEVER, which stands for -Inf.
    impossible = numbers > -_NEVER / 2
    if impossible.any():
        losses = ops.where(impossible, 0.0 if zero_infinity else np.inf, losses)
    if reduction == "sum":
        return ops.sum(losses)
    if reduction == "mean":
        each = np.maximum(sizes, 1).astype(kind)
        return ops.mean(ops.divide(losses, each))
    return losses[0] if single else losses


def _alphas(emitted: Array, skips: ndarray, steps: ndarray) -> Array:
    """log alpha of each sequence at its last time step, (N, 2S + 1)."""
    T, _, L = ops.shape_of(emitted)
    first = np.arange(L) < 2  # a path begins with the first blank or with the first symbol
    alpha = ops.where(first, emitted[0], _NEVER)
    for t in range(1, T):
        one = ops.pad(alpha[:, :-1], ((0, 0), (1, 0)), constant_values=_NEVER)
        two = ops.pad(alpha[:, :-2], ((0, 0), (2, 0)), constant_values=_NEVER) if L > 2 else one
        two = ops.where(skips, two, _NEVER)
        new = ops.add(ops.logsumexp(ops.stack([alpha, one, two]), axis=0), emitted[t])
        new = ops.maximum(new, _NEVER)
        active = (t < steps)[:, None]  # a sequence that has ended keeps its alpha
        alpha = new if active.all() else ops.where(active, new, alpha)
    return alpha


def _lengths(name: str, lengths: Any, N: int, T: int | None, least: int) -> ndarray:
    flat = graph.numbers(lengths, f"ctc_loss: {name}").reshape(-1)  # () if unbatched
    checked: ndarray = graph.checked_lengths("ctc_loss", flat, (N,), T, least=least, name=name)
    return checked


def _rows(targets: Any, sizes: ndarray, N: int, C: int, blank: int) -> ndarray:
    """The targets as rows (N, S), padded with blanks, which are never read."""
    array = graph.numbers(targets, "ctc_loss: targets")
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"ctc_loss: expected targets of integers, got {array.dtype}")
    S = int(sizes.max(initial=0))
    rows = np.full((N, S), blank)
    if array.ndim == 2 and len(array) == N and array.shape[1] >= S:
        parts = [row[:size] for row, size in zip(array, sizes, strict=True)]
    elif array.ndim == 1 and len(array) == sizes.sum():
        parts = np.split(array, np.cumsum(sizes)[:-1])
    elif array.ndim == 1 and N == 1 and len(array) >= S:
        parts = [array[:S]]
    else:
        raise ValueError(
            f"ctc_loss: expected targets ({N}, at least {S}), or ({sizes.sum()},) concatenated, "
            f"got {array.shape}"
        )
    for row, part in zip(rows, parts, strict=True):
        if part.size and (part.min() < 0 or part.max() >= C or (part == blank).any()):
            raise ValueError(
                f"ctc_loss: expected targets from 0 to {C - 1} without the blank {blank}, got "
                f"{part.tolist()}"
            )
        row[: len(part)] = part
    return rows
