"""A model of your own: its gates and states over a text, and what an answer depends on."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ... import bptt, viz
from ...text import LanguageModel, Vocabulary
from ..arguments import Unusable
from ..checkpoints import known, load_model
from .nets import within

_MOST = 300  # symbols
_USUAL = {"RNN": ("h",), "LSTM": ("f", "c", "h"), "GRU": ("z", "h")}


class Reader:
    """Reads texts with a model of ``train``.

    Args:
        path: its checkpoint; None until the user opens one in the page.
    """

    def __init__(self, path: Path | None = None):
        self._lock = threading.Lock()
        self.name, self.model, self.vocabulary = "", None, None  # type: tuple[str, Any, Any]
        if path is not None:
            self._take(path.name, *load_model(path), str(path))

    def _take(
        self, name: str, model: LanguageModel, vocabulary: Vocabulary, path: str = ""
    ) -> None:
        model.eval()
        with self._lock:
            self.name, self.model, self.vocabulary = name, model, vocabulary
            self.path = path or name

    def open(self, content: bytes) -> dict[str, Any]:
        """Load the checkpoint that the page sends.

        Raises:
            Unusable: the file is not a checkpoint.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "checkpoint.npz"
            path.write_bytes(content)
            try:
                loaded = load_model(path)
            except ValueError as error:
                raise Unusable(str(error).replace(str(path), "the file")) from None
        self._take("checkpoint.npz", *loaded)
        return self.about({})

    def about(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Describe the model; the name is empty if there is none."""
        if self.model is None:
            return {"name": ""}
        layer = self.model.recurrent
        kind = type(layer).__name__
        return {
            "name": self.name,
            "says": f"{kind}, {layer.num_layers} layer{'s' * (layer.num_layers > 1)} of "
            f"{layer.hidden_size} units, {len(self.vocabulary)} symbols",
        }

    def look(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Read a text with the model.

        Args:
            given: ``text``; and ``at``, the number of a symbol: the answer after it is explained
                (default: the last symbol).

        Returns:
            ``symbols``; ``likely``, for each symbol the likeliest next symbol and its probability;
            ``matters``, for each symbol the norm of the gradient that it gets from the answer after
            ``at``, scaled so that the largest is 1; ``maps`` and ``flow`` as SVG; ``reason``;
            ``code``.

        Raises:
            Unusable: there is no model, or it does not know a symbol of the text.
        """
        if self.model is None:
            raise Unusable("open a checkpoint first: a file that `train` has made")
        text = given.get("text")
        if not isinstance(text, str) or len(text) > _MOST:
            raise Unusable(f"text: expected at most {_MOST} characters")
        ids = self.vocabulary.encode(known("text", text, self.vocabulary))
        at = within(given, "at", 0, len(ids) - 1, len(ids) - 1)
        symbols = [self.vocabulary.symbols[i] for i in ids]
        logits, _ = self.model(ids[:, None], unroll=True)
        scores = logits.numpy()[:, 0].astype(np.float64)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
        best = scores.argmax(-1)
        # The answer does not depend on later symbols, so leave them out of the picture.
        before, _ = self.model(ids[: at + 1, None], unroll=True)
        flow = viz.gradient_flow(before[-1, 0, int(best[at])], text=symbols[: at + 1])
        norms = np.nan_to_num(np.append(flow.inputs, np.zeros(len(ids) - at - 1)))
        return {
            "symbols": symbols,
            "likely": [
                [self.vocabulary.symbols[k], float(scores[t, k])] for t, k in enumerate(best)
            ],
            "at": at,
            "matters": (norms / (norms.max() or 1.0)).tolist(),
            "maps": viz.heat_map(
                _shown(bptt.activations(logits), type(self.model.recurrent).__name__),
                symbols,
                title="gates and states over the text",
            ).svg(theme="auto"),
            "flow": flow.svg(theme="auto"),
            "reason": flow.reason,
            "code": self._code(text, at, int(best[at])),
        }

    def _code(self, text: str, at: int, target: int) -> str:
        return f"""import tinygrad_rnn as tg

model, vocabulary = tg.load_model({self.path!r})
model.eval()
ids = vocabulary.encode({text!r})[:{at + 1}]
logits, _ = model(ids[:, None], unroll=True)
answer = logits[-1, 0, {target}]  # the logit of {self.vocabulary.symbols[target]!r}
flow = tg.gradient_flow(answer, text=[vocabulary.symbols[i] for i in ids])
print(flow)
flow.save("flow.html")
tg.heat_map(tg.activations(logits), [vocabulary.symbols[i] for i in ids]).save("gates.svg")"""


def _shown(activations: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Select the most interesting gates and states of every layer."""
    return {name: x for name, x in activations.items() if name.rsplit(".", 1)[-1] in _USUAL[kind]}
