"""From the values of a step to a loop over the steps: a flat list of NumPy calls.

A :class:`Loop` is a function written for one step: what does not depend on the carry is computed
before the steps, for all of them at once; then, per step, only what the next carry needs; after
the steps, again at once, everything else. A step's results go straight into blocks that hold
those of all steps (time first), or into buffers that every step uses again.

The backward pass of a scan is such a loop too, in the other direction: its carry is the cotangent
of the carry, its inputs are what the forward pass kept, and the cotangents of the weights are sums
over the steps, taken after it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from ..graph import table
from ..ops.elementwise import _exp_limit
from .batching import Operand, batched, each
from .values import CONSTANT, LOOP, Var, join


class Outline(NamedTuple):
    """What a loop takes and gives, as values of one step."""

    constants: list[Var]
    sequences: list[Var]
    carries: list[Var]
    new_carries: list[Var]  #: of the carries' shapes and dtypes
    stacked: list[Var]  #: wanted of every step, as blocks
    summed: list[Var]  #: wanted summed over the steps
    kept: list[Var]  #: wanted by a later loop: blocks, or what is the same at every step


class Loop:
    """A compiled loop; immutable, and runs in any number of threads at a time.

    Calling it: ``loop(T, reverse, constants, sequences, carries) -> (carries, stacked, summed,
    kept)``, T >= 1.

    Attributes:
        source: the Python function that runs.
        listing: the same for people, as triples (section, line, shape).
    """

    def __init__(self, outline: Outline):
        writer = _Writer(outline)
        self.source = writer.source()
        self.listing = writer.listing
        code = compile(self.source, "<scan>", "exec")
        exec(code, writer.names)
        # Out of its own globals: they and the function would hold each other.
        self._run = writer.names.pop("run")

    def __call__(
        self,
        steps: int,
        reverse: bool,
        constants: Sequence[ndarray],
        sequences: Sequence[ndarray],
        carries: Sequence[ndarray],
    ) -> Any:
        return self._run(steps, reverse, constants, sequences, carries)


def _by_step(reverse: bool, *blocks: Any) -> Any:
    """The blocks' parts of each step, in the order of the steps."""
    return zip(*[block[::-1] for block in blocks] if reverse else blocks, strict=True)


def _rows(x: ndarray) -> ndarray:
    """(T, n, k) as a matrix of T n rows."""
    return x.reshape(x.shape[0] * x.shape[1], x.shape[2])


def _product_over_time(x: ndarray, y: ndarray) -> Any:
    """sum_t x_t y_t of matrices: one product whose inner axis is all steps."""
    columns = x.swapaxes(0, 1)
    return np.matmul(columns.reshape(len(columns), -1), _rows(y))


_dense = {"float32", "float64"}


