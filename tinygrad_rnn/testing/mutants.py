"""Tests of the tests: a rule that is broken on purpose must break a law.

A mutant is a rule with one mistake of the kind that people make: a wrong sign, a missing factor, a
missing sum over a broadcast axis, another input's rule, a write into a buffer. It replaces the
rule on its primitive while the laws run. A mutant that no law notices shows that a law or a case
is missing; :func:`run` counts them.

There are two kinds. Wrappers change the rule's result. Rewritten sources drop one factor, one term
or one minus sign, or change ``<`` to ``<=``.
"""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy import ndarray

from .. import ops
from ..graph import (
    BatchRule,
    Blocks,
    ForEach,
    Operand,
    Primitive,
    Rule,
    Value,
    ancestors,
    attach,
    same,
)
from .cases import Case, Subject
from .laws import broken_law, laws, second_order

#: Turns a rule into a broken one.
Spoil: TypeAlias = Callable[[Rule], Rule]


@dataclass(frozen=True)
class Mutant:
    """One mistake in one rule.

    Attributes:
        primitive: the operation whose rule is broken.
        rule: which rule: the number of its argument, "every" for an operation on any number of
            arrays, or the name of another attribute of the primitive.
        how: the mistake, in words.
        changes: the primitive's attributes to replace while the mutant is installed.
        helper: a function to replace instead: its module's namespace, its name, its replacement.
        lines: the changed line of the rule, before and after; None if the rule is not rewritten.
    """

    primitive: Primitive
    rule: int | str
    how: str
    changes: dict[str, Any] = field(default_factory=dict)
    helper: tuple[dict[str, Any], str, Any] | None = None
    lines: tuple[str, str] | None = None

    @contextmanager
    def installed(self) -> Iterator[None]:
        """A context with the mistake in place; afterwards the primitive is as before."""
        # The primitive serves the whole process, so it is restored even if a law raises.
        before = {attribute: getattr(self.primitive, attribute) for attribute in self.changes}
        module, name, replacement = self.helper or ({}, "", None)
        helper_before = module.get(name)
        try:
            for attribute, value in self.changes.items():
                setattr(self.primitive, attribute, value)
            if self.helper:
                module[name] = replacement
            yield
        finally:
            for attribute, value in before.items():
                setattr(self.primitive, attribute, value)
            if self.helper:
                module[name] = helper_before

    def __str__(self) -> str:
        return f"{self.primitive.name}[{self.rule}]: {self.how}"


@dataclass
class Tally:
    """How many mutants the laws noticed.

    Attributes:
        rules: how many rules were broken.
        killed: for each law, the number of mutants that it noticed first.
        survivors: the mutants that no law noticed.
    """

    rules: int = 0
    killed: dict[str, int] = field(default_factory=dict)
    survivors: list[Mutant] = field(default_factory=list)

    @property
    def mutants(self) -> int:
        return sum(self.killed.values()) + len(self.survivors)

    def __str__(self) -> str:
        dead = sum(self.killed.values())
        share = 100 * dead / self.mutants if self.mutants else 100.0
        # Rounded down: 99.99 % is not 100 %.
        return (
            f"rules: {self.rules}, mutants: {self.mutants}, "
            f"killed: {dead} ({int(share * 10) / 10:g} %)"
        )


# ── mistakes in a rule's result ──────────────────────────────────────────────────────────


def _after(change: Callable[[Any], Any]) -> Spoil:
    """Change the rule's result."""
    return lambda rule: lambda *args, **keywords: change(rule(*args, **keywords))


def _without_last(r: Any) -> Any:
    mask = np.ones(ops.shape_of(r))
    mask.flat[-1:] = 0
    return ops.multiply(r, mask)


def _detached(x: Any) -> Any:
    return attach(x._array, None) if isinstance(x, Value) else x


def _with_cotangent(change: Callable[[Any], Any]) -> Spoil:
    return lambda rule: lambda g, *args, **keywords: rule(change(g), *args, **keywords)


def _inputs_detached(rule: Rule) -> Rule:
    return lambda g, *args, **keywords: rule(g, *map(_detached, args), **keywords)


