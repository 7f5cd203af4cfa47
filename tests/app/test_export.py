"""``export``: a trained model that another runtime writes text with."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.app.command_line import main

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("onnx") is None, reason="onnx is not installed"
)

TEXT = "to be or not to be, that is the question\n" * 30


@pytest.fixture(scope="module", params=["rnn", "lstm", "gru"])
def checkpoint(request: Any, tmp_path_factory: Any) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "text.txt").write_text(TEXT)
    tg.train(
        folder / "text.txt", folder / "m.npz", cell=request.param, hidden=8, layers=2, batch=4,
        bptt=8, steps=20,
    )  # fmt: skip
    return folder / "m.npz"


def test_text_is_written_step_by_step_elsewhere(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import onnx

    from tests.onnx.running import run

    out = tmp_path / "model.onnx"
    assert main(["export", str(checkpoint), "-o", str(out)]) == 0
    assert "takes  ids (T, N), h_0 (2, N, 8)" in capsys.readouterr().out
    model = onnx.load(out)
    properties = {p.key: p.value for p in model.metadata_props}
    symbols = json.loads(properties["vocabulary"])
    states = [np.zeros((2, 1, 8), np.float32) for _ in model.graph.input[1:]]
    written, ids = "to b", np.array([[symbols.index(c)] for c in "to b"])
    for _ in range(40):
        logits, *states = run(model, ids, *states)
        symbol = int(logits[-1, 0].argmax())
        written, ids = written + symbols[symbol], np.array([[symbol]])
    arguments = ["sample", str(checkpoint), "--greedy", "--prompt", "to b", "--length", "40"]
    assert main(arguments) == 0
    assert written.strip() == capsys.readouterr().out.strip()


def test_nothing_else_is_written_over(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model.onnx"
    command = ["export", str(checkpoint), "-o", str(out)]
    assert main(command) == main(command) == 0  # its own it replaces
    out.write_text("something else")
    assert main(command) == 2
    assert "exists, and was not written by this command" in capsys.readouterr().err
    assert out.read_text() == "something else"
    assert main([*command, "--overwrite"]) == 0
    assert main(["export", str(checkpoint), "-o", str(tmp_path / "model.txt")]) == 2
    assert "suffix .onnx, got" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "missing.npz"), "-o", str(tmp_path / "n.onnx")]) == 2
    assert not (tmp_path / "n.onnx").exists()
