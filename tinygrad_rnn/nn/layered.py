"""What recurrent layers share: weights, checks, and the loop over layers and directions.

Only the step and the state differ between RNN, LSTM and GRU. ``scan`` runs the step over time.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy import ndarray

from .. import graph, ops
from ..graph import Value, attach
from ..scan import scan
from ..scan.arguments import Dependencies, flatten
from ..tensor import Tensor
from . import init
from .cells import require_proj_size, weight_shapes
from .checks import (
    as_constant,
    as_input,
    checked_lengths,
    float_dtype,
    require_bools,
    require_sizes,
)
from .module import Module, Parameter
from .utils.rnn import PackedSequence, packed_like, pad_packed_sequence

#: What one time step hands to the next: (h,) or (h, c).
Carry: TypeAlias = tuple[Tensor, ...]
Step: TypeAlias = Callable[[Carry, Tensor], tuple[Carry, Tensor]]


class Recurrence(NamedTuple):
    """Which standard recurrence a step computes. The ONNX export writes it as one operator.

    Attributes:
        kind: "RNN", "LSTM" or "GRU".
        weights: by name, as the cell's equations call them.
        options: further settings of the equations.
    """

    kind: str
    weights: dict[str, Any]
    options: dict[str, Any]


def with_closure(step: Step, weights: dict[str, Any], *others: Any) -> Step:
    """Declare everything that a step depends on, so that ``scan`` need not trace it again.

    Args:
        step: a function.
        weights: Tensors, None, or tuples of these.
        others: numbers, strings and switches.
    """
    values: list[Any] = []
    structure = flatten(tuple(weights.values()), values)
    name = step.__code__, tuple(weights), structure, others
    step.scan_dependencies = Dependencies(name, tuple(values))  # type: ignore[attr-defined]
    return step


class Layered(Module):
    """A cell run over a sequence, in several layers and one or two directions.

    RNN, LSTM and GRU define ``gates`` and ``_step``. LSTM also defines ``_initial`` and ``_final``,
    since its state is a pair.
    """

    gates: int

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        dtype: Any,
        rng: init.Seed,
        *,
        proj_size: int = 0,
        peepholes: bool = False,
    ):
        kind = type(self).__name__
        require_sizes(kind, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        require_proj_size(kind, proj_size, hidden_size)
        require_bools(kind, bias=bias, batch_first=batch_first, bidirectional=bidirectional)
        require_bools(kind, peepholes=peepholes)
        if not isinstance(dropout, (float, int, np.number)) or isinstance(dropout, bool):
            raise TypeError(f"{kind}: dropout must be a number, got {dropout!r}")
        if not 0 <= dropout <= 1:
            raise ValueError(f"{kind}: dropout must be a probability from 0 to 1, got {dropout}")
        if dropout and num_layers == 1:
            warnings.warn(
                f"{kind}: dropout={dropout} acts between layers, and there is only one",
                stacklevel=3,
            )
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, dropout
        self.bidirectional, self.proj_size = bidirectional, proj_size
        self.dtype = float_dtype(kind, dtype)
        self.rng = np.random.default_rng(rng)
        self._directions = ("", "_reverse") if bidirectional else ("",)
        bound = 1 / math.sqrt(hidden_size)
        size = input_size
        for layer in range(num_layers):
            shapes = weight_shapes(
                self.gates, size, hidden_size, bias=bias, proj_size=proj_size, peepholes=peepholes
            )
            for direction in self._directions:
                for name, shape in shapes.items():
                    numbers = init.uniform(shape, bound, dtype=self.dtype, rng=self.rng)
                    setattr(self, f"{name}_l{layer}{direction}", Parameter(numbers))
            size = self._output_size * len(self._directions)
        self._weight_names = tuple(shapes)

    @property
    def _output_size(self) -> int:
        """The length of h_t in one direction."""
        return self.proj_size or self.hidden_size

    def _step(self, weights: dict[str, Any], unroll: bool) -> Step:
        """The step of one layer in one direction; each subclass defines it."""
        raise NotImplementedError

    def _sequence(
        self, weights: dict[str, Any], carry: Carry, xs: Tensor, *, unroll: bool, **options: Any
    ) -> tuple[Carry, Tensor]:
        """Run one layer in one direction; returns the last carry and every h_t."""
        return scan(self._step(weights, unroll), carry, xs, unroll=unroll, **options)

    def _initial(self, state: Any, batch: tuple[int, ...]) -> list[Carry]:
        """The initial carry of each layer and direction, in this order."""
        return list(zip(self._split_state("h", state, batch, self._output_size), strict=True))

    def _final(self, carries: list[Carry]) -> Any:
        """The state to return."""
        return ops.stack([h for (h,) in carries])

    def as_step(self, carry: Any, xs: Any) -> Any:
        """Refuse a layer as the step of ``scan``: it already runs over the whole sequence."""
        kind = type(self).__name__
        raise TypeError(
            f"scan: {kind} is a layer and already runs over the whole sequence: write "
            f"y, state = layer(xs, state). scan takes one step, such as tg.nn.{kind}Cell"
        )

    # ── the forward pass ─────────────────────────────────────────────────────────────────

    def forward(
        self,
        x: Any,
        state: Any = None,
        *,
        lengths: Any = None,
        resets: Any = None,
        unroll: bool = False,
    ) -> tuple[Any, Any]:
        """Run all layers over a batch of sequences; calling the layer calls this.

        K is 2 with ``bidirectional``, else 1.

        Args:
            x: (T, N, D), (N, T, D) with ``batch_first``, (T, D) unbatched; or a PackedSequence.
            state: h_0, the initial h of layer 0, of its second direction, of layer 1, and so on:
                (L K, N, H), or (L K, H) unbatched. An LSTM takes the pair (h_0, c_0) of such
                states; with a projection, h_0 has P in place of H. None means zeros.
            lengths: (N,) integers from 1 to T, for sequences of different lengths in one batch.
                After the end of a sequence, y is 0 and the state stays as it is. The second
                direction starts at each sequence's own last step. What x holds after the end,
                even NaN, reaches no value and no gradient.
            resets: booleans (T, N), (N, T) with ``batch_first``, (T,) unbatched. True means that a
                new episode starts at this time step: the state before it becomes zeros, and
                neither direction reads across the boundary.
            unroll: record every time step op by op, for pictures and gradients of single steps.

        Returns:
            y: (T, N, K H), or (T, K H) unbatched: every h_t of the last layer. (N, T, K H) with
                ``batch_first``; P in place of H with a projection; a PackedSequence if x is one.
            h_n, of an LSTM the pair (h_n, c_n): the last state of every layer and direction, in
                the shape of the initial state.

        Raises:
            ValueError: x, the state, lengths or resets has a wrong shape or value.
            TypeError: x or the state is a Tensor of another dtype than the layer's (arrays are
                converted), the state of an LSTM is not a pair, or lengths are not integers.
        """
        if isinstance(x, PackedSequence):
            if resets is not None:
                raise ValueError(f"{type(self).__name__}: a packed batch cannot have resets")
            return self._packed(x, state, lengths, unroll)
        x = self._input(x)
        swapped = self.batch_first and x.ndim == 3
        T, *batch = (x.shape[1], x.shape[0]) if swapped else x.shape[:-1]
        lengths = self._lengths(lengths, T, tuple(batch))
        resets = self._resets(resets, T, batch, swapped)
        if lengths is not None:
            # Clear the padding before anything reads it: a weight of 0 would not stop a NaN.
            within = ops.less(np.arange(T)[:, np.newaxis], lengths)
            mask = (within.T if swapped else within)[..., np.newaxis]
            x, name = ops.where(as_constant(mask), x, 0), x.name
            x.name = name  # pictures show the masked x under the name of x
        y = ops.swapaxes(x, 0, 1) if swapped else x
        initial = self._initial(state, tuple(batch))
        final: list[Carry] = []
        for layer in range(self.num_layers):
            if layer:
                y = ops.dropout(y, self.dropout, self.training, self.rng)
            outputs = []
            for direction in self._directions:
                with graph.scope(f"l{layer}{direction}"):
                    names = {n: f"{n}_l{layer}{direction}" for n in self._weight_names}
                    weights = {n: getattr(self, attribute) for n, attribute in names.items()}
                    options = {"reverse": bool(direction), "lengths": lengths, "unroll": unroll}
                    if resets is not None:
                        options["resets"] = resets
                    carry, ys = self._sequence(weights, initial[len(final)], y, **options)
                final.append(carry)
                outputs.append(ys)
            y = outputs[0] if len(outputs) == 1 else ops.concatenate(outputs, -1)
        return (ops.swapaxes(y, 0, 1) if swapped else y), self._final(final)

    def _packed(
        self, packed: PackedSequence, state: Any, lengths: Any, unroll: bool
    ) -> tuple[PackedSequence, Any]:
        """The forward pass of a packed batch: pad it, run it, and pack the outputs again."""
        if lengths is not None:
            raise ValueError(f"{type(self).__name__}: a packed batch has its own lengths")
        x, sizes = pad_packed_sequence(packed, self.batch_first)
        y, state = self.forward(x, state, lengths=sizes, unroll=unroll)
        return packed_like(packed, ops.swapaxes(y, 0, 1) if self.batch_first else y), state

    # ── checks ───────────────────────────────────────────────────────────────────────────

    def _input(self, value: Any) -> Tensor:
        kind = type(self).__name__
        x = as_input(kind, "x", value, self.dtype)
        if not 2 <= x.ndim <= 3 or x.shape[-1] != self.input_size:
            axes = "N, T" if self.batch_first else "T, N"
            raise ValueError(
                f"{kind}: expected x ({axes}, {self.input_size}) or unbatched "
                f"(T, {self.input_size}), got {x.shape}{graph.current().scope}"
            )
        if not isinstance(value, Value):
            x.name = "x"
        return x

    def _split_state(
        self, name: str, value: Any, batch: tuple[int, ...], size: int
    ) -> list[Tensor]:
        """The initial h or c of each layer and direction, (N, size) each; zeros for None."""
        kind = type(self).__name__
        count = self.num_layers * len(self._directions)
        if value is None:
            zeros = [np.zeros((*batch, size), self.dtype) for _ in range(count)]
            parts: list[Tensor] = [attach(array, None) for array in zeros]  # type: ignore[misc]
        elif isinstance(value, tuple):
            raise TypeError(
                f"{kind}: expected {name} as one Tensor or array, got a tuple of {len(value)}"
                f"{graph.current().scope}"
            )
        else:
            state = as_input(kind, name, value, self.dtype)
            expected = (count, *batch, size)
            if state.shape != expected:
                layers = "layers and directions"
                raise ValueError(
                    f"{kind}: expected {name} {expected} ({layers}, batch, size) to go with x, "
                    f"got {state.shape}{graph.current().scope}"
                )
            # Nothing is recorded of a constant: its parts need no operation each.
            constant = state.node is None and type(state._array) is ndarray
            parts = [attach(a, None) for a in state._array] if constant else list(state)  # type: ignore[misc]
        for part in parts:
            if part.node is None:
                part.name = f"{name}_0"
        return parts

    def _lengths(self, lengths: Any, T: int, batch: tuple[int, ...]) -> Any:
        """The lengths (N,), checked; None if every sequence has T steps, which runs faster."""
        if lengths is None:
            return None
        lengths = checked_lengths(type(self).__name__, lengths, batch, T)
        return None if isinstance(lengths, ndarray) and (lengths == T).all() else lengths

    def _resets(self, value: Any, T: int, batch: list[int], swapped: bool) -> ndarray | None:
        """The resets (T, N) or (T,), checked; None if there is no reset."""
        if value is None:
            return None
        kind = type(self).__name__
        resets = graph.numbers(value, f"{kind}: resets")
        expected = (*batch, T) if swapped else (T, *batch)
        if resets.dtype.kind != "b":
            raise TypeError(f"{kind}: expected resets as booleans, got {resets.dtype}")
        if resets.shape != expected:
            raise ValueError(f"{kind}: expected resets of shape {expected}, got {resets.shape}")
        return (resets.T if swapped else resets) if resets.any() else None

    def extra_repr(self) -> str:
        defaults: dict[str, Any] = {
            "nonlinearity": "tanh",
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
            "proj_size": 0,
            "peepholes": False,
            "reset_after": True,
        }
        changed = [
            f", {name}={getattr(self, name)!r}"
            for name, value in defaults.items()
            if getattr(self, name, value) != value
        ]
        return f"{self.input_size}, {self.hidden_size}" + "".join(changed)
