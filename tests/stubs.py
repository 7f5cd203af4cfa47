"""Write what type checkers see of the operations: ``python -m tests.stubs``.

Which of Tensor and ndarray comes out of an operation depends on what went in. Its one signature in
the source cannot say so; the overloads in the ``.pyi`` files of ``ops`` and ``nn.losses`` do, one
for each argument that may be a Tensor:

    def multiply(x: Value, y: ArrayLike | Value) -> Tensor: ...
    def multiply(x: ArrayLike, y: Tensor) -> Tensor: ...
    def multiply(x: ArrayLike, y: ArrayLike) -> ndarray: ...

They are written from the annotations in the source: what is annotated ``Array`` is an array. A test
asks whether the files are what this command writes.
"""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tinygrad_rnn import ops
from tinygrad_rnn.nn import losses
from tinygrad_rnn.ops import linalg

HEAD = '''"""The operations as type checkers see them. Written by ``python -m tests.stubs``."""

from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal, NamedTuple, TypeVar, overload

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike

from ..graph import Value
from ..tensor import Tensor
'''
#: Functions whose overloads depend on more than their arrays.
BY_HAND = {
    "svd": """
@overload
def svd(
    x: Value,
    full_matrices: bool = ...,
    compute_uv: Literal[True] = ...,
    hermitian: bool = ...,
) -> SVDResult[Tensor]: ...
@overload
def svd(
    x: Value, full_matrices: bool = ..., *, compute_uv: Literal[False], hermitian: bool = ...
) -> Tensor: ...
@overload
def svd(
    x: ArrayLike,
    full_matrices: bool = ...,
    compute_uv: Literal[True] = ...,
    hermitian: bool = ...,
) -> SVDResult[ndarray]: ...
@overload
def svd(
    x: ArrayLike, full_matrices: bool = ..., *, compute_uv: Literal[False], hermitian: bool = ...
) -> ndarray: ...
""",
    "qr": """
@overload
def qr(x: Value, mode: Literal["reduced", "complete"] = ...) -> QRResult[Tensor]: ...
@overload
def qr(x: Value, mode: Literal["r"]) -> Tensor: ...
@overload
def qr(
    x: ArrayLike, mode: Literal["reduced", "complete"] = ...
) -> QRResult[ndarray]: ...
@overload
def qr(x: ArrayLike, mode: Literal["r"]) -> ndarray: ...
""",
    "divmod": None,
}
RESULTS = ("SlogdetResult", "EighResult", "SVDResult", "QRResult")


def overloads(name: str, function: Callable[..., Any]) -> Iterator[str]:
    """The declarations of one function."""
    signature = inspect.signature(function)
    arrays = [n for n, p in signature.parameters.items() if _is_array(p.annotation)]
    cases: list[str | None] = [*arrays, None] if arrays else [None]
    for live in cases:
        parts, starred, behind = [], False, set()
        seen_default = False
        for n, p in signature.parameters.items():
            kind = _annotation(p, n, live, live in behind)
            default = p.default is not p.empty and n != live
            behind.add(n)
            starred = starred or p.kind is p.VAR_POSITIONAL
            must_be_named = n == live and seen_default
            if (p.kind is p.KEYWORD_ONLY or must_be_named) and not starred:
                parts.append("*")
                starred = True
            if p.kind is p.VAR_KEYWORD:
                parts.append(f"**{n}: {kind}")
            elif p.kind is p.VAR_POSITIONAL:
                # One of several being a Tensor cannot be said: the first one is.
                parts += [f"x: {kind}", "/", f"*{n}: ArrayLike | Value"] if n == live else []
                parts += [] if n == live else [f"*{n}: {kind}"]
            else:
                parts.append(f"{n}: {kind}" + (" = ..." if default else ""))
            seen_default = seen_default or default
        result = _result(str(signature.return_annotation), live is not None, bool(arrays))
        mark = "@overload\n" if len(cases) > 1 else ""
        yield f"{mark}def {name}({', '.join(parts)}) -> {result}: ...\n"


def _is_array(annotation: Any) -> bool:
    return str(annotation) in ("Array", "Sequence[Array]")


def _annotation(p: inspect.Parameter, name: str, live: str | None, behind: bool) -> str:
    """What a parameter takes, where the one called ``live`` is a Tensor (None: none is)."""
    text = str(p.annotation)
    either = "ArrayLike | Value" if behind else "ArrayLike"
    if text == "Array":
        if name == live:
            return "Value"
        return f"{either} | None" if p.default is None else either
    if text == "Sequence[Array]":
        return "Value | Sequence[Value]" if name == live else f"{either} | Sequence[{either}]"
    return re.sub(r"\bArray\b", "Any", text)


def _result(text: str, live: bool, has_arrays: bool) -> str:
    if not has_arrays:
        return text.replace("Array", "Any")
    kind = "Tensor" if live else "ndarray"
    for named in RESULTS:
        text = text.replace(named, f"{named}[{kind}]")
    return re.sub(r"\bArray\b", kind, text)


def stub(module: Any, names: list[str], head: str) -> str:
    """The whole file for the functions of a module."""
    parts = [head]
    for name in names:
        by_hand = BY_HAND.get(name)
        if by_hand:
            parts.append(by_hand)
            continue
        found = getattr(module, name)
        parts.extend(overloads(name, found))
    listed = "".join(f'    "{name}",\n' for name in sorted(module.__all__))
    parts.append(f"\n__all__: list[str] = [\n{listed}]\n")
    return _formatted("".join(parts))


def _formatted(text: str) -> str:
    command = [sys.executable, "-m", "ruff"]
    for step in (["check", "--fix", "-q", "--exit-zero"], ["format", "-q"]):
        text = subprocess.run(
            [*command, *step, "--stdin-filename", "tinygrad_rnn/ops/x.pyi", "-"],
            input=text,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    return text


def files() -> dict[Path, str]:
    """What the stubs should hold, by file."""
    folder = Path(ops.__file__).parent
    submodules = sorted(path.stem for path in folder.glob("[a-z]*.py"))
    head = HEAD + f"from . import {', '.join(f'{m} as {m}' for m in submodules)}\n"
    head += "Axes = int | tuple[int, ...] | None\nPair = tuple[int, int]\n\n"
    names = sorted(set(ops.__all__) - {"linalg"})
    results = '\nAxes = int | tuple[int, ...] | None\n_T = TypeVar("_T")\n'
    for result in RESULTS:
        cls = next(getattr(m, result) for m in vars(ops).values() if hasattr(m, result))
        fields = "".join(f"    {field}: _T\n" for field in cls._fields)
        results += f"\nclass {result}(NamedTuple, Generic[_T]):\n{fields}"
    modules = [name for name in losses.__all__ if isinstance(getattr(losses, name), type)]
    beside = HEAD.replace("from ..", "from ...")
    beside += f"from .modules import {', '.join(f'{m} as {m}' for m in modules)}\n\n"
    functions = sorted(set(losses.__all__) - set(modules))
    return {
        folder / "__init__.pyi": stub(ops, names, head),
        folder / "linalg.pyi": stub(linalg, sorted(linalg.__all__), HEAD + results),
        Path(losses.__file__).with_suffix(".pyi"): stub(losses, functions, beside),
    }


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
        print(path)
