"""Name the values of a step after the cell's local variables.

A plan shows the names that the author of the cell chose, followed by the time: the variable ``f``
is ``f_t``, and its cotangent ``df_t``.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..graph import Node, Value

_package = str(Path(__file__).parent.parent)


def with_names(cell: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The same step, which also names its values when it is traced.

    A value keeps a name that it already has. With nested functions, the outer function names last.
    The functions of this library name their values themselves.
    """

    @functools.wraps(cell)
    def step(carry: Any, x_t: Any) -> Any:
        profiler = sys.getprofile()
        if profiler is not None:  # a profiler is running: do not replace it
            return cell(carry, x_t)
        named: set[Node] = set()

        # When a function returns, its frame still holds its local variables and their names.
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
    """Whether a frame runs a function of this library, or one generated at import."""
    module = str(frame.f_globals.get("__name__", "builtins"))
    return frame.f_code.co_filename.startswith(_package) or module == "builtins"


def _name(variables: dict[str, Any], named: set[Node]) -> None:
    for name, x in variables.items():
        node = x.node if isinstance(x, Value) else None
        if node is None or node.primitive is None or name.startswith("_"):
            continue
        # ``named`` are the nodes named here, by an inner function. Other names are not replaced.
        if node.name is None or node in named:
            node.name = name if name.endswith("_t") else f"{name}_t"
            named.add(node)


__all__ = ["with_names"]
