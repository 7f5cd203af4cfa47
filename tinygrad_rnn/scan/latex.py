"""A plan as equations in LaTeX: the step, and its backward through time.

These are the equations of the step as the user wrote it and of its derivative, before any pass
rearranges them. A value without a name that is read once is written inside the equation that reads
it.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from ..ops import primitives
from .ir import OverTime, Program, Value, filled, in_order, join, laid_side_by_side, parts_of, uses

_longest = 160  # characters; a longer expression gets a name and an equation of its own

# How tightly an expression binds: a sum needs brackets inside a product.
_SUM, _PRODUCT, _ATOM = range(3)

_views = frozenset(
    {primitives.broadcast_to, primitives.reshape, primitives.expand_dims, primitives.squeeze}
)
_always_inside = _views | {primitives.transpose, primitives.getitem}
_functions = {
    primitives.tanh: r"\tanh",
    primitives.sigmoid: r"\sigma",
    primitives.exp: r"\exp",
    primitives.log: r"\log",
    primitives.sin: r"\sin",
    primitives.cos: r"\cos",
    primitives.maximum: r"\max",
    primitives.minimum: r"\min",
}


class Equations:
    """The equations of one program.

    Args:
        program: simplified, but not scheduled.
        given: how the forward equations write the values that this program reads: see
            :meth:`written`.
        backward: whether the carries come from the step after.
        count: how many values are named by a number so far.
        totals: the names of the program's totals. One value may be the total of several sources.
    """

    def __init__(
        self,
        program: Program,
        given: Mapping[Value, tuple[str, int]],
        backward: bool,
        count: int = 0,
        totals: Sequence[str | None] = (),
    ):
        self.count = count
        self.lines: list[str] = []
        self._symbols: dict[Value, str] = {}
        self._written: dict[Value, tuple[str, int]] = dict(given)
        self._used = {text for text, _ in given.values()}
        # 1. The inputs. In the forward equations a carry is h_{t-1}. In the backward it is dh_t^+:
        # the part of the cotangent that comes from the step after.
        for v in program.carries:
            self._name(v, f"{v.name}_t" if backward else f"{v.name}_tm1", "+" if backward else "")
        for v in (*program.constants, *program.sequences):
            if v not in self._written:
                self._name(v, v.name)
        # A cotangent that goes to the step before is marked +: there it comes from the step after.
        handed = set(program.new_carries) if backward else set()
        # 2. An equation for each value that has a name, is a result, or is long or read often. All
        # others are written where they are read.
        counts = uses(program.results)
        own = {*program.new_carries, *program.stacked, *program.totals}
        for v in in_order(counts):
            if v.op is None:
                continue
            text, bond = self._expression(v)
            inside = v.op in _always_inside or counts[v] == 1 or self._is_short(v)
            if v.name is None and v not in own and inside and len(text) <= _longest:
                self._written[v] = text, bond
                continue
            is_handed = v in handed and (v.name or "").endswith("_tm1")
            self._name(v, v.name, "+" if is_handed else "")
            self.lines.append(f"{self._symbols[v]} &= {text}")
        # 3. If no equation has defined the new carry by its own name, one more does: h_t = x_t, if
        # the step returns x_t as its new carry.
        for old, new in zip(program.carries, program.new_carries, strict=True):
            handed_on = symbol(f"{old.name}_tm1", "+") if backward else symbol(f"{old.name}_t")
            if self._symbols[new] != handed_on:
                self.lines.append(f"{handed_on} &= {self._read(new)}")
        for v, name in zip(program.totals, totals, strict=bool(totals)):
            if name is not None and self._symbols[v] != symbol(name):
                self.lines.append(f"{symbol(name)} &= {self._symbols[v]}")

    def written(self, v: Value) -> tuple[str, int]:
        """A value as an operand, and how tightly it binds."""
        return (self._symbols[v], _ATOM) if v in self._symbols else self._written[v]

    def _is_short(self, v: Value) -> bool:
        """Whether the expression is about as short as a name: ``1 - z``, ``tanh(c)``."""
        return len(v.inputs) == 1 and v.inputs[0] in self._symbols and len(v.args) <= 2

    def _name(self, v: Value, name: str | None, mark: str = "") -> None:
        """Give a value a symbol. Primes are added if the symbol is in use."""
        if name is None:
            self.count += 1
            name = f"v{self.count}" + ("_t" if v.varies else "")
        text = symbol(name, mark)
        while text in self._used:
            mark += "'"
            text = symbol(name, mark)
        self._used.add(text)
        self._symbols[v] = text

    # ── expressions ──────────────────────────────────────────────────────────────────────

    def _read(self, x: Any, within: int = _SUM) -> str:
        """An operand, in brackets if it binds less tightly than the expression around it."""
        if type(x) is not Value:
            # The sign of a negative number binds like a sum: x (-2), not x -2.
            text, bond = _number(x), _SUM if isinstance(x, (int, float)) and x < 0 else _ATOM
        else:
            text, bond = self.written(x)
        return rf"\left({text}\right)" if bond < within else text

    def _expression(self, v: Value) -> tuple[str, int]:
        """A value as an expression of its operands, and how tightly it binds."""
        op, args = v.op, v.args
        assert op is not None
        read = self._read
        if op in (primitives.add, primitives.subtract):
            # a + (b - c) needs no brackets, a - (b - c) does.
            second = read(args[1], _SUM if op is primitives.add else _PRODUCT)
            return f"{read(args[0])} {op.symbol} {second}", _SUM
        if op is primitives.negative:
            return f"-{read(args[0], _PRODUCT)}", _SUM
        if op is primitives.multiply and args[0] is args[1]:
            return self._power(args[0], "2")
        if op is primitives.multiply:
            sizes = [x.shape if type(x) is Value else () for x in args]
            # An element by element product of arrays is written with a dot in a circle; a number
            # times an array without one.
            sign = r"\odot" if all(sizes) else r"\,"
            return f"{read(args[0], _PRODUCT)} {sign} {read(args[1], _PRODUCT)}", _PRODUCT
        if op is primitives.matmul:
            return rf"{read(args[0], _PRODUCT)} \, {read(args[1], _PRODUCT)}", _PRODUCT
        if op is primitives.divide:
            return rf"\frac{{{read(args[0])}}}{{{read(args[1])}}}", _PRODUCT
        if op is primitives.square:
            return self._power(args[0], "2")
        if op is primitives.power:
            return self._power(args[0], read(args[1]))
        if op is primitives.sqrt:
            return rf"\sqrt{{{read(args[0])}}}", _ATOM
        if op is primitives.abs:
            return rf"\left|{read(args[0])}\right|", _ATOM
        if op in _views:
            return read(args[0], _ATOM), _ATOM
        if op is primitives.transpose and v.keywords["axes"] is None:
            return rf"{read(args[0], _ATOM)}^{{\top}}", _ATOM
        if op is primitives.getitem:
            return rf"{read(args[0], _ATOM)}\left[{_index(v.keywords['index'])}\right]", _ATOM
        if op is primitives.concatenate or (op is join and _fills(v)):
            parts = r" \;|\; ".join(map(read, laid_side_by_side(v) if op is join else args))
            return rf"\left[{parts}\right]", _ATOM
        if op is filled:
            return _number(v.keywords["fill_value"]), _ATOM
        if isinstance(op, OverTime):
            return rf"\sum_{{t}} {read(args[0], _PRODUCT)}", _PRODUCT
        # A sum over the rows of the batch, as the gradient of a bias is: 1' dz.
        if op in (primitives.sum, primitives.sum_to) and v.shape == args[0].shape[1:] != ():
            return rf"\mathbf{{1}}^{{\top}} {read(args[0], _PRODUCT)}", _PRODUCT
        name = _functions.get(op) or rf"\mathrm{{{_escaped(op.name.strip('_'))}}}"
        operands = [read(x) for x in args if x is not None]
        operands += [
            rf"\mathrm{{{_escaped(key)}}}={_number(value)}"
            for key, value in v.keywords.items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)
        ]
        return rf"{name}\left({', '.join(operands)}\right)", _ATOM

    def _power(self, x: Any, exponent: str) -> tuple[str, int]:
        base = self._read(x, _ATOM)
        base = base if type(x) is not Value or x not in self._symbols else _braced(base)
        return f"{base}^{{{exponent}}}", _ATOM


def _fills(v: Value) -> bool:
    """Whether the parts of a join leave no gap."""
    return sum(math.prod(x.shape) for x in v.inputs) == math.prod(v.shape)


def _braced(text: str) -> str:
    """A symbol in brackets if it has a superscript: LaTeX allows no second one."""
    return rf"\left({text}\right)" if "^" in text or "'" in text else text


def aligned(parts: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Equations under headings, for amsmath's ``aligned``. A heading closes its own ``\\text{``."""
    rows = []
    for heading, lines in parts:
        rows += [rf"&\text{{{heading}", *lines]
    return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"


