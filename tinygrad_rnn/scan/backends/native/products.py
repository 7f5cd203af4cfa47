"""Products of matrices: the kernels that every compiled plan calls.

    C (rows, columns) = start + A (rows, inner) B (inner, columns)

B comes packed: in *panels* of a few vectors of columns, each with its rows one behind the other, so
that a kernel reads it as a stream. A kernel keeps MR rows of C, one panel wide, in registers while
it runs through the inner axis. Every element of C is a sum in the order of the inner axis (in blocks
of ``BLOCK``), however rows and columns are cut: its bits depend on nothing else.

After Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", ACM TOMS 34 (2008).
"""

from __future__ import annotations

import functools
import threading
from typing import NamedTuple

from .engine import Compiled, target
from .text import SIZES, Function, Lanes, Module

#: So many elements of the inner axis at a time: a panel of them stays in the first cache.
BLOCK = 256


class Kernel(NamedTuple):
    """A register kernel.

    Attributes:
        kind: float or double.
        rows: of C and A.
        vectors: of C and B side by side.
        lanes: of a vector.
    """

    kind: str
    rows: int
    vectors: int
    lanes: int

    @property
    def columns(self) -> int:
        return self.vectors * self.lanes

    @property
    def name(self) -> str:
        return f"product_{self.kind}_{self.rows}x{self.vectors}x{self.lanes}"


def most_rows(vectors: int) -> int:
    """The rows of the largest kernel: what the registers hold, beside two for A and B."""
    return max(1, (target().registers - vectors - 2) // vectors)


def panel(kind: str, rows: int, columns: int) -> tuple[int, int]:
    """The vectors and lanes of a panel for a product with so many rows and columns."""
    lanes = target().lanes(kind)
    while lanes > 1 and lanes // 2 >= columns:
        lanes //= 2
    vectors = 2
    if rows < 4:  # few rows leave registers for more columns, and need them to hide latencies
        vectors = 8 // rows if target().registers > 16 else 4 // min(rows, 2)
    return max(1, min(vectors, -(-columns // lanes))), lanes


@functools.lru_cache(1024)
def cut(rows: int, most: int) -> tuple[int, ...]:
    """Rows cut into kernels, nearly equal, of at most so many rows; of one size if possible."""
    if rows <= most:
        return (rows,)
    for size in range(most, most // 2, -1):
        if rows % size == 0:
            return (size,) * (rows // size)
    count = -(-rows // most)
    return tuple((rows + i) // count for i in range(count))[::-1]


# ── the text of a kernel ─────────────────────────────────────────────────────────────────

PARAMETERS = (
    "i64 %inner",
    "ptr %a",  # A, the strides of its rows and of its columns in elements
    "i64 %a_row",
    "i64 %a_column",
    "ptr noalias %panel",
    "ptr %start",  # what the sums start from, or null for 0; the stride of its rows
    "i64 %start_row",
    "ptr %c",  # C, the stride of its rows, and how many columns of the panel it has
    "i64 %c_row",
    "i64 %columns",
)


def declare(module: Module, kernel: Kernel) -> None:
    module.declare(kernel.name, "void", [p.split(" %")[0] for p in PARAMETERS])


def write_kernel(module: Module, kernel: Kernel) -> None:
    kind, rows, vectors = kernel.kind, kernel.rows, kernel.vectors
    f = module.function(kernel.name, PARAMETERS)
    v = Lanes(f, kernel.lanes)
    type_ = v.type(kind)
    tiles = [(i, j) for i in range(rows) for j in range(vectors)]

    def row(base: str, stride: str, i: int) -> str:
        return f.pointer(kind, base, f.times(stride, i))

    a_rows = [row("%a", "%a_row", i) for i in range(rows)]
    masks = [v.mask(j * kernel.lanes, "%columns") for j in range(vectors)]
    whole = f.let(f"icmp sge i64 %columns, {kernel.columns}")
    from_zero = f.let("icmp eq ptr %start, null")
    # The first sums: zeros, whole rows of ``start`` or parts of rows.
    zero, begin, part, loop = (f.fresh(x) for x in ("zero", "begin", "part", "run"))
    full = f.fresh("full")
    f.write(f"br i1 {from_zero}, label %{zero}, label %{begin}")
    f.place(zero)
    f.write(f"br label %{loop}")
    f.place(begin)
    starts = [row("%start", "%start_row", i) for i in range(rows)]
    places = {(i, j): f.pointer(kind, starts[i], j * kernel.lanes) for i, j in tiles}
    f.write(f"br i1 {whole}, label %{full}, label %{part}")
    f.place(full)
    in_full = {tile: v.load(kind, places[tile], 1, None) for tile in tiles}
    f.write(f"br label %{loop}")
    f.place(part)
    in_part = {(i, j): v.load(kind, places[i, j], 1, masks[j]) for i, j in tiles}
    f.write(f"br label %{loop}")
    f.place(loop)
    first = {}
    for tile in tiles:
        first[tile] = f.let(
            f"phi {type_} [ zeroinitializer, %{zero} ], [ {in_full[tile]}, %{full} ], "
            f"[ {in_part[tile]}, %{part} ]",
            "c",
        )
    steps = "%inner"
    carried = [("ptr", "%panel"), ("i64", "0"), *[(type_, first[tile]) for tile in tiles]]
    with f.loop(0, steps, carried=carried, stem="k") as k:
        at, column, *sums = k.values
        found = dict(zip(tiles, sums, strict=True))
        size = SIZES[kind] * kernel.lanes
        b = [
            f.let(f"load {type_}, ptr {f.pointer(kind, at, j * kernel.lanes)}, align {size}", "b")
            for j in range(vectors)
        ]
        for i in range(rows):
            one = f.let(
                f"load {kind}, ptr {f.pointer(kind, a_rows[i], column)}, align {SIZES[kind]}", "a"
            )
            wide = v.spread(one, kind)
            for j in range(vectors):
                found[i, j] = v.fma(kind, wide, b[j], found[i, j])
        following = f.pointer(kind, at, kernel.columns)
        k.next = [following, str(f.add(column, "%a_column")), *[found[tile] for tile in tiles]]
    sums = dict(zip(tiles, k.values[2:], strict=True))
    ends = [row("%c", "%c_row", i) for i in range(rows)]
    places = {(i, j): f.pointer(kind, ends[i], j * kernel.lanes) for i, j in tiles}
    store_whole, store_part, done = (f.fresh(x) for x in ("whole", "rest", "done"))
    f.write(f"br i1 {whole}, label %{store_whole}, label %{store_part}")
    f.place(store_whole)
    for tile in tiles:
        v.store(kind, sums[tile], places[tile], 1, None)
    f.write(f"br label %{done}")
    f.place(store_part)
    for i, j in tiles:
        v.store(kind, sums[i, j], places[i, j], 1, masks[j])
    f.write(f"br label %{done}")
    f.place(done)


# ── kernels in memory, shared by all plans ───────────────────────────────────────────────

_lock = threading.Lock()
_compiled: dict[str, Compiled] = {}


def address(kernel: Kernel) -> int:
    """Where a kernel lies in memory; it is compiled when it is first asked for, and kept."""
    with _lock:
        found = _compiled.get(kernel.name)
        if found is None:
            module = Module(target().attributes)
            write_kernel(module, kernel)
            found = _compiled[kernel.name] = Compiled(str(module), [kernel.name])
        return found.addresses[kernel.name]
