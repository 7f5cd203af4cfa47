"""The computation graph: what an operation leaves behind when it is recorded.

Every operation of this library is a *primitive*: a NumPy function beside the rules that
differentiate it. Called on ndarrays it is that NumPy function and nothing else. Called on at
least one Tensor that a gradient has to reach, it also leaves a :class:`Node`:

    y = tanh(x)      y.node = Node(tanh, parents=(x.node,), arrays=(x's array,), output=y's array)

A node points at what it was computed *from*, never at what was computed from it nor at the
Tensor that stands for it, so a graph has no cycles: when the last Tensor of it goes, reference
counting frees all of it at once.

Everything else in the library is a walk over these nodes: backward sends cotangents along
``parents`` from the newest node to the oldest, drawing prints the very same list.

The files, in reading order:

1. ``nodes``: a node, and where in the program it was made. ``ancestors`` gives the order in which
   backward visits nodes.
2. ``primitives``: an operation, its rules, and all else that is known of it. ``batching``: how it
   runs for all time steps in one call.
3. ``recording``: what a call of an operation does.
4. ``scopes``: the state of a thread. Does it record (``no_grad``)? Does it look for NaN
   (``detect_anomaly``)? At which module and time step is it (``scope``, ``steps``)?
5. ``decorators``: how the operations of the room ``ops`` are written, and a user's own.
6. ``errors``: the messages for wrong arguments and for NaN. ``writes``: for writing into a Tensor.
   ``elsewhere``: for a name that another library uses. ``lengths``: the check of ``lengths``.
7. ``memory``: what the import does to the allocator.
"""

from .batching import BatchRule, Blocks, Operand
from .decorators import (
    differentiable,
    elementwise,
    nondifferentiable,
    primitive,
    variadic,
)
from .errors import (
    check_finite,
    composed,
    describe,
    explained,
    located,
    numbers,
    numeric,
    raise_as,
)
from .lengths import check_form_of_lengths, checked_lengths
from .memory import keep_freed_memory
from .nodes import Node, Scope, Value, ancestors, next_number
from .primitives import (
    ALL,
    OUT,
    Argument,
    Array,
    ForEach,
    Primitive,
    Rule,
    Traits,
    pick,
    same,
    table,
)
from .recording import (
    apply,
    attach,
    leaf,
    may_be_written,
    python_scalars,
    read_only,
    record,
    refuse_without_rule,
    set_tensor_class,
)
from .scopes import (
    BACKENDS,
    backend,
    current,
    detect_anomaly,
    enable_grad,
    in_scope,
    no_grad,
    scope,
    steps,
    traced,
)

__all__ = [
    "ALL",
    "BACKENDS",
    "OUT",
    "Argument",
    "Array",
    "BatchRule",
    "Blocks",
    "ForEach",
    "Node",
    "Operand",
    "Primitive",
    "Rule",
    "Scope",
    "Traits",
    "Value",
    "ancestors",
    "apply",
    "attach",
    "backend",
    "check_finite",
    "check_form_of_lengths",
    "checked_lengths",
    "composed",
    "current",
    "describe",
    "detect_anomaly",
    "differentiable",
    "elementwise",
    "enable_grad",
    "explained",
    "in_scope",
    "keep_freed_memory",
    "leaf",
    "located",
    "may_be_written",
    "next_number",
    "no_grad",
    "nondifferentiable",
    "numbers",
    "numeric",
    "pick",
    "primitive",
    "python_scalars",
    "raise_as",
    "read_only",
    "record",
    "refuse_without_rule",
    "same",
    "scope",
    "set_tensor_class",
    "steps",
    "table",
    "traced",
    "variadic",
]
