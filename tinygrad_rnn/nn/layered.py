"""What recurrent layers share: all but the cell and its state.

Weights by PyTorch's names, a look at what comes in, and the way through layers and directions. The
loop over time is ``scan``'s, of which a cell is only the step.
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
from .cells import projected, weight_shapes
from .checks import as_constant, as_input, flags, floating, sized, unknown
from .module import Module, Parameter
from .utils.rnn import PackedSequence, packed_like, pad_packed_sequence

#: What goes from one step to the next: (h,) or (h, c).
Carry: TypeAlias = tuple[Tensor, ...]
Step: TypeAlias = Callable[[Carry, Tensor], tuple[Carry, Tensor]]


class Recurrence(NamedTuple):
    """What the step of a layer computes, by its name in the literature, for who can run just that.

    Attributes:
        kind: "RNN", "LSTM" or "GRU".
        weights: by the names of the cells' equations.
        options: what else the equations depend on.
    """

    kind: str
    weights: dict[str, Any]
    options: dict[str, Any]


def closed(step: Step, weights: dict[str, Any], *others: Any) -> Step:
    """Say of a step that it depends on nothing but these, which lets ``scan`` know it again.

    Args:
        step: a function.
        weights: Tensors, None, or tuples of these.
        others: numbers, words and switches.
    """
    values: list[Any] = []
    structure = flatten(tuple(weights.values()), values)
    name = step.__code__, tuple(weights), structure, others
    step.scan_dependencies = Dependencies(name, tuple(values))  # type: ignore[attr-defined]
    return step


class Layered(Module):
    """A cell run over a sequence, in several layers and both directions.

    RNN, LSTM and GRU derive from it and define ``gates`` and ``_step``; the LSTM, whose state is a
    pair, ``_initial`` and ``_final`` too.
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
        sized(kind, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        projected(kind, proj_size, hidden_size)
        flags(kind, bias=bias, batch_first=batch_first, bidirectional=bidirectional)
        flags(kind, peepholes=peepholes)
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
        self.dtype = floating(kind, dtype)
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
        """The length of h_t, of one direction."""
        return self.proj_size or self.hidden_size

    def _step(self, weights: dict[str, Any], unroll: bool) -> Step:
        """The step of one layer in one direction; each kind of layer defines its own."""
        raise NotImplementedError

    def _sequence(
        self, weights: dict[str, Any], carry: Carry, xs: Tensor, *, unroll: bool, **options: Any
    ) -> tuple[Carry, Tensor]:
        """One layer in one direction: the last carry, and the h_t."""
        return scan(self._step(weights, unroll), carry, xs, unroll=unroll, **options)

    def _initial(self, state: Any, batch: tuple[int, ...]) -> list[Carry]:
        """The carry that each layer and direction starts from, in this order."""
        return list(zip(self._part("h", state, batch, self._output_size), strict=True))

    def _final(self, carries: list[Carry]) -> Any:
        """The state to return."""
        return ops.stack([h for (h,) in carries])

    def as_step(self, carry: Any, xs: Any) -> Any:
        """A layer is no step for ``scan``: it runs over the whole sequence by itself."""
        kind = type(self).__name__
        raise TypeError(
            f"scan: {kind} is a layer and runs over the whole sequence by itself: write "
            f"y, state = layer(xs, state). scan takes one step, such as tg.nn.{kind}Cell"
        )

    # ── the way through ──────────────────────────────────────────────────────────────────

    def forward(
        self,
        x: Any,
        state: Any = None,
        *,
        lengths: Any = None,
        resets: Any = None,
        unroll: bool = False,
    ) -> tuple[Any, Any]:
        if isinstance(x, PackedSequence):
            if resets is not None:
                raise ValueError(f"{type(self).__name__}: a packed batch cannot have resets")
            return self._packed(x, state, lengths, unroll)
        x = self._input(x)
        turned = self.batch_first and x.ndim == 3
        T, *batch = (x.shape[1], x.shape[0]) if turned else x.shape[:-1]
        lengths = self._lengths(lengths, T, batch)
        resets = self._resets(resets, T, batch, turned)
        if lengths is not None:
            # Before anything else reads it: not even a NaN in the padding goes further.
            within = ops.less(np.arange(T)[:, np.newaxis], lengths)
            mask = (within.T if turned else within)[..., np.newaxis]
            x, name = ops.where(as_constant(mask), x, 0), x.name
            x.name = name  # what pictures call it
        y = ops.swapaxes(x, 0, 1) if turned else x
        initial = self._initial(state, tuple(batch))
        final: list[Carry] = []
        for layer in range(self.num_layers):
            if layer:
                y = ops.dropout(y, self.dropout, self.training, self.rng)
            both = []
            for direction in self._directions:
                with graph.scope(f"l{layer}{direction}"):
                    names = {n: f"{n}_l{layer}{direction}" for n in self._weight_names}
                    weights = {n: getattr(self, attribute) for n, attribute in names.items()}
                    options = {"reverse": bool(direction), "lengths": lengths, "unroll": unroll}
                    if resets is not None:
                        options["resets"] = resets
                    carry, ys = self._sequence(weights, initial[len(final)], y, **options)
                final.append(carry)
                both.append(ys)
            y = both[0] if len(both) == 1 else ops.concatenate(both, -1)
        return (ops.swapaxes(y, 0, 1) if turned else y), self._final(final)

    def _packed(
        self, packed: PackedSequence, state: Any, lengths: Any, unroll: bool
    ) -> tuple[PackedSequence, Any]:
        """The same for a packed batch: it goes in padded, and what comes out is packed again."""
        if lengths is not None:
            raise ValueError(f"{type(self).__name__}: a packed batch has its own lengths")
        x, sizes = pad_packed_sequence(packed, self.batch_first)
        y, state = self.forward(x, state, lengths=sizes, unroll=unroll)
        return packed_like(packed, ops.swapaxes(y, 0, 1) if self.batch_first else y), state

    # ── what comes in ────────────────────────────────────────────────────────────────────

    def _input(self, given: Any) -> Tensor:
        kind = type(self).__name__
        x = as_input(kind, "x", given, self.dtype)
        if not 2 <= x.ndim <= 3 or x.shape[-1] != self.input_size:
            axes = "N, T" if self.batch_first else "T, N"
            raise ValueError(
                f"{kind}: expected x ({axes}, {self.input_size}) or unbatched "
                f"(T, {self.input_size}), got {x.shape}{graph.current().scope}"
            )
        if not isinstance(given, Value):
            x.name = "x"
        return x

    def _part(self, name: str, given: Any, batch: tuple[int, ...], size: int) -> list[Tensor]:
        """h or c of each layer and direction, of this length; zeros where none is given."""
        kind = type(self).__name__
        count = self.num_layers * len(self._directions)
        if given is None:
            zeros = [np.zeros((*batch, size), self.dtype) for _ in range(count)]
            parts: list[Tensor] = [attach(array, None) for array in zeros]  # type: ignore[misc]
        elif isinstance(given, tuple):
            raise TypeError(
                f"{kind}: expected {name} as one Tensor or array, got a tuple of {len(given)}"
                f"{graph.current().scope}"
            )
        else:
            state = as_input(kind, name, given, self.dtype)
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

    def _lengths(self, given: Any, T: int, batch: list[int]) -> ndarray | None:
        """The lengths (N,), looked at; None where all sequences have T steps."""
        if given is None:
            return None
        where = f"{type(self).__name__}: expected lengths"
        lengths = (
            given if unknown(given) else graph.numbers(given, f"{type(self).__name__}: lengths")
        )
        if not batch:
            raise ValueError(f"{where} only for batched input; x has no batch axis")
        if lengths.shape != tuple(batch):
            raise ValueError(f"{where} of shape {tuple(batch)}, got {lengths.shape}")
        if lengths.dtype.kind not in "iu" and lengths.size:
            raise TypeError(f"{where} that are integers, got {lengths.dtype}")
        if unknown(given):
            return lengths
        wrong = np.flatnonzero((lengths < 1) | (lengths > T))
        if wrong.size:
            raise ValueError(
                f"{where} from 1 to T = {T}, got {lengths[wrong[0]]} for sequence {wrong[0]}"
            )
        return None if (lengths == T).all() else lengths

    def _resets(self, given: Any, T: int, batch: list[int], turned: bool) -> ndarray | None:
        """The resets (T, N) or (T,), looked at; None where nothing begins anew."""
        if given is None:
            return None
        kind = type(self).__name__
        resets = graph.numbers(given, f"{kind}: resets")
        expected = (*batch, T) if turned else (T, *batch)
        if resets.dtype.kind != "b":
            raise TypeError(f"{kind}: expected resets as booleans, got {resets.dtype}")
        if resets.shape != expected:
            raise ValueError(f"{kind}: expected resets of shape {expected}, got {resets.shape}")
        return (resets.T if turned else resets) if resets.any() else None

    def extra_repr(self) -> str:
        usual: dict[str, Any] = {
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
            for name, value in usual.items()
            if getattr(self, name, value) != value
        ]
        return f"{self.input_size}, {self.hidden_size}" + "".join(changed)
