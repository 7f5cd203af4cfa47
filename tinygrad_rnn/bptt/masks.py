"""Masked steps: where a sequence is over, its state stands still.

A batch of sequences of several lengths runs through one loop with

    h_t = where(mask_t, new_t, h_{t-1})        or     mask_t * new_t + (1 - mask_t) * h_{t-1}

What a sequence computes in its step is ``new_t``. The operations around it only carry older values
on, so they are no steps of their own: the state of step t is ``new_t``, where the mask is True.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from ..graph import Node
from ..ops import add, multiply, where

_add, _multiply, _where = (op.primitive for op in (add, multiply, where))  # type: ignore[attr-defined]


class Update(NamedTuple):
    """A value that takes a new one where the mask is True, and stays the old one elsewhere.

    Attributes:
        node: the value.
        new: the new one.
        old: the place of the old one: the operation that takes it, and as which of its inputs.
        mask: booleans; the axes along which it does not change have length 1.
        helpers: the operations that it is made of.
    """

    node: Node
    new: Node
    old: tuple[Node, int]
    mask: ndarray
    helpers: tuple[Node, ...]


def update_at(node: Node, inside: Callable[[Any], bool]) -> Update | None:
    """The masked update that a node is, if it is one.

    Args:
        node: an operation of a time step.
        inside: whether a parent of an operation was computed in the same time step.
    """
    if node.primitive is _where:
        mask, parts = np.asarray(node.arrays[0]), [(node, 1), (node, 2)]
        helpers: tuple[Node, ...] = (node,)
    elif node.primitive is _add:
        found = _products(node, inside)
        if found is None:
            return None
        mask, parts, helpers = found
    else:
        return None
    taken = [taker.parents[i] for taker, i in parts]
    if inside(taken[1]) and not inside(taken[0]):
        mask, parts, taken = ~mask, parts[::-1], taken[::-1]
    new, (taker, i) = taken[0], parts[1]
    if not isinstance(new, Node) or not inside(new) or inside(taken[1]):
        return None
    shape = node.output.shape
    if new.output.shape != shape or mask.dtype != np.bool_ or mask.ndim > len(shape):
        return None
    return Update(node, new, (taker, i), compact(mask, len(shape)), helpers)


def zeroed_at(node: Node, inside: Callable[[Any], bool]) -> Update | None:
    """The masked output ``where(mask, new, 0)`` that a node is, if it is one."""
    if node.primitive is not _where or not inside(node.parents[1]):
        return None
    mask, zero = np.asarray(node.arrays[0]), node.arrays[2]
    new = node.parents[1]
    if isinstance(node.parents[2], Node) or np.ndim(zero) or zero or not isinstance(new, Node):
        return None
    if new.output.shape != node.output.shape:
        return None
    return Update(node, new, (node, 2), compact(mask, node.output.ndim), (node,))


def _products(
    node: Node, inside: Callable[[Any], bool]
) -> tuple[ndarray, list[tuple[Node, int]], tuple[Node, ...]] | None:
    """Of ``mask * new + (1 - mask) * old`` the mask, the uses of new and old, the operations.

    Where both the mask and the old value are constants, so is their product.
    """
    parts: list[tuple[Node, int]] = []
    helpers = [node]
    masks: list[ndarray] = []
    for i, (parent, x) in enumerate(zip(node.parents, node.arrays, strict=True)):
        factor = _mask_factor(parent) if inside(parent) else None
        if factor is not None and isinstance(parent, Node):
            masks.append(factor[0])
            parts.append((parent, factor[1]))
            helpers.append(parent)
        elif isinstance(parent, Node) or not np.ndim(x):
            return None
        else:
            masks.append(np.asarray(x) != 0)
            parts.append((node, i))
    if len(helpers) < 2 or (masks[0] & masks[1]).any():
        return None
    if len(helpers) == 3 and not (masks[0] | masks[1]).all():
        return None
    first = 0 if inside(parts[0][0].parents[parts[0][1]]) else 1
    mask = masks[first]
    return mask, parts if first == 0 else parts[::-1], tuple(helpers)


def _mask_factor(node: Node) -> tuple[ndarray, int] | None:
    """The mask that a product multiplies with, and the index of the other factor."""
    if node.primitive is _multiply:
        for i, (parent, x) in enumerate(zip(node.parents, node.arrays, strict=True)):
            if not isinstance(parent, Node) and np.ndim(x) and np.isin(x, (0, 1)).all():
                return np.asarray(x).astype(np.bool_), 1 - i
    return None


def compact(mask: ndarray, ndim: int) -> ndarray:
    """The mask with ndim axes, those along which it does not change cut to length 1."""
    mask = mask.reshape((1,) * (ndim - mask.ndim) + mask.shape)
    for axis, size in enumerate(mask.shape):
        if size > 1:
            first = mask.take([0], axis)
            if (mask == first).all():
                mask = first
    return mask


def by_sequence(updates: Iterable[tuple[Hashable, int, Update]], turns: int) -> set[Node]:
    """The updates whose masks tell sequences apart, not the units of a state.

    Such a mask changes along one axis: the first one, which is the batch, or another one if it
    only ever ends sequences (or only begins them), as padding does. The mask of zoneout, or of a
    clockwork RNN, does not.

    Args:
        updates: each with what it has in common with those of other steps, and its turn.
        turns: how many there are.
    """
    groups: dict[Hashable, dict[int, Update]] = defaultdict(dict)
    for kind, turn, update in updates:
        groups[kind][turn] = update
    found: set[Node] = set()
    for group in groups.values():
        masks = [group[turn].mask if turn in group else None for turn in range(turns)]
        if _along_batch(masks) or ends_or_begins(masks):
            found |= {update.node for update in group.values()}
    return found


def _axes(masks: Sequence[ndarray | None]) -> set[int]:
    """The axes along which some mask changes."""
    return {k for mask in masks if mask is not None for k, n in enumerate(mask.shape) if n > 1}


def _along_batch(masks: Sequence[ndarray | None]) -> bool:
    ndim = max(mask.ndim for mask in masks if mask is not None)
    return ndim > 1 and _axes(masks) <= {0}


def ends_or_begins(masks: Sequence[ndarray | None]) -> bool:
    """Whether the masks of a loop only end sequences, or only begin them.

    Args:
        masks: one for each step, None for a step of all sequences.
    """
    if len(_axes(masks)) > 1:
        return False
    ending = beginning = True
    before: Any = None
    for mask in masks:
        now: Any = np.True_ if mask is None else mask
        if before is not None:
            ending = ending and not (now & ~before).any()
            beginning = beginning and not (before & ~now).any()
        before = now
    return ending or beginning
