"""The progress bar: one line on a terminal, silence everywhere else."""

import io

import pytest

from tinygrad_rnn.app import progress as module
from tinygrad_rnn.app.progress import Progress


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


class OldTerminal(Terminal):
    encoding = "latin-1"


@pytest.fixture
def clock(monkeypatch):
    """A clock that only moves when it is told to."""

    class Clock:
        now = 100.0

        def __call__(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(module.time, "monotonic", clock)
    monkeypatch.setenv("COLUMNS", "100")
    return clock


def test_nothing_is_printed_where_nobody_looks(clock):
    stream = io.StringIO()
    with Progress(3, "training", stream) as progress:
        for i in range(3):
            clock.now += 1
            progress.update(i + 1, loss=2.0)
    assert stream.getvalue() == ""


def test_standard_error_is_the_default_and_may_be_missing(monkeypatch, capsys, clock):
    with Progress(1) as progress:
        progress.update(1)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("sys.stderr", None)  # as under pythonw
    with Progress(1) as progress:
        progress.update(1)


def test_what_the_line_says(clock):
    stream = Terminal()
    progress = Progress(40, "training", stream)
    clock.now += 2
    progress.update(10, loss=2.31, best_loss="none yet")
    (line,) = stream.getvalue().split("\r")[1:]
    assert line.startswith("training  ██████░░░░░░░░░░░░░░░░░░   25 %  5/s")
    assert "  loss 2.310  best loss none yet  6 s left" in line
    clock.now += 6
    progress.update(40)
    assert "100 %  5/s  8 s in all" in stream.getvalue()
    progress.close()
    progress.close()
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().endswith("\n")


def test_each_line_covers_the_one_before_and_fits(clock, monkeypatch):
    for columns in (20, 100):
        monkeypatch.setenv("COLUMNS", str(columns))
        stream = Terminal()
        with Progress(3, "training", stream) as progress:
            for i in range(3):
                clock.now += 1
                progress.update(i + 1, loss=10.0**i)
        lines = stream.getvalue().rstrip("\n").split("\r")[1:]
        assert [len(line) for line in lines] == [columns - 1] * 3


def test_it_redraws_ten_times_a_second_at_most_and_at_the_end(clock):
    stream = Terminal()
    progress = Progress(1000, "", stream)
    for i in range(1000):
        clock.now += 0.001
        progress.update(i + 1)
    lines = stream.getvalue().split("\r")[1:]
    assert 10 <= len(lines) <= 12
    assert "100 %" in lines[-1]


def test_the_line_ends_when_the_work_fails(clock):
    stream = Terminal()

    def work():
        with Progress(2, "", stream) as progress:
            progress.update(1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert stream.getvalue().endswith("\n")


def test_before_the_first_second_has_passed(clock):
    stream = Terminal()
    Progress(10, "", stream).update(0)
    assert "left" not in stream.getvalue()
    assert "  0 %  0/s" in stream.getvalue()


def test_more_than_all_is_all(clock):
    stream = Terminal()
    Progress(10, "", stream).update(25)
    assert "100 %" in stream.getvalue()


def test_terminals_without_blocks_get_ascii(clock):
    stream = OldTerminal()
    Progress(2, "", stream).update(1)
    assert "############............" in stream.getvalue()
    stream.getvalue().encode("latin-1")


@pytest.mark.parametrize("total", [0, -1])
def test_there_has_to_be_something_to_do(total):
    with pytest.raises(ValueError, match="at least 1"):
        Progress(total)