class _Writer:
    """Writes the function of one loop."""

    def __init__(self, outline: Outline):
        self.outline = outline
        self.listing: list[tuple[str, str, str]] = []
        self.names: dict[str, Any] = {
            "empty": np.empty,
            "zeros": np.zeros,
            "copyto": np.copyto,
            "asarray": np.asarray,
            "add_reduce": np.add.reduce,
            "concatenate": np.concatenate,
            "contiguous": np.ascontiguousarray,
            "broadcast_to": np.broadcast_to,
            "by_step": _by_step,
            "product_over_time": _product_over_time,
        }
        self.before: list[str] = []
        self.loop: list[str] = []
        self.after: list[str] = []
        self.place: dict[Any, str] = {}  # (value, "block" or "once") -> the name that holds it
        self.iterated: dict[str, str] = {}  # name in the loop -> expression of its block
        self._loop_vars = self._needed_in_loop()
        self._kept: dict[Var, None] = {}

    # ── what has to be computed within the loop ──────────────────────────────────────────

    def _needed_in_loop(self) -> list[Var]:
        found: dict[Var, None] = {}
        stack = [v for v in self.outline.new_carries if v.level == LOOP]
        while stack:
            v = stack.pop()
            if v not in found:
                found[v] = None
                stack += [x for x in v.inputs if x.level == LOOP]
        return sorted((v for v in found if v.op is not None), key=lambda v: v.number)

    # ── names ────────────────────────────────────────────────────────────────────────────

    def constant(self, value: Any, stem: str = "k") -> str:
        name = re.sub(r"\W", "_", f"{stem}{len(self.names)}")
        self.names[name] = value
        return name

    def _note(self, section: str, line: str, v: Var | None, over_time: bool = False) -> None:
        shape = ""
        if v is not None:
            sizes = ", ".join(map(str, (("T",) if over_time else ()) + v.shape))
            shape = f"{v.dtype} ({sizes})"
        self.listing.append((section, line, shape))

    # ── values that are known before the loop, or after it ───────────────────────────────

    def block(self, v: Var, out: list[str], section: str) -> str:
        """The name of the array that holds v: of every step, or the same for all."""
        kind = "once" if v.level == CONSTANT else "block"
        name = self.place.get((v, kind))
        if name is not None:
            return name
        if v.level == LOOP and v in self._in_loop:
            raise AssertionError(f"{v} was not kept")
        # No recursion: a step may be thousands of operations long.
        stack = [v]
        while stack:
            w = stack[-1]
            kind = "once" if w.level == CONSTANT else "block"
            if (w, kind) in self.place:
                stack.pop()
                continue
            missing = [
                x
                for x in w.inputs
                if (x, "once" if x.level == CONSTANT else "block") not in self.place
            ]
            if missing:
                stack += missing
                continue
            stack.pop()
            self._write_block(w, out, section)
        return self.place[v, "once" if v.level == CONSTANT else "block"]

    def _write_block(self, v: Var, out: list[str], section: str) -> None:
        assert v.op is not None, v
        over_time = v.level > CONSTANT
        arguments = []
        for x in v.args:
            if type(x) is Var:
                arguments.append(self.place[x, "once" if x.level == CONSTANT else "block"])
            else:
                arguments.append(self.constant(x) if type(x) is float else repr(x))
        name = f"v{v.number}"
        if over_time:
            operands = [
                Operand(x.shape, x.level > CONSTANT) if type(x) is Var else Operand((), False)
                for x in v.args
            ]
            if v.op is join:
                function = _joined_over_time(v)
            else:
                function = batched(v.op, v.keywords, operands) or each(v.op, v.keywords, operands)
        else:
            function = _once(v)
        f = self.constant(function, f"{v.op.name.strip('_')}_")
        out.append(f"{name} = {f}({', '.join(arguments)})")
        self.place[v, "block" if over_time else "once"] = name
        self._note(
            section, f"{name} = {v.op.name.strip('_')}({', '.join(arguments)})", v, over_time
        )

    # ── the loop ─────────────────────────────────────────────────────────────────────────

    def source(self) -> str:
        outline = self.outline
        self._in_loop = set(self._loop_vars) | set(outline.carries)
        for i, v in enumerate(outline.constants):
            self.place[v, "once"] = f"c{i}"
        for i, v in enumerate(outline.sequences):
            self.place[v, "block"] = f"x{i}"
        wanted = [*outline.stacked, *outline.summed, *outline.kept]
        self._kept = self._to_keep(wanted)
        loop = _Steps(self)
        loop.write()
        stacked = [self._stacked(v) for v in outline.stacked]
        summed = [self.total(v) for v in outline.summed]
        kept = [self.block(v, self.after, "after") for v in outline.kept]
        lines = ["def run(T, reverse, constants, sequences, carries):"]
        body = []
        for names, source in (
            ([f"c{i}" for i in range(len(outline.constants))], "constants"),
            ([f"x{i}" for i in range(len(outline.sequences))], "sequences"),
            ([f"h{i}" for i in range(len(outline.carries))], "carries"),
        ):
            if names:
                body.append(f"{', '.join(names)}, = {source}")
        body += self.before + loop.prologue
        if loop.body:
            body.append(
                f"for {', '.join(loop.targets)}, in by_step(reverse, {', '.join(loop.sources)}):"
            )
            body += [f"    {line}" for line in loop.body]
        body += loop.epilogue + self.after
        body.append(
            f"return [{', '.join(loop.final)}], [{', '.join(stacked)}], "
            f"[{', '.join(summed)}], [{', '.join(kept)}]"
        )
        return "\n".join(lines + [f"    {line}" for line in body]) + "\n"

    def _to_keep(self, wanted: list[Var]) -> dict[Var, None]:
        """The values of the loop that are read after it: of every step."""
        kept: dict[Var, None] = {}
        seen: set[Var] = set()
        stack = list(wanted)
        while stack:
            v = stack.pop()
            if v in seen or v.level < LOOP:
                continue
            seen.add(v)
            if v in self._in_loop and not (v.is_view and v.inputs):
                kept[v] = None
            else:
                self._in_loop.discard(v)  # a view is made again from what it is a view of
                stack += v.inputs
        return kept

    def _stacked(self, v: Var) -> str:
        name = self.block(v, self.after, "after")
        if v.level == CONSTANT:
            made = f"v{v.number}_of_every_step"
            self.after.append(f"{made} = broadcast_to({name}, (T, *{name}.shape)).copy()")
            return made
        return name

    # ── sums over time ───────────────────────────────────────────────────────────────────

    def total(self, v: Var) -> str:
        """The name of sum_t v_t."""
        known = self.place.get((v, "total"))
        if known is not None:
            return known
        made = f"s{v.number}"
        line = self._total(v)
        self.after.append(f"{made} = {line}")
        self.place[v, "total"] = made
        self._note("after", f"{made} = {line}", v)
        return made

    def _total(self, v: Var) -> str:
        if v.level == CONSTANT:
            return f"T * {self.block(v, self.after, 'after')}"
        if v.op is None or v in self._in_loop:
            return f"add_reduce({self.block(v, self.after, 'after')}, 0)"
        name = v.op.name
        alike = all(x.shape == v.shape and x.dtype == v.dtype for x in v.inputs)
        if name == "add" and alike and len(v.inputs) == 2:
            return f"{self.total(v.inputs[0])} + {self.total(v.inputs[1])}"
        x = v.inputs[0]
        if name in _linear and len(v.inputs) == 1 and x.level > CONSTANT:
            f = self.constant(_once(v), f"{name.strip('_')}_")
            return f"{f}({self.total(x)})"
        if name in ("sum", "sum_to") and x.dtype == v.dtype:
            return self._sum_of_all(v, x)
        if name == "matmul" and all(type(a) is Var and len(a.shape) == 2 for a in v.args):
            x, y = v.args
            if x.level > CONSTANT and y.level > CONSTANT:
                names = [self.block(a, self.after, "after") for a in (x, y)]
                return f"product_over_time({', '.join(names)})"
            if x.level > CONSTANT:
                return f"{self.total(x)} @ {self.block(y, self.after, 'after')}"
            return f"{self.block(x, self.after, 'after')} @ {self.total(y)}"
        if name == "_rows_added" and all(a.level > CONSTANT for a in v.inputs):
            # The rows of all steps at once.
            f = self.constant(_once(v), "rows_added_")
            names = [self.block(a, self.after, "after") for a in v.inputs]
            return f"{f}({', '.join(names)})"
        if name == "einsum":
            product = self._einsum_over_time(v)
            if product is not None:
                names = [self.block(a, self.after, "after") for a in v.args]
                return f"{product}({', '.join(names)})"
        operands = [
            Operand(x.shape, x.level > CONSTANT) if type(x) is Var else Operand((), False)
            for x in v.args
        ]
        if v.op is not join and batched(v.op, v.keywords, operands) is None:
            names = [
                self.block(a, self.after, "after") if type(a) is Var else self.constant(a)
                for a in v.args
            ]
            f = self.constant(_sum_of_each(v, operands), f"{name.strip('_')}_")
            return f"{f}({', '.join(names)})"
        return f"add_reduce({self.block(v, self.after, 'after')}, 0)"

    def _sum_of_all(self, v: Var, x: Var) -> str:
        """sum_t of a sum over axes of x_t: one reduction over these and time."""
        rank = len(x.shape)
        if v.op is not None and v.op.name == "sum":
            axis = v.keywords["axis"]
            axes = range(rank) if axis is None else np.ravel(axis).tolist()
            reduced = {a % rank for a in axes} if rank else set()
        else:
            padded = (1,) * (rank - len(v.shape)) + v.shape
            reduced = {i for i in range(rank) if padded[i] != x.shape[i] or i < rank - len(v.shape)}
        if (
            x.op is not None
            and x.op.name == "multiply"
            and x.dtype.name in _dense
            and (x, "block") not in self.place
            and x not in self._in_loop
            and all(type(a) is Var and a.shape == x.shape and a.dtype == x.dtype for a in x.args)
            and all(a.level > CONSTANT for a in x.inputs)
            and rank < 20
        ):
            # The products need not be stored to be summed.
            letters = "abcdefghijklmnopqrstuvw"[: rank + 1]
            left = "".join(c for i, c in enumerate(letters) if i and i - 1 not in reduced)
            subscripts = f"{letters},{letters}->{left}"
            f = self.constant(
                lambda a, b: np.einsum(subscripts, a, b).reshape(v.shape), "sum_of_product_"
            )
            names = [self.block(a, self.after, "after") for a in x.inputs]
            return f"{f}({', '.join(names)})"
        axes = (0, *(i + 1 for i in sorted(reduced)))
        return f"add_reduce({self.block(x, self.after, 'after')}, {axes}).reshape({v.shape})"

    def _einsum_over_time(self, v: Var) -> str | None:
        names, result = v.keywords["operands"], v.keywords["result"]
        letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
        used = set(result).union(*names)
        time = next((letter for letter in letters if letter not in used), None)
        if time is None or not all(type(a) is Var for a in v.args):
            return None
        terms = [
            time + name if a.level > CONSTANT else name
            for name, a in zip(names, v.args, strict=True)
        ]
        subscripts = f"{','.join(terms)}->{result}"
        return self.constant(
            lambda *xs: np.einsum(subscripts, *xs, optimize=len(xs) > 1), "einsum_over_time_"
        )


