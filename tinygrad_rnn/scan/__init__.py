"""scan: a step of one's own, run over a sequence at the speed of a built-in layer.

The files, in the order in which to read them:

1. ``trace``: a step runs once on values without numbers, and what it does is written down;
   ``follow``: later calls only look whether it still does that; ``seen``: what it reads from
   outside; ``asked``: which derivatives a step may take.
2. ``ir``: what it did as a program of values, and what a program may be.
3. ``derive``: that program, and the program of its backward, from the operations' own rules.
4. ``passes``: a program becomes one that does the same in less time.
5. ``backends``: a program becomes a function, by NumPy's calls or as machine code (``threads``
   says on how many cores). ``names`` and ``listing`` show it to people.
6. ``plan``: all of this for one step; ``cache`` keeps plans.
7. ``call``: the arguments of one call of ``scan``; ``unroll``: the loop as it is written; ``find``:
   the plan for it; ``run``: from there to a node of the graph, and back.

They are imported when a scan is first called.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..tensor import Tensor
    from .plan import Plan

_P = ParamSpec("_P")
_R = TypeVar("_R")
_Carry = TypeVar("_Carry")
_Tuple = TypeVar("_Tuple", bound=tuple[Any, ...])
_Y = TypeVar("_Y")


# The cell says what its carry is; what is given may be arrays in the place of Tensors.
@overload
def scan(
    cell: Callable[[_Carry, Any], tuple[_Carry, _Y]],
    carry: _Carry,
    xs: Any,
    *,
    reverse: bool = ...,
    lengths: Any = ...,
    resets: Any = ...,
    unroll: bool = ...,
) -> tuple[_Carry, _Y]: ...
@overload
def scan(
    cell: Callable[[Tensor, Any], tuple[Tensor, _Y]],
    carry: ArrayLike,
    xs: Any,
    *,
    reverse: bool = ...,
    lengths: Any = ...,
    resets: Any = ...,
    unroll: bool = ...,
) -> tuple[Tensor, _Y]: ...
@overload
def scan(
    cell: Callable[[_Tuple, Any], tuple[_Tuple, _Y]],
    carry: tuple[Any, ...],
    xs: Any,
    *,
    reverse: bool = ...,
    lengths: Any = ...,
    resets: Any = ...,
    unroll: bool = ...,
) -> tuple[_Tuple, _Y]: ...
def scan(
    cell: Callable[[Any, Any], tuple[Any, Any]],
    carry: Any,
    xs: Any,
    *,
    reverse: bool = False,
    lengths: Any = None,
    resets: Any = None,
    unroll: bool = False,
) -> tuple[Any, Any]:
    """Run a step over a sequence: a loop over time, compiled.

        for t in range(T):
            carry, y_t = cell(carry, x_t)

    The cell is run once, on values without numbers; what it does is compiled, forward and
    backward, and replayed for every step. It may close over Tensors (weights): they get their
    gradients. Every call runs the cell anew, so that whatever it closes over may change between
    calls; a plan once compiled is found again.

    Args:
        cell: ``cell(carry, x_t) -> (carry, y_t)``, a function of Tensors. The new carry has the
            structure, shapes and dtypes of the old one. Or an RNNCell, LSTMCell or GRUCell of
            ``tg.nn``, with its state as the carry and its h_t as y_t.
        carry: the initial one: a Tensor, or a nested tuple of Tensors.
        xs: (T, ...), or a nested tuple of such; x_t is their part at step t.
        reverse: from the last step to the first; y_t stays at the place of x_t.
        lengths: (N,) integers from 1 to T, of the sequences in a batch; axis 0 of every carry,
            x_t and y_t is then the batch. Past the end of a sequence its carry stands still, its
            y_t are 0, and what xs holds there, even NaN, reaches no value and no gradient. If a
            step mixes the sequences, those that are over take part in it with their last carry and
            their last x_t.
        resets: (T, N) booleans: where True, another episode begins at this step, and the carry is
            zeros before it. Axis 0 of every carry is then the batch; (T,) resets all of the carry.
            With ``reverse`` the carry is zeros after the first step of an episode has been run.
        unroll: run the cell step by step and record every operation: for pictures, and for cells
            that look at values.

    Returns:
        ``(carry, ys)``: the last carry, and the y_t stacked along a new first axis. These and all
        gradients are the loop's, to rounding: no sum and no product is regrouped.

    Raises:
        TypeError: the cell looks at the numbers of a value (``if h > 0``, ``.item()``), draws
            random numbers, or changes the dtype of the carry.
        ValueError: the cell returns something else than a carry and an output, or a carry of
            another structure or shape; the xs differ in length; bad lengths or resets.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> W = tg.Tensor([[0.5]], requires_grad=True)
    >>> def cell(h, x_t):
    ...     h = tg.tanh(x_t + h @ W)
    ...     return h, h
    >>> h, ys = tg.scan(cell, tg.Tensor([0.0]), np.ones((3, 1)))
    >>> ys.shape
    (3, 1)
    >>> h.sum().backward()
    >>> W.grad.shape
    (1, 1)
    """
    from .run import run

    cell, carry, xs = _as_step(cell, carry, xs)
    if resets is not None:
        from .resets import resetting

        cell, xs = resetting(cell, carry, xs, resets, reverse)
    return run(cell, carry, xs, reverse, lengths, unroll)


def scan_plan(
    cell: Callable[[Any, Any], tuple[Any, Any]],
    carry: Any,
    xs: Any,
    *,
    reverse: bool = False,
    lengths: Any = None,
) -> Plan:
    """See how :func:`scan` runs a step, without running it.

    What does not depend on the carry is done once, before the steps; what only the outputs or the
    weights' gradients need, once after them. The same of the backward pass, which was derived from
    the operations' rules, if there is a gradient to compute.

    Args:
        cell, carry, xs, reverse, lengths: as for :func:`scan`.

    Returns:
        The plan: ``print`` lists it, ``tg.draw(plan)`` draws it.

    Raises:
        TypeError, ValueError: as :func:`scan` does.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> W = tg.Tensor([[0.5]], requires_grad=True, name="W")
    >>> def cell(h, x_t):
    ...     h = tg.tanh(x_t + h @ W)
    ...     return h, h
    >>> with tg.backend("numpy"), tg.no_grad():  # the forward pass alone
    ...     print(tg.scan_plan(cell, np.zeros((1, 1)), np.ones((3, 1, 1))))
    numpy back end
    forward, before the steps:
        nothing
    forward, at every step:
        v1 = h @ W      float64 (1, 1)
        v2 = x_t + v1   float64 (1, 1)
        v3 = tanh(v2)   float64 (1, 1)
    forward, after the steps:
        nothing
    """
    from .run import planned

    return planned(*_as_step(cell, carry, xs), reverse, lengths)


def _as_step(cell: Any, carry: Any, xs: Any) -> tuple[Any, Any, Any]:
    """A cell of ``tg.nn`` is called the other way round, and says itself how it is a step."""
    as_step = getattr(cell, "as_step", None)
    return (cell, carry, xs) if as_step is None else as_step(carry, xs)


def fused(step: Callable[_P, _R]) -> Callable[_P, _R]:
    """Make one node of the graph of a step that is called in a loop of one's own.

        for t, x_t in tg.steps(xs):
            h = step(h, x_t)            # step = tg.fused(step)

    The step is run once on values without numbers, as :func:`scan` runs a cell, and what it does
    is compiled, forward and backward. Every call runs it anew in this way, so that whatever it
    closes over may change between calls. The gradients of matrices are put off to the end of the
    backward sweep:

        dL/dW = sum_t dz_t' x_t    over all calls: one product of stacked rows, not T small ones

    Args:
        step: a function of Tensors, or nested tuples of Tensors, that returns a Tensor or a
            nested tuple of Tensors. It may close over Tensors (weights): they get their gradients.

    Returns:
        A function with the step's arguments and results. Pictures, second derivatives and
        ``tg.detect_anomaly`` see the operations inside.

    Raises:
        TypeError: ``step`` is no function. When it is called: the step looks at the numbers of a
            value, draws random numbers, or returns something else than Tensors; or an argument is
            no Tensor or array.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> W = tg.Tensor([[0.5]], requires_grad=True)
    >>> step = tg.fused(lambda h, x_t: tg.tanh(x_t + h @ W))
    >>> h = tg.Tensor([[0.0]])
    >>> for t, x_t in tg.steps(np.ones((3, 1, 1))):
    ...     h = step(h, x_t)
    >>> h.sum().backward()
    >>> W.grad.shape
    (1, 1)
    """
    if not callable(step):
        raise TypeError(f"fused: expected a function, got {type(step).__name__}")

    @functools.wraps(step)
    def call(*args: _P.args, **keywords: _P.kwargs) -> _R:
        from .one_node import one_node

        if keywords:
            raise TypeError(f"fused: arguments go by position, got {', '.join(keywords)}")
        return one_node(step, args)  # type: ignore[no-any-return]

    return call


__all__ = ["fused", "scan", "scan_plan"]
