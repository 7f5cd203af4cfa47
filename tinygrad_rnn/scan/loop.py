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
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from ..graph import table
from .batching import Operand, batched, each
from .listing import Listing, Names
from .steps import Steps, is_elementwise, once, parts_of
from .values import CONSTANT, LOOP, SEQUENCE, Var, dense, join


class Outline(NamedTuple):
    """What a loop takes and gives, as values of one step."""

    constants: list[Var]
    sequences: list[Var]
    carries: list[Var]
    new_carries: list[Var]  #: of the carries' shapes and dtypes
    stacked: list[Var]  #: wanted of every step, as blocks
    summed: list[Var]  #: wanted summed over the steps
    kept: list[Var]  #: wanted by a later loop: blocks, or what is the same at every step


def _reached(values: Iterable[Var], passes: Callable[[Var], bool]) -> set[Var]:
    """Those of the values, and of what they are computed from, that pass."""
    found: set[Var] = set()
    stack = list(values)
    while stack:
        v = stack.pop()
        if v not in found and passes(v):
            found.add(v)
            stack += v.inputs
    return found


#: From this size on, in elements, blocks of all steps are too large for a cache (measured).
LATE = 1024


class Loop:
    """A compiled loop; immutable, and runs in any number of threads at a time.

    Calling it: ``loop(T, reverse, constants, sequences, carries) -> (carries, stacked, summed,
    kept)``, T >= 1.

    Attributes:
        source: the Python function that runs.
        listing: the same for people.
    """

    def __init__(self, outline: Outline, names: Names):
        writer = Writer(outline, names)
        self.source = writer.source()
        self.listing = writer.listing
        self.listing.end(outline.carries, outline.new_carries, outline.stacked)
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


_block = re.compile(r"\b(?:v\d+|[bp]\d+_all|v\d+(?:_v\d+)+_beside(?:_flat)?)\b")


def _freed(lines: list[str]) -> list[str]:
    """The lines of a function, which lets go of each block once nothing reads it any more.

    Held to the end, the blocks of a long sequence are more than the heap keeps, and every call
    pays for fresh pages; one that is free is taken again while it is still in the cache.
    """
    last: dict[str, int] = {}
    end = 0  # of the steps, which read what they read again and again
    for i, line in enumerate(lines):
        if line.startswith("del "):
            end = i
        else:
            last.update(dict.fromkeys(_block.findall(line), i))
    result = []
    for i, line in enumerate(lines):
        within = line.startswith(("for ", "    "))
        done = [] if within else [name for name, at in last.items() if at == i]
        if i == end:
            done = [name for name, at in last.items() if lines[at].startswith(("for ", "    "))]
            line = ", ".join([line, *[name for name in done if f" {name}," not in f"{line},"]])
        elif done and i < len(lines) - 1:
            line = f"{line}; del {', '.join(done)}"
        result.append(line)
    return result


def _by_step(reverse: bool, *blocks: Any) -> Any:
    """The blocks' parts of each step, in the order of the steps."""
    return zip(*[block[::-1] for block in blocks] if reverse else blocks, strict=True)


def _rows(x: ndarray) -> ndarray:
    """(T, n, k) as a matrix of T n rows."""
    return x.reshape(x.shape[0] * x.shape[1], x.shape[2])


def _sum_of_rows(x: ndarray) -> Any:
    """The sum over all but the last axis, as a product with ones: BLAS is there sooner."""
    rows = x.reshape(-1, x.shape[-1])
    return np.ones(len(rows), x.dtype).dot(rows)


def _spread(x: ndarray, shape: tuple[int, ...]) -> ndarray:
    """Each x_t broadcast to a shape."""
    aligned = x.reshape(len(x), *(1,) * (len(shape) - x.ndim + 1), *x.shape[1:])
    return np.broadcast_to(aligned, (len(x), *shape)).copy()


def _product_over_time(x: ndarray, y: ndarray) -> Any:
    """sum_t x_t y_t of matrices: one product whose inner axis is all steps."""
    columns = x.swapaxes(0, 1)
    return np.matmul(columns.reshape(len(columns), -1), _rows(y))


