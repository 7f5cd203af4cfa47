"""Every rule broken on purpose: the laws notice all of them, and the table is whole again."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.cases import Row, call, equivalent, rows
from tinygrad_rnn import graph
from tinygrad_rnn.testing import laws, mutants


def run(names=graph.table, **settings):
    subjects = [rows[name].subject for name in names]
    return mutants.run(subjects, equivalent=equivalent, **settings)


def all_mutants(name):
    drawn = list(rows[name].cases(np.random.default_rng(0)))
    return list(mutants.mutants(graph.table[name], drawn))


def test_every_mutant_is_noticed(capsys):
    before = {name: (p.vjps, p.elementwise, p.add_into) for name, p in graph.table.items()}
    tally = run()
    with capsys.disabled():
        print(f"\n{tally}")
    assert [str(mutant) for mutant in tally.survivors] == []
    assert "(100 %)" in str(tally)
    assert tally.rules >= sum(
        1 if isinstance(p.vjps, graph.ForEach) else sum(rule is not None for rule in p.vjps)
        for p in graph.table.values()
    )
    assert before == {name: (p.vjps, p.elementwise, p.add_into) for name, p in graph.table.items()}


def test_what_counts_as_equivalent_is_not_noticed_indeed():
    """An exclusion that a law could notice would hide a mutant."""
    excluded = dict(equivalent)
    for name in {primitive.name for primitive, _, _ in excluded}:
        for mutant in all_mutants(name):
            if excluded.pop((mutant.primitive, mutant.rule, mutant.how), None):
                assert mutants.noticed_by(mutant, rows[name].subject) is None, str(mutant)
    assert not excluded, f"no such mutant any more: {excluded}"


def test_a_rule_is_broken_in_every_way():
    made = {mutant.how for mutant in all_mutants("divide") if mutant.rule == 1}
    assert {
        "negated",
        "doubled",
        "zeroed",
        "its last element lost",
        "cotangent replaced by ones",
        "returns its cotangent as it is",
        "inputs cut off from the graph",
        "transposed",
        "the first part instead of the sum",
        "another input's rule",
        "-g -> g in -g * z",
        "-g * z -> -g in -g * z / y",
    } <= made
    assert any(m.how == "un-broadcasting dropped" for m in all_mutants("divide"))


def test_a_sum_over_a_broadcast_axis_is_left_out_wherever_there_is_one():
    for name, primitive in graph.table.items():
        if primitive.elementwise and len(primitive.vjps) > 1:
            broken = {m.rule for m in all_mutants(name) if "instead of the sum" in m.how}
            assert broken == {i for i, rule in enumerate(primitive.vjps) if rule is not None}
    for name in ("matmul", "einsum", "broadcast_to"):
        assert any("instead of the sum" in m.how for m in all_mutants(name))


def test_add_into_is_broken_too():
    for name, primitive in graph.table.items():
        if primitive.add_into is not None:
            ways = {m.how for m in all_mutants(name) if m.rule == "add_into"}
            assert {"negated", "elements named twice get one", "overwrites what was there"} <= ways


def test_the_source_of_every_rule_is_found():
    for name, primitive in graph.table.items():
        rules = (
            [primitive.vjps.rule] if isinstance(primitive.vjps, graph.ForEach) else primitive.vjps
        )
        for rule in rules:
            if rule is not None and rule is not graph.same:
                assert mutants._definition(rule) is not None, name


def test_a_rule_without_a_source_is_not_rewritten():
    assert mutants._definition(np.sin) is None
    assert list(mutants._rewritings(np.sin)) == []
    namespace = {}
    exec("rule = lambda g, y, x: g * y", namespace)
    assert list(mutants._rewritings(namespace["rule"])) == []


def test_a_rewritten_rule_computes_what_it_says():
    (lost,) = [m for m in all_mutants("square") if m.how.startswith("2 * x -> x")]
    x = tg.Tensor(3.0, requires_grad=True)
    with lost.installed():
        assert tg.grad(tg.square(x), x).item() == 3.0
    assert tg.grad(tg.square(x), x).item() == 6.0


def test_the_table_is_whole_again_after_an_exception():
    def interrupted(mutant, installed):
        with mutant.installed():
            assert installed()
            raise KeyboardInterrupt

    before = graph.table["tanh"].vjps
    with pytest.raises(KeyboardInterrupt):
        interrupted(all_mutants("tanh")[0], lambda: graph.table["tanh"].vjps is not before)
    assert graph.table["tanh"].vjps is before
    (helper,) = [m for m in all_mutants("broadcast_to") if m.helper]
    names, name, stand_in = helper.helper
    original = names[name]
    with pytest.raises(KeyboardInterrupt):
        interrupted(helper, lambda: names[name] is stand_in)
    assert names[name] is original


def test_a_survivor_is_counted_and_named(monkeypatch):
    """With too little to go by, the laws miss mutants, and the tally says so."""
    monkeypatch.setitem(rows, "multiply", Row("multiply", [call((0,), (0,))]))
    tally = run(["multiply"])
    assert tally.survivors
    assert "(100 %)" not in str(tally)
    assert str(tally.survivors[0]).startswith("multiply[0]: ")


def test_rules_that_are_wrong_already_are_not_broken_any_further(monkeypatch):
    tanh = graph.table["tanh"]
    monkeypatch.setattr(tanh, "vjps", (lambda g, y, x: g,))
    with pytest.raises(AssertionError, match=r"tanh .* fails already"):
        run(["tanh"])


def test_almost_all_is_not_all():
    tally = mutants.Tally(killed={"adjoint": 9999}, survivors=[all_mutants("tanh")[0]])
    assert str(tally) == "rules: 0, mutants: 10000, killed: 9999 (99.9 %)"
    assert tally.mutants == 10000
    assert laws.laws  # the order in which they are tried is the tally's


def test_progress_is_reported():
    seen = []
    run(["tanh", "relu"], report=lambda done, tally: seen.append((done, tally.mutants)))
    assert seen[0] == (0, 1)
    assert seen[-1][0] == 2
