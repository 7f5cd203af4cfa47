"""What a line of a cell may be: a text, and the values that it reads.

Each function here tries to add a line, or a few that belong together, to a pool of values. What
does not fit the values at hand is left out.
"""

from __future__ import annotations

from .pool import Pool
from .texts import (
    ELEMENTWISE,
    EXTREME,
    GATES,
    INNER,
    OF_AXES,
    OF_TWO_ARRAYS,
    THREE,
    TWO,
)


def elementwise(pool: Pool) -> object:
    return pool.line(pool.one_of(ELEMENTWISE), pool.some())


def two(pool: Pool) -> object:
    x = pool.some()
    y = pool.beside(x)
    if y is not None and pool.chance(0.3):
        x, y = y, x
    return pool.line(pool.one_of(TWO), x, y)


def three(pool: Pool) -> object:
    x = pool.some()
    return pool.line(pool.one_of(THREE), x, pool.beside(x), pool.beside(x))


def of_axes(pool: Pool) -> object:
    x = pool.some("f" if pool.chance(0.95) else "ib", lambda name: len(pool.shape(name)) > 0)
    return pool.line(pool.one_of(OF_AXES), x)


def of_two_arrays(pool: Pool) -> object:
    has_axes = lambda name: len(pool.shape(name)) > 0  # noqa: E731
    return pool.line(pool.one_of(OF_TWO_ARRAYS), pool.some("f", has_axes), pool.some("f", has_axes))


def reduction(pool: Pool) -> object:
    x = pool.some("f" if pool.chance(0.95) else "ib")
    if x is None:
        return None
    axes: list[object] = [None, *range(len(pool.shape(x))), -1]
    if len(pool.shape(x)) > 1:
        axes += [(0, 1), (0, -1)]
    name = pool.one_of(["sum", "sum", "mean", "mean", "max", "min", "logsumexp"])
    keep = ", keepdims=True" if pool.chance(0.4) else ""
    return pool.line(f"tg.{name}({{0}}, {pool.one_of(axes)}{keep})", x)


def product(pool: Pool) -> object:
    """A value times a weight."""
    x = pool.some("f", lambda name: len(pool.shape(name)) > 0)
    if x is None:
        return None
    shape = pool.shape(x)
    n = shape[-1]
    m = pool.one_of([n, *[size for name, size in pool.sizes.items() if name != "T"]])
    if pool.chance(0.2):
        m *= 2
    kind = pool.below(8)
    if kind < 3:
        return pool.line("{0} @ {1}", x, pool.weight(n, m))
    if kind == 3:
        return pool.line("{1} @ {0}", x, pool.weight(m, shape[-2] if len(shape) > 1 else n))
    if kind == 4:
        return pool.line("tg.linear({0}, {1})", x, pool.weight(m, n))
    if kind == 5:
        return pool.line("tg.linear({0}, {1}, {2})", x, pool.weight(m, n), pool.weight(m))
    if kind == 6:
        return pool.line("{0} @ {1}", x, pool.weight(n))
    return pool.line("tg.einsum('...i,ij->...j', {0}, {1})", x, pool.weight(n, m))


def closed_over(pool: Pool) -> object:
    """A value meets a weight, a bias or a number from outside."""
    x = pool.some()
    if x is None:
        return None
    shape = pool.shape(x)
    start = pool.below(len(shape) + 1)
    sides = tuple(1 if pool.chance(0.2) else n for n in shape[start:])
    text = pool.one_of(["{0} + {1}", "{0} * {1}", "{1} * {0}", "{1} - {0}", "{0} / tg.exp({1})"])
    if pool.chance(0.15):
        return pool.line(text, x, pool.close_over((), "number"))
    return pool.line(text, x, pool.weight(*sides))


def pieces(pool: Pool) -> object:
    """One product, in pieces."""
    x = pool.some("f", lambda name: len(pool.shape(name)) > 0)
    if x is None:
        return None
    width, count = pool.one_of([pool.sizes["H"], pool.sizes["D"], 1]), 2 + pool.below(3)
    weight = pool.weight(pool.shape(x)[-1], width * count)
    made = pool.line("{0} @ {1}", x, weight)
    if made is None:
        return None
    (p,) = made
    if pool.chance(0.6):
        parts = pool.line(f"tg.split({{0}}, {count}, -1)", p, count=count)
        if parts is not None and pool.chance(0.4):
            return pool.line("{0} + {1}", pool.one_of(parts), pool.one_of(parts))
        return parts
    slices = [
        f":{width}",
        f"{width}:{2 * width}",
        f"-{width}:",
        f"::-{count}",
        f"::{count}",
        "::-1",
    ]
    for _ in range(count):
        pool.line(f"{{0}}[..., {pool.one_of(slices)}]", p)
    return made


def alike(pool: Pool) -> object:
    """The last lines again, with other weights or other values: gates that are nearly the same."""
    if not pool.lines:
        return None
    copied = pool.lines[-1 - pool.below(3) :]
    renamed: dict[str, str] = {}
    made: object = None
    for line in copied:
        reads = []
        for name in line.reads:
            other: str | None = renamed.get(name, name)
            if name not in renamed and pool.chance(0.6):
                shape, kind = pool.shape(name), pool.kind(name)
                closed = any(x.name == name for x in pool.closed)
                if closed and kind == "f" and pool.chance(0.8):
                    other = pool.weight(*shape)
                else:
                    like = lambda x, s=shape: pool.shape(x) == s  # noqa: E731
                    other = pool.some(kind, like)
            reads.append(other or name)
        made = pool.line(line.text, *reads, count=len(line.names))
        if made is None:
            return None
        renamed.update(zip(line.names, made, strict=True))  # type: ignore[arg-type]
    return made


