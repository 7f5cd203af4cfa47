"""Changes of the library's rules that are no mistakes."""

from __future__ import annotations

from tinygrad_rnn.graph import Primitive
from tinygrad_rnn.ops import primitives

#: Nobody can tell these mutants from the rule, for the reason given.
equivalent: dict[tuple[Primitive, int | str, str], str] = {
    (primitives.astype, 0, "returns its cotangent as it is"): (
        "the sweep itself casts every cotangent to its input's dtype"
    ),
    (primitives.astype, "linear", "claimed in all arguments"): (
        "it is linear up to rounding, which is why it does not say so"
    ),
    (primitives.power, 0, "g * 0 -> 0 in g * (y * power(x, y - 1)) if y != 0 else g * 0"): (
        "the sweep broadcasts what an elementwise rule returns: 0 is as good as zeros"
    ),
    (primitives.linear, 1, "writes into its output"): (
        "the cotangents of a weight are worked out from stacked rows, without the output"
    ),
    (primitives.linear, 2, "writes into its output"): (
        "the cotangents of a bias are worked out from stacked rows, without the output"
    ),
}