#: Sums may be taken before these, of one array and linear in it.
_linear = frozenset(
    {
        "reshape",
        "transpose",
        "swapaxes",
        "moveaxis",
        "squeeze",
        "expand_dims",
        "flip",
        "negative",
        "broadcast_to",
        "_place",
        "_getitem",
    }
)


def _once(v: Var) -> Any:
    """The operation of v on arrays of one step."""
    assert v.op is not None
    forward, keywords = v.op.forward, v.keywords
    if not keywords:
        return forward
    return lambda *xs: np.asarray(forward(*xs, **keywords))


def _sum_of_each(v: Var, operands: Sequence[Operand]) -> Any:
    """sum_t of an operation that takes no time axis, without holding all its results."""
    assert v.op is not None
    forward, keywords = v.op.forward, v.keywords
    over_time = [i for i, x in enumerate(operands) if x.over_time]

    def call(*xs: Any) -> ndarray:
        total = np.zeros(v.shape, v.dtype)
        arguments = list(xs)
        for t in range(len(xs[over_time[0]])):
            for i in over_time:
                arguments[i] = xs[i][t]
            total += forward(*arguments, **keywords)
        return total

    return call


def _joined_over_time(v: Var) -> Any:
    indices = [(slice(None), *_parts(index)) for index in v.keywords["indices"]]
    over_time = [x.level > CONSTANT for x in v.args]

    def call(*parts: ndarray) -> ndarray:
        steps = next(len(part) for part, moves in zip(parts, over_time, strict=True) if moves)
        out = np.zeros((steps, *v.shape), v.dtype)
        for part, index in zip(parts, indices, strict=True):
            out[index] = part
        return out

    return call


