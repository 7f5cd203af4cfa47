"""scan: run your own step over a sequence, at the speed of a built-in layer.

The files, in reading order:

1. ``trace``: runs a step once on values without numbers and records its operations.
   ``check_trace``: checks at later calls that the step still does the same, and still closes over
   the same. ``outside_reads``: whether what it reads from outside could change within one call.
   ``python_state``: counters, lists and random generators that a step changes.
   ``inner_derivatives``: which derivatives a step may take.
2. ``ir``: the step as a program of values, and the rules that a program must keep.
3. ``derive``: the forward program, and the backward program from the operations' own rules.
4. ``passes``: each turns a program into a faster one that computes the same. ``batching``: how an
   operation that left the loop runs on all steps at once.
5. ``backends``: turn a program into a function, as NumPy calls or as machine code (``threads``
   sets the number of cores, ``blas`` cuts matrix products). ``variables``, ``names``, ``listing``
   and ``latex`` show it to people.
6. ``plan``: all of this for one step. ``cache`` keeps plans.
7. ``arguments``: checks the arguments of one call of ``scan``. ``lookup_plan``: finds its plan.
   ``run``: runs the plan, records one node, and runs it backward. ``replay``: records its
   operations instead of that node, for second derivatives and pictures. ``unroll``: the plain loop.
8. ``one_node``: ``tg.fused``, the same for one step. ``resets``: new episodes within a sequence.

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


# The types of the carry come from the cell. The caller may pass arrays instead of Tensors.
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
    """Run a step over a sequence: a compiled loop over time.

        for t in range(T):
            carry, y_t = cell(carry, x_t)

    The cell runs once, on values without numbers. Its operations are compiled, forward and
    backward, and replayed for every step. The cell may close over Tensors (weights), which get
    gradients. Every call traces the cell again, so what it closes over may change between calls;
    a compiled plan is reused. A float that changes in a sum or a product (a temperature) costs one
    more plan, not one for each value. Within a call the cell must do the same at every step: a new
    cell runs twice, and one that counts or stores something in Python runs as often as in the loop.

    Args:
        cell: ``cell(carry, x_t) -> (carry, y_t)``, a function of Tensors. The new carry has the
            structure, shapes and dtypes of the old one. Or an RNNCell, LSTMCell or GRUCell of
            ``tg.nn``: its state is the carry and its h_t is y_t.
        carry: the initial carry: a Tensor, or a nested tuple of Tensors.
        xs: (T, ...), or a nested tuple of such arrays; x_t is ``xs[t]``.
        reverse: run from the last step to the first. ``ys[t]`` still belongs to ``xs[t]``.
        lengths: (N,) integers from 1 to T, the length of each sequence in a batch. Axis 0 of every
            carry, x_t and y_t must be the batch. After the end of a sequence its carry keeps its
            value and its y_t are 0. What xs holds there, even NaN, reaches no value and no
            gradient. If a step mixes the sequences, an ended sequence takes part with its last
            carry and its last x_t.
        resets: (T, N) booleans. Where True, a new episode begins at this step, and the carry is set
            to zeros before it. Axis 0 of every carry must be the batch; (T,) resets all of the
            carry. With ``reverse`` the carry is set to zeros after the first step of an episode.
        unroll: run the cell step by step and record every operation. Use it for pictures, and for
            cells that look at values.

    Returns:
        ``(carry, ys)``: the last carry, and the y_t stacked along a new first axis. Values and
        gradients equal those of the loop up to rounding: no sum and no product is regrouped.

    Raises:
        TypeError: the cell looks at the numbers of a value (``if h > 0``, ``.item()``), draws
            random numbers, does something else when it runs again, gives a Tensor other numbers
            (``t.data = ...``), or changes the dtype of the carry.
        ValueError: the cell does not return a carry and an output; the new carry has another
            structure or shape; the xs differ in length; bad lengths or resets.

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
        from .resets import with_resets

        cell, xs = with_resets(cell, carry, xs, resets, reverse)
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

    Everything that does not depend on the carry is computed once, before the steps. What only the
    outputs or the weights' gradients need is computed once, after them. If there is a gradient to
    compute, the plan also shows the backward pass, derived from the operations' rules.

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
    from .run import make_plan

    return make_plan(*_as_step(cell, carry, xs), reverse, lengths)


def _as_step(cell: Any, carry: Any, xs: Any) -> tuple[Any, Any, Any]:
    """The cell, carry and xs to scan. A cell of ``tg.nn`` is called as ``cell(x, state)``, so its
    ``as_step`` gives the step.
    """
    as_step = getattr(cell, "as_step", None)
    return (cell, carry, xs) if as_step is None else as_step(carry, xs)


def fused(step: Callable[_P, _R]) -> Callable[_P, _R]:
    """Make a step one node of the graph, for a loop that you write yourself.

        for t, x_t in tg.steps(xs):
            h = step(h, x_t)            # step = tg.fused(step)

    The step is traced and compiled, forward and backward, as :func:`scan` does with a cell. Every
    call traces it again, so what it closes over may change between calls. The gradients of matrices
    are deferred to the end of the backward sweep:

        dL/dW = sum_t dz_t' x_t    over all calls: one product of stacked rows, not T small ones

    Args:
        step: a function of Tensors, or nested tuples of Tensors, that returns a Tensor or a
            nested tuple of Tensors. It may close over Tensors (weights): they get their gradients.

    Returns:
        A function with the step's arguments and results. Pictures, second derivatives and
        ``tg.detect_anomaly`` see the operations inside.

    Raises:
        TypeError: ``step`` is not a function. When it is called: the step looks at the numbers of a
            value, or returns anything but Tensors; or an argument is not a Tensor or an array. A
            step may draw random numbers from a generator that it closes over: each call draws anew.
            Others are refused.

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
