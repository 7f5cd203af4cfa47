"""Masked steps: after a sequence's end, its state stays the same.

A batch of sequences of several lengths runs through one loop with

    h_t = where(mask_t, new_t, h_{t-1})        or     mask_t * new_t + (1 - mask_t) * h_{t-1}

The step of a sequence computes ``new_t``. The operations around it only carry older values on, so
they are not steps themselves: the state of step t is ``new_t`` where the mask is True.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from ..graph import Node
from ..ops import primitives
from .steps import Loop, Role, Steps, TimeStep, Update, equal

_add, _multiply, _where = primitives.add, primitives.multiply, primitives.where


def find_masks(steps: Steps) -> None:
    """Find the masks, and drop the steps after the end of all sequences."""
    _find_masks(steps)
    _drop_what_is_over(steps)


def _find_masks(steps: Steps) -> None:
    """Find the operations that only keep the old state, or set an output to 0.

    An update with a constant as its old value is taken only if it looks like one of the
    others, or its constant is the state's initial value. A zeroed output is taken only if the
    time step has the same mask, or if its own masks only end or begin sequences.
    """
    crosses, exits = set(steps.crossing), {*steps.crossing, *steps.leaving}
    number = {time_step: n for loop in steps.loops for n, time_step in enumerate(loop.time_steps)}
    updates: dict[Loop, list[tuple[Role, int, Update]]] = defaultdict(list)
    first: list[Update] = []  # the updates whose old value is a constant
    for node, time_step in steps.time_step.items():
        if node.primitive is _where or node.primitive is _add:
            update = update_at(node, _inside(steps, time_step))
            if update is not None:
                taker, i = update.old
                if taker.parents[i] in crosses:
                    updates[time_step.loop].append((steps.role[node], number[time_step], update))
                elif node in exits:
                    first.append(update)
    for update in first:
        time_step, role = steps.time_step[update.node], steps.role[update.node]
        if _is_first_state(steps, update) or any(role == r for r, *_ in updates[time_step.loop]):
            updates[time_step.loop].append((role, number[time_step], update))
    for loop, candidates in updates.items():
        kept = by_sequence(candidates, len(loop.time_steps))
        steps.updates |= {update.node: update for *_, update in candidates if update.node in kept}
    steps.masks_at = defaultdict(list)
    for node, update in steps.updates.items():
        steps.masks_at[steps.time_step[node]].append(update.mask)

    steps.unmasked = {node: update.new for node, update in steps.updates.items()}
    unknown: dict[Loop, dict[TimeStep, list[Update]]] = defaultdict(lambda: defaultdict(list))
    states = {steps.role[steps.core(node)] for node in steps.crossing}
    inner = [
        node
        for node in steps.time_step
        if node.primitive is _where and _role(steps, node.parents[1]) in states
    ]
    for node in dict.fromkeys([*steps.leaving, *inner]):
        time_step = steps.time_step[node]
        output = zeroed_at(node, _inside(steps, time_step))
        if output is None or node in steps.updates:
            continue
        if time_step not in steps.masks_at:
            unknown[time_step.loop][time_step].append(output)
        elif any(
            equal(mask.squeeze(), output.mask.squeeze()) for mask in steps.masks_at[time_step]
        ):
            steps.output_masks[node], steps.unmasked[node] = output.mask, output.new
    for loop, by_time_step in unknown.items():  # steps whose mask shows only in an output
        masks = {time_step: outputs[0].mask for time_step, outputs in by_time_step.items()} | {
            time_step: steps.masks_at[time_step][0]
            for time_step in loop.time_steps
            if time_step in steps.masks_at
        }
        if ends_or_begins([masks.get(time_step) for time_step in loop.time_steps]):
            for time_step, outputs in by_time_step.items():
                steps.masks_at[time_step].append(masks[time_step])
                for update in outputs:
                    if equal(update.mask.squeeze(), masks[time_step].squeeze()):
                        steps.output_masks[update.node] = update.mask
                        steps.unmasked[update.node] = update.new
    steps.helpers = {n for update in steps.updates.values() for n in update.helpers}
    steps.helpers |= steps.output_masks.keys()
    for node in steps.updates:
        steps.carriers[steps.core(node)].append(node)


def _inside(steps: Steps, time_step: TimeStep) -> Callable[[Any], bool]:
    return lambda parent: steps.time_step.get(parent) is time_step


def _role(steps: Steps, parent: Any) -> Role | None:
    return steps.role.get(parent)


def _is_first_state(steps: Steps, update: Update) -> bool:
    """Whether the old value, which this loop did not compute, is the step's initial state."""
    taker, i = update.old
    if update.node.primitive is _add:
        return True
    old, x = taker.parents[i], taker.arrays[i]
    others = (n for n in steps.members[steps.time_step[update.node]] if n not in update.helpers)
    return isinstance(old, Node) or any(x is y for node in others for y in node.arrays)