def _parts(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


# ── one step ─────────────────────────────────────────────────────────────────────────────


class _Steps:
    """Writes what runs at every step."""

    def __init__(self, writer: _Writer):
        self.writer = writer
        outline = writer.outline
        self.vars = writer._loop_vars
        self.prologue: list[str] = []
        self.body: list[str] = []
        self.epilogue: list[str] = []
        self.targets: list[str] = ["t"]
        self.sources: list[str] = ["range(T)"]
        self.final: list[str] = []
        self.name: dict[Var, str] = {}  # what holds a value within a step
        self.out: dict[Var, str] = {}  # where it has to be written
        self.kept = writer._kept
        self.carries = list(zip(outline.carries, outline.new_carries, strict=True))
        self.free: dict[Any, list[str]] = {}  # buffers that nobody reads any more
        self.buffer: dict[Var, str] = {}
        self.buffers = 0
        self.zeroed: set[Var] = set()  # joins whose block is 0 where none of their parts lies

    def write(self) -> None:
        writer = self.writer
        if not writer.outline.carries:
            return
        self._place_carries()
        self._place_kept()
        last = self._last_uses()
        for position, v in enumerate(self.vars):
            self._write(v, position, last)
        self._hand_on()

    # ── where values lie ─────────────────────────────────────────────────────────────────

    def _iterate(self, name: str, source: str) -> str:
        self.targets.append(name)
        self.sources.append(source)
        return name

    def _place_carries(self) -> None:
        claimed: set[Var] = set()
        self.handing: list[str] = []
        for i, (old, new) in enumerate(self.carries):
            shape, dtype = old.shape, self.writer.constant(old.dtype, "dtype_")
            direct = (
                new.op is not None
                and new.level == LOOP
                and not new.is_view
                and new not in claimed
                and new.shape != ()
            )
            in_block = (old in self.kept or (direct and new in self.kept)) and shape != ()
            if in_block:
                self.prologue += [
                    f"b{i} = empty((T + 1, *{shape}), {dtype})",
                    f"b{i}_old, b{i}_new = b{i}[:-1], b{i}[1:]",
                    f"if reverse: b{i}_old, b{i}_new = b{i}_new, b{i}_old",
                    f"b{i}[T if reverse else 0] = h{i}",
                ]
                self._iterate(f"h{i}_t", f"b{i}_old")
                self._iterate(f"h{i}_next", f"b{i}_new")
                self.name[old] = f"h{i}_t"
                self.writer.place[old, "block"] = f"b{i}_old"
                self.final.append(f"b{i}[0 if reverse else T].copy()")
                target = f"h{i}_next"
                if direct and new in self.kept:
                    self.writer.place[new, "block"] = f"b{i}_new"
            elif shape == ():
                if old in self.kept:
                    self.prologue.append(f"b{i} = empty(T, {dtype})")
                    self.body.append(f"b{i}[t] = h{i}")
                    self.writer.place[old, "block"] = f"b{i}"
                self.name[old] = f"h{i}"
                self.final.append(f"asarray(h{i})")
                target = ""
            else:
                self.prologue += [
                    f"h{i}, h{i}_next = h{i}.copy(), empty({shape}, {dtype})",
                ]
                self.name[old] = f"h{i}"
                self.final.append(f"h{i}")
                target = f"h{i}_next"
                self.handing.append(f"h{i}, h{i}_next = h{i}_next, h{i}")
            if direct and target:
                claimed.add(new)
                self.out[new] = target
        self.direct = claimed

    def _place_kept(self) -> None:
        """Blocks for the values of every step, those that are parts of others within them."""
        parts: dict[Var, tuple[Var, Any]] = {}
        whole = {v for v in self.vars if v.op is join and v in self.kept}
        for v in whole:
            for part, index in zip(v.args, v.keywords["indices"], strict=True):
                fits = (
                    part.op is not None
                    and part.level == LOOP
                    and part in self.writer._in_loop
                    and not part.is_view
                    and part.op is not join
                    and part not in self.out
                    and part not in parts
                    and part.dtype == v.dtype
                    and part.shape != ()
                    and np.empty(v.shape, np.bool_)[index].shape == part.shape
                )
                if fits:
                    parts[part] = (v, index)
        writer = self.writer
        for v in self.vars:
            if v not in self.kept or (v, "block") in writer.place:
                continue
            name = f"b{v.number}_all"
            dtype = writer.constant(v.dtype, "dtype_")
            if v in parts:
                continue
            make = "empty" if v.op is not join or _covers(v) else "zeros"
            if make == "zeros":
                self.zeroed.add(v)
            self.prologue.append(f"{name} = {make}((T, *{v.shape}), {dtype})")
            writer.place[v, "block"] = name
            if v.shape != () and v not in self.out:
                self.out[v] = self._iterate(f"v{v.number}", name)
        for part, (v, index) in parts.items():
            name = f"b{part.number}_all"
            at = writer.constant((slice(None), *_parts(index)), "part_")
            self.prologue.append(f"{name} = {writer.place[v, 'block']}[{at}]")
            writer.place[part, "block"] = name
            self.out[part] = self._iterate(f"v{part.number}", name)
        self.parts = parts

    def _root(self, v: Var) -> Var:
        while v.is_view and v.level == LOOP and v.op is not None and v.inputs:
            v = v.inputs[0]
        return v

    def _last_uses(self) -> dict[Var, int]:
        last: dict[Var, int] = {}
        for position, v in enumerate(self.vars):
            for x in v.inputs:
                last[self._root(x)] = position
        for _, new in self.carries:
            last[self._root(new)] = len(self.vars)
        return last

    # ── reading and writing ──────────────────────────────────────────────────────────────

    def read(self, x: Any, v: Var) -> str:
        if type(x) is not Var:
            if isinstance(x, (bool, int, float)) and v.dtype.kind == "f" and _all_float(v):
                return self.writer.constant(np.array(x, v.dtype))
            return repr(x) if x is None else self.writer.constant(x)
        if x in self.name:
            return self.name[x]
        writer = self.writer
        if x.level == CONSTANT:
            name = writer.block(x, writer.before, "before")
            if v.op is _matmul and x.op is not None and x.is_view:
                made = f"{name}_in_order"
                if made not in writer.before:
                    line = f"{made} = contiguous({name})"
                    if line not in writer.before:
                        writer.before.append(line)
                name = made
            self.name[x] = name
            return name
        name = writer.block(x, writer.before, "before")
        self.name[x] = self._iterate(f"{name}_t", name)
        return self.name[x]

    def _buffer(self, v: Var) -> str:
        key = (v.shape, v.dtype)
        free = self.free.setdefault(key, [])
        if free:
            name = free.pop()
        else:
            name = f"buffer{self.buffers}"
            self.buffers += 1
            dtype = self.writer.constant(v.dtype, "dtype_")
            self.prologue.append(f"{name} = empty({v.shape}, {dtype})")
        self.buffer[v] = name
        return name

    def _release(self, position: int, v: Var, last: dict[Var, int]) -> None:
        for x in dict.fromkeys(self._root(x) for x in v.inputs):
            if last.get(x) == position and x in self.buffer:
                self.free[x.shape, x.dtype].append(self.buffer.pop(x))

    def _write(self, v: Var, position: int, last: dict[Var, int]) -> None:
        op = v.op
        assert op is not None
        writer = self.writer
        arguments = [self.read(x, v) for x in v.args]
        made = f"v{v.number}"
        shown = f"{made} = {op.name.strip('_')}({', '.join(arguments)})"
        if v.is_view:
            self.body.append(f"{made} = {self._view(v, arguments[0])}")
            self.name[v] = made
        elif v.shape == () or _into(v) is None:
            f = writer.constant(_once(v), f"{op.name.strip('_')}_")
            self.body.append(f"{made}_new = {f}({', '.join(arguments)})")
            self.name[v] = f"{made}_new"
            if (v, "block") in writer.place and v.shape == ():
                self.body.append(f"{writer.place[v, 'block']}[t] = {made}_new")
            elif v in self.out:
                self.body.append(f"copyto({self.out[v]}, {made}_new)")
            # What came out may be a view of what went in: those buffers are not used again.
            for x in v.inputs:
                self.buffer.pop(self._root(x), None)
        else:
            into = _into(v)
            assert into is not None
            in_place = isinstance(op.forward, np.ufunc) and op is not _matmul
            if in_place and v not in self.out:
                self._release(position, v, last)
            out = self.out.get(v) or self._buffer(v)
            self.body += into(self, v, arguments, out)
            self.name[v] = out
            if not (in_place and v not in self.out):
                self._release(position, v, last)
        if last.get(v) is None and v in self.buffer:
            self.free[v.shape, v.dtype].append(self.buffer.pop(v))
        writer._note("step", shown, v)

    def _view(self, v: Var, x: str) -> str:
        assert v.op is not None
        name, keywords = v.op.name, v.keywords
        if name == "_getitem":
            return f"{x}[{self.writer.constant(keywords['index'])}]"
        if name == "transpose" and keywords["axes"] is None:
            return f"{x}.T"
        if name in ("reshape", "squeeze", "expand_dims"):
            return f"{x}.reshape({v.shape})"
        return f"{self.writer.constant(_once(v), f'{name}_')}({x})"

    def _hand_on(self) -> None:
        """The new carries where the next step looks for the old ones."""
        late = []
        for i, (old, new) in enumerate(self.carries):
            if old.shape == ():
                value = self.read(new, new)
                late.append((f"h{i}", value))
            elif self.out.get(new) != f"h{i}_next":
                self.body.append(f"copyto(h{i}_next, {self.read(new, new)})")
        if late:
            names, values = zip(*late, strict=True)
            self.body.append(f"{', '.join(names)} = {', '.join(values)}")
        self.body += self.handing


def _covers(v: Var) -> bool:
    used = np.zeros(v.shape, np.bool_)
    for index in v.keywords["indices"]:
        used[index] = True
    return bool(used.all())


def _all_float(v: Var) -> bool:
    return all(x.dtype == v.dtype for x in v.inputs)


# ── operations that write into a given array ─────────────────────────────────────────────

_matmul = table["matmul"]


def _into(v: Var) -> Any:
    """How v is written into an array: ``(steps, v, arguments, out) -> lines``; None if it can't."""
    op = v.op
    assert op is not None
    if op is _matmul:
        return _into_ufunc
    if isinstance(op.forward, np.ufunc) and table.get(op.name) is op:
        return _into_ufunc
    if op is join:
        return _into_join
    same_dtype = all(x.dtype == v.dtype for x in v.inputs)
    if op.name in ("relu", "sigmoid") and same_dtype and v.dtype.name in _dense:
        return {"relu": _into_relu, "sigmoid": _into_sigmoid}[op.name]
    if op is table["where"] and type(v.args[0]) is Var and v.args[0].dtype == np.bool_:
        return _into_where
    if (
        op.name in ("sum", "mean")
        and same_dtype
        and v.dtype.name in _dense
        and op in table.values()
    ):
        return _into_sum
    if op.name == "_concatenate" and same_dtype:
        return _into_concatenate
    return None


def _into_ufunc(steps: _Steps, v: Var, arguments: list[str], out: str) -> list[str]:
    assert v.op is not None
    name = "matmul" if v.op is _matmul else v.op.name
    if v.op is _matmul and v not in steps.parts and _is_plain_product(v):
        # The same BLAS call, but 0.6 us less on the way: of one row of 32 it is 0.3 us, not 0.9.
        return [f"{arguments[0]}.dot({arguments[1]}, {out})"]
    steps.writer.names[name] = np.matmul if v.op is _matmul else v.op.forward
    # NumPy wants the keyword of these two, which costs 30 ns more.
    out = f"out={out}" if name in ("maximum", "minimum") else out
    return [f"{name}({', '.join(arguments)}, {out})"]


def _is_plain_product(v: Var) -> bool:
    """Whether v is a product of two matrices of one dtype, or of a vector and a matrix."""
    x, y = v.args
    return (
        type(x) is Var
        and type(y) is Var
        and len(x.shape) <= 2
        and len(y.shape) == 2
        and x.dtype == y.dtype == v.dtype
        and v.dtype.name in _dense
    )


def _into_relu(steps: _Steps, v: Var, arguments: list[str], out: str) -> list[str]:
    steps.writer.names["maximum"] = np.maximum
    zero = steps.writer.constant(np.array(0, v.dtype))
    return [f"maximum({arguments[0]}, {zero}, out={out})"]


def _into_sigmoid(steps: _Steps, v: Var, arguments: list[str], out: str) -> list[str]:
    names = steps.writer.names
    names |= {"negative": np.negative, "minimum": np.minimum, "exp": np.exp, "add": np.add}
    names |= {"reciprocal": np.reciprocal, "multiply": np.multiply, "tanh": np.tanh}
    if v.dtype == np.float32:
        # By way of tanh: two to three times faster and, at 7 digits, as good.
        half = steps.writer.constant(np.array(0.5, v.dtype))
        return [
            f"multiply({arguments[0]}, {half}, {out})",
            f"tanh({out}, {out})",
            f"multiply({out}, {half}, {out})",
            f"add({out}, {half}, {out})",
        ]
    limit = steps.writer.constant(_exp_limit[v.dtype])
    one = steps.writer.constant(np.array(1, v.dtype))
    return [
        f"negative({arguments[0]}, {out})",
        f"minimum({out}, {limit}, out={out})",
        f"exp({out}, {out})",
        f"add({out}, {one}, {out})",
        f"reciprocal({out}, {out})",
    ]


def _into_where(steps: _Steps, v: Var, arguments: list[str], out: str) -> list[str]:
    condition, x, y = arguments
    return [f"copyto({out}, {y})", f"copyto({out}, {x}, where={condition})"]


def _into_sum(steps: _Steps, v: Var, arguments: list[str], out: str) -> list[str]:
    assert v.op is not None
    axis, keepdims = v.keywords["axis"], v.keywords["keepdims"]
    lines = [f"add_reduce({arguments[0]}, {axis}, None, {out}, {keepdims})"]
    if v.op.name == "mean":
        steps.writer.names["divide"] = np.divide
        count = math.prod(v.inputs[0].shape) / max(math.prod(v.shape), 1)
        number = steps.writer.constant(np.array(count, v.dtype))
        lines.append(f"divide({out}, {number}, {out})")
    return lines


def _into_concatenate(steps: _Steps, v: Var, arguments: list[str], out: str) -> list[str]:
    return [f"concatenate(({', '.join(arguments)},), {v.keywords['axis']}, {out})"]


def _into_join(steps: _Steps, v: Var, arguments: list[str], out: str) -> list[str]:
    lines = []
    for x, name, index in zip(v.args, arguments, v.keywords["indices"], strict=True):
        if steps.parts.get(x, (None,))[0] is not v:
            lines.append(f"{out}[{steps.writer.constant(index)}] = {name}")
    if v not in steps.zeroed and not _covers(v):
        lines.insert(0, f"{out}.fill(0)")
    return lines


__all__ = ["Loop", "Outline"]
