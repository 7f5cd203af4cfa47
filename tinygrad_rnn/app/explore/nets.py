"""New nets for the values of the page's controls, and the Python code that makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

from ... import nn, ops
from ...tensor import Tensor
from ..arguments import Unusable, number, whole

LAYERS: dict[str, Any] = {"RNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}
INPUTS = ("noise", "pulse", "constant", "sine")
LOSSES = ("last step", "every step")
SIZE = 4  # of an input


def chosen(given: Mapping[str, Any], name: str, known: tuple[str, ...], usual: str) -> str:
    """Return a control's value, which is one of several words.

    Raises:
        Unusable: the value is another one.
    """
    value = given.get(name, usual)
    if value not in known:
        raise Unusable(f"{name}: expected one of {', '.join(known)}, got {value!r}")
    return str(value)


def within(given: Mapping[str, Any], name: str, least: Any, most: Any, usual: Any) -> Any:
    """Return a control's number. If the bounds are whole numbers, it has to be one, too.

    Raises:
        Unusable: the value is not such a number, or out of bounds.
    """
    value = given.get(name, usual)
    kind = whole(least) if isinstance(least, int) else number(least, most)
    try:
        kind.check(name, value)
    except (TypeError, ValueError) as error:
        raise Unusable(str(error)) from None
    if value > most:
        raise Unusable(f"{name}: expected at most {most}, got {value}")
    return value


@dataclass(frozen=True)
class Choice:
    """The values of the page's controls.

    Attributes:
        kinds: the cells to compare.
        steps, hidden: T and H.
        radius: the spectral radius of W_hh, for each gate's block separately.
        bias: the bias of the LSTM's forget gate and of the GRU's update gate.
        nonlinearity: of the RNN.
        inputs: the kind of input sequence.
        loss: "last step" or "every step", for a loss of the last output or of all outputs.
        seed: for weights and inputs.
    """

    kinds: tuple[str, ...]
    steps: int
    hidden: int
    radius: float
    bias: float
    nonlinearity: str
    inputs: str
    loss: str
    seed: int

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Choice:
        """Check the values of the controls.

        Raises:
            Unusable: a value is out of bounds; the message says what was expected.
        """
        kinds = given.get("kinds", ["RNN", "LSTM"])
        known = isinstance(kinds, list) and all(kind in LAYERS for kind in kinds)
        if not known or not kinds or len(set(kinds)) < len(kinds):
            raise Unusable(f"kinds: expected some of {', '.join(LAYERS)}, got {kinds!r}")
        return cls(
            tuple(kinds),
            within(given, "steps", 2, 300, 50),
            within(given, "hidden", 1, 64, 16),
            within(given, "radius", 0.0, 4.0, 1.0),
            within(given, "bias", -8.0, 8.0, 0.0),
            chosen(given, "nonlinearity", ("tanh", "relu"), "tanh"),
            chosen(given, "inputs", INPUTS, "noise"),
            chosen(given, "loss", LOSSES, "last step"),
            within(given, "seed", 0, 10**9, 0),
        )

    def net(self, kind: str) -> Any:
        """Return the layer in double precision."""
        options = {"nonlinearity": self.nonlinearity} if kind == "RNN" else {}
        net = LAYERS[kind](SIZE, self.hidden, dtype=np.float64, rng=self.seed, **options)
        net.weight_hh_l0.data = scaled(net.weight_hh_l0.data, self.radius)
        if kind != "RNN":
            bias = np.zeros_like(net.bias_ih_l0.data)
            bias[self.hidden : 2 * self.hidden] = self.bias
            net.bias_ih_l0.data, net.bias_hh_l0.data = bias, np.zeros_like(bias)
        return net

    def x(self) -> ndarray:
        """Return the input sequence (T, 1, 4)."""
        x = np.zeros((self.steps, 1, SIZE))
        if self.inputs == "noise":
            x = np.random.default_rng(self.seed).normal(size=x.shape)
        elif self.inputs == "pulse":
            x[0] = 1.0
        elif self.inputs == "constant":
            x[:] = 0.5
        else:
            x[:] = np.sin(np.arange(self.steps) / 3)[:, None, None]
        return x

    def loss_of(self, y: Tensor) -> Tensor:
        return ops.sum(y[-1]) if self.loss == "last step" else ops.mean(y)

    def code(self) -> str:
        """Return Python code that does the same."""
        T, H = self.steps, self.hidden
        x = {
            "noise": f"np.random.default_rng({self.seed}).normal(size=({T}, 1, {SIZE}))",
            "pulse": f"np.zeros(({T}, 1, {SIZE}))\nx[0] = 1.0",
            "constant": f"np.full(({T}, 1, {SIZE}), 0.5)",
            "sine": f"np.sin(np.arange({T}) / 3)[:, None, None] * np.ones((1, 1, {SIZE}))",
        }[self.inputs]
        loss = "y[-1].sum()" if self.loss == "last step" else "y.mean()"
        lines = [
            "import numpy as np",
            "import tinygrad_rnn as tg",
            "",
            f"x = {x}",
            "flows = {}",
        ]
        for kind in self.kinds:
            relu = kind == "RNN" and self.nonlinearity == "relu"
            option = ', nonlinearity="relu"' if relu else ""
            lines += [
                "",
                f"net = tg.nn.{kind}({SIZE}, {H}{option}, dtype=np.float64, rng={self.seed})",
                "W = net.weight_hh_l0",
            ]
            if kind == "RNN":
                lines.append(
                    f"W.data = W.data * {self.radius} / max(abs(np.linalg.eigvals(W.data)))"
                )
            else:
                gate = "forget" if kind == "LSTM" else "update"
                lines += [
                    f"W.data = np.concatenate([  # each gate has a block of {H} rows",
                    f"    B * {self.radius} / max(abs(np.linalg.eigvals(B)))",
                    f"    for B in W.data.reshape(-1, {H}, {H})",
                    "])",
                    "bias = np.zeros_like(net.bias_ih_l0.data)",
                    f"bias[{H}:{2 * H}] = {self.bias}  # the {gate} gate",
                    "net.bias_ih_l0.data, net.bias_hh_l0.data = bias, np.zeros_like(bias)",
                ]
            lines += [
                "y, _ = net(x, unroll=True)",
                f'flows["{kind}"] = tg.gradient_flow({loss})',
                f'print(flows["{kind}"])',
            ]
        return "\n".join([*lines, "", 'tg.compare(flows).save("flows.svg")'])


def scaled(W: ndarray, radius: float) -> ndarray:
    """Scale the block of each gate in W_hh to this spectral radius."""
    blocks = []
    for block in W.reshape(-1, W.shape[1], W.shape[1]):
        largest = float(max(abs(np.linalg.eigvals(block))))
        blocks.append(block * radius / largest if largest > 0 else block)
    return np.concatenate(blocks)