class Writer:
    """Writes the function of one loop."""

    def __init__(self, outline: Outline, names: Names):
        self.outline = outline
        self.listing = Listing(names)
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
            "spread": _spread,
            "sum_of_rows": _sum_of_rows,
            "product_over_time": _product_over_time,
        }
        self.before: list[str] = []
        self.loop: list[str] = []
        self.after: list[str] = []
        self.place: dict[Any, str] = {}  # (value, "block" or "once") -> the name that holds it
        self.iterated: dict[str, str] = {}  # name in the loop -> expression of its block
        self.loop_vars = self._needed_in_loop()
        self.kept: dict[Var, None] = {}
        self._beside: set[str] = set()
        self._calls: dict[str, Var] = {}  # lines that compute blocks, which nothing else is part of

    # ── what has to be computed within the loop ──────────────────────────────────────────

    def _needed_in_loop(self) -> list[Var]:
        found = _reached(self.outline.new_carries, lambda v: v.level == LOOP)
        found |= self._late(found)
        return sorted((v for v in found if v.op is not None), key=lambda v: v.number)

    def _late(self, loop: set[Var]) -> set[Var]:
        """Large elementwise values that only the steps read: while the operands are in the cache.

        For small ones a call for all steps is the cheaper way; blocks of large ones would have to
        be fetched from memory again.
        """
        outline = self.outline
        wanted = [*outline.stacked, *outline.summed, *outline.kept]
        blocks = _reached(wanted, lambda v: v not in loop)
        late: set[Var] = set()
        for v in sorted(loop, key=lambda v: -v.number):
            late |= _reached(
                v.inputs,
                lambda x: (
                    x.level == SEQUENCE
                    and x not in blocks
                    and is_elementwise(x)
                    and math.prod(x.shape) >= LATE
                ),
            )
        return late

    # ── names ────────────────────────────────────────────────────────────────────────────

    def constant(self, value: Any, stem: str = "k") -> str:
        name = re.sub(r"\W", "_", f"{stem}{len(self.names)}")
        self.names[name] = value
        return name

    # ── values that are known before the loop, or after it ───────────────────────────────

    def block(self, v: Var, out: list[str], section: str) -> str:
        """The name of the array that holds v: of every step, or the same for all."""
        kind = "once" if v.level == CONSTANT else "block"
        name = self.place.get((v, kind))
        if name is not None:
            return name
        if v.level == LOOP and v in self.in_loop:
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
            function = once(v)
        f = self.constant(function, f"{v.op.name.strip('_')}_")
        line = f"{name} = {f}({', '.join(arguments)})"
        if isinstance(function, np.ufunc) and over_time:
            self._calls[line] = v
        out.append(line)
        self.place[v, "block" if over_time else "once"] = name
        self.listing.add(section, [v], over_time)

    def in_order(self, v: Var) -> str:
        """The name of a constant matrix whose rows lie one behind the other, as BLAS likes it."""
        name = self.block(v, self.before, "before")
        if v.op is None:
            return name
        line = f"{name}_in_order = contiguous({name})"
        if line not in self.before:
            self.before.append(line)
        return f"{name}_in_order"

    # ── side by side ─────────────────────────────────────────────────────────────────────

    def beside(self, values: Sequence[Var]) -> str:
        """The name of an array (T, k, ...) in which the blocks of k values lie side by side."""
        name = "_".join(f"v{v.number}" for v in values) + "_beside"
        if name in self._beside:
            return name
        self._beside.add(name)
        before, leader = self.before, values[0]
        if not self._product_beside(values, name):
            dtype = self.constant(leader.dtype, "dtype_")
            lines = [f"{name} = empty((T, {len(values)}, *{leader.shape}), {dtype})"]
            for i, v in enumerate(values):
                lines.append(self._written_into(v, f"{name}[:, {i}]"))
            before += lines
        for i, v in enumerate(values):
            if (v, "block") not in self.place:
                before.append(f"v{v.number} = {name}[:, {i}]")
                self.place[v, "block"] = f"v{v.number}"
                self.listing.add("before", [v], over_time=True)
        return name

    def _written_into(self, v: Var, part: str) -> str:
        """The line that writes the block of v into an array."""
        if (v, "block") in self.place or not _is_plain(v):
            return f"{part} = {self.block(v, self.before, 'before')}"
        assert v.op is not None
        names = [
            self.block(x, self.before, "before") if type(x) is Var else self.constant(x)
            for x in v.args
        ]
        f = self.constant(v.op.forward, f"{v.op.name}_")
        return f"{f}({', '.join(names)}, out={part})"

    def _product_beside(self, values: Sequence[Var], name: str) -> bool:
        """Write :meth:`beside` as one product of x_t with all matrices, if x_t is one row."""
        leader, count = values[0], len(values)
        products, summands = [], []
        for v in values:
            known = (v, "block") in self.place
            product = next((x for x in v.inputs if _is_product(x)), v) if v.op is _add else v
            if known or (product, "block") in self.place or not _is_product(product):
                return False
            products.append(product)
            summands += [x for x in v.args if x is not product and product is not v]
        shapes = {x.shape if type(x) is Var and x.level == CONSTANT else None for x in summands}
        xs = {v.inputs[0] for v in products}
        if math.prod(leader.shape[:-1]) != 1 or len(xs) > 1 or len(summands) not in (0, count):
            return False
        if any(v.shape != leader.shape for v in products) or shapes - {leader.shape[-1:]}:
            return False
        before = self.before
        x = self.block(xs.pop(), before, "before")
        matrices = [self.block(v.inputs[1], before, "before") for v in products]
        flat = f"{name}_flat"
        self.listing.add("before", products, over_time=True)
        before.append(f"{flat} = {x}.reshape(T, -1) @ concatenate([{', '.join(matrices)}], 1)")
        if summands:
            names = [self.block(c, before, "before") for c in summands]
            self.names["add"] = np.add
            before.append(f"add({flat}, concatenate([{', '.join(names)}]), {flat})")
        before.append(f"{name} = {flat}.reshape(T, {count}, *{leader.shape})")
        return True

    # ── the loop ─────────────────────────────────────────────────────────────────────────

    def source(self) -> str:
        outline = self.outline
        self.in_loop = set(self.loop_vars) | set(outline.carries)
        for i, v in enumerate(outline.constants):
            self.place[v, "once"] = f"c{i}"
        for i, v in enumerate(outline.sequences):
            self.place[v, "block"] = f"x{i}"
        wanted = [*outline.stacked, *outline.summed, *outline.kept]
        self.kept = self._to_keep(wanted)
        loop = Steps(self)
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
            body.append(f"del {', '.join(loop.targets)}")  # parts of blocks
        body += loop.epilogue + self.after
        body.append(
            f"return [{', '.join(loop.final)}], [{', '.join(stacked)}], "
            f"[{', '.join(summed)}], [{', '.join(kept)}]"
        )
        body = _freed(self._in_place(body))
        return "\n".join(lines + [f"    {line}" for line in body]) + "\n"

    def _in_place(self, lines: list[str]) -> list[str]:
        """Blocks that nobody reads any more are written over: memory just used is the fastest."""
        words = [set(re.findall(r"\w+", line)) for line in lines]
        last: dict[str, int] = {}
        shared: set[str] = (
            set()
        )  # with what may be a view of it, or is not in this function's hands
        for i, (line, found) in enumerate(zip(lines, words, strict=True)):
            last.update(dict.fromkeys(found, i))
            if line not in self._calls:
                shared |= found
        result = []
        held: dict[str, Var] = {}
        for i, line in enumerate(lines):
            v = self._calls.get(line)
            if v is not None:
                held[f"v{v.number}"] = v
                for x in v.inputs:
                    name = f"v{x.number}"
                    if (
                        held.get(name) is x
                        and last[name] == i
                        and name not in shared
                        and (x.shape, x.dtype) == (v.shape, v.dtype)
                    ):
                        line = f"{line[:-1]}, out={name})"
                        break
            result.append(line)
        return result

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
            if v in self.in_loop and not (v.is_view and v.inputs):
                kept[v] = None
            else:
                self.in_loop.discard(v)  # a view is made again from what it is a view of
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
        if v.op is not None:
            self.listing.add("after", [v], summed=v.level > CONSTANT)
        return made

    def _total(self, v: Var) -> str:
        if v.level == CONSTANT:
            return f"T * {self.block(v, self.after, 'after')}"
        if v.op is None or v in self.in_loop:
            return f"add_reduce({self.block(v, self.after, 'after')}, 0)"
        name = v.op.name
        if v.op is join:
            names = [self.total(x) for x in v.inputs]
            return f"{self.constant(once(v), 'join_')}({', '.join(names)})"
        alike = all(x.shape == v.shape and x.dtype == v.dtype for x in v.inputs)
        if name == "add" and alike and len(v.inputs) == 2:
            return f"{self.total(v.inputs[0])} + {self.total(v.inputs[1])}"
        x = v.inputs[0]
        if name in _linear and len(v.inputs) == 1 and x.level > CONSTANT:
            f = self.constant(once(v), f"{name.strip('_')}_")
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
            f = self.constant(once(v), "rows_added_")
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
            and x.dtype.name in dense
            and (x, "block") not in self.place
            and x not in self.in_loop
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
        if reduced == set(range(rank - 1)) and x.dtype.name in dense and v.dtype == x.dtype:
            return f"sum_of_rows({self.block(x, self.after, 'after')}).reshape({v.shape})"
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


_add = table["add"]


def _is_product(v: Any) -> bool:
    """Whether v is x_t W, the same matrix at every step."""
    if type(v) is not Var or v.op is not table["matmul"] or len(v.inputs) != 2:
        return False
    x, y = v.inputs
    return x.level == SEQUENCE and y.level == CONSTANT and len(y.shape) == 2 and len(x.shape) <= 2


def _is_plain(v: Var) -> bool:
    """Whether v is an elementwise operation of values of its own shape, or of constants."""
    if v.op is None or not isinstance(v.op.forward, np.ufunc) or v.op is table["matmul"]:
        return False
    return all(x.level == CONSTANT or x.shape == v.shape for x in v.inputs)


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
    indices = [(slice(None), *parts_of(index)) for index in v.keywords["indices"]]
    over_time = [x.level > CONSTANT for x in v.args]

    def call(*parts: ndarray) -> ndarray:
        steps = next(len(part) for part, moves in zip(parts, over_time, strict=True) if moves)
        out = np.zeros((steps, *v.shape), v.dtype)
        for part, index in zip(parts, indices, strict=True):
            out[index] = part
        return out

    return call


__all__ = ["Loop", "Outline"]