# ── symbols ──────────────────────────────────────────────────────────────────────────────


def symbol(name: str, mark: str = "") -> str:
    r"""A name as a symbol: ``W_hh`` as ``W_{hh}``, ``h_tm1`` as ``h_{t-1}``, ``dz_t`` as dz_t.

    Args:
        name: the name in the listing.
        mark: the superscript: "+", or primes.
    """
    stem, *below = name.split("_")
    cut = re.fullmatch(r"(d?[A-Z])([a-z]{1,2})|(.*?[^\d])(\d+)", stem)  # Wx, h0
    if cut:
        stem, lower = (part for part in cut.groups() if part)
        below = [lower, *below]
    # The time is the last subscript: W_{hh}, h_{t-1}, z_{f,t}.
    time = ""
    if below and below[-1] in ("t", "tm1"):
        time = "t" if below.pop() == "t" else "t-1"
    subscripts = [part if part.isdigit() else _word(part) for part in below if part]
    subscripts += [time] if time else []
    marks = mark.replace("'", r"\prime ").strip()
    text = _stem(stem)
    text += f"_{{{','.join(subscripts)}}}" if subscripts else ""
    return text + (f"^{{{marks}}}" if marks else "")


def _stem(text: str) -> str:
    if len(text) > 1 and text[0] == "d":
        return rf"\mathrm{{d}}{_word(text[1:])}"
    return _word(text)


