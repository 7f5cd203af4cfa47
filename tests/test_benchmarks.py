"""The benchmarks' own machinery: what is compared, how it is counted, where it is written."""

from __future__ import annotations

import functools
import itertools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg

from .benchmarks import __main__ as command
from .benchmarks import functions as numpy_functions
from .benchmarks import memory, peers, plans, programs, scan, table, timing
from .benchmarks.cells import KINDS, Problem
from .benchmarks.table import Figure, Table

SIZE = (4, 2, 3, 5)

# ── counting ─────────────────────────────────────────────────────────────────────────────


def test_a_ratio_is_the_median_of_the_ratios_within_the_rounds() -> None:
    times = timing.Rounds(
        {"ours": [1.0, 9.0, 9.0], "peer": [2.0, 3.0, 18.0], "bare": [0.0, 1.0, 0]}
    )
    assert times.median("ours") == 9.0
    assert times.ratio("ours", "peer") == 0.5  # that of the medians would be 3
    assert timing.Rounds({"a": [3.0], "b": [2.0], "bare": [1.0]}).ratio("a", "b", "bare") == 2.0


def test_each_round_calls_each_function() -> None:
    calls: list[str] = []
    functions = {name: functools.partial(calls.append, name) for name in "ab"}
    times = timing.interleave(functions, rounds=3, seconds=0.0)
    assert calls == [*"aabb", *"ababab"]
    assert [len(seconds) for seconds in times.seconds.values()] == [3, 3]


def test_a_second_thread_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing.time, "process_time", itertools.count().__next__)
    with pytest.raises(RuntimeError, match=r"peer kept .* processors busy"):
        timing.interleave({"peer": lambda: None}, rounds=1, seconds=0.0)


# ── comparing ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ([np.ones(3), np.full(2, 100.1)], "array 1 of peer is not that of ours"),
        ([np.ones(3), np.full(2, np.nan)], "array 1 of peer is not that of ours"),
        ([np.ones(3)], "peer returned 1 arrays, ours 2"),
    ],
)
def test_results_that_differ_are_noticed(other: Any, message: str) -> None:
    reference = [np.ones(3), np.full(2, 100.0)]
    timing.agree({"ours": lambda: reference, "peer": lambda: [np.ones(3), np.full(2, 100.01)]})
    with pytest.raises(AssertionError, match=message):
        timing.agree({"ours": lambda: reference, "peer": lambda: other})


def test_nothing_is_timed_unless_all_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    class Careless(peers.Ours):
        def norm(self, x: Any, weight: Any, bias: Any) -> Any:
            return super().norm(x, weight, bias) * 1.01

    known = {"ours": peers.Ours(), "careless": Careless(), "absent": None}
    monkeypatch.setattr(scan, "library", known.get)
    problem = Problem("layer-norm RNN", SIZE)
    assert set(scan.contest(problem, ["ours", "absent"], 1).seconds) == {"ours", "products"}
    monkeypatch.setattr(scan, "interleave", lambda *_, **__: pytest.fail("timed"))
    with pytest.raises(AssertionError, match="careless"):
        scan.contest(problem, ["ours", "careless"], 1)


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_a_layer_and_the_same_cell_of_ones_own_agree(name: str) -> None:
    layer, cell = (
        peers.Ours().training_step(Problem(which, SIZE)) for which in (f"nn.{name}", name)
    )
    timing.agree({"layer": layer, "cell": cell})
    timing.agree({"layer": lambda: layer(2), "cell": lambda: cell(2)})


@pytest.mark.peers
@pytest.mark.parametrize("name", KINDS)
def test_every_installed_peer_takes_the_same_step(name: str) -> None:
    problem = Problem(name, SIZE)
    built_in = problem.kind.cell is None
    layers = ("ours", "numpy", "native", "torch")
    able = [peer for peer in peers.LIBRARIES if not built_in or peer in layers]
    assert scan.contest(problem, able, 1).seconds["ours"]


