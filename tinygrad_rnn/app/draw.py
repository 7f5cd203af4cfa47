"""``python -m tinygrad_rnn draw``: pictures of a new net or of a trained model.

A new net runs over some steps of random input, and the loss is the mean square of its last output.
A model of ``train`` reads a text, and the picture shows the gradient of the next symbol's logit.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from .. import nn, ops
from ..graph import Value
from . import outputs
from .arguments import (
    STANDARD,
    Unusable,
    add_encoding,
    refuse_given,
    refuse_if_too_large,
    text_option,
    whole,
    words_given,
)
from .checkpoints import known, load_model
from .outputs import died

CELLS: dict[str, Any] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
#: The sizes of a new net: the name in ``--help``, the default, and the meaning.
SIZES = {
    "steps": ("T", 6, "time steps"),
    "hidden": ("H", 8, "units in a layer"),
    "input": ("D", 4, "length of the random input"),
    "layers": ("L", 1, "recurrent layers"),
}
FLOW = (".svg", ".html", ".png", ".pdf", ".gif", ".tex", ".tikz")
GRAPH_ONLY = ("detail", "values", "grads", "max_steps")
PICTURE = "picture"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoint",
        nargs="?",
        type=Path,
        metavar="CHECKPOINT.npz",
        help="a checkpoint of 'train' (- reads standard input); without it, a new net with random "
        "weights is drawn",
    )
    trained = parser.add_argument_group("a trained model")
    trained.add_argument(
        "--text",
        type=words_given,
        help="the text to read, one time step for each symbol; - reads standard input",
    )
    trained.add_argument(
        "--target",
        type=words_given,
        metavar="SYMBOL",
        help="show the gradient of this symbol's logit after the text (default: the likeliest)",
    )
    add_encoding(trained)

    fresh = parser.add_argument_group("a new net")
    fresh.add_argument("--cell", choices=tuple(CELLS), help="recurrent cell (default: lstm)")
    for name, (metavar, usual, meaning) in SIZES.items():
        fresh.add_argument(
            f"--{name}", type=whole(1), metavar=metavar, help=f"{meaning} (default: {usual})"
        )
    fresh.add_argument("--bidirectional", action="store_true", help="with a second direction")
    fresh.add_argument("--seed", type=whole(0), help="for the random numbers (default: 0)")

    picture = parser.add_argument_group("picture")
    picture.add_argument(
        "-o",
        "--out",
        type=Path,
        metavar="FILE",
        help="the suffix is the format: .svg, .dot, .png, .pdf, .tex, ... for the graph; .svg, "
        ".html, .png, .pdf, .gif, .tex or .tikz for the gradient flow; - writes to standard output "
        "(default: lstm.svg, named after the "
        "cell, or CHECKPOINT-graph.svg, CHECKPOINT-flow.svg)",
    )
    picture.add_argument(
        "--format", metavar="SUFFIX", help="the format on standard output (default: svg)"
    )
    picture.add_argument(
        "--overwrite", action="store_true", help="replace an existing file of any kind"
    )
    picture.add_argument(
        "--flow",
        action="store_true",
        help="draw the gradient flow back through time instead of the graph; .html always is a "
        "gradient flow",
    )
    picture.add_argument(
        "--detail",
        choices=("op", "cell", "layer"),
        help="graph: one box for every operation, time step or layer (default: op)",
    )
    picture.add_argument("--values", action="store_true", help="graph: show small arrays")
    picture.add_argument(
        "--grads", action="store_true", help="graph: colour the edges by their gradients"
    )
    picture.add_argument(
        "--max-steps", type=whole(2), metavar="K", help="graph: show only K time steps"
    )
    picture.add_argument(
        "--theme",
        choices=("light", "dark", "auto"),
        help="the colours; auto follows the reader's system (default: light; auto in a page)",
    )
    picture.add_argument(
        "--fit",
        type=whole(300),
        metavar="WIDTH",
        help="break a picture that is wider than so many pixels into lines",
    )


def main(args: argparse.Namespace) -> int:
    """Draw, and print the name of the new file.

    Raises:
        Unusable: options have no effect or exclude each other, there is no such format or no
            renderer for it, or the file is not a checkpoint.
        OSError: a file cannot be read or written.
    """
    if args.format is not None and args.out != STANDARD:
        raise Unusable("--format is that of standard output, -o -; a file has its suffix")
    out = args.out or _usual_name(args)
    suffix = f".{(args.format or 'svg').lstrip('.')}" if out == STANDARD else out.suffix.lower()
    flow = args.flow or suffix == ".html"
    if not suffix or (flow and suffix not in FLOW):
        known = f"{', '.join(FLOW[:-1])} or {FLOW[-1]}"
        formats = f"a gradient flow is written as {known}" if flow else "its suffix says how"
        raise Unusable(f"cannot draw {out}: {formats}")
    if flow:
        refuse_given(args, GRAPH_ONLY, "on a gradient flow: they are the graph's")
    if out != STANDARD:
        inputs = [path for path in (args.checkpoint,) if path not in (None, STANDARD)]
        outputs.claim(out, PICTURE, inputs=inputs, overwrite=args.overwrite)
    if args.checkpoint is None:
        loss, text = _fresh(args), None
    else:
        loss, text = _trained(args)
    if flow:
        from ..viz import gradient_flow

        options = {name: getattr(args, name) for name in ("theme", "fit")}
        given = {name: value for name, value in options.items() if value is not None}
        try:
            picture = gradient_flow(loss, text=text).content(suffix[1:], **given)
        except (RuntimeError, ValueError) as error:
            raise Unusable(f"cannot draw {out}: {error}") from error
    else:
        picture = _graph(loss, args, out, suffix)
    if out == STANDARD:
        sys.stdout.buffer.write(outputs.marked(picture, suffix, PICTURE))
        return 0
    outputs.write(out, picture, PICTURE)
    print(f"wrote {out}")
    return 0


def _usual_name(args: argparse.Namespace) -> Path:
    if args.checkpoint is None:
        return Path(f"{args.cell or 'lstm'}.svg")
    name = "model" if args.checkpoint == STANDARD else args.checkpoint.stem
    return Path(f"{name}-{'flow' if args.flow else 'graph'}.svg")


def _fresh(args: argparse.Namespace) -> Value:
    """Return the mean square of the last output of a new net."""
    if args.text is not None or args.target is not None:
        raise Unusable("--text and --target need a CHECKPOINT.npz, a model that 'train' made")
    refuse_given(args, ("encoding",), "without --text")
    T, H, D, L = (
        usual if getattr(args, name) is None else getattr(args, name)
        for name, (_, usual, _) in SIZES.items()
    )
    directions = 1 + args.bidirectional
    refuse_if_too_large(8 * directions * L * H * (H + T + D), "this net")
    weights, numbers = np.random.default_rng(args.seed or 0).spawn(2)
    net = CELLS[args.cell or "lstm"](D, H, L, bidirectional=args.bidirectional, rng=weights)
    y, _ = net(numbers.standard_normal((T, 1, D)), unroll=True)
    return _named(ops.mean(ops.square(y[-1])), "loss")


def _trained(args: argparse.Namespace) -> tuple[Value, list[str]]:
    """Return the logit of the symbol after a text, and the text's symbols."""
    if args.cell is not None:
        raise Unusable("--cell draws a new net; the model in the checkpoint has its own cell")
    refuse_given(args, (*SIZES, "bidirectional", "seed"), "on a trained model, which has its own")
    if args.checkpoint == STANDARD and args.text == str(STANDARD):
        raise Unusable("the checkpoint and --text cannot both be standard input")
    text = text_option(args.text, args.encoding)
    if not text:
        raise Unusable("--text: expected something for the model to read")
    model, vocabulary = load_model(args.checkpoint)
    model.eval()
    ids = vocabulary.encode(known("--text", text, vocabulary))
    target = None
    if args.target is not None:
        targets = vocabulary.encode(known("--target", args.target, vocabulary))
        if len(targets) != 1:
            raise Unusable(f"--target: expected one symbol, {args.target!r} has {len(targets)}")
        target = int(targets[0])
    logits, _ = model(ids[:, None], unroll=True)
    last = logits[-1, 0]
    if target is None:
        target = int(np.argmax(last.data))
    symbol = vocabulary.symbols[target]
    where = sys.stderr if args.out == STANDARD else sys.stdout
    print(f"the gradient of the logit of {symbol!r} after {text!r}", file=where)
    return _named(last[target], f"logit of {symbol!r}"), [vocabulary.symbols[i] for i in ids]


def _named(loss: Any, name: str) -> Value:
    loss.name = name
    value: Value = loss
    return value


def _graph(loss: Value, args: argparse.Namespace, out: Path, suffix: str) -> bytes:
    from ..viz import draw

    drawing = draw(
        loss,
        detail=args.detail or "op",
        values=args.values,
        grads=args.grads,
        max_steps=args.max_steps,
        theme=args.theme or "light",
        fit=args.fit,
    )
    if suffix in (".dot", ".gv"):
        source: str = drawing.source
        return source.encode()
    try:
        picture: bytes = drawing.pipe(format=suffix[1:], quiet=True)
    except ValueError as error:
        reason = str(error).partition(" (must")[0]  # without Graphviz's list of sixty formats
        raise Unusable(f"cannot draw {out}: {reason}; .svg, .dot, .png and .pdf are") from error
    except RuntimeError as error:
        raise Unusable(f"cannot draw {out}: {error}") from error
    except (subprocess.CalledProcessError, BrokenPipeError) as error:
        raise Unusable(f"cannot draw {out}: {died(error)}") from error
    return picture
