"""The library's own cases: one row for each operation.

A row says where the operation is defined, where it bends, and on which shapes it is tried;
:meth:`Row.cases` fills these with random numbers of the domain. A primitive without a row fails
the suite.

    Row("log", [call((3, 3)), call(())], domain=(0.3, 2))
    Row("maximum", [call((3, 3), (3,))], distinct=True, points=[...])

What NumPy has too is best written for any namespace; the values are then compared with NumPy's:

    Row("roll", [of(lambda xp, x: xp.roll(x, 2, axis=-1), (2, 3))])

One file for each kind of operation.
"""

from __future__ import annotations

from tinygrad_rnn.graph import table

from . import applying, elementwise, linalg, moving, products, reductions
from .equivalent import equivalent
from .row import Call, Point, Row, call, of

__all__ = ["Call", "Point", "Row", "call", "compositions", "equivalent", "of", "rows"]

#: Every row by name: the primitives of ``graph.table`` and the functions written in them.
rows: dict[str, Row] = {
    row.name: row
    for kind in (elementwise, moving, reductions, products, applying, linalg)
    for row in kind.rows
}

#: Functions written in other operations, which have no rule of their own.
compositions = tuple(name for name in rows if name not in table)