def test_all_libraries_draw_the_same_lengths() -> None:
    turns = [plans.drawing(lambda T: [T]) for _ in range(2)]
    drawn = [[turn(), turn()] for turn in turns]
    assert drawn[0] == drawn[1]
    assert drawn[0][0] != drawn[0][1]


# ── memory ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.skipif(not memory.measurable, reason="needs /proc/self/clear_refs")
def test_memory_is_that_of_the_peak() -> None:
    taken = memory.fresh(memory.grown_by, functools.partial(np.ones, 2**23))
    assert 63 < taken < 66


def test_chunks_compute_the_same_with_a_checkpoint() -> None:
    timing.agree({"with": memory.chunked(9, True), "without": memory.chunked(9, False)})


# ── the README ───────────────────────────────────────────────────────────────────────────

FIGURES = [
    Figure(Table.PEERS, "a / b", 0.456, "", 0.5, "1,2"),
    Figure(Table.PEERS, "a / b", 1.0, "", 0.5, "3,4"),
    Figure(Table.PEERS, "c / d", 123.4, "ms", None, "3,4"),
]


def test_a_table_shows_figures_bars_and_what_is_missed() -> None:
    assert table.markdown(FIGURES).splitlines() == [
        "| | 1,2 | 3,4 |",
        "|---|---:|---:|",
        "| a / b | 0.46 (0.5) | 1.00 (0.5) ✗ |",
        "| c / d |  | 123 ms |",
    ]
    rows = [
        Figure(Table.ENGINE, "x", 1.5, "us", 2.0),
        Figure(Table.ENGINE, "y", float("nan"), "", 1.0),
    ]
    assert table.markdown([*rows, Figure(Table.ENGINE, "z", 3)]).splitlines()[2:] == [
        "| x | 1.50 us | 2 us |",
        "| y | nan | 1 ✗ |",
        "| z | 3.00 |  |",
    ]


def page(between: str) -> str:
    return f"# Title\n\n{table.BEGIN}\n{between}\n{table.END}\n\nafter\n"


def test_only_what_stands_between_the_comments_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(page("old"), encoding="utf-8")
    table.write(path, "new ✗")
    once = path.read_bytes()
    assert once.decode() == page("\nnew ✗\n")
    table.write(path, "new ✗")
    assert path.read_bytes() == once
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "text",
    ["nothing", table.BEGIN, f"{table.END}\n{table.BEGIN}", page("") + page("")],
    ids=["none", "one", "swapped", "twice"],
)
def test_a_file_without_its_place_for_tables_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "README.md"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="expected one line"):
        table.write(path, "new")
    assert path.read_text(encoding="utf-8") == text


def test_the_pages_have_a_place_for_tables() -> None:
    page = table.PAGE.read_text(encoding="utf-8")
    for marker in (table.BEGIN, table.END, *table.PICTURES, *programs.PLACE):
        assert page.count(marker) == 1
    readme = table.README.read_text(encoding="utf-8")
    for marker in numpy_functions.PLACE:
        assert readme.count(marker) == 1


def test_the_first_page_shows_the_figures_of_the_whole_table() -> None:
    """Its few rows are those of the page, so that a new measurement cannot leave them behind."""
    readme = table.README.read_text(encoding="utf-8")
    page = table.PAGE.read_text(encoding="utf-8")
    native = page.partition(table.Table.NATIVE.value)[2].split("\n\n")[1].splitlines()
    sizes = native[0].removeprefix("| | ").strip("| ").split(" | ")
    whole = {row.split(" | ")[0].strip("| "): row.split(" | ")[1:] for row in native[2:]}
    shown = readme.partition("A training step here")[2].split("\n\n")[1].splitlines()
    places = [
        sizes.index(size.removeprefix("T,N,D,H = ")) for size in shown[0].strip("| ").split(" | ")
    ]
    for row in shown[2:]:
        name, *ratios = row.strip("| ").split(" | ")
        name = name.removeprefix("a ")
        found = next(cells for key, cells in whole.items() if key.endswith(name))
        assert ratios == [found[place].split()[0] for place in places]


