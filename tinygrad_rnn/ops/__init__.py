"""Every operation beside its derivatives, in plain NumPy.

One file for each kind, in the order in which they build on each other:

    elementwise        arithmetic, comparisons, choices, and what networks squash with
    transcendental     further exponentials, circular and hyperbolic functions
    indexing           reading parts of an array, and adding into parts of zeros
    shaping            other shapes, other orders of axes, joining and cutting
    rounding           rounding, remainders and signs
    reductions         sums, products, means and extremes along axes; the softmax family
    sorting            sorting, choosing, searching
    statistics         variance, quantiles, and the reductions that skip NaN
    padding            pad, with every mode
    assembling         NumPy's other functions that only move elements
    products           matmul, linear and einsum
    network            convolution, pooling, dropout, normalisation
    contractions       NumPy's other products
    linalg             inverses, decompositions and norms of stacks of matrices

``arrays`` and ``blocks`` hold what these share.
"""

from . import (
    assembling,
    contractions,
    elementwise,
    indexing,
    linalg,
    network,
    padding,
    products,
    reductions,
    rounding,
    shaping,
    sorting,
    statistics,
    transcendental,
)
from .arrays import shape_of
from .assembling import *  # noqa: F403
from .contractions import *  # noqa: F403
from .elementwise import *  # noqa: F403
from .indexing import *  # noqa: F403
from .network import *  # noqa: F403
from .padding import *  # noqa: F403
from .products import *  # noqa: F403
from .reductions import *  # noqa: F403
from .rounding import *  # noqa: F403
from .shaping import *  # noqa: F403
from .sorting import *  # noqa: F403
from .statistics import *  # noqa: F403
from .transcendental import *  # noqa: F403

__all__ = [
    "linalg",
    "shape_of",
    *elementwise.__all__,
    *transcendental.__all__,
    *indexing.__all__,
    *shaping.__all__,
    *rounding.__all__,
    *reductions.__all__,
    *sorting.__all__,
    *statistics.__all__,
    *padding.__all__,
    *assembling.__all__,
    *products.__all__,
    *network.__all__,
    *contractions.__all__,
]
