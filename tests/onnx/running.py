"""Running a model elsewhere: in onnxruntime where it is installed, else in onnx's own evaluator."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

import tinygrad_rnn as tg
from tinygrad_rnn.onnx.exporting import _as_tuples
from tinygrad_rnn.scan.arguments import flatten

RUNTIME = importlib.util.find_spec("onnxruntime") is not None


def run(model: onnx.ModelProto, *arrays: Any, runtime: bool = False) -> list[np.ndarray]:
    """The outputs of a model.

    Args:
        model: what was exported.
        *arrays: its inputs, in order; cast to the dtypes that it says.
        runtime: skip the test where onnxruntime is missing: the other evaluator knows no lengths
            and no Scan from the end.
    """
    kinds = [value.type.tensor_type.elem_type for value in model.graph.input]
    feed = {
        value.name: np.asarray(x, onnx.helper.tensor_dtype_to_np_dtype(kind))
        for value, x, kind in zip(model.graph.input, arrays, kinds, strict=True)
    }
    if not RUNTIME:
        if runtime:
            pytest.skip("onnxruntime is not installed")
        return ReferenceEvaluator(model).run(None, feed)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, feed)


def leaves(tree: Any) -> list[np.ndarray]:
    """The arrays of what a function returned."""
    found: list[Any] = []
    flatten(_as_tuples(tree), found)
    return [x.numpy() if isinstance(x, tg.Tensor) else np.asarray(x) for x in found]


def error(found: Any, expected: Any) -> float:
    """The largest difference, relative to 1 + the number; shapes and dtypes have to be equal."""
    found, expected = list(found), list(expected)
    assert [(x.shape, x.dtype) for x in found] == [(x.shape, x.dtype) for x in expected]
    worst = 0.0
    for a, b in zip(found, expected, strict=True):
        if a.dtype.kind == "f":
            worst = max(worst, float(np.max(np.abs(a - b) / (1 + np.abs(b)), initial=0)))
        else:
            assert (a == b).all()
    return worst


def called(f: Any, *arrays: Any) -> list[np.ndarray]:
    """What a function or Module returns for arrays, as plain arrays."""
    if isinstance(f, tg.nn.Module):
        f.eval()
        (dtype,) = {p.dtype for p in f.parameters()} or {None}
        arrays = tuple(
            np.asarray(a, dtype if np.asarray(a).dtype.kind == "f" else None) for a in arrays
        )
    return leaves(f(*[tg.Tensor(a) for a in arrays]))
