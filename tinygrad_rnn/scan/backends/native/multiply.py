"""The matrix products of a batch.

A product within a step runs tile by tile. A product of all steps at once runs block by block.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from ...ir import Value, total_matmul
from . import products
from .functions import Unsupported
from .groups import Product
from .lower import BLOCKS, size_of
from .memory import Memory, Place, kind_of_value, plain
from .places import Places
from .products import Kernel, Large


class Products(Places):
    """Writes the products of a batch."""

    def product(self, item: Product) -> None:
        """Write a product within a step: tile by tile, with a packed matrix."""
        f, v = self.f, item.result
        x, y = item.product.args
        # For each panel of W (H, 4H), and for each few rows of h (N, H), one call of a kernel. The
        # panel stays in the L1 cache while all rows pass.
        kind, columns, inner = kind_of_value(v), y.shape[1], y.shape[0]
        vectors, lanes = products.panel(kind, math.prod(v.shape[:-1]), columns)
        packed = self.pack(y, kind, vectors, lanes)
        # The rows of each sequence of the batch, and all rows that this function computes.
        each = math.prod(v.shape[1:-1])
        rows = math.prod(self.shown(v.shape)[:-1])
        a, a_row, a_column = self.rows_of(x, each)
        start, start_row = "null", 0
        # A bias costs nothing here: the sums start from it instead of from 0.
        if item.start is not None:
            start, start_row = self.start(item.start, v, each)
        homes = self.lowering.homes[v]
        # A kernel writes rows at one distance. If no home has such rows, it writes a spare matrix.
        home = next((h for h in homes if _row_stride(h) is not None), None)
        if home is None:
            home = plain(self.spare("c", kind, size_of(v)), v.shape)
        c_row = _row_stride(home)
        assert c_row is not None
        c = self.address(home, c_row * each)
        unfilled = products.unfilled(columns, vectors, lanes)
        pieces = _runs(products.cut(rows, products.most_rows(vectors)))
        with f.loop(0, columns, vectors * lanes, stem="column") as j:
            left = columns - j.i if isinstance(j.i, int) else f.let(f"sub i64 {columns}, {j.i}")
            panel = f.pointer(kind, packed, f.times(j.i, inner))
            to = f.pointer(kind, c, j.i)
            begin = start if start == "null" else f.pointer(kind, start, j.i)
            for first, stop, size in pieces:
                kernel = Kernel(kind, size, vectors, lanes, unfilled)
                self.use(kernel)
                with f.loop(first, stop, size, stem="row") as i:
                    from_ = begin
                    if begin != "null":
                        from_ = f.pointer(kind, begin, f.times(i.i, start_row))
                    f.write(
                        products.call(
                            kernel,
                            inner,
                            (f.pointer(kind, a, f.times(i.i, a_row)), a_row, a_column),
                            panel,
                            (from_, start_row),
                            (f.pointer(kind, to, f.times(i.i, c_row)), c_row),
                            left,
                        )
                    )
        for other in homes:
            if other is not home:
                self.copy(home, other)

    def use(self, kernel: Kernel) -> None:
        products.declare(self.lowering.module, kernel)
        self.lowering.imported[kernel.name] = products.address(kernel)

    def pack(self, y: Value, kind: str, vectors: int, lanes: int) -> str:
        """The address of a packed matrix. A constant matrix is packed once, any other one here."""
        lowering = self.lowering
        # By matrix and width of a panel: products with different numbers of rows may need different
        # panels.
        key = (y, vectors, lanes)
        if lowering.is_constant(y):
            # The writer of the first batch packs it, so this runs once per set of constants.
            if key not in lowering.packed:
                lowering.packed[key] = lowering.writers[0].packed(y, kind, vectors, lanes)
            return self.base(lowering.packed[key])
        return self.base(self.packed(y, kind, vectors, lanes))

    def packed(self, y: Value, kind: str, vectors: int, lanes: int) -> Memory:
        """Write the call that packs a matrix; returns the memory of its panels."""
        lowering, (inner, columns) = self.lowering, y.shape
        name = products.pack_name(kind, vectors, lanes)
        lowering.module.declare(name, "void", [p.split(" %")[0] for p in products.PACK_PARAMETERS])
        lowering.imported[name] = products.pack_address(kind, vectors, lanes)
        size = products.packed_size(inner, columns, vectors, lanes)
        memory = self.spare(f"{lowering.names[y]}_packed", kind, size)
        base, source = self.base(memory), self.read(y)
        self.f.write(
            f"call void @{name}(i64 {inner}, i64 {columns}, ptr {self.address(source)}, "
            f"i64 {source.strides[0]}, i64 {source.strides[1]}, ptr {base})"
        )
        return memory

    def rows_of(self, x: Value, each: int) -> tuple[str, int, int]:
        """The address of a value as a matrix, and the strides of its rows and columns."""
        place = self.read(x)
        row = _row_stride(place, any_column=True)
        if row is None:
            place, row = self.copied_to(place, x.shape), x.shape[-1]
        return self.address(place, row * each), row, place.strides[-1]

    def start(self, x: Value, v: Value, each: int) -> tuple[str, int]:
        """The address of x, which the sums of v start from, and the stride of its rows."""
        place = self.read(x)
        wide = place._replace(strides=place.along(v.shape), shape=v.shape)
        row = _row_stride(wide)
        if row is None:
            wide, row = self.copied_to(wide, v.shape), v.shape[-1]
        return self.address(wide, row * each), row

    def large(self, item: Product) -> None:
        """Write a product of all steps at once."""
        f, v, lowering = self.f, item.result, self.lowering
        large = lowering.large_of(item)
        lowering.module.declare(
            large.name, "void", [p.split(" %")[0] for p in products.LARGE_PARAMETERS]
        )
        lowering.imported[large.name] = products.large_address(large)
        # Each thread packs into a working memory of its own.
        with f.at(f.entry):
            mine = f.pointer(
                "i8", self._aligned(BLOCKS), f.times("%part", sum(lowering.block_bytes))
            )
        scratch = f"ptr {mine}, ptr {f.pointer('i8', mine, lowering.block_bytes[0])}"
        x, y = item.product.args
        a, c = self.read(x), lowering.homes[v][0]
        if item.product.op is total_matmul:
            self.sum_of_products(large, v, a, self.read(y), c, scratch)
        else:
            self.product_of_all(large, item, a, c, scratch)

    def sum_of_products(
        self, large: Large, v: Value, a: Place, b: Place, c: Place, scratch: str
    ) -> None:
        """sum_t A_t B_t. If memory allows, one product whose inner axis runs through all steps."""
        # A_t (H, N) and B_t (N, K) lie in the slot of step t. If the rows of the next B follow
        # those of B_t at the same stride, and the columns of A likewise, the sum is one product
        # with T N as inner axis:
        #
        #     [A_1 ... A_T] [B_1; ...; B_T]
        #
        # Threads cut the rows of the sum. So one thread adds up each element, in the order of t.
        f, (rows, columns) = self.f, v.shape
        inner = b.shape[0]
        first_a, first_b, to = self.block(a), self.block(b), self.block(c)
        if _merges(a, 1, inner) and _merges(b, 0, inner):
            # With N = 1 the stride of the axis says nothing; the next element lies in the next
            # slot.
            along = a.memory.slot if inner == 1 else a.strides[1]
            down = b.memory.slot if inner == 1 else b.strides[0]
            self.call_large(
                large,
                (rows, f.times("%T", inner), columns),
                (first_a, a.strides[0], along),
                (first_b, down, b.strides[1]),
                ("null", 0),
                (to, c.strides[0]),
                scratch,
                cut=True,
            )
            return
        self.lowering.uncut.add(v)
        # Padded rows, say, leave gaps between the steps. Then each step adds its product to the
        # sum.
        self.clear(c)
        with f.loop(0, "%T", stem="t") as t:
            self.call_large(
                large,
                (rows, inner, columns),
                (self.slot(first_a, a, t.i), a.strides[0], a.strides[1]),
                (self.slot(first_b, b, t.i), b.strides[0], b.strides[1]),
                (to, c.strides[0]),
                (to, c.strides[0]),
                scratch,
            )

    def product_of_all(self, large: Large, item: Product, a: Place, c: Place, scratch: str) -> None:
        """A_t B for all t. If memory allows, one product with the rows of all steps."""
        f, v, y = self.f, item.result, item.product.args[1]
        rows, inner, columns = math.prod(v.shape[:-1]), y.shape[0], v.shape[-1]
        # The rows of all steps are one matrix (T N, H) if every slot is exactly its rows, with no
        # gap.
        a_row, c_row = _row_stride(a, any_column=True), _row_stride(c)
        if a_row is None or c_row is None:
            raise Unsupported("rows of a large product that do not lie in a row")
        # Step to step is then the only distance between rows.
        if rows == 1:
            a_row, c_row = a.memory.slot, c.memory.slot
        start = ("null", 0)
        if item.start is not None:
            # A stride of 0: every row starts from the same bias.
            start = self.block(self.row(item.start)), 0
        first_a, first_c = self.block(a), self.block(c)
        if large.packed:
            # A packed matrix needs no strides.
            second = self.pack(y, large.kind, large.vectors, large.lanes), 0, 0
        else:
            b = self.read(y)
            second = self.block(b), b.strides[0], b.strides[1]
        if a_row * rows == a.memory.slot and c_row * rows == c.memory.slot:
            self.call_large(
                large,
                (f.times("%T", rows), inner, columns),
                (first_a, a_row, a.strides[-1]),
                second,
                start,
                (first_c, c_row),
                scratch,
                cut=True,
            )
            return
        self.lowering.uncut.add(v)
        with f.loop(0, "%T", stem="t") as t:
            self.call_large(
                large,
                (rows, inner, columns),
                (self.slot(first_a, a, t.i), a_row, a.strides[-1]),
                second,
                start,
                (self.slot(first_c, c, t.i), c_row),
                scratch,
            )

    def slot(self, first: str, place: Place, t: str | int) -> str:
        """The address of step t in a block."""
        memory = place.memory
        return self.f.pointer(memory.kind, first, self.f.times(t, memory.slot))

    def row(self, x: Value) -> Place:
        """A value of one row as a contiguous place."""
        # The kernel reads the start as whole vectors, so its columns must lie side by side.
        place = self.read(x)
        if place.strides[-1] == 1 or x.shape[-1] == 1:
            return place
        writer = self._writer_of(x)
        return writer.copied_to(place, x.shape)

    def call_large(
        self,
        large: Large,
        sizes: tuple[str | int, str | int, int],
        a: tuple[str, int, int],
        b: tuple[str, int, int],
        start: tuple[str, int],
        c: tuple[str, int],
        scratch: str,
        cut: bool = False,
    ) -> None:
        """Write the call of a large product; ``cut`` if threads share its rows."""
        f, kind = self.f, large.kind
        rows, inner, columns = sizes
        # 100 rows, 2 threads and kernels of 14 rows: 50 is rounded up to 56, so the threads compute
        # 56 and 44 rows. The order of the sums stays, so the bits are those of one thread. The last
        # threads may have no rows. Then the number of rows is negative, and the loops do not run.
        if cut:  # each part computes whole kernels of rows
            more = f.let("sub i64 %parts, 1")
            share = f.let(f"sdiv i64 {f.add(rows, more)}, %parts")
            share = f.let(f"sdiv i64 {f.add(share, large.rows - 1)}, {large.rows}")
            whole = f.times(share, large.rows)
            first = f.times("%part", whole)
            left = f.let(f"sub i64 {rows}, {first}")
            rows = f.least(left, whole)
            a = (f.pointer(kind, a[0], f.times(first, a[1])), a[1], a[2])
            c = (f.pointer(kind, c[0], f.times(first, c[1])), c[1])
            if start[1]:
                start = (f.pointer(kind, start[0], f.times(first, start[1])), start[1])
        self.f.write(
            f"call void @{large.name}(i64 {rows}, i64 {inner}, i64 {columns}, "
            f"ptr {a[0]}, i64 {a[1]}, i64 {a[2]}, ptr {b[0]}, i64 {b[1]}, i64 {b[2]}, "
            f"ptr {start[0]}, i64 {start[1]}, ptr {c[0]}, i64 {c[1]}, {scratch})"
        )


def _merges(place: Place, axis: int, n: int) -> bool:
    """Whether an axis of length n continues in the next step's slot with the same stride."""
    # For n = 1 any distance will do: ``sum_of_products`` takes that of the slots.
    return n == 1 or place.strides[axis] * n == place.memory.slot


