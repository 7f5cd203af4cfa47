"""The names of a program's values: the same in its listing and in the code that runs."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Mapping

from .ir import Program, Value

#: Names that generated code uses itself.
RESERVED = frozenset({"T", "t", "reverse", "constants", "sequences", "carries", "run"})


class Names:
    """Gives every value a name: its own, or a number.

    Args:
        program: whose values they are; values are numbered in the order in which they are made.
        given: names that values have already: those of another program, whose values these are.
        taken: names that mean something else.
        start: the number that was given last.

    Attributes:
        count: the number given last.
    """

    def __init__(
        self,
        program: Program,
        given: Mapping[Value, str] | None = None,
        taken: frozenset[str] = frozenset(),
        start: int = 0,
    ):
        self._names: dict[Value, str] = dict(given or {})
        self._used = set(RESERVED | taken | set(self._names.values()))
        self.count = start
        for v in (*program.given, *program.made):
            if v not in self._names:
                self._names[v] = self.free(identifier(v.name) if v.name else self._next())

    def _next(self) -> str:
        self.count += 1
        return f"v{self.count}"

    def __getitem__(self, v: Value) -> str:
        return self._names[v]

    def free(self, wanted: str) -> str:
        """A name like the wanted one that nothing has yet; it is taken from now on."""
        unique, count = wanted, 1
        while unique in self._used:
            count += 1
            unique = f"{wanted}_{count}"
        self._used.add(unique)
        return unique


def identifier(text: str) -> str:
    """A name of Python's that looks like the text."""
    # Python reads every name in this form.
    name = re.sub(r"\W", "_", unicodedata.normalize("NFKC", text)).strip("_") or "c"
    if not name.isidentifier():
        name = f"c_{name}"
    return f"{name}_" if keyword.iskeyword(name) else name


__all__ = ["RESERVED", "Names", "identifier"]
