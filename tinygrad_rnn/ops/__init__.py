"""Every operation with its derivatives, in plain NumPy.

There is one file for each kind, in the order in which they build on each other:

    logic              comparisons, and logic of booleans
    elementwise        arithmetic, choices, and the nonlinearities of networks
    transcendental     more exponentials, circular and hyperbolic functions
    special            functions that NumPy lacks, such as the error function
    indexing           reading parts of an array, and adding into parts of zeros
    shaping            other shapes, other orders of axes, joining and cutting
    rounding           rounding, remainders and signs
    reductions         sums, products, means and extremes along axes; the softmax family
    sorting            sorting, choosing and searching
    statistics         variance, averages, quantiles
    nan_statistics     the reductions that skip NaN
    joining            lists of arrays as one, and their dimensions
    repeating          the same elements again, or in another order
    cutting            parts, diagonals and triangles
    differences        differences of neighbours, integrals
    padding            pad, with every mode
    products           matmul, linear and einsum
    network            convolution, pooling, dropout, normalisation
    contractions       NumPy's other products
    polynomials        NumPy's older functions of coefficients
    applying           the user's functions on parts of arrays; ranges
    linalg             inverses, decompositions, determinants and norms of stacks of matrices
                       (``inverses``, ``decompositions``, ``determinants``, ``norms``)

``arrays`` and ``blocks`` hold helpers for all of them. ``primitives`` lists the operations that a
compiler pass or a picture treats by itself.
"""

from . import (
    applying,
    contractions,
    cutting,
    differences,
    elementwise,
    indexing,
    joining,
    linalg,
    logic,
    nan_statistics,
    network,
    padding,
    polynomials,
    products,
    reductions,
    repeating,
    rounding,
    shaping,
    sorting,
    special,
    statistics,
    transcendental,
)
from .applying import *  # noqa: F403
from .arrays import shape_of
from .contractions import *  # noqa: F403
from .cutting import *  # noqa: F403
from .differences import *  # noqa: F403
from .elementwise import *  # noqa: F403
from .indexing import *  # noqa: F403
from .joining import *  # noqa: F403
from .logic import *  # noqa: F403
from .nan_statistics import *  # noqa: F403
from .network import *  # noqa: F403
from .padding import *  # noqa: F403
from .polynomials import *  # noqa: F403
from .products import *  # noqa: F403
from .reductions import *  # noqa: F403
from .repeating import *  # noqa: F403
from .rounding import *  # noqa: F403
from .shaping import *  # noqa: F403
from .sorting import *  # noqa: F403
from .special import *  # noqa: F403
from .statistics import *  # noqa: F403
from .transcendental import *  # noqa: F403

__all__ = [
    "linalg",
    "shape_of",
    *logic.__all__,
    *elementwise.__all__,
    *transcendental.__all__,
    *special.__all__,
    *indexing.__all__,
    *shaping.__all__,
    *rounding.__all__,
    *reductions.__all__,
    *sorting.__all__,
    *statistics.__all__,
    *nan_statistics.__all__,
    *joining.__all__,
    *repeating.__all__,
    *cutting.__all__,
    *differences.__all__,
    *padding.__all__,
    *products.__all__,
    *network.__all__,
    *contractions.__all__,
    *polynomials.__all__,
    *applying.__all__,
]