def _word(text: str) -> str:
    """A word in LaTeX: a Greek letter, one italic letter, or upright text."""
    if len(text) == 1:
        greek = re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER (\w+)", unicodedata.name(text, ""))
        if greek and greek[2] not in ("OMICRON", "FINAL SIGMA"):
            # Unicode spells it LAMDA, LaTeX lambda.
            letter = greek[2].lower().replace("lamda", "lambda")
            return "\\" + (letter if greek[1] == "SMALL" else letter.capitalize())
    text = _usual.get(text, text)
    if len(text) == 1 and text.isascii():
        return _escaped(text)
    if text in _greek:
        return f"\\{text}"
    return rf"\mathrm{{{_escaped(text)}}}"


_usual = {"weight": "W", "bias": "b"}
_greek = frozenset(  # LaTeX has no command for omicron
    unicodedata.name(c).split()[-1].lower().replace("lamda", "lambda")
    for c in "αβγδεζηθικλμνξπρστυφχψω"
)
_specials: dict[str, str] = {c: f"\\{c}" for c in "#$%&_{}"} | {"\\": "/", "^": " ", "~": " "}


def _escaped(text: str) -> str:
    return "".join(_specials.get(c, c) for c in text)


def _number(x: Any) -> str:
    if not isinstance(x, (int, float)):
        return rf"\mathrm{{{_escaped(str(x))}}}"
    text = f"{x:.6g}"
    mantissa, e, exponent = text.partition("e")
    if e:
        return rf"{mantissa} \cdot 10^{{{int(exponent)}}}"
    return {"inf": r"\infty", "-inf": r"-\infty"}.get(text, text)


def _index(index: Any) -> str:
    return ", ".join(map(_part, parts_of(index)))


def _part(part: Any) -> str:
    if part is Ellipsis:
        return r"\ldots"
    if isinstance(part, slice):
        ends = [part.start, part.stop] if part.step is None else [part.start, part.stop, part.step]
        return ":".join("" if end is None else str(end) for end in ends)
    return str(part) if isinstance(part, int) else r"\mathrm{ids}"


__all__ = ["Equations", "aligned", "symbol"]
