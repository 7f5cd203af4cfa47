"""ONNX: models for other runtimes, and models from there (``pip install 'tinygrad_rnn[onnx]'``).

Read the files in this order:

1. ``record`` runs a function once on values without numbers, and lists its operations.
2. ``sizes`` compares such lists for several sizes of the dynamic axes.
3. ``build`` makes the nodes, weights and constants of a model. ``operators`` has the ONNX form of
   operations that are more than one operator, and ``recurrent`` that of loops over time.
4. ``exporting`` makes a file from a function and an example.
5. ``loading`` makes a Module from a file; ``running`` runs its nodes RNN, LSTM and GRU.
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