def _scribbling_on(which: int) -> Spoil:
    """Write into the cotangent (0), the output (1) or an input (2, ...) after using it."""

    def spoil(rule: Rule) -> Rule:
        def spoilt(*args: Any, **keywords: Any) -> Any:
            r = rule(*args, **keywords)
            target = args[which] if which < len(args) else None
            if type(target) is ndarray and target.size:
                if type(r) is ndarray and np.shares_memory(r, target):
                    # Otherwise the result would change as well, and another law would notice that.
                    r = r.copy()
                target += 1
            return r

        return spoilt

    return spoil


def _keeping_its_buffer(rule: Rule) -> Rule:
    """Write every result into the same array."""
    buffers: dict[Any, ndarray] = {}

    def spoilt(*args: Any, **keywords: Any) -> Any:
        r = rule(*args, **keywords)
        if type(r) is not ndarray:
            return r
        buffer = buffers.setdefault((r.shape, r.dtype), np.empty(r.shape, r.dtype))
        buffer[...] = r
        return buffer

    return spoilt


_always: dict[str, Spoil] = {
    "negated": _after(lambda r: ops.negative(r)),
    "doubled": _after(lambda r: ops.multiply(r, 2.0)),
    # Shows whether the tolerances are tight enough.
    "off by a thousandth": _after(lambda r: ops.multiply(r, 1.001)),
    "zeroed": _after(lambda r: ops.multiply(r, 0.0)),
    "its last element lost": _after(_without_last),
    "cut off from the graph": _after(_detached),
    "cotangent replaced by ones": _with_cotangent(lambda g: np.ones(np.shape(_data(g)))),
    "cotangent squared": _with_cotangent(lambda g: ops.multiply(g, g)),
}
# These need ndarrays. A primitive with add_into never passes ndarrays to its rule.
_on_arrays: dict[str, Spoil] = {
    "writes into its cotangent": _scribbling_on(0),
    "writes into its output": _scribbling_on(1),
    "writes into its first input": _scribbling_on(2),
    "keeps its buffer": _keeping_its_buffer,
}


def _data(x: Any) -> Any:
    return x._array if isinstance(x, Value) else x


class _IfApplicable:
    """A mistake that is possible only for some shapes; it remembers whether it ever was."""

    def __init__(self, change: Callable[[Any, tuple[Any, ...]], Any]):
        self.change = change
        self.applied = False

    def __call__(self, rule: Rule) -> Rule:
        def spoilt(*args: Any, **keywords: Any) -> Any:
            r = rule(*args, **keywords)
            changed = self.change(r, args)
            if changed is None:
                return r
            self.applied = True
            return changed

        return spoilt


def _transposed(r: Any, args: tuple[Any, ...]) -> Any:
    """Exchange two axes of the same length."""
    shape = ops.shape_of(r)
    for i, j in itertools.combinations(range(len(shape)), 2):
        if shape[i] == shape[j] > 1:
            return ops.swapaxes(r, i, j)
    return None


def _first_slice(index: int) -> Callable[[Any, tuple[Any, ...]], Any]:
    """If the input was broadcast: take the first slice instead of the sum."""

    def change(r: Any, args: tuple[Any, ...]) -> Any:
        return _one_part(r, ops.shape_of(args[2 + index]))

    return change


def _one_part(x: Any, shape: tuple[int, ...]) -> Any:
    """``sum_to`` without the sum; None if there is nothing to sum."""
    whole = ops.shape_of(x)
    if whole == shape or 0 in whole:
        return None
    lead = len(whole) - len(shape)
    index = (0,) * lead + tuple(
        slice(0, 1) if n == 1 else slice(None) for n, _ in zip(shape, whole[lead:], strict=True)
    )
    return ops.getitem(x, index)


def _sum_to_without_sum(x: Any, shape: Any) -> Any:
    part = _one_part(x, tuple(shape))
    return ops.sum_to(x, shape) if part is None else part


# ── mistakes in a rule's source ──────────────────────────────────────────────────────────

_strictness = {
    "greater": "greater_equal",
    "greater_equal": "greater",
    "less": "less_equal",
    "less_equal": "less",
}
_operators: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
}
_arithmetic = (ast.Mult, ast.Div, ast.Add, ast.Sub)


