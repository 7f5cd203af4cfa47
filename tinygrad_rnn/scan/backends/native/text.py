"""LLVM IR as text: functions, loops, and instructions on lanes.

Every instruction is written for W lanes: W numbers in one vector register, or a single number if W
is 1. Kinds of numbers have LLVM's names:

    float, double   32 and 64 bit
    i64, i32        integers
    i1              booleans; in memory they are bytes, i8
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

_kinds = {"f4": "float", "f8": "double", "i8": "i64", "i4": "i32", "b1": "i1"}
SIZES = {"float": 4, "double": 8, "i64": 8, "i32": 4, "i1": 1, "i8": 1}
_short = {"float": "f32", "double": "f64"}

#: A list of lines. An inner list is a place in the text to which lines are added later.
Lines = list[Any]


def kind_of(dtype: np.dtype[Any]) -> str | None:
    """LLVM's name for a dtype; None if the back end does not support it."""
    return _kinds.get(dtype.str[1:]) if dtype.isnative else None


def in_memory(kind: str) -> str:
    """The kind that holds a number in memory: a byte for a boolean."""
    return "i8" if kind == "i1" else kind


def is_float(kind: str) -> bool:
    return kind in _short


class Module:
    """The text of a module: its functions, and declarations of functions that they call."""

    def __init__(self, attributes: str):
        self.attributes = attributes
        self.many = False  # whether to call long functions instead of inlining them
        self.functions: list[Function] = []
        self.shared: set[str] = set()  # the long functions that are written already
        self.declared: dict[str, str] = {}

    def function(self, name: str, parameters: Sequence[str], result: str = "void") -> Function:
        """A new function. One with a result is internal: only this module calls it."""
        # Functions of stages and batches return nothing and are called from outside. The shared
        # long functions return a vector.
        made = Function(self, name, parameters, result)
        self.functions.append(made)
        return made

    def declare(self, name: str, result: str, parameters: Sequence[str]) -> None:
        self.declared[name] = f"declare {result} @{name}({', '.join(parameters)})"

    def __str__(self) -> str:
        functions = "\n\n".join(map(str, self.functions))
        declared = "\n".join(self.declared.values())
        return f"{functions}\n\n{declared}\n\nattributes #0 = {{ {self.attributes} }}\n"


class Function:
    """The text of a function.

    Attributes:
        result: the type of its result.
        value: the name of its result.
        module: the module that it belongs to.
        entry: lines that run first. Any code may add to them.
        label: the basic block that is being written.
    """

    def __init__(self, module: Module, name: str, parameters: Sequence[str], result: str):
        self.module, self.result, self.value = module, result, ""
        scope = "" if result == "void" else "internal "
        self.head = f"define {scope}{result} @{name}({', '.join(parameters)}) #0 {{"
        # ``lines`` is a tree: ``entry`` can still grow when the body is written, and stands before
        # it.
        self.entry: Lines = []
        self.lines: Lines = [self.entry]
        self.label = "entry"
        self._count = 0

    def fresh(self, stem: str) -> str:
        """A new name."""
        self._count += 1
        return f"{stem}.{self._count}"

    def write(self, line: str) -> None:
        self.lines.append(f"  {line}")

    def comment(self, text: str) -> None:
        self.lines.append(f"  ; {text}")

    def let(self, instruction: str, stem: str = "") -> str:
        """Write an instruction; returns the name of its result."""
        name = "%" + self.fresh(stem or "x")
        self.write(f"{name} = {instruction}")
        return name

    def place(self, label: str) -> None:
        """Begin a basic block."""
        self.lines.append(f"{label}:")
        self.label = label

    @contextmanager
    def at(self, lines: Lines) -> Iterator[None]:
        """Write to other lines, which run earlier."""
        before, self.lines = self.lines, lines
        try:
            yield
        finally:
            self.lines = before

    def __str__(self) -> str:
        # The last block has no branch at its end: the return closes it.
        end = f"  ret {self.result} {self.value}".rstrip()
        return "\n".join([self.head, "entry:", *_flat(self.lines), end, "}"])

    # ── integers, for sizes and addresses ────────────────────────────────────────────────

    def add(self, *terms: str | int) -> str | int:
        """A sum of i64. Terms are names, or Python numbers, which are added now."""
        # Sizes known now cost no instruction, and LLVM has less text to read.
        known = sum(x for x in terms if isinstance(x, int))
        total: str | int = known
        for x in terms:
            if not isinstance(x, str):
                continue
            total = x if total == 0 else self.let(f"add i64 {total}, {x}", "i")
        return total

    def times(self, x: str | int, y: str | int) -> str | int:
        """A product of i64. Terms are names, or Python numbers, which are multiplied now."""
        if isinstance(x, int) and isinstance(y, int):
            return x * y
        if 0 in (x, y):
            # A stride of 0, such as that of a bias.
            return 0
        if x == 1:
            return y
        if y == 1:
            return x
        return self.let(f"mul i64 {x}, {y}", "i")

    def least(self, x: str | int, y: str | int) -> str | int:
        if isinstance(x, int) and isinstance(y, int):
            return min(x, y)
        self.module.declare("llvm.smin.i64", "i64", ["i64", "i64"])
        return self.let(f"call i64 @llvm.smin.i64(i64 {x}, i64 {y})", "i")

    def pointer(self, kind: str, base: str, *terms: str | int) -> str:
        """The address of an element."""
        offset = self.add(*terms)
        if offset == 0:
            return base
        return self.let(f"getelementptr {in_memory(kind)}, ptr {base}, i64 {offset}", "p")

    # ── loops ────────────────────────────────────────────────────────────────────────────

    def loop(
        self,
        start: str | int,
        stop: str | int,
        step: int = 1,
        carried: Sequence[tuple[str, str]] = (),
        stem: str = "i",
    ) -> Loop:
        return Loop(self, start, stop, step, carried, stem)

    @contextmanager
    def unless(self, condition: str) -> Iterator[None]:
        """Skip the code written in the ``with`` block if the condition is true."""
        within, after = self.fresh("then"), self.fresh("after")
        self.write(f"br i1 {condition}, label %{after}, label %{within}")
        self.place(within)
        yield
        self.write(f"br label %{after}")
        self.place(after)