def gates(pool: Pool) -> object:
    """Two to four gates of one value, written alike, each with operands of its own."""
    h = pool.some("f", lambda name: len(pool.shape(name)) > 0)
    if h is None:
        return None
    lines, count = pool.one_of(GATES), 2 + pool.below(3)
    n, m = pool.shape(h)[-1], pool.one_of([pool.sizes["H"], pool.shape(h)[-1]])
    ops = [pool.one_of(["+", "*", "-"]) for _ in lines]
    f = pool.one_of(["tg.tanh", "tg.sigmoid", "tg.relu"])
    made: list[str] = []
    by_line = pool.chance(0.5)  # all products first, then all sums, or gate by gate
    latest = [h] * count
    order = [(k, i) for i in range(count) for k in range(len(lines))]
    for k, i in sorted(order) if by_line else order:
        text, x = lines[k], latest[i]
        other = pool.weight(n, m, most=7) if "@" in text else _operand(pool, x)
        text = text.replace("{op}", ops[k]).replace("{f}", f)
        reads = [x, other] if "{1}" in text else [x]
        found = pool.line(text, *reads)
        if found is None:
            return None
        latest[i] = found[0]
    return pool.line(" + ".join(f"{{{i}}}" for i in range(count)), *latest) or made


def _operand(pool: Pool, x: str) -> str | None:
    """What one gate meets: an input, a part of one, a weight, a number."""
    shape = pool.shape(x)
    kind = pool.below(6)
    if kind < 2:
        sides = tuple(1 if pool.chance(0.2) else n for n in shape[pool.below(len(shape) + 1) :])
        return pool.weight(*sides, most=7)
    if kind == 2 and pool.inputs:
        source = pool.one_of(pool.inputs).name
        if pool.kind(source) == "f":
            text = pool.one_of(["{0}[0]", "{0}[..., :1]", "1 - {0}", "{0} * 2", "{0}[..., -1]"])
            made = pool.line(text, source)
            if made is not None:
                return made[0]
    return pool.beside(x)


def integers(pool: Pool) -> object:
    """Lines that compute or read integers and booleans."""
    i, b = pool.some("i"), pool.some("b")
    options: list[tuple[str, list[str | None]]] = [
        ("{0} > 0.1", [pool.some()]),
        ("tg.less_equal({0}, {1})", [(x := pool.some()), pool.beside(x)]),
        ("({0} > 0).astype(np.int64)", [pool.some()]),
        ("tg.sign({0})", [pool.some()]),
        ("tg.equal({0}, {0})", [pool.some()]),
    ]
    if i is not None:
        table = pool.weight(2 + pool.below(2), pool.sizes["H"])
        options += [
            ("{0} * 2 - 1", [i]),
            ("1 - {0}", [i]),
            ("{0} != 0", [i]),
            ("tg.maximum({0}, {1})", [i, pool.some("i")]),
            ("tg.sum({0}, -1)", [i]),
            ("{0}.astype(np.float64)", [i]),
            ("tg.embedding({0}, {1})", [i, table]),
            ("{1}[{0}]", [i, table]),
            ("tg.take({1}, {0}, 0)", [i, table]),
            ("tg.take({1}, {0}, -1)", [i, pool.some("f", lambda x: pool.shape(x)[-1:] > (1,))]),
            ("{0} * {1}", [i, pool.some()]),
            ("tg.where({0} > 0, {1}, {2})", [i, (x := pool.some()), pool.beside(x)]),
            ("tg.nn.cross_entropy({1}, {0}, reduction='none')", [i, pool.some()]),
        ]
        if pool.shape(i):
            rows = pool.weight(pool.shape(i)[-1], 2 + pool.below(2))
            options.append(("{1}[np.arange({0}.shape[-1]), {0}]", [i, rows]))
    if b is not None:
        x = pool.beside(b)
        options += [
            ("tg.where({0}, {1}, {2})", [b, x, pool.beside(b)]),
            ("{0} * {1}", [b, x]),
            ("{0} & ~{1}", [b, pool.some("b")]),
            ("{0} | {1}", [b, pool.some("b")]),
            ("tg.where({0}, {1}, 0.5)", [b, x]),
            ("tg.sum({0})", [b]),
            ("{0}.astype(np.int64)", [b]),
            ("np.logical_or({0}, {1} > 0)", [b, x]),
        ]
    text, reads = pool.one_of(options)
    return pool.line(text, *reads)


def inner(pool: Pool) -> object:
    """A derivative within the step, a nested scan, a checkpoint."""
    x = pool.some()
    return pool.line(pool.one_of(INNER), x, pool.beside(x))


def image(pool: Pool) -> object:
    x = pool.some("f", lambda name: len(pool.shape(name)) == 2)
    weight = pool.weight(1, 1, 1 + pool.below(2), 1 + pool.below(2))
    padding = pool.one_of(["", ", padding=1", ", stride=2"])
    return pool.line(
        f"tg.conv2d({{0}}.reshape(1, 1, *{{0}}.shape), {{1}}{padding})[0, 0]", x, weight
    )


def extreme(pool: Pool) -> object:
    """Numbers far from 1 on the way, none in the end."""
    x = pool.some()
    made: list[str] | None = None
    for text in pool.one_of(EXTREME):
        made = pool.line(text, x, pool.beside(x)) if "{1}" in text else pool.line(text, x)
        if made is None:
            return None
        x = made[0]
    return made


KINDS = [
    (5.0, elementwise),
    (5.0, two),
    (2.0, three),
    (4.0, of_axes),
    (2.0, of_two_arrays),
    (2.0, reduction),
    (4.0, product),
    (2.0, closed_over),
    (2.0, pieces),
    (3.0, alike),
    (3.0, gates),
    (2.0, integers),
    (1.0, inner),
    (0.4, image),
    (0.6, extreme),
]