@functools.cache
def _tree(path: str) -> ast.Module:
    return ast.parse(Path(path).read_text(encoding="utf-8"))


def _definition(rule: Any) -> ast.Lambda | ast.FunctionDef | None:
    """The syntax tree of a rule, found by the line and column numbers in its code object."""
    code = getattr(rule, "__code__", None)
    path = inspect.getsourcefile(rule) if code else None
    if code is None or path is None:
        return None
    # Rules are often lambdas, several in a line, so a line number does not tell them apart. The
    # positions of the instructions do: all lie within the body of their lambda.
    spots = [(line, column) for line, _, column, _ in code.co_positions() if line and column]
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.FunctionDef) and node.name == code.co_name:
            if code.co_firstlineno in (node.lineno, *(d.lineno for d in node.decorator_list)):
                return node
        elif isinstance(node, ast.Lambda) and code.co_name == "<lambda>":
            start = node.body.lineno, node.body.col_offset
            end = node.body.end_lineno or 0, node.body.end_col_offset or 0
            if spots and all(start <= spot < end for spot in spots):
                return node
    return None


@dataclass(frozen=True)
class Written:
    """The place of a rule in its source: the file, the line, and the rule or its first line."""

    file: str
    line: int
    text: str


def written(rule: Any) -> Written | None:
    """The place of a rule in its source; None if the source cannot be found."""
    definition = _definition(rule)
    path = None if definition is None else inspect.getsourcefile(rule)
    if definition is None or path is None:
        return None
    whole = ast.unparse(definition)
    text = whole if isinstance(definition, ast.Lambda) else whole.split("\n")[0]
    return Written(path, definition.lineno, text)


def numbers_in(mutant: Mutant) -> list[float]:
    """The numbers in a rule's source: the function may have kinks there."""
    vjps = mutant.primitive.vjps
    rule = vjps[mutant.rule] if isinstance(mutant.rule, int) else getattr(vjps, "rule", None)
    definition = _definition(rule)
    parts = ast.walk(definition) if definition is not None else ()
    numbers = [part.value for part in parts if isinstance(part, ast.Constant)]
    return [sign * float(x) for x in numbers if isinstance(x, (int, float)) for sign in (1, -1)]


def _rewritings(rule: Rule) -> Iterator[tuple[str, Rule, tuple[str, str]]]:
    """The rule with one mistake in its source, for every place where one is possible.

    Yields the change in words, the new rule, and the changed line before and after.
    """
    definition = _definition(rule)
    if definition is None:
        return
    # The parent of each node, since a syntax tree knows only children.
    around = {part: node for node in ast.walk(definition) for part in ast.iter_child_nodes(node)}

    def line(node: ast.AST) -> ast.AST:
        """The lambda or the statement that contains a node."""
        while node is not definition and not isinstance(node, ast.stmt):
            node = around[node]
        return node

    for node in ast.walk(definition):
        replacements: list[ast.expr] = []
        # The mistakes of the expression g * (1 - y * y) are, for example,
        #
        #     g * (1 - y * y)  ->  g,    1 - y * y
        #     1 - y * y        ->  1,    y * y
        #     y * y            ->  y,    y
        if isinstance(node, ast.BinOp) and isinstance(node.op, _arithmetic):
            replacements = [node.left, node.right]
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            replacements = [node.operand]
        elif isinstance(node, ast.Name) and node.id in _strictness:
            replacements = [ast.Name(_strictness[node.id], ast.Load())]
        elif isinstance(node, ast.Attribute) and node.attr in _strictness:
            replacements = [ast.Attribute(node.value, _strictness[node.attr], ast.Load())]
        elif isinstance(node, ast.Compare) and type(node.ops[0]) in _operators:
            if _is_condition(node, around):
                continue  # a condition compares shapes or numbers of steps, not elements
            turned = [_operators[type(node.ops[0])](), *node.ops[1:]]
            replacements = [ast.Compare(node.left, turned, node.comparators)]
        for replacement in replacements:
            how = (
                f"{ast.unparse(node)} -> {ast.unparse(replacement)} in {ast.unparse(around[node])}"
            )
            before = line(node)
            after = ast.fix_missing_locations(_copied(before, node, replacement))
            lines = ast.unparse(before), ast.unparse(after)
            yield how, _compiled(rule, definition, node, replacement), lines


