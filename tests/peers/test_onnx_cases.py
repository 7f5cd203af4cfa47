"""The cases that ONNX backends are checked with, and models of torch's, by ``tg.onnx.load``."""

from __future__ import annotations

import importlib
import io
import pkgutil
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg

pytest.importorskip("onnx")
pytestmark = pytest.mark.peers

import onnx  # noqa: E402
import onnx.backend.test.case.node as node_cases  # noqa: E402

from tinygrad_rnn.onnx.loading import OLDEST, _operators  # noqa: E402


def cases() -> Iterator[Any]:
    """Those of operators that are known here, on real numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs, of what they compute
        for module in pkgutil.iter_modules(node_cases.__path__):
            try:
                importlib.import_module(f"{node_cases.__name__}.{module.name}")
            except ImportError:  # of a package that is not installed
                continue
    for case in node_cases._NodeTestCases:
        operators = {node.op_type for node in case.model.graph.node}
        new_enough = case.model.opset_import[0].version >= OLDEST
        if new_enough and operators <= set(_operators):
            for inputs, outputs in case.data_sets:
                if all(np.asarray(x).dtype.kind in "fiub" for x in inputs):
                    yield case, inputs, outputs


def test_the_cases_of_onnx_are_right_or_refused_by_node() -> None:
    right, operators = 0, set()
    for case, inputs, outputs in cases():
        try:
            with np.errstate(all="ignore"):  # some divide by 0
                made = tg.onnx.load(case.model)(*inputs)
        except ValueError as refused:
            message = str(refused)
            named = "node '" in message or "is no tensor" in message
            if not named:
                raise
            continue
        found = made if isinstance(made, tuple) else (made,)
        for y, expected in zip(found, outputs, strict=True):
            assert (y.shape, y.dtype) == (expected.shape, expected.dtype), case.name
            rough = expected.dtype == np.float16
            np.testing.assert_allclose(
                y.data.astype(float),
                expected.astype(float),
                rtol=1e-3 if rough else 1e-5,
                atol=1e-3 if rough else 1e-6,
                err_msg=case.name,
            )
            right += 1
        operators |= {node.op_type for node in case.model.graph.node}
    assert right > 700
    assert {"RNN", "LSTM", "GRU", "Gemm", "MatMul", "Softmax", "Gather"} <= operators


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_a_model_of_torchs(kind: str) -> None:
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(9, 5)
            self.layer = getattr(torch.nn, kind)(5, 4, num_layers=2, bidirectional=True)
            self.out = torch.nn.Linear(8, 3)

        def forward(self, ids: Any) -> Any:
            y, _ = self.layer(self.embedding(ids))
            return torch.log_softmax(self.out(torch.relu(y)), -1)

    torch.manual_seed(0)
    net, ids = Net().eval(), torch.randint(0, 9, (6, 3))
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this exporter is the older one
        torch.onnx.export(net, (ids,), file, dynamo=False, opset_version=17)
    model = tg.onnx.load(onnx.load_model_from_string(file.getvalue()))
    y = model(ids.numpy())
    np.testing.assert_allclose(y.data, net(ids).detach().numpy(), atol=1e-6)
    y.sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert tg.onnx.export(model, ids.numpy()).graph.node