class Loop:
    """``for i in range(start, stop, step)``, written between ``__enter__`` and ``__exit__``.

    A loop that is known to run once is written without one.

    Args:
        carried: the types and first values of the variables that each iteration passes to the next.

    Attributes:
        i: the counter, a name or a number.
        values: the carried values in this iteration; after the loop, the last ones.
        next: the carried values for the next iteration. The body must set them.
    """

    def __init__(
        self,
        function: Function,
        start: str | int,
        stop: str | int,
        step: int,
        carried: Sequence[tuple[str, str]],
        stem: str,
    ):
        self.function, self.start, self.stop, self.step = function, start, stop, step
        self.carried, self.stem = list(carried), stem
        known = isinstance(start, int) and isinstance(stop, int)
        # Masks and addresses of such a loop are constants, and its body needs no basic blocks.
        self.once = known and start < stop <= start + step  # type: ignore[operator]
        self.next: list[str] = []

    def __enter__(self) -> Loop:
        f = self.function
        # The text of a loop:
        #
        #     loop:   i = phi [start, from before], [i + step, the body]; carried values likewise
        #             if i < stop: body, else: after
        #     body:   ...
        #             go to loop
        #     after:
        #
        # A phi picks its value by the block that control came from. LLVM's values never change, so
        # this is how a variable gets a new value in each turn.
        if self.once:
            self.i: str | int = self.start
            self.values = [value for _, value in self.carried]
            return self
        self.came_from, self.head = f.label, f.fresh("loop")
        self.body, self.after = f.fresh("body"), f.fresh("after")
        self.i = "%" + f.fresh(self.stem)
        self.values = ["%" + f.fresh("carried") for _ in self.carried]
        f.write(f"br label %{self.head}")
        f.place(self.head)
        # They name the values at the end of the body, so ``__exit__`` writes them.
        self._phis: Lines = []
        f.lines.append(self._phis)
        running = f.let(f"icmp slt i64 {self.i}, {self.stop}", "running")
        f.write(f"br i1 {running}, label %{self.body}, label %{self.after}")
        f.place(self.body)
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if kind is not None:
            return
        assert len(self.next) == len(self.carried), "a loop hands on what it was handed"
        if self.once:
            self.values = self.next
            return
        f = self.function
        following = f.let(f"add i64 {self.i}, {self.step}", self.stem)
        # The body may have begun blocks of its own, so it need not end in the block that it began
        # in.
        last = f.label
        f.write(f"br label %{self.head}")
        self._phis.append(
            f"  {self.i} = phi i64 [ {self.start}, %{self.came_from} ], [ {following}, %{last} ]"
        )
        for (type_, first), value, then in zip(self.carried, self.values, self.next, strict=True):
            self._phis.append(
                f"  {value} = phi {type_} [ {first}, %{self.came_from} ], [ {then}, %{last} ]"
            )
        f.place(self.after)


def _flat(lines: Lines) -> Iterator[str]:
    for line in lines:
        if isinstance(line, list):
            yield from _flat(line)
        else:
            yield line


# ── instructions on lanes ────────────────────────────────────────────────────────────────