def _is_condition(node: ast.AST, around: dict[ast.AST, ast.AST]) -> bool:
    """Whether a node is part of the condition of an if or a while."""
    while node in around:
        node, part = around[node], node
        if isinstance(node, (ast.If, ast.IfExp, ast.While)) and node.test is part:
            return True
    return False


def _compiled(
    rule: Any, definition: ast.Lambda | ast.FunctionDef, target: ast.AST, replacement: ast.expr
) -> Rule:
    """The rule with one node replaced, compiled in the rule's own module and closure."""
    changed = _copied(definition, target, replacement)
    if isinstance(changed, ast.FunctionDef):
        changed.decorator_list = []
        body: list[ast.stmt] = [changed, ast.Return(ast.Name(changed.name, ast.Load()))]
    else:
        body = [ast.Return(changed)]
    # A rule may read variables of the function around it. They become arguments of ``make``, which
    # returns the new rule.
    free = rule.__code__.co_freevars
    arguments = ast.arguments([], [ast.arg(name) for name in free], None, [], [], None, [])
    make = ast.FunctionDef("make", arguments, body, [], None)
    module = ast.fix_missing_locations(ast.Module([make], []))
    local: dict[str, Any] = {}
    exec(compile(module, "<mutant>", "exec"), rule.__globals__, local)
    mutated: Rule = local["make"](*(cell.cell_contents for cell in rule.__closure__ or ()))
    return mutated


def _copied(node: Any, target: ast.AST, replacement: ast.expr) -> Any:
    """A copy of a tree with one node replaced."""
    if node is target:
        node = replacement
    if isinstance(node, ast.AST):
        fields = {
            name: _copied(value, target, replacement) for name, value in ast.iter_fields(node)
        }
        return type(node)(**fields)
    if isinstance(node, list):
        return [_copied(part, target, replacement) for part in node]
    return node


# ── mistakes in adding into a buffer ─────────────────────────────────────────────────────


def _add_into_mistakes(add_into: Callable[..., None]) -> Iterator[tuple[str, Any]]:
    def with_cotangent(change: Callable[[Any], Any]) -> Any:
        return lambda buffer, g, *args, **kw: add_into(buffer, change(g), *args, **kw)

    def overwriting(buffer: ndarray, g: Any, *args: Any, **keywords: Any) -> None:
        fresh = np.zeros_like(buffer)
        add_into(fresh, g, *args, **keywords)
        # The mistake is ``=`` for ``+=``, so the buffer stays where nothing is added.
        np.copyto(buffer, fresh, where=fresh != 0)

    def repeats_lost(buffer: ndarray, g: Any, *args: Any, **keywords: Any) -> None:
        buffer[keywords.get("index", args[0])] += g

    def scribbling(buffer: ndarray, g: Any, *args: Any, **keywords: Any) -> None:
        add_into(buffer, g, *args, **keywords)
        if type(g) is ndarray:
            g += 1

    def spreading(buffer: ndarray, g: Any, *args: Any, **keywords: Any) -> None:
        add_into(buffer, g, *args, **keywords)
        buffer += np.sum(g)

    yield "negated", with_cotangent(lambda g: -g)
    yield "doubled", with_cotangent(lambda g: 2 * g)
    yield "zeroed", with_cotangent(lambda g: 0 * g)
    yield "cotangent replaced by ones", with_cotangent(np.ones_like)
    yield "overwrites what was there", overwriting
    yield "elements named twice get one", repeats_lost
    yield "reaches every element", spreading
    yield "writes into its cotangent", scribbling


# ── every mutant of a primitive ──────────────────────────────────────────────────────────


def mutants(primitive: Primitive, cases: Sequence[Case]) -> Iterator[Mutant]:
    """Every mutant of the rules of a primitive."""
    vjps = primitive.vjps
    if isinstance(vjps, ForEach):
        yield from _of_rule(primitive, "every", vjps.rule, cases)
        return
    for i, rule in enumerate(vjps):
        if rule is not None:
            yield from _of_rule(primitive, i, rule, cases)
    if primitive.elementwise and any(_broadcasts(case) for case in cases):
        yield Mutant(primitive, "every", "un-broadcasting dropped", {"elementwise": False})
    yield from _of_traits(primitive)
    if primitive.add_into is not None:
        for how, broken in _add_into_mistakes(primitive.add_into):
            yield Mutant(primitive, "add_into", how, {"add_into": broken})


