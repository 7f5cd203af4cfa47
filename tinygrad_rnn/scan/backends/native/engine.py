"""Compile LLVM IR in memory with llvmlite, for this machine's processor.

Each module has its own just-in-time compiler, so that everything is freed together with the module.
(One compiler for all modules would keep 9 KB of every freed module; llvmlite 0.50.)
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
    """The native back end cannot run here; the message says why."""


class Target(NamedTuple):
    """What a processor can do.

    Attributes:
        bytes: the size of a vector register.
        registers: the number of vector registers.
        masks: whether masked loads and stores cost no more than whole ones.
    """

    bytes: int
    registers: int
    masks: bool

    def lanes(self, kind: str) -> int:
        """The numbers of a kind in one vector."""
        return self.bytes // (8 if kind in ("double", "i64") else 4)

    @property
    def attributes(self) -> str:
        """The attributes of every function: without them, LLVM often uses half registers."""
        bits = 8 * self.bytes
        return (
            # "no-trapping-math": LLVM need not keep floating-point exceptions, since nobody reads
            # them.
            f'nounwind "prefer-vector-width"="{bits}" "min-legal-vector-width"="{bits}"'
            ' "no-trapping-math"="true"'
        )


# Reentrant: while it is held, the garbage collector may free another module, which takes it too.
_lock = threading.RLock()

word = ctypes.c_int64


#: The offset of the address of its elements in NumPy's array object, and that of the first item in
#: Python's tuple. Generated code reads addresses there: asking each array from Python costs 1 us.
DATA, ITEMS = object.__basicsize__, tuple.__basicsize__


def address_of(arrays: tuple[ndarray, ...]) -> int:
    """The address of a tuple of arrays, from which generated code finds the arrays.

    It is valid while the caller holds the tuple.
    """
    return id(arrays)


def _require_known_objects() -> None:
    """Check that Python's and NumPy's objects have the layout that generated code expects.

    Raises:
        Unavailable: they have another layout.
    """
    x = np.zeros(1)
    arrays = (x, x)
    known = sys.implementation.name == "cpython"  # in other Pythons id() is not an address
    if known:
        # Read an item of the tuple, and the address of the elements of x, as generated code does.
        # Then compare them with what Python and NumPy say.
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
        llvm.JITLibraryBuilder  # noqa: B018 - exists since llvmlite 0.42
        features = dict(llvm.get_host_cpu_features())
        llvm.Target.from_default_triple()
    except Exception as error:
        raise Unavailable(f"llvmlite cannot compile for this processor ({error})") from None
    # ctypes would create these types for each module, as garbage. If held, they are reused.
    orc = llvm.orcjit
    for element in (orc._LinkElement, orc._SymbolAddress):
        _held.extend(element * n for n in range(64))
    return llvm, features


_held: list[Any] = []


#: Tests set this, to compile for another processor.
simulated: Target | None = None


def target() -> Target:
    """The processor that code is compiled for.

    Raises:
        Unavailable: llvmlite is missing, too old, or cannot compile for this processor.
    """
    return _host() if simulated is None else simulated


@functools.cache
def _host() -> Target:
    """The processor of this machine."""
    _require_known_objects()
    with _lock:
        _, features = _binding()
    # AVX-512 has 32 registers of 64 bytes, and masks in registers of their own. AVX2 has 16 of 32
    # bytes; fma is a separate feature. NEON has 32 of 16 bytes, SSE has 16.
    if features.get("avx512f") and features.get("avx512vl") and features.get("avx512bw"):
        return Target(64, 32, masks=True)
    if features.get("avx2") and features.get("fma"):
        return Target(32, 16, masks=False)
    return Target(16, 32 if features.get("neon") else 16, masks=False)


def _machine() -> Any:
    llvm, _ = _binding()
    # Level 1 gives code as fast as level 2, and compiles sooner (measured): the text is blocked,
    # fused and vectorised already.
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
        text: its LLVM IR.
        functions: the names of the functions that are called from outside.
        imported: the addresses of functions in other modules that it calls.

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
                # The current process has the functions of the C library, such as pow.
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
        # In this order: the library must be freed before its compiler, also when Python ends.
        weakref.finalize(self, _released, library, jit)

    def function(self, name: str, arguments: Sequence[Any]) -> Any:
        """A Python function that calls one of the functions and releases the GIL."""
        return ctypes.CFUNCTYPE(None, *arguments)(self.addresses[name])


__all__ = ["Compiled", "Target", "Unavailable", "address_of", "target", "word"]
