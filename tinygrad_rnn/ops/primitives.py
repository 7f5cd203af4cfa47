"""The primitives of the operations, for code that looks for them in a graph or in a program.

    if node.primitive is primitives.matmul: ...

Compare them by identity, never by name: a user's operation may also be called "matmul". Facts
about any operation (is it a view, linear, a movement of elements?) are traits of its
:class:`~tinygrad_rnn.graph.Primitive`. This file lists only the operations that a compiler pass or
a picture treats specially.
"""

from __future__ import annotations

from typing import Any

from ..graph import Primitive
from . import elementwise, indexing, logic, products, reductions, shaping, sorting


def _of(operation: Any) -> Primitive:
    primitive: Primitive = operation.primitive
    return primitive


# arithmetic and choices
add = _of(elementwise.add)
subtract = _of(elementwise.subtract)
multiply = _of(elementwise.multiply)
divide = _of(elementwise.divide)
power = _of(elementwise.power)
positive = _of(elementwise.positive)
negative = _of(elementwise.negative)
abs = _of(elementwise.abs)
maximum = _of(elementwise.maximum)
minimum = _of(elementwise.minimum)
where = _of(elementwise.where)

# comparisons and logic
equal = _of(logic.equal)
not_equal = _of(logic.not_equal)
less = _of(logic.less)
greater_equal = _of(logic.greater_equal)
logical_and = _of(logic.logical_and)

# exponentials, roots and circular functions
exp = _of(elementwise.exp)
log = _of(elementwise.log)
sqrt = _of(elementwise.sqrt)
square = _of(elementwise.square)
sin = _of(elementwise.sin)
cos = _of(elementwise.cos)
tanh = _of(elementwise.tanh)
sigmoid = _of(elementwise.sigmoid)

# parts, shapes and dtypes
getitem = _of(indexing._getitem)
place = _of(indexing._place)
gather = _of(indexing._gather)
scatter = _of(indexing._scatter)
embedding = _of(indexing.embedding)
rows_added = _of(indexing._rows_added)
take_along = _of(sorting._take_along)
add_along = _of(sorting._add_along)
reshape = _of(shaping.reshape)
transpose = _of(shaping.transpose)
squeeze = _of(shaping.squeeze)
expand_dims = _of(shaping.expand_dims)
broadcast_to = _of(shaping.broadcast_to)
sum_to = _of(shaping.sum_to)
astype = _of(shaping._astype)
stack = _of(shaping._stack)
concatenate = _of(shaping._concatenate)
pad = _of(shaping._pad)

# reductions and products
sum = _of(reductions.sum)
mean = _of(reductions.mean)
prod = _of(reductions.prod)
max = _of(reductions.max)
min = _of(reductions.min)
cumsum = _of(reductions.cumsum)
cumprod = _of(reductions.cumprod)
softmax = _of(reductions.softmax)
log_softmax = _of(reductions.log_softmax)
matmul = _of(products.matmul)
linear = _of(products.linear)
einsum = products._einsum