def number(value: Any, kind: str) -> str:
    """A number in LLVM's notation. Floats are written as their bits, so nothing is rounded."""
    if kind == "i1":
        return "true" if value else "false"
    if not is_float(kind):
        return str(int(value))
    # LLVM writes the bits of a double for a float too, which must be one that float can hold.
    value = float(np.float32(value)) if kind == "float" else float(value)
    (bits,) = struct.unpack("<Q", struct.pack("<d", value))
    return f"0x{bits:016X}"


class Lanes:
    """Writes instructions on W lanes of a function."""

    def __init__(self, function: Function, width: int):
        self.function, self.width = function, width

    def type(self, kind: str) -> str:
        return kind if self.width == 1 else f"<{self.width} x {kind}>"

    def let(self, instruction: str, stem: str = "") -> str:
        return self.function.let(instruction, stem)

    def all(self, value: Any, kind: str) -> str:
        """The same number in every lane."""
        text = number(value, kind)
        return text if self.width == 1 else f"splat ({kind} {text})"

    def spread(self, x: str, kind: str) -> str:
        """A number that is computed at run time, in every lane."""
        if self.width == 1:
            return x
        # LLVM's idiom for it: put x into lane 0, then shuffle lane 0 into all.
        one, vector = self.type(kind), f"<{self.width} x i32>"
        lane = self.let(f"insertelement {one} poison, {kind} {x}, i32 0")
        return self.let(f"shufflevector {one} {lane}, {one} poison, {vector} zeroinitializer")

    def do(self, name: str, kind: str, x: str, y: str) -> str:
        """A binary instruction: fadd, fmul, and, shl, ..."""
        return self.let(f"{name} {self.type(kind)} {x}, {y}")

    def negative(self, kind: str, x: str) -> str:
        if is_float(kind):
            return self.let(f"fneg {self.type(kind)} {x}")
        return self.do("sub", kind, self.all(0, kind), x)

    def compare(self, condition: str, kind: str, x: str, y: str) -> str:
        name = "fcmp" if is_float(kind) else "icmp"
        return self.let(f"{name} {condition} {self.type(kind)} {x}, {y}")

    def select(self, mask: str, kind: str, x: str, y: str) -> str:
        one = self.type(kind)
        return self.let(f"select {self.type('i1')} {mask}, {one} {x}, {one} {y}")

    def convert(self, name: str, x: str, kind: str, to: str) -> str:
        """A conversion: fptosi, bitcast, zext, ..."""
        return self.let(f"{name} {self.type(kind)} {x} to {self.type(to)}")

    def as_integer(self, x: str, kind: str, to: str) -> str:
        """A whole number as an integer. For NaN some integer, the same one wherever it is read.

        LLVM calls a conversion of NaN poison, and with it all that is computed from it.
        """
        return self.let(f"freeze {self.type(to)} {self.convert('fptosi', x, kind, to)}")

    def intrinsic(self, name: str, kind: str, *xs: str) -> str:
        """An LLVM intrinsic, which exists for every number of lanes: fma, fabs, sqrt, ..."""
        short = _short.get(kind, kind)
        full = f"llvm.{name}.{short if self.width == 1 else f'v{self.width}{short}'}"
        one = self.type(kind)
        self.function.module.declare(full, one, [one] * len(xs))
        return self.let(f"call {one} @{full}({', '.join(f'{one} {x}' for x in xs)})")

    def fma(self, kind: str, x: str, y: str, z: str) -> str:
        return self.intrinsic("fma", kind, x, y, z)

    def each(self, function: str, kind: str, *xs: str) -> str:
        """A call of a libm function for each lane."""
        name = function + "f" if kind == "float" else function
        self.function.module.declare(name, kind, [kind] * len(xs))
        if self.width == 1:
            return self.let(f"call {kind} @{name}({', '.join(f'{kind} {x}' for x in xs)})")
        one, made = self.type(kind), "poison"
        for lane in range(self.width):
            parts = [self.let(f"extractelement {one} {x}, i32 {lane}") for x in xs]
            y = self.let(f"call {kind} @{name}({', '.join(f'{kind} {p}' for p in parts)})")
            made = self.let(f"insertelement {one} {made}, {kind} {y}, i32 {lane}")
        return made

    # ── memory ───────────────────────────────────────────────────────────────────────────

    def mask(self, i: str | int, stop: str | int) -> str | None:
        """Which of the lanes i, i + 1, ... are below ``stop``; None if all are."""
        if self.width == 1:
            return None
        if isinstance(i, int) and isinstance(stop, int):
            # Known now: a constant, or no mask at all.
            count = min(self.width, stop - i)
            if count == self.width:
                return None
            lanes = ", ".join(f"i1 {'true' if n < count else 'false'}" for n in range(self.width))
            return f"<{lanes}>"
        name = f"llvm.get.active.lane.mask.v{self.width}i1.i64"
        self.function.module.declare(name, self.type("i1"), ["i64", "i64"])
        return self.let(f"call {self.type('i1')} @{name}(i64 {i}, i64 {stop})", "mask")

    def load(self, kind: str, address: str, stride: int, mask: str | None) -> str:
        """Load W elements from an address on, ``stride`` elements apart."""
        memory = in_memory(kind)
        if self.width == 1:
            made = self.let(f"load {memory}, ptr {address}, align {SIZES[memory]}", "v")
            return self._from_memory(made, kind)
        if stride == 0:
            # A broadcast number: one load, in any mask, since the element exists.
            one = self.function.let(f"load {memory}, ptr {address}, align {SIZES[memory]}", "v")
            return self._from_memory(self.spread(one, memory), kind)
        type_ = self.type(memory)
        if stride == 1 and mask is None:
            made = self.let(f"load {type_}, ptr {address}, align {SIZES[memory]}", "v")
        # Masked lanes are not read, so the last vector of a row does not touch the memory behind
        # it. They become 0.
        elif stride == 1:
            name = f"llvm.masked.load.v{self.width}{_short.get(memory, memory)}.p0"
            self.function.module.declare(name, type_, ["ptr", "i32", self.type("i1"), type_])
            made = self.let(
                f"call {type_} @{name}(ptr {address}, i32 {SIZES[memory]}, "
                f"{self.type('i1')} {mask}, {type_} zeroinitializer)",
                "v",
            )
        else:
            made = self._gather(memory, address, stride, mask)
        return self._from_memory(made, kind)

    def store(self, kind: str, x: str, address: str, stride: int, mask: str | None) -> None:
        """Store W elements from an address on, ``stride`` elements apart."""
        memory = in_memory(kind)
        if memory != kind:
            # A boolean has one bit in a register and a byte in memory.
            x = self.convert("zext", x, kind, memory)
        size, type_ = SIZES[memory], self.type(memory)
        if self.width == 1 or (stride == 1 and mask is None):
            self.function.write(f"store {type_} {x}, ptr {address}, align {size}")
            return
        masks = self.type("i1")
        mask = mask or self.all(True, "i1")
        name = f"llvm.masked.store.v{self.width}{_short.get(memory, memory)}.p0"
        where, operand = "ptr", f"ptr {address}"
        if stride != 1:
            # Lanes apart in memory need a scatter, which always has a mask.
            name = name.replace("store", "scatter").replace(".p0", f".v{self.width}p0")
            where = f"<{self.width} x ptr>"
            operand = f"{where} {self._addresses(memory, address, stride)}"
        self.function.module.declare(name, "void", [type_, where, "i32", masks])
        self.function.write(
            f"call void @{name}({type_} {x}, {operand}, i32 {size}, {masks} {mask})"
        )

    def load_each(self, kind: str, address: str, offsets: str, mask: str | None) -> str:
        """Load one element for each lane, at offsets that are computed at run time."""
        places = f"<{self.width} x ptr>"
        memory = in_memory(kind)
        at = self.let(f"getelementptr {memory}, ptr {address}, {self.type('i64')} {offsets}", "p")
        name = f"llvm.masked.gather.v{self.width}{_short.get(memory, memory)}.v{self.width}p0"
        type_, masks = self.type(memory), self.type("i1")
        self.function.module.declare(name, type_, [places, "i32", masks, type_])
        made = self.let(
            f"call {type_} @{name}({places} {at}, i32 {SIZES[memory]}, "
            f"{masks} {mask or self.all(True, 'i1')}, {type_} zeroinitializer)",
            "v",
        )
        return self._from_memory(made, kind)

    def _from_memory(self, x: str, kind: str) -> str:
        return self.convert("trunc", x, "i8", "i1") if kind == "i1" else x

    def _addresses(self, memory: str, address: str, stride: int) -> str:
        offsets = ", ".join(f"i64 {lane * stride}" for lane in range(self.width))
        return self.let(
            f"getelementptr {memory}, ptr {address}, <{self.width} x i64> <{offsets}>", "p"
        )

    def _gather(self, memory: str, address: str, stride: int, mask: str | None) -> str:
        type_, places = self.type(memory), f"<{self.width} x ptr>"
        name = f"llvm.masked.gather.v{self.width}{_short.get(memory, memory)}.v{self.width}p0"
        self.function.module.declare(name, type_, [places, "i32", self.type("i1"), type_])
        addresses = self._addresses(memory, address, stride)
        return self.let(
            f"call {type_} @{name}({places} {addresses}, i32 {SIZES[memory]}, "
            f"{self.type('i1')} {mask or self.all(True, 'i1')}, {type_} zeroinitializer)",
            "v",
        )


__all__ = ["SIZES", "Function", "Lanes", "Loop", "Module", "in_memory", "is_float", "kind_of"]