def _row_stride(place: Place, any_column: bool = False) -> int | None:
    """The stride of the rows (all axes but the last); None if there is no single one."""
    if not place.shape:
        return None
    columns = place.strides[-1]
    if not any_column and columns != 1 and place.shape[-1] != 1:
        return None
    # An axis of length 1 has no stride that matters. The others must follow each other without a
    # gap: (N, M, K) is a matrix (N M, K) only if the stride of N is M times that of M.
    leading = [(n, s) for n, s in zip(place.shape[:-1], place.strides[:-1], strict=True) if n != 1]
    if not leading:
        return max(place.shape[-1], 1)
    for (_, outer), (n, inner) in itertools.pairwise(leading):
        if outer != n * inner:
            return None
    return leading[-1][1]


def _runs(sizes: Sequence[int]) -> list[tuple[int, int, int]]:
    """Runs of equal sizes, as (first row, end, size)."""
    # (10, 10, 9) -> (0, 20, 10), (20, 29, 9): each run is one loop over calls of one kernel.
    runs: list[tuple[int, int, int]] = []
    at = 0
    for size in sizes:
        if runs and runs[-1][2] == size:
            runs[-1] = (runs[-1][0], at + size, size)
        else:
            runs.append((at, at + size, size))
        at += size
    return runs


__all__ = ["Products"]
