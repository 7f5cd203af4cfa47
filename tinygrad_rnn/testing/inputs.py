"""Inputs for an operation: random ones that it accepts, and ones that show a hidden mistake."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

from ..graph import Primitive, Value, attach
from .cases import Case
from .differences import evaluate, pull
from .laws import broken_law
from .mutants import Mutant, numbers_in
from .operations import at_kink, case_of

_intervals = ((-2.0, 2.0), (0.2, 2.0), (-0.9, 0.9), (0.1, 0.9))
_shapes: tuple[tuple[tuple[int, ...], ...], ...] = (
    ((3, 3),) * 3,
    ((2, 3), (3,), ()),
    ((2, 3),) * 3,
    ((4,),) * 3,
    ((2, 3), (3, 4), (4,)),
    ((2, 3), (4, 3), (4,)),
    ((), (), ()),
    ((0,),) * 3,
)
_longest_text = 60  # characters; a longer array is not printed in full


@dataclass(frozen=True)
class Example:
    """Inputs of an operation, and the Python expressions that make them.

    >>> example = Example.of("np.ones((2, 3))", "{'axis': 0}")
    >>> example.values
    (array([[1., 1., 1.],
           [1., 1., 1.]]), {'axis': 0})
    >>> print(example)
    (np.ones((2, 3)), {'axis': 0})
    """

    expressions: tuple[str, ...]
    values: tuple[Any, ...]

    @staticmethod
    def of(*expressions: str) -> Example:
        """An example from one expression for each input, and one for the dict of keywords."""
        return Example(expressions, tuple(eval(text, {"np": np}) for text in expressions))

    def __str__(self) -> str:
        return f"({', '.join(self.expressions)}{',' * (len(self.expressions) == 1)})"


def _uniform(low: float, high: float, shape: tuple[int, ...], seed: int) -> str:
    return f"np.random.default_rng({seed}).uniform({low:g}, {high:g}, {shape})"


def _written(value: Any) -> str | None:
    """A short expression for a constant; None if there is none."""
    text = " ".join(repr(value).split())
    if isinstance(value, ndarray):
        text = f"np.{text.replace('dtype=', 'dtype=np.')}"
    if len(text) > _longest_text:
        return None
    try:
        eval(text, {"np": np})
    except (NameError, SyntaxError, AttributeError):  # <function f at 0x...>, nan, array(...)
        return None
    return text


# ── found by trial ───────────────────────────────────────────────────────────────────────


def found_examples(op: Callable[..., Any], arity: int, seed: int) -> Iterator[Example]:
    """Random inputs that the operation accepts, found by trial: its output there is finite.

    We try several shapes (also ones that broadcast) and several intervals: any sign, positive,
    (-1, 1) and (0, 1). An argument without a rule also gets integers and booleans.
    """
    for shapes in _shapes:
        accepted = (
            example for example in _of_shapes(op, shapes, arity, seed) if _accepted(op, example)
        )
        # One example for each choice of shapes: the first that the operation accepts.
        yield from list(accepted)[:1]


def _of_shapes(
    op: Callable[..., Any],
    shapes: Sequence[tuple[int, ...]],
    arity: int,
    seed: int,
    keywords: str = "",
) -> Iterator[Example]:
    primitive: Primitive = op.primitive  # type: ignore[attr-defined]
    kinds: Iterable[str] = ("float", "int", "bool") if None in primitive.vjps else ("float",)
    for low, high in _intervals:
        for kind in kinds:
            expressions = []
            for i in range(arity):
                shape = shapes[min(i, len(shapes) - 1)]
                if primitive.vjps[i] is None and kind != "float":
                    integers = f"np.random.default_rng({seed + i}).integers(0, 2, {shape})"
                    expressions.append(f"np.asarray({integers}).astype({kind})")
                else:
                    expressions.append(_uniform(low, high, shape, seed + i))
            yield Example.of(*expressions, *([keywords] if keywords else []))


def _accepted(op: Callable[..., Any], example: Example) -> bool:
    *inputs, last = example.values
    keywords = last if isinstance(last, dict) else {}
    arrays = inputs if isinstance(last, dict) else [*inputs, last]
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # e.g. the mean of an empty array
            y = op(*(attach(np.asarray(x), None) for x in arrays), **keywords)._array
    except Exception:  # the operation does not accept this input
        return False
    return bool(y.dtype.kind == "f" and np.isfinite(y).all())


# ── the input that shows a mistake ───────────────────────────────────────────────────────


@dataclass(frozen=True)
class Advice:
    """How to notice a mutant that the examples of an operation hide.

    Attributes:
        example: inputs that show the mistake; None if no input shows it.
        gradients: the gradients of the rule and of the mutant there, a list for each
            differentiated input. Set only at a kink, where the laws cannot tell which is right.
        tried: on how many inputs we compared the rule and the mutant.
    """

    example: Example | None
    gradients: tuple[Any, Any] | None
    tried: int


class Advisor:
    """Looks for inputs of one operation that show mistakes which its examples do not show.

    Args:
        op: an operation made by ``tg.primitive``.
        examples: the user's examples.
        seed: for the random inputs.
    """

    def __init__(
        self, op: Callable[..., Any], examples: Sequence[tuple[Any, ...]], seed: int = 0
    ) -> None:
        self._op, self._seed = op, seed
        self._examples = [other for example in examples for other in _other_keywords(example)]
        self._known: dict[str, tuple[Example, Case, bool]] = {}
        self._advised: list[Example] = []  # tried first: one example may show many mistakes

    def advice(self, mutant: Mutant) -> Advice:
        """The first input at which a law notices the mutant, or at which the gradients differ."""
        # Lawful examples first: there the laws themselves notice the mistake. Otherwise the mistake
        # may show only at a kink, where the laws are silent and the gradients are compared.
        special = list(self._cases(self._special(mutant)))
        tried = [*self._cases([*self._advised, *self._random()]), *special]
        with np.errstate(all="ignore"):
            for example, case, lawful in tried:
                if lawful:
                    with mutant.installed():
                        noticed = broken_law(case, self._seed)
                    if noticed:
                        self._advised.append(example)
                        return Advice(example, None, len(tried))
            for example, case, lawful in special:
                if lawful:
                    continue
                right = _gradients(case)
                with mutant.installed():
                    wrong = _gradients(case)
                if repr(right) != repr(wrong):  # NaN is NaN
                    return Advice(example, (right, wrong), len(tried))
        return Advice(None, None, len(tried))

    def _cases(self, examples: Iterable[Example]) -> Iterator[tuple[Example, Case, bool]]:
        """The examples that the operation accepts, each with whether all laws hold there."""
        for example in examples:
            if str(example) not in self._known and _accepted(self._op, example):
                try:
                    case = case_of(self._op, example.values)
                except (TypeError, ValueError):  # nothing to differentiate in it
                    continue
                lawful = not at_kink(case, self._seed) and broken_law(case, self._seed) is None
                self._known[str(example)] = example, case, lawful
            if str(example) in self._known:
                yield self._known[str(example)]

    def _random(self) -> Iterator[Example]:
        for low, high in _intervals:
            yield from self._like_given(
                lambda shape, i, low=low, high=high: _uniform(low, high, shape, self._seed + i)  # type: ignore[misc]
            )
        arity = len(self._op.primitive.vjps)  # type: ignore[attr-defined]
        for shapes in _shapes:
            for keywords in dict.fromkeys(map(_keywords, self._examples)):
                if keywords is not None:
                    yield from _of_shapes(self._op, shapes, arity, self._seed, keywords)

    def _special(self, mutant: Mutant) -> Iterator[Example]:
        """Likely kinks: 0, 1 and -1, the numbers in the rule's source, and equal elements."""
        # An array full of one number also has equal elements, the kinks of max and sorting.
        for number in dict.fromkeys((0.0, 1.0, -1.0, *numbers_in(mutant))):
            yield from self._like_given(lambda shape, i, at=number: f"np.full({shape}, {at!r})")  # type: ignore[misc]

    def _like_given(self, expression: Callable[[tuple[int, ...], int], str]) -> Iterator[Example]:
        """The user's examples with other numbers in the arrays that are differentiated."""
        rules = self._op.primitive.vjps  # type: ignore[attr-defined]
        for example in self._examples:
            expressions: list[str | None] = []
            for i, x in enumerate(example):
                value = x._array if isinstance(x, Value) else x
                constant = isinstance(x, dict) or rules[i] is None
                if constant or np.asarray(value).dtype.kind != "f":
                    expressions.append(_written(value))
                else:
                    expressions.append(expression(np.shape(value), i))
            if None not in expressions:
                yield Example.of(*(text for text in expressions if text is not None))


def _other_keywords(example: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """The example, and copies of it with one keyword changed."""
    yield example
    *inputs, keywords = example
    if isinstance(keywords, dict):
        for name, value in keywords.items():
            others: tuple[Any, ...] = ()
            if isinstance(value, bool):
                others = (not value,)
            elif isinstance(value, int):
                others = value + 1, value - 1
            elif isinstance(value, float):
                others = (1.5 * value + 0.25,)
            for other in others:
                yield (*inputs, {**keywords, name: other})


def _keywords(example: tuple[Any, ...]) -> str | None:
    """The keywords of an example as an expression; "" if there are none."""
    return _written(example[-1]) if isinstance(example[-1], dict) else ""


def _gradients(case: Case) -> list[Any] | str:
    """The gradients of the sum of the output, or the error that the rule raises."""
    try:
        y = evaluate(case.f, case.arrays)
        gradients = pull(case.f, case.arrays, np.ones_like(y))[1]
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return [(g + 0.0).tolist() for g in gradients]  # 0, not -0


__all__ = ["Advice", "Advisor", "Example", "found_examples"]
