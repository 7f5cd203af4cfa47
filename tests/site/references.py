"""Which references of docstrings, as in ``:func:`tanh```, name nothing that exists."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import tinygrad_rnn as tg

from .build import public_functions

REFERENCE = re.compile(r":(?:func|class|meth|mod|attr):`~?([\w.]+)`")


def dangling(modules: list[ModuleType]) -> Iterator[str]:
    """A sentence for each reference that leads nowhere."""
    for module in modules:
        for target in REFERENCE.findall(module.__doc__ or ""):
            if not _exists(target, module, [module]):
                yield f"{module.__name__}: refers to {target}, which does not exist"
    for name, value, _ in public_functions(modules):
        around = [sys.modules.get(value.__module__, tg)]
        around += [module for module in modules if name.startswith(f"{module.__name__}.")]
        for target in REFERENCE.findall(inspect.getdoc(value) or ""):
            if not _exists(target, value, around):
                yield f"{name}: refers to {target}, which does not exist"


def _exists(target: str, value: Any, around: list[ModuleType]) -> bool:
    """Whether a name means something where it stands: in its class, its modules, or in ``tg``."""
    places = [*(_class_of(value, module) for module in around), *around, tg]
    return any(_leads(place, target) for place in places) or _imports(target)


def _class_of(value: Any, module: ModuleType) -> Any:
    if inspect.isclass(value):
        return value
    return getattr(module, getattr(value, "__qualname__", "").partition(".")[0], None)


def _leads(place: Any, target: str) -> bool:
    for name in target.removeprefix("tg.").split("."):
        documented = f"        {name}:" in (getattr(place, "__doc__", None) or "")
        if not hasattr(place, name):
            return documented
        place = getattr(place, name)
    return True


def _imports(target: str) -> bool:
    """Whether it is the full name of a module, or of something in one."""
    name, _, member = target.rpartition(".")
    for module, path in ((target, ""), (name, member)):
        try:
            found = importlib.import_module(module)
        except (ImportError, ValueError):
            continue
        if not path or hasattr(found, path):
            return True
    return False
