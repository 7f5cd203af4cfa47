"""What a step changes in Python: counters, lists, random generators.

scan runs a step once or twice, and a loop runs it T times. A step that counts its runs, or keeps
values of earlier ones, may do something else at a later run: ``if t[0] % 4 == 0``. So a step whose
state has changed while it ran is run as often as the loop would run it, and must do the same each
time. A step that may decide with random numbers (``if rng.random() < 0.1``) is refused.
"""

from __future__ import annotations

import contextlib
import dis
import functools
import itertools
import pickle
import random
import sys
import types
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy import ndarray

#: How many objects are looked at, how many of one list, through how many others, and the elements
#: of an array that may hold a counter.
_most, _each, _depth, _few = 500, 100, 6, 64

_plain = (bool, int, float, complex, str, bytes, type(None), np.generic)
_generators = (np.random.Generator, np.random.RandomState, random.Random)
_containers = (list, tuple, set, deque, dict)
#: Names in code that changes without showing it: iterators, new generators, clocks.
_unseen = {"next", "default_rng", "RandomState", "Random", "urandom", "time", "perf_counter"}


class PythonState:
    """The state that a function can reach: through its variables, and what they hold.

    It is what is found in a few hundred objects at most. Files, clocks and the inside of other
    libraries' objects are not looked at.

    Attributes:
        can_change: whether the function has code that writes to its state, or a random generator.
        decides: whether it has code that depends on a condition.
        numbers: the numbers and strings, the lengths of lists and the like, and the bytes of small
            arrays, in a fixed order.
        random: what the next random numbers depend on.
    """

    def __init__(self, function: Any):
        self.can_change = self.decides = False
        self.numbers: list[Any] = []
        self.random: list[bytes] = []
        # The names in the code that was looked at, and the classes of the objects.
        self._names = {"__call__", "forward", "__getitem__", "__bool__", "__len__", "__iter__"}
        self._kinds: dict[type, None] = {}
        # What is near comes first. ``front`` holds the objects, so that no id is used again.
        seen: set[int] = set()
        front: list[tuple[Any, int]] = [(function, 0)]
        for i, (x, depth) in enumerate(front):
            if issubclass(type(x), _plain):
                self.numbers.append((type(x), x))
            elif id(x) not in seen and depth < _depth:
                seen.add(id(x))
                parts = itertools.islice(self._look(x), max(0, _most - len(front)))
                front += [(part, depth + 1) for part in parts]
            if i == len(front) - 1:  # the last one: is there a method that the code names?
                methods = [method for method in self._methods() if id(method) not in seen]
                front += [(method, 1) for method in methods]

    def is_as(self, other: PythonState) -> bool:
        return (self.numbers, self.random) == (other.numbers, other.random)

    def _look(self, x: Any) -> Iterator[Any]:
        """Note the state of an object; returns what it holds."""
        # By ``type`` and not by ``isinstance``, which asks the object what it is.
        kind = type(x)
        # These modules keep a generator for themselves.
        if x is random:
            x, kind = random._inst, random.Random
        elif x is np.random:
            x, kind = np.random.mtrand._rand, np.random.RandomState
        if issubclass(kind, _generators):
            self.can_change = True
            with contextlib.suppress(NotImplementedError):  # SystemRandom has no state to show
                self.random.append(pickle.dumps(_state_of(x)))
        elif kind is types.FunctionType:
            if not _is_of_a_library(str(x.__module__)):
                unseen = not _unseen.isdisjoint(_names(x.__code__))
                self.can_change = self.can_change or unseen or _writes(x.__code__)
                self.decides = self.decides or _decides(x.__code__)
                self._names |= _names(x.__code__).keys()
                if unseen:
                    self.numbers.append(object())  # equal to nothing: it may have changed
                yield from _variables(x)
        elif kind is ndarray:
            if x.size <= _few:
                self.numbers.append(x.tobytes())
        elif kind in (types.MethodType, types.BuiltinMethodType):
            yield from (x.__self__, getattr(x, "__func__", None))
        elif kind is functools.partial:
            yield from (x.func, x.args, x.keywords)
        elif kind in _containers:
            self.numbers.append(len(x))
            yield from itertools.islice(x.values() if kind is dict else x, _each)
        elif _module(kind).startswith("tinygrad_rnn.") or not _is_of_a_library(_module(kind)):
            yield from self._attributes(x)

    def _attributes(self, x: Any) -> Iterator[Any]:
        """The values of the attributes of an object, and the numbers of its class."""
        try:
            own = object.__getattribute__(x, "__dict__")
        except AttributeError:
            own = {}
        yield from own.values()
        for kind in type(x).__mro__:
            if _is_of_a_library(_module(kind)):
                continue
            self._kinds[kind] = None
            for value in vars(kind).values():
                if type(value) is types.MemberDescriptorType:  # one of its __slots__
                    with contextlib.suppress(AttributeError):
                        yield value.__get__(x)
                elif issubclass(type(value), (int, float, *_generators)):
                    yield value

    def _methods(self) -> Iterator[Any]:
        """The methods and properties, of all classes so far, that the code names."""
        for kind in self._kinds:
            for name in sorted(self._names & vars(kind).keys()):
                method = vars(kind)[name]
                if type(method) is property:
                    method = method.fget
                elif type(method) is functools.cached_property:
                    method = method.func
                elif type(method) in (staticmethod, classmethod):
                    method = method.__func__
                if type(method) is types.FunctionType:
                    yield method


