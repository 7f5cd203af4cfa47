"""``python -m tinygrad_rnn sample CHECKPOINT.npz``: let a model of ``train`` write text."""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

from ..text import beam_search, generate
from .arguments import (
    STANDARD,
    Unusable,
    add_encoding,
    number,
    refuse_given,
    text_option,
    whole,
    words_given,
)
from .checkpoints import known, load_model

TEMPERATURE, SEED = 1.0, 0  # the defaults


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoint",
        type=Path,
        metavar="CHECKPOINT.npz",
        help="a checkpoint of 'train'; - reads standard input",
    )
    parser.add_argument(
        "--prompt",
        type=words_given,
        help="the text to continue, also printed; - reads standard input (default: the end of a "
        "line)",
    )
    add_encoding(parser)
    parser.add_argument(
        "--length",
        type=whole(1),
        default=500,
        help="how many characters, or words, to add (default: %(default)s)",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--temperature",
        type=number(0),
        help=f"below 1 safer, above 1 more varied (default: {TEMPERATURE})",
    )
    how.add_argument("--greedy", action="store_true", help="always take the likeliest symbol")
    how.add_argument(
        "--beam", type=whole(1), metavar="K", help="beam search for the likeliest text, K wide"
    )
    parser.add_argument(
        "--top-k", type=whole(1), metavar="K", help="draw only from the K likeliest symbols"
    )
    parser.add_argument("--seed", type=whole(0), help=f"for the random numbers (default: {SEED})")


def main(args: argparse.Namespace) -> int:
    """Print the prompt and the text that the model writes, symbol by symbol.

    Returns:
        0, or 130 after Ctrl-C.

    Raises:
        Unusable: options have no effect, the file is not a checkpoint, the model does not know a
            symbol of the prompt, or its predictions are not finite.
        OSError: the checkpoint cannot be read.
    """
    for likeliest in ("beam", "greedy"):
        if getattr(args, likeliest):
            refuse_given(args, ("top_k", "seed"), f"with --{likeliest}: nothing is drawn")
    if args.temperature == 0:
        refuse_given(args, ("top_k", "seed"), "with --temperature 0: nothing is drawn")
    if args.checkpoint == STANDARD and args.prompt == str(STANDARD):
        raise Unusable("the checkpoint and --prompt cannot both be standard input")
    prompt = text_option(args.prompt, args.encoding)
    model, vocabulary = load_model(args.checkpoint)
    model.eval()
    if prompt is None:
        if "\n" not in vocabulary:
            raise Unusable("the model's text has no line ends to start from: give it a --prompt")
        start, printed = "\n", ""
    else:
        start = known("--prompt", prompt, vocabulary)
        printed = start if prompt.startswith(" ") else start.removeprefix(" ")
    ids = vocabulary.encode(start)
    # Never write the symbol that stands for unknown words.
    exclude = () if vocabulary.unknown is None else (vocabulary.symbols.index(vocabulary.unknown),)
    try:
        if args.beam is not None:
            texts = beam_search(model, ids, args.length, beam_size=args.beam, exclude=exclude)
            written, log_p = texts[0]
            print(f"log p = {log_p:.2f}", file=sys.stderr)
            print(printed + vocabulary.decode(written))
            return 0
        temperature = TEMPERATURE if args.temperature is None else args.temperature
        drawn = generate(
            model,
            ids,
            temperature=0.0 if args.greedy else temperature,
            top_k=args.top_k,
            exclude=exclude,
            rng=SEED if args.seed is None else args.seed,
        )
        print(printed, end="", flush=True)
        for symbol in itertools.islice(drawn, args.length):
            print(vocabulary.symbols[symbol], end="", flush=True)
        print()
    except FloatingPointError as error:
        raise Unusable(f"{args.checkpoint}: {error}") from None
    except KeyboardInterrupt:
        print(flush=True)
        return 130
    return 0
