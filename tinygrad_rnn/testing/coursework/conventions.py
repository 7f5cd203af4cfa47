"""The equations of the built-in references, and the conventions in which courses write them.

Courses write the same equations in different ways: the batch or the time first, ``x @ W`` or
``W @ x``, one bias or two, the gates in another order. None of these is a mistake. So we run the
student's forward to find its convention.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from ... import ops
from ...graph import Value, scope, steps

Step = Callable[..., Any]

# ── the equations, as textbooks have them ────────────────────────────────────────────────


def named(name: str, x: Any) -> Any:
    """Give x the name that messages use."""
    if isinstance(x, Value) and x.node is not None and not x.node.is_leaf:
        x.node.name = name
    return x


class Convention(NamedTuple):
    """How the equations are written.

    Attributes:
        batch_first: x is (N, T, D), not (T, N, D).
        columns: weights are (inputs, outputs), as in ``x @ W``; else (outputs, inputs).
        gates: their order in the weights.
        keeps: for a GRU: whether z_t near 1 keeps the old state; else it takes the new value.
        reset_after: for a GRU: whether r_t resets the product with h_{t-1}, or h_{t-1} before it.
    """

    batch_first: bool = True
    columns: bool = True
    gates: str = ""
    keeps: bool = True
    reset_after: bool = True

    def parts(self) -> dict[str, str]:
        """The convention in words, by the names of check_bptt's arguments."""
        words = {
            "batch_first": "x (N, T, D)" if self.batch_first else "x (T, N, D)",
            "columns": "x @ W" if self.columns else "x @ W.T",
        }
        if self.gates:
            words["gates"] = f"gates in the order {', '.join(self.gates)}"
        if "z" in self.gates:
            words["z_keeps"] = f"h = {'(1 - z) n + z h' if self.keeps else '(1 - z) h + z n'}"
            words["reset_after"] = f"reset as {'r (h @ W)' if self.reset_after else '(r h) @ W'}"
        return words

    def described(self, over_time: bool = True) -> str:
        parts = self.parts()
        if not over_time:
            del parts["batch_first"]
        return "; ".join(parts.values())


class Weights(NamedTuple):
    """The weights among a step's arguments; a bias is None if there is none."""

    x: Any
    h: Any
    b: Any = None
    b_h: Any = None


def _product(x: Any, W: Any, columns: bool) -> Any:
    return ops.matmul(x, W if columns else ops.transpose(W))


def _plus(a: Any, b: Any) -> Any:
    return a if b is None else ops.add(a, b)


def _cut(a: Any, gates: str) -> dict[str, Any]:
    """The columns of each gate."""
    size = a.shape[-1] // len(gates)
    return {gate: a[..., k * size : (k + 1) * size] for k, gate in enumerate(gates)}


def rnn_step(convention: Convention, x: Any, h: Any, w: Weights) -> Any:
    """``h_t = tanh(x_t Wx + h_{t-1} Wh + b)``."""
    a = ops.add(_product(x, w.x, convention.columns), _product(h, w.h, convention.columns))
    a = named("a_t", _plus(_plus(a, w.b), w.b_h))
    return named("h_t", ops.tanh(a))


def lstm_step(convention: Convention, x: Any, h: Any, c: Any, w: Weights) -> tuple[Any, Any]:
    """``c_t = f_t c_{t-1} + i_t g_t``, ``h_t = o_t tanh(c_t)``."""
    a = ops.add(_product(x, w.x, convention.columns), _product(h, w.h, convention.columns))
    a = named("a_t", _plus(_plus(a, w.b), w.b_h))
    parts = {k: named(f"a_{k}", v) for k, v in _cut(a, convention.gates).items()}
    i = named("i_t", ops.sigmoid(parts["i"]))
    f = named("f_t", ops.sigmoid(parts["f"]))
    g = named("g_t", ops.tanh(parts["g"]))
    o = named("o_t", ops.sigmoid(parts["o"]))
    c = named("c_t", ops.add(ops.multiply(f, c), ops.multiply(i, g)))
    return named("h_t", ops.multiply(o, named("tanh(c_t)", ops.tanh(c)))), c