def _state_of(x: Any) -> Any:
    if isinstance(x, random.Random):
        return x.getstate()
    return (
        x.get_state(legacy=False) if isinstance(x, np.random.RandomState) else x.bit_generator.state
    )


def _module(kind: type) -> str:
    """The name of the module of a class."""
    name = vars(kind).get("__module__", "builtins")
    return name if type(name) is str else ""


@functools.lru_cache(1024)
def _is_of_a_library(name: str) -> bool:
    """Whether a module is not the user's own: then it holds no counter of the user's."""
    top = name.partition(".")[0]
    if top == "tinygrad_rnn" or top in sys.stdlib_module_names - {"__main__"}:
        return True
    file = getattr(sys.modules.get(name), "__file__", None) or ""
    return "site-packages" in file or "dist-packages" in file


def _variables(function: types.FunctionType) -> Iterator[Any]:
    """The values of the variables of a function that are not its own, and of its defaults."""
    unread = _unread(function.__code__)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        if name in unread:
            continue
        with contextlib.suppress(ValueError):  # not bound yet
            yield cell.cell_contents
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    names = _names(function.__code__)
    for name in names:
        if name in unread:
            continue
        value = function.__globals__.get(name)
        if value is np:
            yield np.random if "random" in names else None
        elif type(value) is types.ModuleType and not _is_of_a_library(value.__name__):
            # A function of a module of the user's: helpers.is_due()
            yield from (vars(value).get(x) for x in names)
        else:
            yield value


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """The code of a function, and of the functions within it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


@functools.lru_cache(1024)
def _names(code: types.CodeType) -> dict[str, None]:
    """The names that a function reads, in a fixed order."""
    return dict.fromkeys(name for part in _codes(code) for name in part.co_names)


@functools.lru_cache(1024)
def _unread(code: types.CodeType) -> set[str]:
    """The outer variables that a function only counts up or appends to: what they hold is not read.

    ``runs += 1`` and ``log.append(h)`` are how people look on, and change no result.
    """
    harmless: set[str] = set()
    read: set[str] = set()
    for part in _codes(code):
        instructions = list(dis.get_instructions(part))
        for i, load in enumerate(instructions):
            if load.opname not in ("LOAD_DEREF", "LOAD_GLOBAL"):
                continue
            appends = instructions[i + 1].argval == "append"
            counts = _counts(load, instructions[i + 1 : i + 4])
            (harmless if appends or counts else read).add(load.argval)
    return harmless - read


def _counts(load: dis.Instruction, after: list[dis.Instruction]) -> bool:
    """Whether these instructions are ``name += constant``."""
    if len(after) < 3:
        return False
    constant, add, store = after
    return (
        constant.opname in ("LOAD_CONST", "LOAD_SMALL_INT")
        and add.opname == "BINARY_OP"
        and store.opname.startswith("STORE_")
        and store.argval == load.argval
    )


_writing = {"STORE_GLOBAL", "STORE_DEREF", "STORE_ATTR", "STORE_SUBSCR", "DELETE_SUBSCR"}
_writers = {"append", "appendleft", "extend", "insert", "pop", "popleft", "remove", "clear"}
_writers |= {"add", "discard", "update", "setdefault", "setattr", "__next__", "send"}
# A generator may be missing at first: ``if rng is not None and rng.random() < 0.1``.
_writers |= {"random", "normal", "standard_normal", "uniform", "integers", "randint", "choice"}
_writers |= {"choices", "shuffle", "permutation", "binomial", "rand", "randn", "gauss", "sample"}


@functools.lru_cache(1024)
def _writes(code: types.CodeType) -> bool:
    """Whether a function has an instruction, or calls a method, that may change its state."""
    return any(
        not _writers.isdisjoint(part.co_names)
        or any(x.opname in _writing for x in dis.get_instructions(part))
        for part in _codes(code)
    )


@functools.lru_cache(1024)
def _decides(code: types.CodeType) -> bool:
    """Whether a function has an ``if``, a condition in a loop, ``and`` or ``or``."""
    instructions = (x.opname for part in _codes(code) for x in dis.get_instructions(part))
    return any("JUMP" in name and "IF" in name for name in instructions)


__all__ = ["PythonState"]
