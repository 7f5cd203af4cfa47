"""Compiling IR text in memory by llvmlite, and what this machine's processor can do.

Each module has a just-in-time compiler of its own: when the module goes, all that LLVM kept for it
goes too. (One compiler for all modules keeps 9 KB of every module that ever was; llvmlite 0.50.)
"""

from __future__ import annotations

import ctypes
import functools
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray


class Unavailable(RuntimeError):
    """The native back end cannot be had here; it says why."""


class Target(NamedTuple):
    """What the host's processor can do.

    Attributes:
        bytes: of a vector register.
        registers: of vectors.
        masks: whether loads and stores of a part of a vector cost no more than whole ones.
    """

    bytes: int
    registers: int
    masks: bool

    def lanes(self, kind: str) -> int:
        """Numbers of a kind in one vector."""
        return self.bytes // (8 if kind in ("double", "i64") else 4)

    @property
    def attributes(self) -> str:
        """Of every function: LLVM takes half of each register by itself on many processors."""
        bits = 8 * self.bytes
        return (
            f'nounwind "prefer-vector-width"="{bits}" "min-legal-vector-width"="{bits}"'
            ' "no-trapping-math"="true"'
        )


_lock = threading.RLock()

word = ctypes.c_int64


#: Where in NumPy's array object the address of its elements stands, and in Python's tuple that of
#: its first item. This is how generated code finds the elements: asking each array costs 1 us.
DATA, ITEMS = object.__basicsize__, tuple.__basicsize__


def address_of(arrays: tuple[ndarray, ...]) -> int:
    """What generated code finds arrays by: the address of the tuple of them.

    It is valid as long as somebody holds the tuple.
    """
    return id(arrays)


def _require_known_objects() -> None:
    """Look whether Python's and NumPy's objects are what generated code takes them for.

    Raises:
        Unavailable: they are not.
    """
    x = np.zeros(1)
    arrays = (x, x)
    known = sys.implementation.name == "cpython"  # elsewhere id() is no address
    if known:
        item, data = (
            ctypes.c_void_p.from_address(id(o) + at) for o, at in ((arrays, ITEMS), (x, DATA))
        )
        known = item.value == id(x) and data.value == x.ctypes.data
    if not known:
        raise Unavailable("Python or NumPy keeps its arrays in an unknown way")


@functools.cache
def _binding() -> Any:
    """llvmlite's binding, set up for this processor."""
    try:
        import llvmlite.binding as llvm
    except ImportError as error:
        raise Unavailable(f"llvmlite cannot be imported ({error})") from None
    try:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        llvm.JITLibraryBuilder  # noqa: B018 - there since llvmlite 0.42
        features = dict(llvm.get_host_cpu_features())
        llvm.Target.from_default_triple()
    except Exception as error:
        raise Unavailable(f"llvmlite cannot compile for this processor ({error})") from None
    # ctypes makes and drops such types for each module, which is garbage.
    orc = llvm.orcjit
    for element in (orc._LinkElement, orc._SymbolAddress):
        _held.extend(element * n for n in range(64))
    return llvm, features


_held: list[Any] = []


#: What to compile for in the place of this processor: tests try what others have.
simulated: Target | None = None


def target() -> Target:
    """What code is compiled for.

    Raises:
        Unavailable: llvmlite is missing, too old, or cannot compile for this processor.
    """
    return _host() if simulated is None else simulated


@functools.cache
def _host() -> Target:
    """What this processor can do."""
    _require_known_objects()
    with _lock:
        _, features = _binding()
    if features.get("avx512f") and features.get("avx512vl") and features.get("avx512bw"):
        return Target(64, 32, masks=True)
    if features.get("avx2") and features.get("fma"):
        return Target(32, 16, masks=False)
    return Target(16, 32 if features.get("neon") else 16, masks=False)


def _machine() -> Any:
    llvm, _ = _binding()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=1,
        reloc="pic",
        codemodel="jitdefault",
        jit=True,
    )


def _released(*owned: Any) -> None:
    with _lock:
        for x in owned:
            x.close()


class Compiled:
    """A module in memory.

    Args:
        text: its IR.
        functions: those that are called from outside: all take ``arguments``.
        imported: the addresses of functions of other modules that it calls.

    Raises:
        Unavailable: LLVM cannot compile it.
    """

    def __init__(
        self, text: str, functions: Sequence[str], imported: Mapping[str, int] | None = None
    ):
        target()
        llvm, _ = _binding()
        # LLVM's own state is shared by all threads.
        with _lock:
            try:
                jit = llvm.create_lljit_compiler(_machine())
                builder = llvm.JITLibraryBuilder().add_ir(text).add_current_process()
                for name, address in (imported or {}).items():
                    builder.import_symbol(name, address)
                for name in functions:
                    builder.export_symbol(name)
                library = builder.link(jit, "scan")
            except RuntimeError as error:
                raise Unavailable(f"LLVM: {error}") from error
        self.addresses = {name: library[name] for name in functions}
        # In this order: what is compiled goes before its compiler, at the latest when Python ends.
        weakref.finalize(self, _released, library, jit)

    def function(self, name: str, arguments: Sequence[Any]) -> Any:
        """A Python function that calls one of the functions, without the GIL."""
        return ctypes.CFUNCTYPE(None, *arguments)(self.addresses[name])


__all__ = ["Compiled", "Target", "Unavailable", "address_of", "target", "word"]