def _of_traits(primitive: Primitive) -> Iterator[Mutant]:
    """False traits: wrong facts about an operation besides its rules."""
    if isinstance(primitive.view, bool):
        yield Mutant(primitive, "view", "denied", {"view": not primitive.view})
    if primitive.linear in ((), "each"):
        yield Mutant(primitive, "linear", "claimed in all arguments", {"linear": "all"})
    elif isinstance(primitive.linear, tuple) and sum(r is not None for r in primitive.vjps) > 1:
        yield Mutant(primitive, "linear", "claimed in each argument", {"linear": "each"})
    rule = primitive.batch_rule
    if rule is None:
        return

    def spoilt(change: Callable[[Any], Any]) -> BatchRule:
        def broken(keywords: dict[str, Any], operands: Sequence[Operand]) -> Blocks | None:
            on_blocks = rule(keywords, operands)
            if isinstance(on_blocks, dict):
                on_blocks = functools.partial(primitive.forward, **on_blocks)
            return None if on_blocks is None else lambda *blocks: change(on_blocks(*blocks))

        return broken

    yield Mutant(primitive, "batch", "time reversed", {"batch_rule": spoilt(lambda y: y[::-1])})
    first = spoilt(lambda y: np.broadcast_to(y[:1], y.shape))
    yield Mutant(primitive, "batch", "the first step at every step", {"batch_rule": first})


def _broadcasts(case: Case) -> bool:
    shape = np.shape(case.f(*case.arrays))
    return any(x.shape != shape for x in case.arrays)


def _of_rule(
    primitive: Primitive, index: int | str, rule: Rule, cases: Sequence[Case]
) -> Iterator[Mutant]:
    def mutant(how: str, spoil: Spoil) -> Mutant:
        return Mutant(primitive, index, how, {"vjps": _spoilt(primitive.vjps, index, spoil)})

    for how, spoil in (_always if primitive.add_into else _always | _on_arrays).items():
        yield mutant(how, spoil)
    if rule is not same:  # this rule passes its cotangent on, so the mutant would equal it
        yield mutant("returns its cotangent as it is", lambda _: lambda g, *args, **keywords: g)
    if _uses_inputs(primitive, index, cases):  # otherwise there is nothing to detach
        yield mutant("inputs cut off from the graph", _inputs_detached)

    shaped = {"transposed": _IfApplicable(_transposed)}
    if primitive.elementwise and isinstance(index, int):
        shaped["the first part instead of the sum"] = _IfApplicable(_first_slice(index))
    for how, mistake in shaped.items():
        # Run it once, to see whether any case has a shape for which the mistake is possible.
        attempt = mutant(how, mistake)
        with attempt.installed():
            for case in cases:
                broken_law(case, 0, laws[:1])
        if mistake.applied:
            yield attempt

    if isinstance(primitive.vjps, ForEach):
        rotated = ForEach(lambda k, g, y, *xs, **kw: rule((k + 1) % len(xs), g, y, *xs, **kw))
        yield Mutant(primitive, index, "another input's rule", {"vjps": rotated})
    else:
        others = [r for r in primitive.vjps if r is not None and r is not rule]
        for other in others[:1]:
            yield mutant("another input's rule", lambda _, other=other: other)  # type: ignore[misc]

    for how, rewritten, lines in _rewritings(rule):
        if isinstance(primitive.vjps, ForEach):
            vjps: Any = ForEach(rewritten)
        else:
            vjps = _spoilt(primitive.vjps, index, lambda _, rewritten=rewritten: rewritten)  # type: ignore[misc]
        yield Mutant(primitive, index, how, {"vjps": vjps}, lines=lines)
    names = getattr(rule, "__code__", None)
    if names is not None and "sum_to" in names.co_names and "sum_to" in rule.__globals__:
        helper = (rule.__globals__, "sum_to", _sum_to_without_sum)
        yield Mutant(primitive, index, "the first part instead of the sum", {}, helper)


