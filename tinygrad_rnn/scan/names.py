"""The names of a program's values. The listing and the generated code use the same names."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Mapping

from .ir import Program, Value

#: Names that the generated code needs for itself.
RESERVED = frozenset({"T", "t", "reverse", "constants", "sequences", "carries", "run"})


class Names:
    """Gives every value of a program a name: its own, or ``v`` and a number.

    Args:
        program: the program. Values are numbered in the order in which they are computed.
        given: names that values have already, from another program.
        taken: names that the generated code uses for other things.
        start: the last number used so far.

    Attributes:
        count: the last number used.
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
        for v in (*program.inputs, *program.computed):
            if v not in self._names:
                self._names[v] = self.free(identifier(v.name) if v.name else self._next())

    def _next(self) -> str:
        self.count += 1
        return f"v{self.count}"

    def __getitem__(self, v: Value) -> str:
        return self._names[v]

    def free(self, wanted: str) -> str:
        """The wanted name, with a number added if it is in use. It counts as used from now on."""
        unique, number = wanted, 1
        while unique in self._used:
            number += 1
            unique = f"{wanted}_{number}"
        self._used.add(unique)
        return unique


def identifier(text: str) -> str:
    """A Python identifier that looks like the text."""
    # Python normalises identifiers to NFKC.
    name = re.sub(r"\W", "_", unicodedata.normalize("NFKC", text)).strip("_") or "c"
    if not name.isidentifier():
        name = f"c_{name}"
    return f"{name}_" if keyword.iskeyword(name) else name


__all__ = ["RESERVED", "Names", "identifier"]
