"""The command line: what it prints, where, and with which exit code."""

import builtins
import functools
import os
import re
import signal
import subprocess
import sys
import time
import types

import pytest

from tinygrad_rnn import __main__ as command_line
from tinygrad_rnn import app
from tinygrad_rnn.app import demo
from tinygrad_rnn.viz import Drawing


def run(*argv):
    return command_line.main([str(a) for a in argv])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One run of the demo as a user starts it, in a pipe, with twenty steps."""
    directory = tmp_path_factory.mktemp("demo") / "new" / "folder"
    process = subprocess.run(
        [sys.executable, "-m", "tinygrad_rnn", "demo", "--steps", "20", "--out", directory],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        check=False,
    )
    return process, directory


# ── the demo ─────────────────────────────────────────────────────────────────────────────


def bits(text):
    return {name: float(x) for name, x in re.findall(r"^  (\S.*?)  +(\d\.\d\d)$", text, re.M)}


def test_the_demo_runs_and_is_quiet_in_a_pipe(finished):
    process, _ = finished
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    assert "\r" not in process.stdout


def test_the_demo_measures_the_models_beside_each_other(finished):
    found = bits(finished[0].stdout)
    assert list(found) == ["unigram", "bigram", "trigram", "LSTM, untrained", "LSTM, 20 steps"]
    assert found["unigram"] > found["bigram"] > found["trigram"] > 2
    assert found["LSTM, untrained"] > found["LSTM, 20 steps"] + 1
    assert "before training\n  | The " in finished[0].stdout
    assert "after training\n  | The " in finished[0].stdout


def test_the_demo_draws_its_window(finished):
    process, directory = finished
    dot, svg = directory / "bptt.dot", directory / "bptt.svg"
    assert f"{svg} and {dot}" in process.stdout
    assert dot.read_text("utf-8").startswith("digraph")
    picture = svg.read_text("utf-8")
    assert "</svg>" in picture
    for name in ("weight_hh", "h_t", "c_t", "loss"):
        assert name in picture


def test_the_same_seed_prints_the_same(tmp_path, capsys):
    printed = []
    for seed in (1, 1, 2):
        assert run("demo", "--steps", 2, "--seed", seed, "--out", tmp_path) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] != printed[2]


def test_without_anything_that_renders_there_is_the_dot_file(tmp_path, capsys, monkeypatch):
    def pipe(self, *args, **keywords):
        raise RuntimeError("drawing needs Graphviz")

    monkeypatch.setattr(Drawing, "pipe", pipe)
    assert run("demo", "--steps", 1, "--out", tmp_path) == 0
    out = capsys.readouterr().out
    assert "no bptt.svg: drawing needs Graphviz" in out
    assert f"wrote     {tmp_path / 'bptt.dot'}: " in out
    assert os.listdir(tmp_path) == ["bptt.dot"]


def test_a_python_without_its_manual(tmp_path, capsys, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **keywords):
        if name.startswith("pydoc_data"):
            raise ModuleNotFoundError(name)
        return real(name, *args, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    assert run("demo", "--out", tmp_path) == 2
    assert capsys.readouterr().err.startswith(
        "python -m tinygrad_rnn demo: python_manual reads pydoc_data/topics.py"
    )


@pytest.mark.slow
def test_the_demo_beats_the_trigram_model(tmp_path, capsys):
    """A sixth of its steps are enough for that; all of them take 25 s."""
    assert run("demo", "--steps", 400, "--out", tmp_path) == 0
    found = bits(capsys.readouterr().out)
    assert found["LSTM, 400 steps"] < found["trigram"]


def test_a_text_shorter_than_the_training_starts_over(monkeypatch):
    """At the text's end the state starts from zero again: 5 steps on 2 windows."""
    ids = demo.Vocabulary("abcab" * 20).encode("abcab" * 20)
    windows = demo.Streams(ids, 2, 30)
    assert len(windows) == 2
    model = demo.LanguageModel(3, 2, 4, rng=0)
    states = []
    forward = model.forward
    monkeypatch.setattr(
        model.__class__, "forward", lambda self, x, state: states.append(state) or forward(x, state)
    )
    demo.train(model, windows, 5)
    assert [state is None for state in states] == [True, False, True, False, True]
    assert all(not s.requires_grad for state in states if state for s in state)


# ── usage and errors ─────────────────────────────────────────────────────────────────────


