"""What a loop does, for people: a line for each call, in the names of the step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from .values import SEQUENCE, Var, filled, join, parts_of

#: The parts of a loop, in the order in which they run, and what they are called.
SECTIONS = {
    "before": "before the steps",
    "step": "at every step",
    "after": "after the steps",
}


class Line(NamedTuple):
    """One call.

    Attributes:
        section: "before" the steps, at every "step", or "after" them.
        results: the names of what it computes; several where one call does alike operations.
        formula: how, in the names of what it reads: ``x_t @ W``.
        operands: these names.
        shape: dtype and shape of each result; with T first where it is that of all steps.
    """

    section: str
    results: tuple[str, ...]
    formula: str
    operands: tuple[str, ...]
    shape: str

    def __str__(self) -> str:
        return f"{', '.join(self.results)} = {self.formula}"


class Names:
    """The names of values: those that they have in the step, numbers for the others.

    Args:
        known: the names of another loop, whose values this one reads.
    """

    def __init__(self, known: Names | None = None):
        self._names: dict[Var, str] = {} if known is None else dict(known._names)
        self._used: set[str] = set(self._names.values())
        self._count: int = 0 if known is None else known._count

    def __call__(self, v: Var) -> str:
        while type(v.label) is Var:  # a value of another loop
            v = v.label
        name = self._names.get(v)
        if name is None:
            name = v.label if type(v.label) is str else self._next()
            while name in self._used:
                name += "'"
            self._names[v] = name
            self._used.add(name)
        return name

    def _next(self) -> str:
        self._count += 1
        return f"v{self._count}"


class Listing(list[Line]):
    """The lines of a loop.

    Attributes:
        given: what is read, or handed on, and not computed: names, and shapes as in a line.
        carried: the names of each part of the carry, old and new.
        stacked: the names of what is given out of every step.
    """

    def __init__(self, names: Names):
        super().__init__()
        self._names = names
        self.given: dict[str, str] = {}
        self.carried: list[tuple[str, str]] = []
        self.stacked: list[str] = []

    def end(
        self, carries: Sequence[Var], new_carries: Sequence[Var], stacked: Sequence[Var]
    ) -> None:
        """All lines are there: what becomes of the results."""
        self.carried = [
            (self._names(old), self._names(new))
            for old, new in zip(carries, new_carries, strict=True)
        ]
        self.stacked = [self._names(v) for v in stacked]
        self._give((*carries, *new_carries, *stacked))

    def add(
        self, section: str, values: Sequence[Var], over_time: bool = False, summed: bool = False
    ) -> None:
        """Values are computed, by one call; ``summed`` over the steps."""
        leader = values[0]
        operands = [self._operand([v.args[j] for v in values]) for j in range(len(leader.args))]
        formula = _formula(leader, operands)
        results = tuple(self._names(v) for v in values)
        if summed:
            formula = f"sum over t of {formula}"
            if leader.label is None:
                results = tuple(f"sum of {name}" for name in results)
        read = dict.fromkeys(x for v in values for x in v.inputs)
        self._give(read)
        names = tuple(dict.fromkeys(map(self._names, read)))
        self.append(Line(section, results, formula, names, _shape(leader, over_time)))

    def _give(self, values: Iterable[Var]) -> None:
        for v in values:
            if v.op is None:
                self.given.setdefault(self._names(v), _shape(v, v.level == SEQUENCE))

    def _operand(self, xs: Sequence[Any]) -> str:
        names = [self._names(x) if type(x) is Var else _number(x) for x in xs]
        return names[0] if len(set(names)) == 1 else f"[{' | '.join(names)}]"

    def __str__(self) -> str:
        lines = []
        for section, heading in SECTIONS.items():
            lines.append(f"{heading}:")
            of_section = [line for line in self if line.section == section]
            width = max((len(str(line)) for line in of_section), default=0)
            lines += [f"    {line!s:<{width}}   {line.shape}" for line in of_section]
            lines += [] if of_section else ["    nothing"]
        return "\n".join(lines)


def _shape(v: Var, over_time: bool) -> str:
    sizes = ", ".join(map(str, (("T",) if over_time else ()) + v.shape))
    return f"{v.dtype} ({sizes})"


_signs = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "matmul": "@"}


def _formula(v: Var, operands: Sequence[str]) -> str:
    op, keywords = v.op, v.keywords
    assert op is not None
    name = op.name.strip("_")
    if name in _signs and len(operands) == 2:
        return f" {_signs[name]} ".join(operands)
    if name == "negative":
        return f"-{operands[0]}"
    if name == "transpose" and keywords["axes"] is None:
        return f"{operands[0]}.T"
    if name == "getitem":
        return f"{operands[0]}[{_index(keywords['index'])}]"
    if op is join:
        return f"[{' | '.join(operands)}]"
    if op is filled:
        return f"{_number(keywords['fill_value'])} in every place"
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
        bounds = (
            [part.start, part.stop] if part.step is None else [part.start, part.stop, part.step]
        )
        return ":".join("" if bound is None else str(bound) for bound in bounds)
    return str(part) if not _is_long(part) else "ids"


__all__ = ["SECTIONS", "Line", "Listing", "Names"]
