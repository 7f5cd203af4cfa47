"""ONNX: models for other runtimes, and models from there (``pip install 'tinygrad_rnn[onnx]'``).

The files, in the order in which to read them:

1. ``record``: a function runs once on values without numbers, and what it does is listed.
2. ``sizes``: what may depend on the sizes of dynamic axes.
3. ``build``: nodes, weights and constants of a model; ``operations``: what operations are in ONNX,
   where the name of an operator does not say it; ``recurrent``: loops over time.
4. ``exporting``: from a function and an example to a file.
5. ``loading``: from a file to a Module.
"""

from __future__ import annotations

try:
    import onnx as _onnx  # noqa: F401
except ImportError as error:
    raise ImportError(
        "tinygrad_rnn.onnx needs the package onnx: pip install 'tinygrad_rnn[onnx]'"
    ) from error

from .build import Builder, Wire
from .exporting import export, write
from .loading import Loaded, load

__all__ = ["Builder", "Loaded", "Wire", "export", "load", "write"]
