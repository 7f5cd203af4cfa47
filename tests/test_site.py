"""What the site's checks find; the site itself is built by ``python -m tests.site``."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.site import build, links, references, shapes


def test_every_public_docstring_tells_the_shapes_of_its_arrays() -> None:
    assert list(shapes.missing(build.public_modules())) == []


def test_every_reference_of_a_public_docstring_exists() -> None:
    assert list(references.dangling(build.public_modules())) == []


def test_most_functions_are_looked_at() -> None:
    found = list(build.public_functions(build.public_modules()))
    assert len(found) > 400
    assert sum(shapes.takes_arrays(function) for _, function, _ in found) > 300


def module_with(documentation: str | None) -> list[ModuleType]:
    """A module with one function of an array."""

    def scaled(x: np.ndarray, factor: float = 2.0) -> np.ndarray:
        return x * factor

    module: Any = ModuleType("theirs")
    scaled.__doc__, scaled.__module__, module.scaled = documentation, "theirs", scaled
    module.__all__ = ["scaled"]
    return [module]


@pytest.mark.parametrize(
    ("documentation", "problem"),
    [
        (None, "has no docstring"),
        ("x times the factor, as in Cho et al. (2014).", "does not tell their shapes"),
        ("See (T) and LSTM(x), (or not), :func:`backend`.", "does not tell their shapes"),
        ("x (T, N) times the factor.", None),
        ("Shapes: (..., n + 1) -> (n,).", None),
        ("x of any shape times the factor.", None),
        ("Like :func:`matmul`.", None),
    ],
)
def test_docstrings_without_shapes(documentation: str | None, problem: str | None) -> None:
    found = list(shapes.missing(module_with(documentation)))
    assert len(found) == (problem is not None)
    assert all(problem in sentence and "theirs.scaled" in sentence for sentence in found)


def test_references_that_lead_nowhere() -> None:
    fine = ":func:`tanh`, :class:`tg.nn.LSTM`, :mod:`tinygrad_rnn.optim`, :meth:`Tensor.sum`"
    assert list(references.dangling(module_with(fine))) == []
    (problem,) = references.dangling(module_with(f"{fine}, :func:`tanhh`"))
    assert problem == "theirs.scaled: refers to tanhh, which does not exist"


def test_links_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "rooms").mkdir()
    (tmp_path / "picture.svg").write_text("<svg/>")
    (tmp_path / "index.html").write_text(
        '<a href="rooms/a.html#here">1</a> <a href="https://example.org/no">2</a>'
        '<a href="#no">3</a> <img src="picture.svg"> <img src="no%20picture.svg">'
    )
    (tmp_path / "rooms" / "a.html").write_text(
        '<p id="here"> <a href="../index.html">1</a> <a href="b.html">2</a> <a href="#here">3</a>'
        '<a href="../index.html#no">4</a> <img src="data:image/png;base64,x">'
    )
    assert list(links.broken(tmp_path)) == [
        "index.html: #no leads to no place in index.html",
        "index.html: no%20picture.svg leads to no file",
        "rooms/a.html: b.html leads to no file",
        "rooms/a.html: ../index.html#no leads to no place in index.html",
    ]