def gru_step(convention: Convention, x: Any, h: Any, w: Weights) -> Any:
    """``h_t = (1 - z_t) n_t + z_t h_{t-1}``, in both conventions of z and of r."""
    gates, columns = convention.gates, convention.columns
    x_part = _cut(_plus(_product(x, w.x, columns), w.b), gates)
    if convention.reset_after:
        h_part = _cut(_plus(_product(h, w.h, columns), w.b_h), gates)
        h_part["n"] = named("(h_{t-1} Wh)[n]", h_part["n"])
    else:
        name = getattr(w.h, "name", None) or "Wh"
        W = _cut(w.h if columns else ops.transpose(w.h), gates)
        W = {k: named(f"{name}[{k}]", part) for k, part in W.items()}
        b = dict.fromkeys(gates) if w.b_h is None else _cut(w.b_h, gates)
        h_part = {k: _plus(ops.matmul(h, W[k]), b[k]) for k in "rz"}
    r = named("r_t", ops.sigmoid(named("a_r", ops.add(x_part["r"], h_part["r"]))))
    z = named("z_t", ops.sigmoid(named("a_z", ops.add(x_part["z"], h_part["z"]))))
    if convention.reset_after:
        reset = ops.multiply(r, h_part["n"])
    else:
        reset = _plus(ops.matmul(named("r_t h_{t-1}", ops.multiply(r, h)), W["n"]), b["n"])
    n = named("n_t", ops.tanh(named("a_n", ops.add(x_part["n"], reset))))
    old, new = (z, ops.subtract(1.0, z)) if convention.keeps else (ops.subtract(1.0, z), z)
    return named("h_t", ops.add(ops.multiply(new, n), ops.multiply(old, h)))


class Cell(NamedTuple):
    """A built-in reference: its step, its states and its gates."""

    step: Callable[..., Any]
    states: tuple[str, ...]
    gates: str

    def conventions(self, **asked: Any) -> list[Convention]:
        """All conventions that agree with the caller's arguments, the commonest first."""
        orders = ["".join(p) for p in itertools.permutations(self.gates)] if self.gates else [""]
        # The orders of CS231n, PyTorch, and Deep Learning from Scratch.
        usual = {"ifgo": ["ifog", "ifgo", "fgio"], "rzn": ["rzn", "zrn"]}.get(self.gates, [])
        orders = [*usual, *(order for order in orders if order not in usual)]
        both = (True, False)
        choices: dict[str, Sequence[Any]] = {
            "batch_first": both,
            "columns": both,
            "gates": orders,
            "keeps": both if "z" in self.gates else (True,),
            "reset_after": both if "z" in self.gates else (True,),
        }
        for name, value in asked.items():
            if value is not None:
                choices[name] = (value,)
        return [Convention(*values) for values in itertools.product(*choices.values())]


CELLS = {
    "rnn": Cell(rnn_step, ("h",), ""),
    "lstm": Cell(lstm_step, ("h", "c"), "ifgo"),
    "gru": Cell(gru_step, ("h",), "rzn"),
}


# ── the student's arguments ──────────────────────────────────────────────────────────────


class Roles(NamedTuple):
    """The role of each of forward's arguments, by name."""

    names: tuple[str, ...]
    x: str
    states: dict[str, str | None]  #: for each state the argument that it starts from
    weights: Weights

    def weight_names(self) -> list[str]:
        return [name for name in self.weights if name is not None]


def roles_of(forward: Callable[..., Any], cell: Cell) -> Roles:
    """Find the role of each argument of a student's forward, by its name and its place.

    Raises:
        ValueError: the arguments fit no net of this kind.
    """
    names = argument_names(forward)
    rest = list(names[1:])
    states: dict[str, str | None] = {}
    for state in cell.states:
        candidates = [n for n in rest if _is_state(n, state)]
        states[state] = candidates[0] if candidates else None
        if candidates:
            rest.remove(candidates[0])
    biases = [n for n in rest if n.lower().startswith("b")]
    products = [n for n in rest if n not in biases]
    if len(products) != 2 or len(biases) > 2:
        expected = "x, " + ", ".join(f"{s}0" for s in cell.states) + ", Wx, Wh, b"
        raise ValueError(
            f"check_bptt: expected forward({expected}), where states and biases may be missing and "
            f"there may be two biases; got forward({', '.join(names)})"
        )
    if _is_of_h(products[0]) and not _is_of_h(products[1]):
        products.reverse()
    if len(biases) == 2 and _is_of_h(biases[0]) and not _is_of_h(biases[1]):
        biases.reverse()
    weights = Weights(products[0], products[1], *biases, *[None] * (2 - len(biases)))
    return Roles(names, names[0], states, weights)


