"""Back ends: turn a program into a function that runs it.

``numpy`` writes flat Python, one NumPy call for each operation. ``native`` compiles the program to
machine code, if llvmlite is installed and every operation can be compiled.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from ...graph import BACKENDS, current
from .numpy import NumpyLoop

if TYPE_CHECKING:
    from ..ir import Program, Value
    from .native import NativeLoop

Loop: TypeAlias = "NumpyLoop | NativeLoop"


def wanted_backend() -> str:
    """The back end that the user wants: "auto", "numpy" or "native"."""
    name = current().backend or os.environ.get("TINYGRAD_RNN_BACKEND") or "auto"
    if name not in BACKENDS:
        raise ValueError(
            f"TINYGRAD_RNN_BACKEND: expected one of {', '.join(BACKENDS)}, got {name!r}"
        )
    return name


def chosen_backend() -> str:
    """The back end that runs the steps of this library: "numpy" or "native"."""
    name = wanted_backend()
    if name == "auto":
        return "native" if _native_is_available() else "numpy"
    return name


@functools.cache
def _native_is_available() -> bool:
    from .native import Unavailable, target

    try:
        target()
    except Unavailable:
        return False
    return True


def compile_simplified(
    program: Program, given: Mapping[Value, str], start: int, name: str, lazy: bool = False
) -> tuple[Loop, str]:
    """Compile a program.

    Args:
        program: the program, simplified.
        given: the names that values have in another program.
        start: the last number used for names there.
        name: the wanted back end.
        lazy: compile machine code at the first run instead of now.

    Returns:
        The loop, and the reason why it is not native; "" if it is native or "numpy" was wanted.

    Raises:
        RuntimeError: "native" is wanted, but cannot run this program.
    """
    why = ""
    if name != "numpy":
        # Imported here: llvmlite takes long to import, and many programs never run a scan.
        from .native import NativeLoop, Unavailable, Unsupported

        try:
            # This lowers the program, so an operation without machine code is found now. Only
            # LLVM's part, the slow one, waits until the first run: a backward pass may never run.
            loop = NativeLoop(program, given, start)
            if not lazy:
                loop.compile()
            return loop, ""
        except Unavailable as error:
            why = str(error)
        except Unsupported as error:
            why = f"no machine code for {error}"
        if name == "native":
            raise RuntimeError(f"scan: the native back end cannot run this step: {why}")
    return NumpyLoop(program, given, start), why


__all__: list[Any] = ["Loop", "chosen_backend", "compile_simplified", "wanted_backend"]
