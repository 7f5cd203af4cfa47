"""``python -m tinygrad_rnn sample CHECKPOINT.npz``: let a model that ``train`` made write."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

from ..text import Vocabulary, beam_search, sample
from .arguments import Unusable, number, whole
from .train import load_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoint", type=Path, metavar="CHECKPOINT.npz", help="what 'train' wrote"
    )
    parser.add_argument(
        "--prompt", help="the text to go on from, printed too (default: the end of a line)"
    )
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
        default=1.0,
        help="below 1 plays safe, above 1 dares more (default: %(default)s)",
    )
    how.add_argument("--greedy", action="store_true", help="always take the likeliest")
    how.add_argument(
        "--beam", type=whole(1), metavar="K", help="search for the likeliest text, K at a time"
    )
    parser.add_argument(
        "--top-k", type=whole(1), metavar="K", help="draw among the K likeliest only"
    )
    parser.add_argument(
        "--seed", type=whole(0), default=0, help="of the random numbers (default: %(default)s)"
    )


def main(args: argparse.Namespace) -> int:
    """Print the prompt and what the model makes of it.

    Raises:
        Unusable: the checkpoint is none, or the prompt has what the model does not know.
        OSError: the checkpoint cannot be read.
    """
    model, vocabulary = load_model(args.checkpoint)
    model.eval()
    prompt = _known(args.prompt, vocabulary)
    ids = vocabulary.encode(prompt)
    # What stands for all unknown words is nothing to write.
    exclude = () if vocabulary.unknown is None else (vocabulary.symbols.index(vocabulary.unknown),)
    if args.beam is not None:
        found = beam_search(model, ids, args.length, beam_size=args.beam, exclude=exclude)
        written, log_p = found[0]
        print(f"log p = {log_p:.2f}", file=sys.stderr)
    else:
        written = sample(
            model,
            ids,
            args.length,
            temperature=0.0 if args.greedy else args.temperature,
            top_k=args.top_k,
            exclude=exclude,
            rng=args.seed,
        )
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal may lack the text's script
    print((args.prompt or "") + vocabulary.decode(written))
    return 0


def _known(prompt: str | None, vocabulary: Vocabulary) -> str:
    """The prompt, of symbols that the model knows."""
    if prompt is None:
        if "\n" in vocabulary:
            return "\n"
        raise Unusable("the model's text has no line ends to start from: give it a --prompt")
    if not prompt:
        raise Unusable("--prompt: expected some text, got an empty one")
    if vocabulary.words and not vocabulary.missing(f" {prompt}"):
        return f" {prompt}"  # words mostly come with the space before them
    missing = vocabulary.missing(prompt)
    if missing:
        kind = "words" if vocabulary.words else "characters"
        shown = ", ".join(map(repr, missing[:10])) + (", ..." if len(missing) > 10 else "")
        raise Unusable(f"--prompt has {kind} that the model's text has not: {shown}")
    return prompt