def _spoilt(vjps: Any, index: int | str, spoil: Spoil) -> Any:
    """The rules with one of them spoilt."""
    if isinstance(vjps, ForEach):
        rule = vjps.rule
        spoilt: dict[int, Rule] = {}

        def each(k: int, *args: Any, **keywords: Any) -> Any:
            if k not in spoilt:
                # Spoilt once for each argument, since some mistakes keep a buffer between calls.
                spoilt[k] = spoil(functools.partial(rule, k))
            return spoilt[k](*args, **keywords)

        return ForEach(each)
    return tuple(spoil(rule) if i == index else rule for i, rule in enumerate(vjps))


def _uses_inputs(primitive: Primitive, index: int | str, cases: Sequence[Case]) -> bool:
    """Whether the rule's result depends on the inputs or the output.

    If so it has a second derivative, and detaching the inputs is a mistake.
    """
    depends: list[bool] = []

    def watch(rule: Rule) -> Rule:
        def watched(g: Any, *args: Any, **keywords: Any) -> Any:
            r = rule(g, *args, **keywords)
            if isinstance(r, Value) and r.node is not None:
                # The gradient's graph leads back to an input or the output, and not only to the
                # cotangent.
                nodes = {x.node for x in args if isinstance(x, Value) and x.node is not None}
                depends.append(not nodes.isdisjoint(ancestors([r.node])))
            return r

        return watched

    watcher = Mutant(primitive, index, "", {"vjps": _spoilt(primitive.vjps, index, watch)})
    with watcher.installed():
        for case in cases:
            broken_law(case, 0, [second_order])
    return any(depends)


# ── running them ─────────────────────────────────────────────────────────────────────────


def noticed_by(mutant: Mutant, subject: Subject, seed: int = 0, draws: int = 5) -> str | None:
    """The first check to notice a mutant: the name of a law, or "a test"; None if nothing does.

    A random mask may happen to hide the mistake, so we try several draws.
    """
    with mutant.installed(), np.errstate(all="ignore"):
        for attempt in range(seed, seed + draws):
            for case in subject.cases(np.random.default_rng(attempt)):
                broken = broken_law(case, attempt)
                if broken:
                    return broken[0]
            if attempt == seed and subject.broken_test() is not None:  # not random: try it once
                return "a test"
    return None


def run(
    subjects: Iterable[Subject],
    *,
    equivalent: Container[tuple[Primitive, int | str, str]] = (),
    seed: int = 0,
    report: Callable[[int, Tally], None] = lambda done, tally: None,
) -> Tally:
    """Break every rule of these operations in every way, and count which law notices.

    Args:
        subjects: the operations, each with its cases. One without a primitive is skipped.
        equivalent: mutants to skip because they compute the same as the rule; each is given by
            its :attr:`Mutant.primitive`, :attr:`Mutant.rule` and :attr:`Mutant.how`.
        seed: for the random numbers that the laws use.
        report: called with the number of operations done and the tally so far.

    Raises:
        AssertionError: an operation breaks a law without any mutant, so its mutants show nothing.
    """
    tally = Tally()
    for done, subject in enumerate(subjects):
        primitive = subject.primitive
        cases = list(subject.cases(np.random.default_rng(seed)))
        for case in cases:
            broken = broken_law(case, seed)
            if broken:
                raise AssertionError(f"{case.name}: {broken[0]} fails already: {broken[1]}")
        rules: set[int | str] = set()
        for mutant in () if primitive is None else list(mutants(primitive, cases)):
            if (mutant.primitive, mutant.rule, mutant.how) in equivalent:
                continue
            if mutant.how != "un-broadcasting dropped" and mutant.rule not in rules:
                rules.add(mutant.rule)
                tally.rules += mutant.rule not in ("view", "linear", "batch")
            law = noticed_by(mutant, subject, seed)
            if law is None:
                tally.survivors.append(mutant)
            else:
                tally.killed[law] = tally.killed.get(law, 0) + 1
            report(done, tally)
        report(done + 1, tally)
    return tally