def _drop_what_is_over(steps: Steps) -> None:
    """Drop the steps after the end of all sequences: their values are never used."""
    exits: dict[TimeStep, list[Node]] = defaultdict(list)
    for node in (*steps.crossing, *steps.leaving):
        exits[steps.time_step[node]].append(node)
    over = {
        time_step
        for time_step, masks in steps.masks_at.items()
        if not any(mask.any() for mask in masks)
        and all(node in steps.helpers for node in exits[time_step])
    }
    if over == steps.members.keys():
        over = set()
    steps.over = {node for time_step in over for node in steps.members.pop(time_step)}
    for time_step in over:
        time_step.loop.time_steps.remove(time_step)
    steps.loops = [loop for loop in steps.loops if loop.time_steps]
    steps.time_step = {
        node: time_step for node, time_step in steps.time_step.items() if time_step not in over
    }
    steps.crossing = [node for node in steps.crossing if node in steps.time_step]
    steps.leaving = [node for node in steps.leaving if node in steps.time_step]


# ── one masked value ─────────────────────────────────────────────────────────────────────


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
        products = _products(node, inside)
        if products is None:
            return None
        mask, parts, helpers = products
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
    """The mask, the uses of new and old, and the operations of ``mask * new + (1 - mask) * old``.

    If the mask and the old value are both constants, their product is a constant too.
    """
    parts: list[tuple[Node, int]] = []
    helpers = [node]
    masks: list[ndarray] = []
    for i, (parent, x) in enumerate(zip(node.parents, node.arrays, strict=True)):
        factor = _mask_factor(parent) if isinstance(parent, Node) and inside(parent) else None
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
    if len(helpers) == 2:  # an initial state of zeros is a factor too, but no mask
        mask = next(m for m, (taker, _) in zip(masks, parts, strict=True) if taker is not node)
        if not mask.any() or any(size > 1 for size in mask.shape[1:]):
            return None
    first = 0 if inside(parts[0][0].parents[parts[0][1]]) else 1
    mask = masks[first]
    return mask, parts if first == 0 else parts[::-1], tuple(helpers)


def _mask_factor(node: Node) -> tuple[ndarray, int] | None:
    """The mask in a product, and the index of the other factor."""
    if node.primitive is _multiply:
        for i, (parent, x) in enumerate(zip(node.parents, node.arrays, strict=True)):
            if not isinstance(parent, Node) and np.ndim(x) and np.isin(x, (0, 1)).all():
                return np.asarray(x).astype(np.bool_), 1 - i
    return None


def compact(mask: ndarray, ndim: int) -> ndarray:
    """The mask with ndim axes, where an axis along which it does not change has length 1."""
    mask = mask.reshape((1,) * (ndim - mask.ndim) + mask.shape)
    for axis, size in enumerate(mask.shape):
        if size > 1:
            first = mask.take([0], axis)
            if (mask == first).all():
                mask = first
    return mask


# ── the masks of a loop ──────────────────────────────────────────────────────────────────


def by_sequence(updates: Iterable[tuple[Hashable, int, Update]], time_steps: int) -> set[Node]:
    """The updates whose masks select sequences of the batch, not units of a state.

    Such a mask changes along one axis only. This is the first axis (the batch), or another axis
    if the masks only end sequences, or only begin them, as padding does. The masks of zoneout and
    of a clockwork RNN select units.

    Args:
        updates: for each update a key that it shares with those of other steps, and its time step.
        time_steps: the number of time steps.
    """
    groups: dict[Hashable, dict[int, Update]] = defaultdict(dict)
    for kind, time_step, update in updates:
        groups[kind][time_step] = update
    kept: set[Node] = set()
    for group in groups.values():
        masks = [
            group[time_step].mask if time_step in group else None for time_step in range(time_steps)
        ]
        if _along_batch(masks) or ends_or_begins(masks):
            kept |= {update.node for update in group.values()}
    return kept


def _axes(masks: Sequence[ndarray | None]) -> set[int]:
    """The axes along which some mask changes."""
    return {k for mask in masks if mask is not None for k, n in enumerate(mask.shape) if n > 1}


def _along_batch(masks: Sequence[ndarray | None]) -> bool:
    ndim = max(mask.ndim for mask in masks if mask is not None)
    return ndim > 1 and _axes(masks) <= {0}


def ends_or_begins(masks: Sequence[ndarray | None]) -> bool:
    """Whether the masks of a loop only end sequences, or only begin them.

    Args:
        masks: one for each step; None for a step that all sequences have.
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
