"""``python -m tinygrad_rnn export CHECKPOINT.npz -o model.onnx``: a trained model as ONNX.

The ONNX model takes ids and a state, and gives logits and the new state. So another program can
write text with it, symbol by symbol. The vocabulary is in the metadata of the file.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from .. import nn
from . import outputs
from .arguments import Unusable
from .checkpoints import load_model

MODEL = "model in ONNX"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoint",
        type=Path,
        metavar="CHECKPOINT.npz",
        help="a checkpoint of 'train'; - reads standard input",
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        default=Path("model.onnx"),
        metavar="MODEL.onnx",
        help="the file to write (default: %(default)s)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace an existing file of any kind"
    )


def main(args: argparse.Namespace) -> int:
    """Write the model, and print its inputs and outputs.

    Returns:
        0.

    Raises:
        Unusable: the package onnx is missing, the file is not a checkpoint, or the output would
            replace a file of another kind.
        OSError: a file cannot be read or written.
    """
    try:
        from onnx import helper

        from .. import onnx
    except ImportError as error:
        raise Unusable(str(error)) from None
    if args.out.suffix.lower() != ".onnx":
        raise Unusable(f"--out: expected a file with the suffix .onnx, got {args.out}")
    outputs.claim(args.out, MODEL, inputs=[args.checkpoint], overwrite=args.overwrite)
    model, vocabulary = load_model(args.checkpoint)
    model.eval()
    layer = model.recurrent
    names = ["h", "c"] if isinstance(layer, nn.LSTM) else ["h"]
    zeros = np.zeros((layer.num_layers, 1, layer.hidden_size), layer.dtype)
    state = (zeros, zeros) if len(names) == 2 else zeros
    firsts = [f"{name}_0" for name in names]
    exported = onnx.export(
        model,
        (np.zeros((1, 1), np.int64), state),
        names=(["ids", *firsts], ["logits", *[f"{name}_n" for name in names]]),
        dynamic_axes={"ids": {0: "T", 1: "N"}, **{name: {1: "N"} for name in firsts}},
    )
    # The mark comes last, because outputs.claim looks for it at the end of the file.
    properties = {
        "vocabulary": json.dumps(vocabulary.symbols),
        "words": json.dumps(vocabulary.words),
        "unknown": json.dumps(vocabulary.unknown),
        "written_by": f"tinygrad_rnn: {MODEL}",
    }
    helper.set_model_props(exported, properties)
    onnx.write(exported, args.out)
    print(f"wrote {args.out}")
    for title, values in (("takes", exported.graph.input), ("gives", exported.graph.output)):
        print(f"  {title}  {', '.join(_shown(value) for value in values)}")
    print(f"  vocabulary of {len(vocabulary)} symbols in its metadata, as JSON")
    return 0


def _shown(value: Any) -> str:
    """Return the name and the shape of an input or output, such as ``ids (T, N)``."""
    axes = (axis.dim_param or str(axis.dim_value) for axis in value.type.tensor_type.shape.dim)
    return f"{value.name} ({', '.join(axes)})"
