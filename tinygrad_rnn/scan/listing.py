"""A program for people to read: a line for each value that it computes.

The names are those of the generated code.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..ops import primitives
from .ir import OverTime, Program, Value, filled, join, laid_side_by_side, parts_of, sections
from .names import Names

#: The sections of a program in the order in which they run, and their headings.
SECTIONS = {
    "before": "before the steps",
    "step": "at every step",
    "after": "after the steps",
}


class Line(NamedTuple):
    """The line of one value.

    Attributes:
        section: "before" the steps, at every "step", or "after" them.
        result: its name.
        formula: the operation on the names of its operands: ``x_t @ W``.
        operands: these names.
        shape: its dtype and shape, with T first if it holds all steps.
        text: the whole line for people: ``dh_{t-1} = da_t @ W``.
    """

    section: str
    result: str
    formula: str
    operands: tuple[str, ...]
    shape: str
    text: str

    def __str__(self) -> str:
        return self.text


def shown(text: str) -> str:
    """A text with names as people write them: ``dh_{t-1}`` instead of the code's ``dh_tm1``."""
    return re.sub(r"_tm1\b", "_{t-1}", text)


class Listing(list[Line]):
    """The lines of a program.

    Attributes:
        given: the inputs of the program: their names, and shapes as in a line.
        own_names: the names that the user gave these, from the names in the code.
        carried: for each part of the carry, its name before and after the step.
        stacked: the names of the outputs of every step.
    """

    def __init__(self, program: Program, names: Names):
        super().__init__()
        self.given = {names[v]: _shape(v, v in program.sequences) for v in program.inputs}
        self.own_names = {names[v]: v.name for v in program.inputs if v.name is not None}
        pairs = zip(program.carries, program.new_carries, strict=True)
        self.carried = [(names[old], names[new]) for old, new in pairs]
        self.stacked = [names[v] for v in program.stacked]
        for section, values in sections(program):
            for v in values:
                args = laid_side_by_side(v) if v.op is join else v.args
                operands = [names[x] if type(x) is Value else _number(x) for x in args]
                read = tuple(dict.fromkeys(names[x] for x in v.inputs))
                over_time = v.varies and section != "step"
                formula = _formula(v, operands)
                text = shown(f"{names[v]} = {formula}")
                self.append(Line(section, names[v], formula, read, _shape(v, over_time), text))

    def __str__(self) -> str:
        lines = []
        for section, heading in SECTIONS.items():
            lines.append(f"{heading}:")
            of_section = [line for line in self if line.section == section]
            width = max((len(line.text) for line in of_section), default=0)
            lines += [f"    {line.text:<{width}}   {line.shape}" for line in of_section]
            lines += [] if of_section else ["    nothing"]
        return "\n".join(lines)


def _shape(v: Value, over_time: bool) -> str:
    sizes = ", ".join(map(str, (("T",) if over_time else ()) + v.shape))
    return f"{v.dtype} ({sizes})"


def _formula(v: Value, operands: Sequence[str]) -> str:
    """An operation as people write it."""
    op, keywords = v.op, v.keywords
    assert op is not None
    name = op.name.strip("_")
    if op.symbol is not None and not op.symbol.isalpha() and len(operands) <= 2:
        return f" {op.symbol} ".join(operands) if len(operands) == 2 else op.symbol + operands[0]
    if op is primitives.transpose and keywords["axes"] is None:
        return f"{operands[0]}.T"
    if op is primitives.getitem:
        return f"{operands[0]}[{_index(keywords['index'])}]"
    if op is join:
        return f"[{' | '.join(operands)}]"
    if op is filled:
        return f"{_number(keywords['fill_value'])} in every place"
    if isinstance(op, OverTime):
        # A formula may show two operands where there is one; the second one is then empty.
        return op.formula.format(*operands, *[""] * 2, **keywords)
    constants = [f"{key}={value}" for key, value in keywords.items() if not _is_long(value)]
    return f"{name}({', '.join([*operands, *constants])})"


def _is_long(value: Any) -> bool:
    return len(str(value)) > 24


def _number(x: Any) -> str:
    return f"{x:.6g}" if isinstance(x, float) else repr(x)


def _index(index: Any) -> str:
    return ", ".join(_part(part) for part in parts_of(index))


def _part(part: Any) -> str:
    if part is Ellipsis:
        return "..."
    if isinstance(part, slice):
        ends = [part.start, part.stop] if part.step is None else [part.start, part.stop, part.step]
        return ":".join("" if end is None else str(end) for end in ends)
    return "ids" if _is_long(part) else str(part)


__all__ = ["SECTIONS", "Line", "Listing", "shown"]
