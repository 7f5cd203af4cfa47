"""Products of matrices in a batch: tile by tile within a step, by blocks for all steps at once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from ...ir import Value, total_matmul
from . import products
from .functions import Unsupported
from .groups import Product
from .lower import BLOCKS, large_of, size_of
from .memory import Place, kind_of_value, plain
from .places import Places
from .products import ROWS, Kernel, Large


class Products(Places):
    """Writes the products of a batch."""

    def product(self, item: Product) -> None:
        """A product within a step: its matrix packed, then tile by tile."""
        f, v = self.f, item.made
        x, y = item.product.args
        kind, columns, inner = kind_of_value(v), y.shape[1], y.shape[0]
        rows = math.prod(v.shape[:-1])
        vectors, lanes = products.panel(kind, rows, columns)
        packed = self.pack(y, kind, vectors, lanes)
        a, a_row, a_column = self.rows_of(x, rows)
        start, start_row = "null", 0
        if item.start is not None:
            start, start_row = self.start(item.start, v, rows)
        homes = self.lowering.homes[v]
        home = next((h for h in homes if _row_stride(h, rows) is not None), None)
        if home is None:
            home = plain(self.lowering.scratch_memory(f.fresh("c"), kind, size_of(v)), v.shape)
        c, c_row = self.address(home), _row_stride(home, rows)
        assert c_row is not None
        pieces = _runs(products.cut(rows, products.most_rows(vectors)))
        with f.loop(0, columns, vectors * lanes, stem="column") as j:
            left = columns - j.i if isinstance(j.i, int) else f.let(f"sub i64 {columns}, {j.i}")
            panel = f.pointer(kind, packed, f.times(j.i, inner))
            to = f.pointer(kind, c, j.i)
            begin = start if start == "null" else f.pointer(kind, start, j.i)
            for first, stop, size in pieces:
                kernel = Kernel(kind, size, vectors, lanes)
                self.use(kernel)
                with f.loop(first, stop, size, stem="row") as i:
                    from_ = (
                        begin
                        if begin == "null"
                        else f.pointer(kind, begin, f.times(i.i, start_row))
                    )
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

    def spare(self, v: Value) -> Place:
        """Memory for a copy of a value."""
        name = self.f.fresh("copy")
        return plain(self.lowering.scratch_memory(name, kind_of_value(v), size_of(v)), v.shape)

    def use(self, kernel: Kernel) -> None:
        products.declare(self.lowering.module, kernel)
        self.lowering.imported[kernel.name] = products.address(kernel)

    def pack(self, y: Value, kind: str, vectors: int, lanes: int) -> str:
        """The matrix in panels: once, or at each step where it varies."""
        lowering, f = self.lowering, self.f
        inner, columns = y.shape
        name = products.pack_name(kind, vectors, lanes)
        lowering.module.declare(name, "void", [p.split(" %")[0] for p in products.PACK_PARAMETERS])
        lowering.imported[name] = products.pack_address(kind, vectors, lanes)
        size = products.packed_size(inner, columns, vectors, lanes)
        key = (self.number, y, vectors, lanes)
        once = not y.varies and self.step_top is not None
        if key in lowering.packed and once:
            return self.base(lowering.packed[key])
        memory = lowering.packed[key] = lowering.scratch_memory(
            f"{lowering.names[y]}_packed", kind, size
        )
        base = self.base(memory)
        source = self.read(y)
        call = (
            f"call void @{name}(i64 {inner}, i64 {columns}, ptr {{}}, i64 {source.strides[0]}, "
            f"i64 {source.strides[1]}, ptr {base})"
        )
        address = self.address(source)
        if once and not source.when and y not in self.copied:
            with f.at(self.packs):
                f.write(call.format(address))
        else:
            f.write(call.format(address))
        return base

    def rows_of(self, x: Value, rows: int) -> tuple[str, int, int]:
        """The address of a value as rows, and the strides of its rows and columns."""
        place = self.read(x)
        row = _row_stride(place, rows, any_column=True)
        if row is None:
            to = self.spare(x)
            self.copy(place, to)
            place, row = to, x.shape[-1]
        return self.address(place), row, place.strides[-1]

    def start(self, x: Value, v: Value, rows: int) -> tuple[str, int]:
        place = self.read(x)
        wide = place._replace(strides=place.along(v.shape), shape=v.shape)
        row = _row_stride(wide, rows)
        if row is None:
            to = self.spare(v)
            self.copy(wide, to)
            wide, row = to, v.shape[-1]
        return self.address(wide), row

    def large(self, item: Product) -> None:
        """A product of all steps: by blocks of both matrices."""
        f, v, lowering = self.f, item.made, self.lowering
        large, _ = large_of(item)
        lowering.module.declare(
            large.name, "void", [p.split(" %")[0] for p in products.LARGE_PARAMETERS]
        )
        lowering.imported[large.name] = products.large_address(large)
        with f.at(f.entry):
            blocks = self._aligned(self._object(BLOCKS))
        mine = f.pointer("i8", blocks, f.times("%part", sum(lowering.block_bytes)))
        scratch = f"ptr {mine}, ptr {f.pointer('i8', mine, lowering.block_bytes[0])}"
        x, y = item.product.args
        a, b, c = self.read(x), self.read(y), lowering.homes[v][0]
        if item.product.op is total_matmul:
            self.sum_of_products(large, v, a, b, c, scratch)
        else:
            self.product_of_all(large, item, a, b, c, scratch)

    def sum_of_products(
        self, large: Large, v: Value, a: Place, b: Place, c: Place, scratch: str
    ) -> None:
        """sum_t A_t B_t: one product whose inner axis goes on from step to step, if it does."""
        f, (rows, columns) = self.f, v.shape
        inner = b.shape[0]
        first_a, first_b, to = self.block(a), self.block(b), self.block(c)
        if _merges(a, 1, inner) and _merges(b, 0, inner):
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

    def product_of_all(
        self, large: Large, item: Product, a: Place, b: Place, c: Place, scratch: str
    ) -> None:
        """A_t B of all t: the rows of all steps one behind the other, if they are."""
        f, v = self.f, item.made
        rows, inner, columns = math.prod(v.shape[:-1]), b.shape[0], v.shape[-1]
        a_row, c_row = _row_stride(a, rows, any_column=True), _row_stride(c, rows)
        if a_row is None or c_row is None:
            raise Unsupported("rows of a large product that do not lie in a row")
        if rows == 1:
            a_row, c_row = a.memory.slot, c.memory.slot
        start = ("null", 0)
        if item.start is not None:
            start = self.block(self.row(item.start)), 0
        first_a, first_c = self.block(a), self.block(c)
        second = (self.block(b), b.strides[0], b.strides[1])
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
        """The address of one of all steps."""
        memory = place.memory
        return self.f.pointer(memory.kind, first, self.f.times(t, memory.slot))

    def row(self, x: Value) -> Place:
        """A value of one row, its elements one behind the other."""
        place = self.read(x)
        if place.strides[-1] == 1:
            return place
        to = self.spare(x)
        self.copy(place, to)
        return to

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
        f, kind = self.f, large.kind
        rows, inner, columns = sizes
        if cut:  # whole kernels to each part
            share = f.let(f"sdiv i64 {rows}, %parts")
            share = f.let(f"sdiv i64 {share}, {ROWS}")
            whole = f.times(f.let(f"add i64 {share}, 1"), ROWS)
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
    """Whether an axis of length n goes on from one step to the next."""
    return n == 1 or place.strides[axis] * n == place.memory.slot


def _row_stride(place: Place, rows: int, any_column: bool = False) -> int | None:
    """The stride of the rows (all axes but the last); None where they have no single one."""
    if not place.shape:
        return None
    columns = place.strides[-1]
    if not any_column and columns != 1 and place.shape[-1] != 1:
        return None
    if rows == 1:
        return max(place.shape[-1], 1)
    leading = [(n, s) for n, s in zip(place.shape[:-1], place.strides[:-1], strict=True) if n != 1]
    for (_, outer), (n, inner) in itertools.pairwise(leading):
        if outer != n * inner:
            return None
    return leading[-1][1]


def _runs(sizes: Sequence[int]) -> list[tuple[int, int, int]]:
    """Sizes of pieces as (first row, end, size), one for each run of equal ones."""
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