def test_help_lists_the_commands_and_imports_none(capsys):
    with pytest.raises(SystemExit) as exit_:
        run("--help")
    assert exit_.value.code == 0
    out = capsys.readouterr().out
    for name in command_line.COMMANDS:
        assert re.search(rf"^    {name}  ", out, re.M)
    code = (
        "import sys, tinygrad_rnn.__main__ as m\n"
        "try: m.main(['--help'])\n"
        "finally: print(*sys.modules, file=sys.stderr)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    modules = process.stderr.split()
    assert "tinygrad_rnn.graph" in modules
    assert not {"tinygrad_rnn.app.demo", "tinygrad_rnn.testing", "graphviz"} & set(modules)


@pytest.mark.parametrize("command", command_line.COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as exit_:
        run(command, "--help")
    assert exit_.value.code == 0
    assert f"usage: python -m tinygrad_rnn {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["dance"], "invalid choice: 'dance'"),
        (["--loud"], "required: COMMAND"),
        (["demo", "--loud"], "unrecognized arguments: --loud"),
        (["demo", "--steps", "x"], "expected a whole number of at least 1, got 'x'"),
        (["demo", "--steps", "0"], "at least 1, got '0'"),
        (["demo", "--seed", "-1"], "at least 0, got '-1'"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(argv, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        run(*argv)
    assert exit_.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert re.fullmatch(r"python -m tinygrad_rnn.*--help\)\n", err)


def test_bad_files_are_one_line_and_exit_code_2(tmp_path, capsys, monkeypatch):
    file = tmp_path / "file"
    file.write_text("")
    assert run("demo", "--out", file) == 2
    assert capsys.readouterr().err == f"python -m tinygrad_rnn demo: {file}: File exists\n"
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert run("demo", "--out", tmp_path) == 2
    assert capsys.readouterr().err == (
        f"python -m tinygrad_rnn demo: cannot write into {tmp_path}\n"
    )


def stand_in(monkeypatch, main):
    """A command ``demo`` that does what the test says."""
    module = types.ModuleType("tinygrad_rnn.app.demo")
    module.add_arguments = lambda parser: None
    module.main = main
    monkeypatch.setitem(sys.modules, "tinygrad_rnn.app.demo", module)
    monkeypatch.setattr(app, "demo", module, raising=False)


def test_ctrl_c_is_130(monkeypatch, capsys):
    def main(args):
        raise KeyboardInterrupt

    stand_in(monkeypatch, main)
    assert run("demo") == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_the_exit_code_is_the_commands(monkeypatch):
    stand_in(monkeypatch, lambda args: 7)
    assert run("demo") == 7


def test_the_arguments_of_the_process_are_the_default(monkeypatch):
    stand_in(monkeypatch, lambda args: 5)
    monkeypatch.setattr(sys, "argv", ["tinygrad_rnn", "demo"])
    assert command_line.main() == 5


def test_a_bug_keeps_its_traceback(monkeypatch):
    def main(args):
        raise ValueError("a bug")

    stand_in(monkeypatch, main)
    with pytest.raises(ValueError, match="a bug"):
        run("demo")


def test_a_reader_that_went_away_is_no_error(monkeypatch):
    def main(args):
        print("results")
        return 0

    stand_in(monkeypatch, main)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert run("demo") == 0


def test_on_a_terminal_there_is_a_bar_and_ctrl_c_ends_it_cleanly(tmp_path):
    pty = pytest.importorskip("pty")  # Windows has none
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tinygrad_rnn", "demo", "--out", tmp_path],
        stdout=subprocess.DEVNULL,
        stderr=slave,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        # A shell's background jobs, this test may be one, ignore it.
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    os.close(slave)
    seen = b""
    deadline = time.monotonic() + 60
    while b"left" not in seen and time.monotonic() < deadline:
        seen += os.read(master, 4096)
    process.send_signal(signal.SIGINT)
    while True:
        try:
            part = os.read(master, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        seen += part
    os.close(master)
    assert process.wait() == 130
    text = seen.decode()
    assert re.search(r"\rtraining  \S+ +\d+ %  \S+/s  bits \d\.\d+  .* left", text)
    assert text.endswith("interrupted\r\n")
    assert "Traceback" not in text


# ── one thread ───────────────────────────────────────────────────────────────────────────


def test_it_starts_over_with_one_blas_thread_unless_told_otherwise(monkeypatch):
    calls = []
    monkeypatch.setattr(os, "execv", lambda path, argv: calls.append((path, argv)))
    as_usual = [sys.executable, "-m", "tinygrad_rnn", "demo", "--steps", "3"]
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr(sys, "orig_argv", ["pytest", "tests"])
    command_line._with_one_blas_thread()
    assert calls == []
    monkeypatch.setattr(sys, "orig_argv", as_usual)
    command_line._with_one_blas_thread()
    assert calls == [(sys.executable, as_usual)]
    assert os.environ == {"OPENBLAS_NUM_THREADS": "1"}
    command_line._with_one_blas_thread()  # set by now, as the user may have done
    assert len(calls) == 1
