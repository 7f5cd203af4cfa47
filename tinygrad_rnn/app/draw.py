"""``python -m tinygrad_rnn draw``: pictures of a recurrent net, fresh or trained.

Of a fresh one it takes some steps of random input; of a model that ``train`` made, a text, and
what is differentiated is the logit of the symbol that follows it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from .. import nn, ops
from ..graph import Value
from ..io import replacing
from .arguments import Unusable, whole
from .train import load_model

CELLS: dict[str, Any] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
FLOW = (".svg", ".html")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoint",
        nargs="?",
        type=Path,
        metavar="CHECKPOINT.npz",
        help="what 'train' wrote; left out, a fresh net with random numbers is drawn",
    )
    parser.add_argument("--text", help="what the trained model reads; a time step for each symbol")
    parser.add_argument(
        "--target",
        metavar="SYMBOL",
        help="after the text: the gradient is that of this symbol's logit (default: the likeliest)",
    )

    fresh = parser.add_argument_group("a fresh net")
    fresh.add_argument(
        "--cell", choices=tuple(CELLS), help="recurrent cell (default: lstm)", default=None
    )
    sizes = {
        "steps": ("T", 6, "time steps"),
        "hidden": ("H", 8, "units in a layer"),
        "input": ("D", 4, "length of the random input"),
        "layers": ("L", 1, "recurrent layers"),
    }
    for name, (metavar, usual, meaning) in sizes.items():
        fresh.add_argument(
            f"--{name}",
            type=whole(1),
            default=usual,
            metavar=metavar,
            help=f"{meaning} (default: %(default)s)",
        )
    fresh.add_argument("--bidirectional", action="store_true", help="a second direction")
    fresh.add_argument(
        "--seed", type=whole(0), default=0, help="of the random numbers (default: %(default)s)"
    )

    picture = parser.add_argument_group("picture")
    picture.add_argument(
        "-o",
        "--out",
        type=Path,
        metavar="FILE",
        help="its suffix is the format: .svg, .dot, .png, .pdf, ... of the graph, .svg or .html "
        "of the gradient flow (default: lstm.svg, named after the cell)",
    )
    picture.add_argument(
        "--flow",
        action="store_true",
        help="the gradient on its way back through time, in the place of the graph; .html always "
        "is",
    )
    picture.add_argument(
        "--detail",
        choices=("op", "cell", "layer"),
        default="op",
        help="of the graph: a box for every operation, time step or layer (default: %(default)s)",
    )
    picture.add_argument("--values", action="store_true", help="write small arrays into the graph")
    picture.add_argument(
        "--grads", action="store_true", help="colour the graph by the gradient that came back"
    )
    picture.add_argument(
        "--max-steps", type=whole(2), metavar="K", help="of the graph: show only so many steps"
    )


def main(args: argparse.Namespace) -> int:
    """Draw, and say what was written.

    Raises:
        Unusable: the arguments do not go together, there is no such format, nothing that renders
            it, or the checkpoint is none.
        OSError: a file cannot be read or written.
    """
    out = args.out or Path(
        f"{args.checkpoint.stem if args.checkpoint else args.cell or 'lstm'}.svg"
    )
    suffix = out.suffix.lower()
    flow = args.flow or suffix == ".html"
    if not suffix or (flow and suffix not in FLOW):
        formats = "a gradient flow is written as .svg or .html" if flow else "its suffix says how"
        raise Unusable(f"cannot draw {out}: {formats}")
    if args.checkpoint is None:
        loss, text = _fresh(args), None
    else:
        loss, text = _trained(args)
    if flow:
        from ..viz import gradient_flow

        gradient_flow(loss, text=text).save(out)
    else:
        _draw_graph(loss, args, out)
    print(f"wrote {out}")
    return 0


def _fresh(args: argparse.Namespace) -> Value:
    """The mean square of the last output of a new net."""
    if args.text is not None or args.target is not None:
        raise Unusable("--text and --target need a CHECKPOINT.npz, a model that 'train' made")
    weights, numbers = np.random.default_rng(args.seed).spawn(2)
    net = CELLS[args.cell or "lstm"](
        args.input,
        args.hidden,
        args.layers,
        bidirectional=args.bidirectional,
        rng=weights,
    )
    y, _ = net(numbers.standard_normal((args.steps, 1, args.input)), unroll=True)
    return _named(ops.mean(ops.square(y[-1])), "loss")


def _trained(args: argparse.Namespace) -> tuple[Value, list[str]]:
    """The logit of what follows a text, and the text's symbols."""
    if args.cell is not None:
        raise Unusable("--cell draws a fresh net; the one in the checkpoint has its own")
    if not args.text:
        raise Unusable("--text: expected something for the model to read")
    model, vocabulary = load_model(args.checkpoint)
    model.eval()
    for name, given in (("--text", args.text), ("--target", args.target or "")):
        missing = vocabulary.missing(given)
        if missing:
            kind = "words" if vocabulary.words else "characters"
            shown = ", ".join(map(repr, missing[:10])) + (", ..." if len(missing) > 10 else "")
            raise Unusable(f"{name} has {kind} that the model's text has not: {shown}")
    ids = vocabulary.encode(args.text)
    logits, _ = model(ids[:, None], unroll=True)
    last = logits[-1, 0]
    if args.target is None:
        target = int(np.argmax(last.data))
    else:
        targets = vocabulary.encode(args.target)
        if len(targets) != 1:
            raise Unusable(f"--target: expected one symbol, {args.target!r} has {len(targets)}")
        target = int(targets[0])
    symbol = vocabulary.symbols[target]
    print(f"the gradient of the logit of {symbol!r} after {args.text!r}")
    return _named(last[target], f"logit of {symbol!r}"), [vocabulary.symbols[i] for i in ids]


def _named(loss: Any, name: str) -> Value:
    loss.name = name
    value: Value = loss
    return value


def _draw_graph(loss: Value, args: argparse.Namespace, out: Path) -> None:
    from ..viz import draw

    drawing = draw(
        loss,
        detail=args.detail,
        values=args.values,
        grads=args.grads,
        max_steps=args.max_steps,
    )
    suffix = out.suffix.lower()
    try:
        if suffix in (".dot", ".gv"):
            picture = drawing.source.encode()
        else:
            picture = drawing.pipe(format=suffix[1:])
    except ValueError as error:
        reason = str(error).partition(" (must")[0]  # what follows is a list of sixty formats
        raise Unusable(f"cannot draw {out}: {reason}; .svg, .dot, .png and .pdf are") from error
    except RuntimeError as error:
        raise Unusable(f"cannot draw {out}: {error}") from error
    with replacing(out) as file:
        file.write(picture)