def test_the_table_of_programs_marks_what_misses_its_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = itertools.cycle([{"HIPS autograd": 0.5, "MyGrad": 1.25}, {"HIPS autograd": 0.8}])
    monkeypatch.setattr(programs, "ratios", lambda program, rounds: next(found))
    monkeypatch.setattr(programs, "PROGRAMS", programs.PROGRAMS[:2])
    path = tmp_path / "README.md"
    path.write_text("\n".join(programs.PLACE), encoding="utf-8")
    assert programs.main(["--readme", str(path)]) == 1
    assert path.read_text(encoding="utf-8").splitlines()[2:-4] == [
        "| ours / theirs | HIPS autograd | MyGrad |",
        "|---|---:|---:|",
        "| linear regression | 0.50 | 1.25 ✗ |",
        "| logistic regression | 0.80 |  |",
        "| geometric mean | 0.63 ✗ | 1.25 ✗ |",
    ]
    assert "Missed: linear regression / MyGrad, the mean" in capsys.readouterr().out


@pytest.mark.parametrize("program", programs.PROGRAMS, ids=lambda program: program.name)
def test_a_program_takes_fewer_than_1000_numbers_and_its_gradients_are_right(
    program: programs.Program,
) -> None:
    assert sum(x.size for x in (*program.parameters, *program.constants)) < 1000
    tg.testing.gradcheck(lambda *xs: program.f(tg, *xs, *program.constants), program.parameters)


# ── the command ──────────────────────────────────────────────────────────────────────────


def test_the_command_prints_counts_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "SUITE", {"part": lambda rounds: iter(FIGURES[:rounds])})
    path = tmp_path / "README.md"
    path.write_text(page("old"), encoding="utf-8")
    assert command.main(["--rounds", "1"]) == 0
    assert path.read_text(encoding="utf-8") == page("old")
    assert command.main(["--readme", str(path)]) == 1
    assert "1 of 2 targets missed" in capsys.readouterr().out
    text = path.read_text(encoding="utf-8")
    assert table.markdown(FIGURES) in text
    assert f"numpy {np.__version__}" in text


def test_the_table_of_pictures_stands_beside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = Figure(Table.PICTURES, "a picture", 0.5, "s", 1)
    monkeypatch.setitem(command.SUITE, "pictures", lambda rounds: iter([drawn]))
    path = tmp_path / "README.md"
    begin, end = table.PICTURES
    path.write_text(f"{page('old')}{begin}\n{end}\n", encoding="utf-8")
    assert command.main(["pictures", "--readme", str(path)]) == 0
    text = path.read_text(encoding="utf-8")
    assert text.startswith(page("old"))
    assert "| a picture | 0.50 s | 1 s |" in text.partition(begin)[2]
    monkeypatch.setattr(command, "SUITE", {"all": lambda rounds: iter([*FIGURES, drawn])})
    assert command.main(["--readme", str(path)]) == 1
    text = path.read_text(encoding="utf-8")
    assert table.markdown(FIGURES) in text.partition(begin)[0]
    assert text.count("a picture") == 1


@pytest.mark.parametrize("arguments", [["no such part"], ["scan", "--readme"]])
def test_arguments_that_make_no_sense_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_every_function_of_numpys_on_real_arrays_can_be_differentiated() -> None:
    """One that a newer NumPy brings has to be counted, or left out by name."""
    library = numpy_functions.ours()
    found = list(numpy_functions.functions())
    assert len(found) > 250
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        assert [f.name for f in found if not numpy_functions.holds(library, f)] == []
    assert set(numpy_functions.refused()) == set(numpy_functions.IMPOSSIBLE)
