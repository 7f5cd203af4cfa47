"""tinygrad_rnn: understand, check and run recurrent networks.

A reverse-mode autograd engine in NumPy. Operations on Tensors build a graph of what was computed;
``backward`` walks it back; pictures, per-step gradients and the checking suite read the same graph.

    import tinygrad_rnn as tg

    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    tg.tanh(x * 2).sum().backward()
    x.grad

The rooms, each importing only from those before it: ``graph`` (what is recorded), ``ops`` (every
operation beside its derivative), ``backprop`` (the reverse sweep), ``tensor`` (operators and
NumPy's protocols), ``scan`` (a step compiled into a loop), ``nn``, ``optim``, ``data``, ``files``
(a file is written completely or not at all), ``io``, ``text``, ``distributed`` (more than one
process), ``bptt`` (the gradient's way back through time), ``viz``, ``testing``, ``onnx`` (models
for other runtimes) and ``app`` (the command line). The docstring of a room says what each of its
files does.

The import lets the allocator keep freed memory (``graph.keep_freed_memory``), unless the
environment variable ``TINYGRAD_RNN_ALLOCATOR`` is ``system``.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

from . import ops
from .backprop import checkpoint, grad, hessian, hvp, jacobian, jvp, value_and_grad
from .graph import (
    backend,
    detect_anomaly,
    keep_freed_memory,
    no_grad,
    primitive,
    scope,
    steps,
)
from .graph.elsewhere import hint, of_the_module
from .ops import *  # noqa: F403
from .scan import fused, scan, scan_plan
from .scan.threads import get_num_threads, set_num_threads
from .tensor import Tensor, from_dlpack

if os.environ.get("TINYGRAD_RNN_ALLOCATOR") != "system":
    keep_freed_memory()

del tensor  # type: ignore[name-defined] # noqa: F821  (the room; torch.tensor is tg.Tensor here)

if TYPE_CHECKING:
    from . import bptt as bptt
    from . import data as data
    from . import distributed as distributed
    from . import io as io
    from . import nn as nn
    from . import onnx as onnx
    from . import optim as optim
    from . import testing as testing
    from . import text as text
    from . import viz as viz
    from .app.checkpoints import load_model as load_model
    from .app.training import train as train
    from .bptt import activations as activations
    from .bptt import grads_by_step as grads_by_step
    from .io import load as load
    from .io import save as save
    from .nn.pytorch import from_torch as from_torch
    from .nn.pytorch import to_torch as to_torch
    from .viz import draw as draw
    from .viz import gradient_flow as gradient_flow
    from .viz import heat_map as heat_map
    from .viz.compare import compare as compare

# What not every program uses is imported when it is first asked for. The lines above tell type
# checkers and editors the same.
_rooms = {"bptt", "data", "distributed", "io", "nn", "onnx", "optim", "testing", "text", "viz"}
_elsewhere = {
    "activations": "bptt",
    "compare": "viz",
    "draw": "viz",
    "from_torch": "nn.pytorch",
    "gradient_flow": "viz",
    "grads_by_step": "bptt",
    "heat_map": "viz",
    "load": "io",
    "load_model": "app.checkpoints",
    "save": "io",
    "to_torch": "nn.pytorch",
    "train": "app.training",
}


if not TYPE_CHECKING:  # to a type checker every name would exist

    def __getattr__(name: str) -> Any:
        if name in _rooms:
            return importlib.import_module(f"{__name__}.{name}")
        if name in _elsewhere:
            found = getattr(importlib.import_module(f"{__name__}.{_elsewhere[name]}"), name)
            globals()[name] = found  # Python finds it without this function from now on
            return found
        raise AttributeError(
            f"module {__name__!r} has no attribute {name!r}{hint(of_the_module, name)}"
        )


def __dir__() -> list[str]:
    return sorted({*globals(), *_rooms, *_elsewhere})


__all__ = [
    "Tensor",
    "backend",
    "checkpoint",
    "detect_anomaly",
    "from_dlpack",
    "fused",
    "get_num_threads",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "no_grad",
    "primitive",
    "scan",
    "scan_plan",
    "scope",
    "set_num_threads",
    "steps",
    "value_and_grad",
    *ops.__all__,
]
__version__ = "0.1.0"
