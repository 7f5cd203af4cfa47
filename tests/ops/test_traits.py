"""What an operation says about itself, beside its rules."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.cases import rows
from tinygrad_rnn.graph import table

_moving = [name for name, op in table.items() if op.moves]


@pytest.mark.parametrize("name", _moving)
def test_what_moves_elements_makes_none(name: str) -> None:
    for case in rows[name].cases(np.random.default_rng(0)):
        output = np.asarray(case.f(*case.arrays))
        constant = [1.0] if "a constant" in case.name else []
        known = np.concatenate([x.ravel() for x in case.arrays] + [constant])
        assert np.isin(output, known).all(), case.name


def test_the_usual_movers_say_so() -> None:
    assert {"reshape", "transpose", "_getitem", "_stack", "_concatenate"} <= set(_moving)
    assert not {"add", "matmul", "_pad", "_place", "sum"} & set(_moving)


def test_symbols() -> None:
    symbols = {name: op.symbol for name, op in table.items() if op.symbol}
    assert symbols["multiply"] == "*"
    assert symbols["matmul"] == "@"
    assert all(op.symbol is None or len(op.symbol) == 1 for op in table.values())
    signs = {name: op.sign for name, op in table.items() if op.sign != op.symbol}
    assert (
        signs.items()
        >= {
            "multiply": "×",
            "divide": "÷",
            "subtract": "−",
            "negative": "−",
            "power": "^",
            "sigmoid": "σ",
            "sum": "Σ",
        }.items()
    )
    assert table["matmul"].sign == "@"


def test_an_operation_of_ones_own_has_traits_too() -> None:
    rolled = tg.primitive(
        lambda x: np.roll(x, 1), lambda g, y, x: np.roll(g, -1), name="roll", moves=True
    )
    scaled = tg.primitive(
        np.multiply, lambda g, z, x, y: g * y, lambda g, z, x, y: g * x, name="mix", symbol="⊗"
    )
    assert rolled.primitive.moves
    assert rolled.primitive.symbol is None
    assert scaled.primitive.symbol == "⊗"
    assert scaled.primitive.sign == "⊗"
    assert not scaled.primitive.moves
