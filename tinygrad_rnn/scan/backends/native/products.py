"""Matrix products: the kernels that all compiled plans share.

    C (rows, columns) = start + A (rows, inner) B (inner, columns)

B is packed into *panels* of a few vectors of columns. Each panel is contiguous, row after row, so a
kernel reads it as a stream. A kernel keeps a few rows of C, one panel wide, in registers while it
loops over the inner axis. Every element of C is summed in the order of the inner axis (in blocks of
``BLOCK``). So its bits do not depend on how rows and columns are cut, or on the number of threads.

Source: Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", ACM TOMS 34
(2008).
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import NamedTuple

from .engine import Compiled, target
from .text import SIZES, Function, Lanes, Module

#: The elements of the inner axis in a block: a panel of this depth fits in the L1 cache.
BLOCK = 256


class Kernel(NamedTuple):
    """A register kernel.

    Attributes:
        kind: float or double.
        rows: the rows of C and A.
        vectors: the vectors of C and B side by side.
        lanes: the numbers in a vector.
        unfilled: whether some panel is at most half full. It goes to a kernel half as wide.
        left_out: the vectors of a panel that this kernel does not read, since they hold zeros.
    """

    kind: str
    rows: int
    vectors: int
    lanes: int
    unfilled: bool = False
    left_out: int = 0

    @property
    def columns(self) -> int:
        return self.vectors * self.lanes

    @property
    def name(self) -> str:
        which = "_unfilled" if self.unfilled else f"_less_{self.left_out}" if self.left_out else ""
        return f"product_{self.kind}_{self.rows}x{self.vectors}x{self.lanes}{which}"

    @property
    def half(self) -> Kernel:
        """A kernel for the first half of a panel."""
        vectors = self.vectors // 2
        return Kernel(self.kind, self.rows, vectors, self.lanes, left_out=self.vectors - vectors)


def most_rows(vectors: int) -> int:
    """The rows of the largest kernel whose sums fit in the registers.

    Each row needs ``vectors`` registers. ``vectors`` + 2 others hold A and B.
    """
    # AVX-512 has 32 registers: 14 rows of 2 vectors are 28 sums, 2 hold B and 1 holds A. AVX2 has
    # 16: 6 rows of 2 vectors are 12 sums. One sum more, and the compiler stores sums to memory at
    # every k.
    return max(1, (target().registers - vectors - 2) // vectors)


def panel(kind: str, rows: int, columns: int) -> tuple[int, int]:
    """The vectors and lanes of a panel, for a product with this many rows and columns."""
    lanes = target().lanes(kind)
    # A narrow matrix gets narrow vectors: lanes without a column would only multiply zeros.
    while lanes > 1 and lanes // 2 >= columns:
        lanes //= 2
    vectors = 2
    # An fma takes about 4 cycles and a processor starts 2 in each, so 8 sums keep it busy: 1 row of
    # 8 vectors, or 2 rows of 4.
    if rows < 4:  # few rows: use the free registers for more columns, to hide latencies
        vectors = 8 // rows if target().registers > 16 else 4 // min(rows, 2)
    return max(1, min(vectors, -(-columns // lanes))), lanes


def unfilled(columns: int, vectors: int, lanes: int) -> bool:
    """Whether the last panel of a matrix is at most half full."""
    return 0 < columns % (vectors * lanes) <= vectors // 2 * lanes


@functools.lru_cache(1024)
def cut(rows: int, most: int) -> tuple[int, ...]:
    """Split rows into kernels of at most ``most`` rows: of equal sizes if possible, else nearly."""
    # Equal sizes need one kernel: 32 = 8 + 8 + 8 + 8. Otherwise 29 = 10 + 10 + 9 and not 14 + 14 +
    # 1, since a kernel of one row reads the whole panel for little work.
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
    # "noalias" promises that stores to C do not change the panel, so its loads may move.
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
    """Write a kernel: load the first sums, loop over the inner axis, store the sums.

    Whole panels use plain loads and stores; the last panel of a matrix may need masks.
    """
    kind, rows, vectors = kernel.kind, kernel.rows, kernel.vectors
    f = module.function(kernel.name, PARAMETERS)
    # All rows x vectors sums stay in registers. For 2 rows and 2 vectors, one turn of the loop is
    #
    #     b0, b1 = row k of the panel          (2 loads)
    #     a = A[0, k] in all lanes:  c00 += a b0,  c01 += a b1
    #     a = A[1, k] in all lanes:  c10 += a b0,  c11 += a b1
    #
    # Each sum adds its products in the order of k, in any kernel of any size.
    v = Lanes(f, kernel.lanes)
    type_ = v.type(kind)
    tiles = [(i, j) for i in range(rows) for j in range(vectors)]

    def row(base: str, stride: str, i: int) -> str:
        return f.pointer(kind, base, f.times(stride, i))

    a_rows = [row("%a", "%a_row", i) for i in range(rows)]
    masks = [v.mask(j * kernel.lanes, "%columns") for j in range(vectors)]
    whole = f.let(f"icmp sge i64 %columns, {kernel.columns}")
    from_zero = f.let("icmp eq ptr %start, null")
    if kernel.unfilled:
        # 100 columns are three panels of 32 and 4 columns: the zeros of a fourth panel would be a
        # fifth of the work.
        write_kernel(module, kernel.half)
        few = f.let(f"icmp sle i64 %columns, {kernel.half.columns}")
        half, more = f.fresh("half"), f.fresh("more")
        f.write(f"br i1 {few}, label %{half}, label %{more}")
        f.place(half)
        arguments = ", ".join(PARAMETERS).replace(" noalias", "")
        f.write(f"call void @{kernel.half.name}({arguments})")
        f.write("ret void")
        f.place(more)
    # Phase 1: the first sums. A masked load costs more than a whole one on many processors, so only
    # the last panel of a matrix takes the branch "part".
    # The sums start from zeros, from whole rows of ``start``, or from parts of rows.
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
    # Phase 2: the loop over the inner axis. It carries the address in the panel, the offset of the
    # column of A, and the sums.
    steps = "%inner"
    carried = [("ptr", "%panel"), ("i64", "0"), *[(type_, first[tile]) for tile in tiles]]
    with f.loop(0, steps, carried=carried, stem="k") as k:
        at, column, *sums = k.values
        found = dict(zip(tiles, sums, strict=True))
        size = SIZES[kind] * kernel.lanes
        b = [
            # Aligned: packed memory starts at a multiple of 64 bytes, with rows of whole vectors.
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
        following = f.pointer(kind, at, kernel.columns + kernel.left_out * kernel.lanes)
        k.next = [following, str(f.add(column, "%a_column")), *[found[tile] for tile in tiles]]
    # Phase 3: store the sums.
    made = dict(zip(tiles, k.values[2:], strict=True))
    ends = [row("%c", "%c_row", i) for i in range(rows)]
    places = {(i, j): f.pointer(kind, ends[i], j * kernel.lanes) for i, j in tiles}
    store_whole, store_part, done = (f.fresh(x) for x in ("whole", "rest", "done"))
    f.write(f"br i1 {whole}, label %{store_whole}, label %{store_part}")
    f.place(store_whole)
    for tile in tiles:
        v.store(kind, made[tile], places[tile], 1, None)
    f.write(f"br label %{done}")
    f.place(store_part)
    for i, j in tiles:
        v.store(kind, made[i, j], places[i, j], 1, masks[j])
    f.write(f"br label %{done}")
    f.place(done)


# ── kernels in memory, shared by all plans ───────────────────────────────────────────────

_lock = threading.Lock()
_compiled: dict[str, Compiled] = {}


def address(kernel: Kernel) -> int:
    """The address of a kernel. It is compiled at the first use, and kept."""
    return _address(kernel.name, lambda module: write_kernel(module, kernel), {})


def _address(name: str, write: Callable[[Module], None], imported: dict[str, int]) -> int:
    with _lock:
        # Never freed: there are few kernels, and plans keep their addresses.
        found = _compiled.get(name)
        if found is None:
            module = Module(target().attributes)
            write(module)
            found = _compiled[name] = Compiled(str(module), [name], imported)
        return int(found.addresses[name])


# ── packing, and products too large for a cache ──────────────────────────────────────────

#: The columns of B and the rows of A in a block: a block of each fits in the L2 cache.
COLUMNS, ROWS = 512, 96

PACK_PARAMETERS = (
    "i64 %inner",
    "i64 %columns",
    "ptr %b",
    "i64 %b_row",
    "i64 %b_column",
    "ptr noalias %packed",
)


def pack_name(kind: str, vectors: int, lanes: int) -> str:
    return f"pack_{kind}_{vectors}x{lanes}"


def packed_size(inner: int, columns: int, vectors: int, lanes: int) -> int:
    """The elements of a packed matrix. Its last panel is filled up with zeros."""
    width = vectors * lanes
    return inner * -(-columns // width) * width


def write_pack(module: Module, kind: str, vectors: int, lanes: int) -> None:
    """Write the function that packs a matrix (inner, columns) into panels."""
    f = module.function(pack_name(kind, vectors, lanes), PACK_PARAMETERS)
    v = Lanes(f, lanes)
    width = vectors * lanes
    # 2 rows and 5 columns in panels of 4 columns. Zeros fill up the last panel:
    #
    #     b00 b01 b02 b03 b04      ->      b00 b01 b02 b03  b10 b11 b12 b13  |  b04 0 0 0  b14 0 0 0
    #     b10 b11 b12 b13 b14
    if lanes > 1:
        offsets = v.do(
            "mul",
            "i64",
            f"<{', '.join(f'i64 {i}' for i in range(lanes))}>",
            v.spread("%b_column", "i64"),
        )
    in_rows = f.let("icmp eq i64 %b_column, 1")
    with f.loop(0, "%columns", width, stem="j") as j:
        panel_at = f.pointer(kind, "%packed", f.times(j.i, "%inner"))
        column = f.pointer(kind, "%b", f.times(j.i, "%b_column"))
        left = f.let(f"sub i64 %columns, {j.i}")
        masks = [v.mask(n * lanes, left) for n in range(vectors)]
        with f.loop(0, "%inner", stem="k") as k:
            row = f.pointer(kind, column, f.times(k.i, "%b_row"))
            to = f.pointer(kind, panel_at, f.times(k.i, width))
            if lanes == 1:
                for n in range(vectors):
                    # One lane has no masks. Beyond the last column the first of the panel is read
                    # instead, and 0 is stored: the memory behind the matrix may not be readable.
                    inside = f.let(f"icmp sgt i64 {left}, {n}")
                    at = f.pointer(kind, row, f.times("%b_column", n))
                    at = f.let(f"select i1 {inside}, ptr {at}, ptr {row}")
                    x = v.select(inside, kind, v.load(kind, at, 1, None), v.all(0, kind))
                    v.store(kind, x, f.pointer(kind, to, n), 1, None)
            else:
                _pack_row(f, v, kind, vectors, in_rows, row, to, masks, offsets)


def _pack_row(
    f: Function,
    v: Lanes,
    kind: str,
    vectors: int,
    in_rows: str,
    row: str,
    to: str,
    masks: list[str | None],
    offsets: str,
) -> None:
    """Write the code that packs one row of a panel: from a row, or from a strided column."""
    # A row of W is contiguous. A row of the view W.T is a column of W: it is gathered.
    by_row, by_column, done = (f.fresh(x) for x in ("row", "column", "done"))
    f.write(f"br i1 {in_rows}, label %{by_row}, label %{by_column}")
    f.place(by_row)
    for n in range(vectors):
        x = v.load(kind, f.pointer(kind, row, n * v.width), 1, masks[n])
        v.store(kind, x, f.pointer(kind, to, n * v.width), 1, None)
    f.write(f"br label %{done}")
    f.place(by_column)
    for n in range(vectors):
        at = f.pointer(kind, row, f.times("%b_column", n * v.width))
        x = v.load_each(kind, at, offsets, masks[n])
        v.store(kind, x, f.pointer(kind, to, n * v.width), 1, None)
    f.write(f"br label %{done}")
    f.place(done)


class Large(NamedTuple):
    """A product whose sizes are arguments at run time.

    Attributes:
        rows, vectors, lanes: those of its kernel.
        packed: whether B is packed already. Then its strides are not read.
        unfilled: whether some panel is at most half full.
    """

    kind: str
    rows: int
    vectors: int
    lanes: int
    packed: bool = False
    unfilled: bool = False

    @property
    def name(self) -> str:
        which = "_packed" * self.packed + "_unfilled" * self.unfilled
        return f"large_{self.kind}_{self.rows}x{self.vectors}x{self.lanes}{which}"

    @property
    def kernels(self) -> list[Kernel]:
        """Its kernel, and smaller ones for the remaining rows."""
        sizes = [self.rows, *(n for n in (4, 2, 1) if n < self.rows)]
        return [Kernel(self.kind, n, self.vectors, self.lanes, self.unfilled) for n in sizes]

    def scratch(self, inner: int | None, columns: int) -> tuple[int, int]:
        """The elements of working memory for blocks of B and A; ``inner`` is None if unknown."""
        width = self.vectors * self.lanes
        deep = BLOCK if inner is None else min(BLOCK, inner)
        wide = 0 if self.packed else min(COLUMNS, -(-columns // width) * width)
        return deep * wide, deep * ROWS


LARGE_PARAMETERS = (
    "i64 %rows",
    "i64 %inner",
    "i64 %columns",
    "ptr %a",
    "i64 %a_row",
    "i64 %a_column",
    "ptr %b",
    "i64 %b_row",
    "i64 %b_column",
    "ptr %start",
    "i64 %start_row",
    "ptr %c",
    "i64 %c_row",
    "ptr %packed_b",
    "ptr %packed_a",
)


def write_large(module: Module, large: Large) -> None:
    """Write the function that multiplies block by block.

    For each block of columns and of the inner axis, a block of B is packed. It is multiplied by the
    blocks of A, which are packed too if A is transposed. The first block of the inner axis starts
    from ``start``, the others from C.
    """
    # Goto and van de Geijn's loops, from the outside. What each one holds in a cache:
    #
    #     n  512 columns of B and C
    #     m  256 of the inner axis     packs a block of B (L2), which all rows of A read
    #     r  96 rows of A and C        a block of A (L2), which all panels read
    #     j  one panel                 256 rows of a panel (L1), which all kernels of the block read
    #     i  one kernel                its sums in registers
    kind, vectors, lanes = large.kind, large.vectors, large.lanes
    width = vectors * lanes
    f = module.function(large.name, LARGE_PARAMETERS)
    pack = pack_name(kind, vectors, lanes)
    if not large.packed:
        module.declare(pack, "void", [p.split(" %")[0] for p in PACK_PARAMETERS])
    for kernel in large.kernels:
        declare(module, kernel)
    # A gradient x' g reads x transposed: neighbours in a row of A are far apart in memory. Such an
    # A is copied block by block. A single column has both strides 1 and gains nothing.
    transposed = f.let("icmp eq i64 %a_row, 1")
    one_column = f.let("icmp ne i64 %a_column, 1")
    transposed = f.let(f"and i1 {transposed}, {one_column}")
    v = Lanes(f, lanes)
    with f.loop(0, "%columns", COLUMNS, stem="n") as n:
        columns = f.least(COLUMNS, f.let(f"sub i64 %columns, {n.i}"))
        with f.loop(0, "%inner", BLOCK, stem="m") as m:
            inner = f.least(BLOCK, f.let(f"sub i64 %inner, {m.i}"))
            depth: str | int
            if large.packed:
                # B was packed as a whole, so its panels are as deep as the matrix.
                panels, depth = f.pointer(kind, "%b", f.times(m.i, width)), "%inner"
            else:
                panels, depth = "%packed_b", inner
                b = f.pointer(kind, "%b", f.times(m.i, "%b_row"), f.times(n.i, "%b_column"))
                f.write(
                    f"call void @{pack}(i64 {inner}, i64 {columns}, ptr {b}, i64 %b_row, "
                    f"i64 %b_column, ptr {panels})"
                )
            # All rows of a block come before the next block of the inner axis. So the sums of the
            # first blocks lie in C, and the later blocks add to them: the order of the sum is that
            # of the inner axis.
            first = f.let(f"icmp eq i64 {m.i}, 0")
            with f.loop(0, "%rows", ROWS, stem="r") as r:
                rows = f.least(ROWS, f.let(f"sub i64 %rows, {r.i}"))
                a = f.pointer(kind, "%a", f.times(r.i, "%a_row"), f.times(m.i, "%a_column"))
                by_row, by_column, ready = (f.fresh(x) for x in ("rows", "columns", "ready"))
                f.write(f"br i1 {transposed}, label %{by_column}, label %{by_row}")
                f.place(by_column)
                with f.loop(0, inner, stem="k") as k:
                    # The packed block of A has a column of ROWS elements for each k.
                    source = f.pointer(kind, a, f.times(k.i, "%a_column"))
                    to = f.pointer(kind, "%packed_a", f.times(k.i, ROWS))
                    with f.loop(0, rows, lanes) as i:
                        mask = v.mask(i.i, rows)
                        x = v.load(kind, f.pointer(kind, source, i.i), 1, mask)
                        v.store(kind, x, f.pointer(kind, to, i.i), 1, mask)
                end = f.label
                f.write(f"br label %{ready}")
                f.place(by_row)
                f.write(f"br label %{ready}")
                f.place(ready)
                at, row, column = (
                    f.let(f"phi {t} [ {packed}, %{end} ], [ {plain}, %{by_row} ]")
                    for t, packed, plain in (
                        ("ptr", "%packed_a", a),
                        ("i64", "1", "%a_row"),
                        ("i64", str(ROWS), "%a_column"),
                    )
                )
                with f.loop(0, columns, width, stem="j") as j:
                    left = f.let(f"sub i64 {columns}, {j.i}")
                    across = f.add(n.i, j.i)
                    in_block = across if large.packed else j.i
                    panel_at = f.pointer(kind, panels, f.times(in_block, depth))
                    to = f.pointer(kind, "%c", f.times(r.i, "%c_row"), across)
                    from_start = f.pointer(kind, "%start", f.times(r.i, "%start_row"), across)
                    # An offset from null would no longer be null: so the test comes before the
                    # offset, and again below.
                    none = f.let("icmp eq ptr %start, null")
                    begin = f.let(f"select i1 {none}, ptr null, ptr {from_start}")
                    begin = f.let(f"select i1 {first}, ptr {begin}, ptr {to}")
                    begin_row = f.let(f"select i1 {first}, i64 %start_row, i64 %c_row")
                    none = f.let(f"icmp eq ptr {begin}, null")
                    done: str | int = 0
                    for kernel in large.kernels:
                        # The largest kernel as often as it fits, then smaller ones for the rows
                        # that are left. ``done`` is the counter of the loop before, so each loop
                        # goes on where that one stopped.
                        stop = f.let(f"sub i64 {rows}, {kernel.rows - 1}")
                        with f.loop(done, stop, kernel.rows) as i:
                            place = f.pointer(kind, begin, f.times(i.i, begin_row))
                            place = f.let(f"select i1 {none}, ptr null, ptr {place}")
                            f.write(
                                call(
                                    kernel,
                                    inner,
                                    (f.pointer(kind, at, f.times(i.i, row)), row, column),
                                    panel_at,
                                    (place, begin_row),
                                    (f.pointer(kind, to, f.times(i.i, "%c_row")), "%c_row"),
                                    left,
                                )
                            )
                        done = i.i


def call(
    kernel: Kernel,
    inner: str | int,
    a: tuple[str, str | int, str | int],
    packed: str,
    start: tuple[str, str | int],
    c: tuple[str, str | int],
    columns: str | int,
) -> str:
    """The instruction that calls a kernel."""
    return (
        f"call void @{kernel.name}(i64 {inner}, ptr {a[0]}, i64 {a[1]}, i64 {a[2]}, ptr {packed}, "
        f"ptr {start[0]}, i64 {start[1]}, ptr {c[0]}, i64 {c[1]}, i64 {columns})"
    )


def pack_address(kind: str, vectors: int, lanes: int) -> int:
    name = pack_name(kind, vectors, lanes)
    return _address(name, lambda module: write_pack(module, kind, vectors, lanes), {})


def large_address(large: Large) -> int:
    # Before ``_address``, since the lock is not reentrant.
    imported = {kernel.name: address(kernel) for kernel in large.kernels}
    if not large.packed:
        pack = pack_name(large.kind, large.vectors, large.lanes)
        imported[pack] = pack_address(large.kind, large.vectors, large.lanes)
    return _address(large.name, lambda module: write_large(module, large), imported)
