"""The names that a step gives to its values: those of its own local variables.

A plan calls the values of a cell as its author does, with the time behind it: what the cell calls
``f`` is ``f_t``, and its cotangent ``df_t``.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..graph import Node, Value

_package = str(Path(__file__).parent.parent)


def naming(cell: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The same step, which names what it computes when it is traced.

    A value keeps a name that it has already. Of nested functions the outer one names last; the
    functions of this library name what they compute themselves.
    """

    @functools.wraps(cell)
    def step(carry: Any, x_t: Any) -> Any:
        profiler = sys.getprofile()
        if profiler is not None:  # somebody measures: leave him alone
            return cell(carry, x_t)
        named: set[Node] = set()

        def notice(frame: Any, event: str, result: Any) -> None:
            if event == "return" and not _is_ours(frame):
                _name(frame.f_locals, named)

        sys.setprofile(notice)
        try:
            return cell(carry, x_t)
        finally:
            sys.setprofile(None)

    return step


def _is_ours(frame: Any) -> bool:
    """Whether a function is this library's; some of them are written when it is imported."""
    module = str(frame.f_globals.get("__name__", "builtins"))
    return frame.f_code.co_filename.startswith(_package) or module == "builtins"


def _name(variables: dict[str, Any], named: set[Node]) -> None:
    for name, x in variables.items():
        node = x.node if isinstance(x, Value) else None
        if node is None or node.primitive is None or name.startswith("_"):
            continue
        if node.name is None or node in named:
            node.name = name if name.endswith("_t") else f"{name}_t"
            named.add(node)


__all__ = ["naming"]