def argument_names(forward: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a function's arguments that have no default."""
    parameters = inspect.signature(forward).parameters.values()
    wanted = [p for p in parameters if p.default is p.empty]
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in wanted) or not wanted:
        raise ValueError(
            "check_bptt: expected a forward with one named argument for each array, got "
            f"{getattr(forward, '__name__', 'forward')}{inspect.signature(forward)}"
        )
    return tuple(p.name for p in wanted)


def _is_state(name: str, state: str) -> bool:
    """h, h0, h_0, prev_h, h_prev, hidden; c, c0, cell, ..."""
    low = name.lower()
    words = {"h": ("h", "h0", "h_0", "hidden"), "c": ("c", "c0", "c_0", "cell")}[state]
    return low in words or ("prev" in low and state in low.replace("prev", ""))


def _is_of_h(name: str) -> bool:
    """Wh, W_hh, weight_hh, U: the weights of the state."""
    low = name.lower().removeprefix("weight").removeprefix("bias")
    of_x = "x" in low or "i" in low
    return "hh" in low or low.startswith("u") or ("h" in low and not of_x)


# ── the reference as a function of the student's arguments ───────────────────────────────


class Sizes(NamedTuple):
    """Time steps, sequences, inputs and units. All differ, so that no two axes look the same."""

    T: int = 4
    N: int = 3
    D: int = 5
    H: int = 6


def inputs_for(
    roles: Roles, cell: Cell, convention: Convention, sizes: Sizes, over_time: bool, rng: Any
) -> dict[str, ndarray]:
    """Random arrays for a student's arguments."""
    T, N, D, H = sizes
    rows = H * max(1, len(cell.gates))
    x_shape = (N, D) if not over_time else (N, T, D) if convention.batch_first else (T, N, D)
    arrays = {roles.x: rng.standard_normal(x_shape)}
    for name in roles.states.values():
        if name is not None:
            arrays[name] = 0.7 * rng.standard_normal((N, H))
    for name, size in ((roles.weights.x, D), (roles.weights.h, H)):
        shape = (size, rows) if convention.columns else (rows, size)
        arrays[name] = rng.standard_normal(shape) / np.sqrt(size)
    for name in roles.weights[2:]:
        if name is not None:
            arrays[name] = 0.5 * rng.standard_normal(rows)
    return {name: arrays[name] for name in roles.names}


#: The states after each step, in order.
States = list[tuple[Any, ...]]


def reference_of(
    roles: Roles, cell: Cell, convention: Convention, over_time: bool
) -> Callable[..., States]:
    """The reference as a function of the student's arguments."""

    def function(*args: Any) -> States:
        arrays = dict(zip(roles.names, args, strict=True))
        weights = Weights(*(None if n is None else arrays[n] for n in roles.weights))
        x = arrays[roles.x]
        N = x.shape[0] if convention.batch_first or not over_time else x.shape[1]
        H = weights.h.shape[0 if convention.columns else 1]
        state: tuple[Any, ...] = tuple(
            np.zeros((N, H)) if n is None else arrays[n] for n in roles.states.values()
        )

        def step(x_t: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
            after = cell.step(convention, x_t, *state, weights)
            return after if isinstance(after, tuple) else (after,)

        return run(step, x, state, convention.batch_first) if over_time else [step(x, state)]

    return function


def run(
    step: Callable[[Any, tuple[Any, ...]], tuple[Any, ...]],
    x: Any,
    state: tuple[Any, ...],
    batch_first: bool,
) -> States:
    """A step over a sequence."""
    states: States = []
    for t, _ in steps(range(x.shape[1 if batch_first else 0])):
        state = step(named("x_t", x[:, t] if batch_first else x[t]), state)
        states.append(state)
    return states


class Chosen(NamedTuple):
    """One output of a student's forward: a state at all time steps, or after the last one."""

    state: int
    all_steps: bool


def collected(states: States, chosen: Sequence[Chosen], batch_first: bool) -> list[Any]:
    """The states that a student's forward returns, selected from all states."""
    with scope("outputs"):
        return [
            ops.stack([state_t[c.state] for state_t in states], 1 if batch_first else 0)
            if c.all_steps
            else states[-1][c.state]
            for c in chosen
        ]


__all__ = [
    "CELLS",
    "Cell",
    "Chosen",
    "Convention",
    "Roles",
    "Sizes",
    "States",
    "Weights",
    "argument_names",
    "collected",
    "inputs_for",
    "reference_of",
    "roles_of",
    "run",
]
