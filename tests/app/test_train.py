"""train and sample: what they write and print, and that an interruption changes not one bit."""

import io
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import __main__ as command_line
from tinygrad_rnn.app import progress, settings, truncated_bptt
from tinygrad_rnn.app.checkpoints import load_model
from tinygrad_rnn.text import LanguageModel, Vocabulary
from tinygrad_rnn.viz.curve import loss_curve

TEXT = "the cat sat on the mat, the dog sat on the log.\n" * 40
HANGUL = (
    "나랏말이 중국과 달라 문자와 서로 통하지 아니하여,\n어리석은 백성이 이르고자 할 바가 있어도.\n"
    * 30
)
TINY = ["--hidden", 8, "--embedding", 4, "--batch", 4, "--bptt", 6]


def run(*argv):
    return command_line.main([str(a) for a in argv])


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder of its own with a text in it."""
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def final_of(*argv, out="checkpoint.npz"):
    assert run("train", "text.txt", *TINY, "--out", out, *argv) == 0
    return tg.load(out)


# ── what it does ─────────────────────────────────────────────────────────────────────────


def test_it_trains_saves_draws_and_prints(here, capsys):
    assert run("train", "text.txt", *TINY, "--steps", 60, "--save-every", 20, "--lr", 0.02) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "text      text.txt: 1,920 characters, 16 different, the end held out\n" in out
    assert "1 x 8 LSTM units" in out
    rows = re.findall(r"^ +(\d+) +([\d.]+) +([\d.]+) +([\d.]+) +[\d.]+   .+$", out, re.M)
    assert [int(row[0]) for row in rows] == [20, 40, 60]
    nats, bits, held_out = ([float(row[i]) for row in rows] for i in (1, 2, 3))
    assert nats == pytest.approx([b * np.log(2) for b in bits], abs=2e-3)
    assert held_out[0] > held_out[2] + 0.3
    assert out.endswith(
        "wrote     checkpoint.npz and checkpoint.svg\n"
        "next      python -m tinygrad_rnn sample checkpoint.npz\n"
        "          python -m tinygrad_rnn train text.txt --resume --steps 120\n"
    )
    assert sorted(os.listdir()) == ["checkpoint.npz", "checkpoint.svg", "text.txt"]
    checkpoint = tg.load("checkpoint.npz")
    assert len(checkpoint["training"]["losses"]) == checkpoint["training"]["step"] == 60
    np.testing.assert_array_equal(checkpoint["training"]["held_out"][:, 0], [0, 20, 40, 60])


def test_it_beats_counting_characters_and_writes_words_of_the_text(here, capsys):
    final_of("--hidden", 32, "--steps", 400, "--save-every", 400, "--lr", 0.02)
    assert tg.load("checkpoint.npz")["training"]["held_out"][-1, 1] < 0.5
    capsys.readouterr()
    assert run("sample", "checkpoint.npz", "--prompt", "the d", "--greedy", "--length", 30) == 0
    assert capsys.readouterr().out.startswith("the dog sat on the log.\nthe cat")


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("words", [[], ["--words"]])
def test_hangul_by_character_and_by_word(here, capsys, cell, words):
    (here / "text.txt").write_text(HANGUL, encoding="utf-8")
    final_of("--cell", cell, "--layers", 2, "--steps", 3, *words)
    unit = "word" if words else "character"
    assert f"{unit}s, " in capsys.readouterr().out
    assert f"bits per {unit}" in (here / "checkpoint.svg").read_text(encoding="utf-8")
    assert run("sample", "checkpoint.npz", "--prompt", "백성이", "--length", 20) == 0
    written = capsys.readouterr().out
    assert written.startswith("백성이")
    assert set(written) <= set(HANGUL)


def test_words_keep_the_most_frequent_and_never_write_the_unknown_one(here, capsys):
    final_of("--words", "--vocabulary", 6, "--steps", 2)
    assert "text      text.txt: 600 words, 6 of them kept, the end" in capsys.readouterr().out
    _, vocabulary = load_model(here / "checkpoint.npz")
    assert len(vocabulary) == 6
    assert settings.UNKNOWN in vocabulary
    for how in (["--temperature", 5], ["--beam", 3], ["--greedy"]):
        assert run("sample", "checkpoint.npz", "--length", 100, *how) == 0
        assert settings.UNKNOWN not in capsys.readouterr().out


def test_epochs_are_times_through_the_text(here):
    # 1728 of the 1920 characters are trained on: 4 streams of 431 steps, 72 windows of 6.
    assert final_of("--epochs", 2)["training"]["step"] == 2 * 72


def test_nothing_held_out(here, capsys):
    checkpoint = final_of("--held-out", 0, "--steps", 4, "--save-every", 2)
    assert checkpoint["training"]["held_out"].shape == (0, 2)
    assert "the end held out" not in capsys.readouterr().out
    assert "held out" not in (here / "checkpoint.svg").read_text(encoding="utf-8")


def test_the_state_starts_over_with_the_text_and_the_rate_follows_its_schedule(here, monkeypatch):
    seen = []
    step = truncated_bptt.bptt_step

    def spy(model, optimizer, window, state, **keywords):
        seen.append((state is None, optimizer.lr))
        return step(model, optimizer, window, state, **keywords)

    monkeypatch.setattr(truncated_bptt, "bptt_step", spy)
    for schedule, half in (("linear", 0.5), ("cosine", 0.5), ("constant", 1)):
        seen.clear()
        (here / "text.txt").write_text("abcde" * 20, encoding="utf-8")  # four windows
        final_of("--steps", 10, "--lr", 0.1, "--schedule", schedule, "--overwrite")
        fresh, rates = zip(*seen, strict=True)
        assert [i for i, first in enumerate(fresh) if first] == [0, 4, 8]
        assert rates[0] == 0.1
        assert rates[5] == pytest.approx(0.1 * half)
        assert list(rates) == sorted(rates, reverse=True)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_the_bar_makes_way_for_the_table(here, monkeypatch, capsys):
    """Both go to one screen here: what a carriage return leaves of a line is overwritten."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(progress.time, "monotonic", iter(np.arange(0, 1e6, 0.2)).__next__)
    monkeypatch.setenv("COLUMNS", "110")
    final_of("--steps", 4, "--save-every", 2)
    text = screen.getvalue()
    bar = r"\rtraining  \S+ +50 %  \S+/s  loss \d\.\d+  bits \d\.\d+  .* left *"
    assert re.search(bar + r"\r +\r +2 +\d\.\d+ +\d\.\d+", text)


def test_the_rate_of_a_resumed_run_is_that_of_its_own_steps(monkeypatch):
    clock = iter([0.0, 10.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    monkeypatch.setenv("COLUMNS", "100")
    screen = Terminal()
    progress.Progress(1000, "training", screen, done=900).update(950)
    assert "95 %  5/s  10 s left" in screen.getvalue()


def test_in_a_thread_of_its_own(here):
    """Where Ctrl-C cannot be listened to, training goes on without."""
    codes = []
    thread = threading.Thread(
        target=lambda: codes.append(run("train", "text.txt", *TINY, "--steps", 2))
    )
    thread.start()
    thread.join()
    assert codes == [0]


# ── interruptions ────────────────────────────────────────────────────────────────────────

#: With everything that has a generator or a memory: dropout, own inputs, two layers, a state.
EVERYTHING = ["--layers", 2, "--dropout", 0.3, "--teacher-forcing", 0.8]


def assert_same_files(a, b):
    assert (a.read_bytes(), a.with_suffix(".svg").read_bytes()) == (
        b.read_bytes(),
        b.with_suffix(".svg").read_bytes(),
    )


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_resumed_anywhere_the_bits_are_the_same(here, monkeypatch, cell):
    """Stopped after each of its steps in turn, the text's end among them."""
    (here / "text.txt").write_text(TEXT[:150], encoding="utf-8")
    arguments = ["train", "text.txt", *TINY, *EVERYTHING, "--cell", cell, "--steps", 12]
    arguments += ["--save-every", 5]
    assert run(*arguments, "--out", "whole.npz") == 0
    step = truncated_bptt.bptt_step

    def interrupted(*args, **keywords):
        result = step(*args, **keywords)
        os.kill(os.getpid(), signal.SIGINT)
        return result

    monkeypatch.setattr(truncated_bptt, "bptt_step", interrupted)
    codes = [run(*arguments, "--out", "parts.npz", "--resume") for _ in range(12)]
    assert codes == [130] * 11 + [0]
    assert_same_files(here / "whole.npz", here / "parts.npz")


def test_gone_before_the_first_step(here, monkeypatch):
    """The checkpoint of step 0 is there, and is not made a second time."""

    def gone(*args, **keywords):
        raise SystemExit

    arguments = ["train", "text.txt", *TINY, "--steps", 2]
    with monkeypatch.context() as patch:
        patch.setattr(truncated_bptt, "bptt_step", gone)
        with pytest.raises(SystemExit):
            run(*arguments, "--out", "parts.npz")
    assert tg.load("parts.npz")["training"]["step"] == 0
    for name in ("parts.npz", "parts.svg"):  # what a kill while saving leaves behind
        (here / f".{name}.123-456.tmp").write_bytes(b"half of i")
    assert run(*arguments, "--out", "parts.npz", "--resume") == 0
    assert not list(here.glob(".*"))
    assert run(*arguments, "--out", "whole.npz") == 0
    assert_same_files(here / "whole.npz", here / "parts.npz")


def test_ctrl_c_says_how_to_go_on_and_twice_is_at_once(here, monkeypatch, capsys):
    step = truncated_bptt.bptt_step

    def interrupted(*args, times=1, **keywords):
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
        return step(*args, **keywords)

    monkeypatch.setattr(truncated_bptt, "bptt_step", interrupted)
    before = signal.getsignal(signal.SIGINT)
    assert run("train", "text.txt", *TINY, "--steps", 9, "--out", "a b.npz") == 130
    assert signal.getsignal(signal.SIGINT) is before
    assert capsys.readouterr().out.endswith(
        "wrote     a b.npz and a b.svg\nstopped   at step 1 of 9; to go on: "
        "python -m tinygrad_rnn train text.txt --resume --out 'a b.npz'\n"
    )
    assert tg.load("a b.npz")["training"]["step"] == 1
    monkeypatch.setattr(truncated_bptt, "bptt_step", lambda *a, **k: interrupted(*a, times=2, **k))
    assert run("train", "text.txt", "--out", "a b.npz", "--resume") == 130
    assert capsys.readouterr().err == "interrupted\n"
    assert signal.getsignal(signal.SIGINT) is before
    assert tg.load("a b.npz")["training"]["step"] == 1


def test_resuming_needs_no_settings_and_may_go_further(here, capsys):
    final_of("--steps", 6, "--seed", 3, "--cell", "gru")
    capsys.readouterr()
    assert run("train", "text.txt", "--resume") == 0
    assert "nothing left of 6 steps; --steps 12 goes on" in capsys.readouterr().out
    assert run("train", "text.txt", "--resume", "--steps", 9, "--lr", 0.001) == 0
    assert "resume    checkpoint.npz: step 6 of 9" in capsys.readouterr().out
    training = tg.load("checkpoint.npz")["training"]
    assert training["step"] == len(training["losses"]) == 9
    assert (training["settings"]["lr"], training["settings"]["seed"]) == (0.001, 3)
    assert run("train", "text.txt", "--resume", "--epochs", 1) == 0
    assert run("train", "text.txt", "--resume", "--steps", 75) == 0
    training = tg.load("checkpoint.npz")["training"]
    assert (training["step"], training["settings"]["epochs"]) == (75, None)


def started(*argv):
    return subprocess.Popen(
        [sys.executable, "-m", "tinygrad_rnn", *map(str, argv)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def changed(path, since, process):
    """Wait until there is another file at ``path``; False if the process ended before."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if path.exists() and path.stat().st_ino != since:
            return True
        if process.poll() is not None:
            return False
        time.sleep(0.001)
    raise AssertionError("the training made no progress")


def killed_and_resumed(here, kills, seed):
    """A run killed by SIGKILL that many times, against one that was not."""
    chance = random.Random(seed)
    arguments = ["train", "text.txt", *TINY, *EVERYTHING, "--save-every", 1]
    arguments += ["--steps", 60 + 60 * kills]
    whole, parts = here / "whole.npz", here / "parts.npz"
    reference = started(*arguments, "--out", whole)
    steps = []
    for life in range(kills):
        inode = parts.stat().st_ino if parts.exists() else None
        process = started(*arguments, "--out", parts, "--resume")
        if life % 4 == 3:
            time.sleep(chance.uniform(0, 0.5))  # while it starts, too
        else:
            assert changed(parts, inode, process)
            time.sleep(chance.uniform(0, 0.12))
        process.kill()
        assert process.wait() == -signal.SIGKILL, process.stderr.read()
        process.stderr.close()
        steps.append(tg.load(parts)["training"]["step"])  # readable whenever it was killed
    assert steps == sorted(steps)
    assert 0 < steps[-1] < 60 + 60 * kills
    last = started(*arguments, "--out", parts, "--resume")
    for process in (reference, last):
        assert process.wait() == 0, process.stderr.read()
        process.stderr.close()
    assert_same_files(whole, parts)
    a, b = (tg.load(path)["model"]["parameters"] for path in (whole, parts))
    assert all((a[name] == b[name]).all() for name in a)
    assert not list(here.glob(".*.tmp"))


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_killed_at_three_random_moments(here):
    killed_and_resumed(here, 3, seed=0)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_killed_at_twenty_random_moments(here):
    killed_and_resumed(here, 20, seed=1)


# ── a loss that is no number ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("save_every", [1, 100])
def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(
    here, capsys, save_every
):
    good = final_of("--steps", 4, "--save-every", 2, "--schedule", "constant")
    capsys.readouterr()
    resume = ["--resume", "--lr", 1e39, "--steps", 50, "--save-every", save_every]
    assert run("train", "text.txt", *resume) == 1
    err = capsys.readouterr().err
    assert re.match(r"stopped: the (held-out )?loss is nan (at|after) step \d+\. ", err)
    assert "checkpoint.npz keeps step 4, the last good one; --resume with a lower --lr" in err
    kept = tg.load("checkpoint.npz")
    assert kept["training"]["step"] == 4
    for name, array in good["model"]["parameters"].items():
        np.testing.assert_array_equal(kept["model"]["parameters"][name], array)
    assert run("train", "text.txt", "--resume", "--steps", 8) == 0
    assert tg.load("checkpoint.npz")["training"]["step"] == 8


def test_a_parameter_that_is_no_number_is_not_saved(here, monkeypatch, capsys):
    step = truncated_bptt.bptt_step

    def broken(model, *args, **keywords):
        result = step(model, *args, **keywords)
        model.embedding.weight.data = np.full(model.embedding.weight.shape, np.inf, np.float32)
        return result

    monkeypatch.setattr(truncated_bptt, "bptt_step", broken)
    assert run("train", "text.txt", *TINY, "--held-out", 0, "--steps", 1) == 1
    assert "a parameter is not finite after step 1. checkpoint.npz keeps step 0" in (
        capsys.readouterr().err
    )
    assert tg.load("checkpoint.npz")["training"]["step"] == 0


# ── bad input ────────────────────────────────────────────────────────────────────────────


def contents():
    return {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def refused(capsys, *argv):
    """The one line on standard error; whatever was there stays as it was."""
    before = contents()
    assert run(*argv) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith(f"python -m tinygrad_rnn {argv[0]}: ")
    assert contents() == before
    return err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "text.txt has 0 characters, 0 of them to train on; --batch 4 takes at least 5"),
        (b"abc", "text.txt has 3 characters, 2 of them to train on"),
        (b"abcdefg", "7 characters, 6 of them to train on.*, and two more to be held out"),
        ("안녕".encode("utf-16"), "text.txt: expected UTF-8 text, got byte 0xff at offset 0"),
        (b"\x89PNG\r\n\x1a\n", "expected UTF-8 text, got byte 0x89 at offset 0"),
    ],
)
def test_texts_that_are_none(here, capsys, content, message):
    (here / "text.txt").write_bytes(content)
    assert re.search(message, refused(capsys, "train", "text.txt", *TINY))


def test_the_shortest_text(here):
    (here / "text.txt").write_bytes(b"abcdefg")
    assert final_of("--steps", 3, "--held-out", 0.28)["training"]["step"] == 3


def test_files_that_are_missing_or_folders(here, capsys):
    assert "no.txt: No such file" in refused(capsys, "train", "no.txt")
    assert "Is a directory" in refused(capsys, "train", here)
    assert "no.npz: No such file" in refused(capsys, "sample", "no.npz")
    assert "ends in .npz, got a.txt" in refused(capsys, "train", "text.txt", "--out", "a.txt")
    assert "text.txt" in refused(capsys, "sample", "text.txt")
    (here / "f.npz").mkdir()
    assert "it is a folder" in refused(
        capsys, "train", "text.txt", *TINY, "--out", "f.npz", "--overwrite"
    )


def test_an_existing_checkpoint_is_not_overwritten_unasked(here, capsys):
    final_of("--steps", 2)
    capsys.readouterr()
    err = refused(capsys, "train", "text.txt", *TINY)
    assert "checkpoint.npz exists: add --resume to go on with it, or --overwrite" in err
    assert final_of("--steps", 1, "--overwrite")["training"]["step"] == 1


def test_folders_for_the_checkpoint_are_made_and_a_first_resume_starts(here, capsys):
    out = here / "new" / "folder" / "a.npz"
    final_of("--steps", 1, "--resume", out=out)
    assert f"start     there is no {out} yet" in capsys.readouterr().out


def test_other_settings_and_other_texts(here, capsys):
    final_of("--steps", 2)
    capsys.readouterr()
    resume = ["train", "text.txt", "--resume"]
    err = refused(capsys, *resume, "--hidden", 16)
    assert "trained with --hidden 8, not 16; leave --hidden out" in err
    assert "trained with --words False, not True" in refused(capsys, *resume, "--words")
    (here / "other.txt").write_text(TEXT + "!", encoding="utf-8")
    assert "trained on another text than other.txt" in refused(
        capsys, "train", "other.txt", "--resume"
    )
    assert "--dropout acts between layers" in refused(
        capsys, "train", "text.txt", "--dropout", 0.5, "--out", "b.npz"
    )


def truncated(path):
    path.write_bytes(path.read_bytes()[:-100])


def of_numpy(path):
    np.savez(path, weight=np.ones(3))


def of_another_kind(path):
    tg.save(path, {"weight": np.ones(3), "step": 3})


def of_another_model(path):
    checkpoint = tg.load(path)
    checkpoint["model"]["settings"]["hidden_size"] = 9
    checkpoint["training"]["optimizer"]["state"]["0"]["exp_avg"] = np.ones((2, 2))
    tg.save(path, checkpoint)


def without_its_training(path):
    checkpoint = tg.load(path)
    del checkpoint["vocabulary"], checkpoint["training"]["optimizer"]
    tg.save(path, checkpoint)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (truncated, "checkpoint.npz: not a complete .npz file"),
        (of_numpy, "expected a checkpoint of 'train', got a file with 'weight'"),
        (of_another_kind, "expected a checkpoint of 'train', got a file with 'weight', 'step'"),
        (of_another_model, "checkpoint.npz: not a checkpoint of this version: .* shape"),
        (without_its_training, "not a checkpoint of this version: '(vocabulary|optimizer)'"),
    ],
)
def test_spoilt_checkpoints(here, capsys, spoil, message):
    final_of("--steps", 2)
    spoil(here / "checkpoint.npz")
    capsys.readouterr()
    assert re.search(message, refused(capsys, "sample", "checkpoint.npz"))
    assert re.search(message, refused(capsys, "train", "text.txt", "--resume"))


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["train"], "required: FILE"),
        (["train", "x", "--cell", "elman"], "invalid choice: 'elman'"),
        (["train", "x", "--hidden", "0"], "whole number of at least 1, got '0'"),
        (["train", "x", "--lr", "0"], "expected a number above 0, got '0'"),
        (["train", "x", "--lr", "nan"], "expected a number above 0, got 'nan'"),
        (["train", "x", "--lr", "fast"], "got 'fast'"),
        (["train", "x", "--dropout", "1.5"], "of at least 0 and at most 1, got '1.5'"),
        (["train", "x", "--held-out", "1"], "at most 0.9, got '1'"),
        (["train", "x", "--steps", "3", "--epochs", "2"], "not allowed with argument"),
        (["train", "x", "--resume", "--overwrite"], "not allowed with argument"),
        (["sample", "x", "--greedy", "--temperature", "1"], "not allowed with argument"),
        (["sample", "x", "--top-k", "0"], "at least 1, got '0'"),
        (["sample", "x", "--temperature", "-1"], "of at least 0, got '-1'"),
    ],
)
def test_bad_usage(argv, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        run(*argv)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


# ── sample ───────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    for name, more in (("characters", []), ("words", ["--words", "--vocabulary", 12])):
        out = folder / f"{name}.npz"
        assert run("train", folder / "text.txt", *TINY, "--steps", 20, "--out", out, *more) == 0
    return folder


def sampled(capsys, *argv):
    assert run("sample", *argv) == 0
    return capsys.readouterr().out


def test_the_same_seed_writes_the_same(trained, capsys):
    path = trained / "characters.npz"
    one, same, other = (
        sampled(capsys, path, "--prompt", "the ", "--length", 50, "--seed", seed)
        for seed in (1, 1, 2)
    )
    assert one == same != other
    assert one.startswith("the ")
    assert len(one) == 4 + 50 + 1
    greedy = sampled(capsys, path, "--greedy", "--length", 50)
    for how in (["--temperature", 0], ["--top-k", 1, "--seed", 5], ["--beam", 1]):
        assert sampled(capsys, path, *how, "--length", 50) == greedy


def test_a_wider_beam_says_how_likely_its_text_is(trained, capsys):
    scores = []
    for size in (1, 200):
        assert run("sample", trained / "characters.npz", "--beam", size, "--length", 3) == 0
        scores.append(float(re.match(r"log p = (-\S+)\n$", capsys.readouterr().err).group(1)))
    assert scores[0] <= scores[1] < 0


@pytest.mark.parametrize(
    ("file", "prompt", "message"),
    [
        (
            "characters",
            "Tea é ✓",
            "--prompt has characters that the model's text has not: 'T', 'é'",
        ),
        ("characters", "ABCDEFGHIJKL", "'I', 'J', ..."),
        ("characters", "", "--prompt: expected some text, got an empty one"),
        ("words", "the unicorn", "--prompt has words that the model's text has not: ' unicorn'"),
    ],
)
def test_prompts_with_what_the_model_does_not_know(trained, capsys, file, prompt, message):
    assert run("sample", trained / f"{file}.npz", "--prompt", prompt) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_without_a_prompt_it_starts_at_the_end_of_a_line(here, capsys):
    (here / "text.txt").write_text("abc" * 50, encoding="utf-8")
    final_of("--steps", 1)
    capsys.readouterr()
    assert run("sample", "checkpoint.npz") == 2
    assert "no line ends to start from: give it a --prompt" in capsys.readouterr().err
    assert len(sampled(capsys, "checkpoint.npz", "--prompt", "a", "--length", 5)) == 7


def test_a_terminal_that_lacks_the_script(here, monkeypatch):
    (here / "text.txt").write_text(HANGUL, encoding="utf-8")
    final_of("--steps", 1)
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    assert run("sample", "checkpoint.npz", "--prompt", "나", "--length", 5) == 0
    assert raw.getvalue().startswith(b"?")


def test_a_checkpoint_is_a_model_for_python_too(trained):
    checkpoint = tg.load(trained / "characters.npz")
    vocabulary = Vocabulary(**checkpoint["vocabulary"])
    model = LanguageModel(len(vocabulary), **checkpoint["model"]["settings"])
    model.load_state_dict(checkpoint["model"]["parameters"])
    logits, _ = model(vocabulary.encode("the cat")[:, None])
    same, _ = load_model(trained / "characters.npz")
    np.testing.assert_array_equal(logits.data, same(vocabulary.encode("the cat")[:, None])[0].data)


# ── the loss curve ───────────────────────────────────────────────────────────────────────


def svg_of(*arguments):
    return ElementTree.fromstring(loss_curve(*arguments))


def points_of(svg):
    lines = svg.findall("{*}polyline")
    return [
        [tuple(map(float, point.split(","))) for point in line.get("points").split()]
        for line in lines
    ]


def labels_of(svg):
    return [text.text for text in svg.findall("{*}text")]


@pytest.mark.parametrize("steps", [1, 2, 239, 241, 10_000])
def test_the_curve_is_within_its_frame_and_falls_where_the_loss_falls(steps):
    losses = np.geomspace(6, 1.25, steps)
    svg = svg_of("a <run> & more", "bits", losses.tolist(), [(0, 6.5), (steps, 1.5)])
    training, held_out = points_of(svg)
    assert len(training) <= 240
    for x, y in training + held_out:
        assert 0 <= x <= float(svg.get("width"))
        assert 0 <= y <= float(svg.get("height"))
    assert len(svg.findall("{*}circle")) == 2
    heights = [y for _, y in training]
    assert heights == sorted(heights)
    assert training[-1][0] == held_out[-1][0]
    labels = labels_of(svg)
    assert labels[0] == "a <run> & more"
    assert "held out 1.50" in labels
    assert any(label.startswith("training ") for label in labels)


def test_thinning_keeps_the_mean():
    rng = np.random.default_rng(0)
    losses = rng.uniform(1, 3, 24_000)
    [line] = points_of(svg_of("t", "bits", losses.tolist(), []))
    assert len(line) == 240
    many = svg_of("t", "bits", [], [(i, 1.0) for i in range(100)])
    assert not many.findall("{*}circle")
    flat = points_of(svg_of("t", "bits", [1.0, 2.0, 3.0], [(0, 1.0), (3, 3.0)]))[1]
    assert flat[0][1] > flat[1][1]


@pytest.mark.parametrize(
    ("low", "high"), [(2, 2), (0, 0), (1.5, 1.5000001), (0.001, 0.0013), (3, 12_345), (-4, 1e6)]
)
def test_ticks_are_few_round_different_and_enclose_the_data(low, high):
    svg = svg_of("t", "bits", [], [(0, high), (10, low)])
    labels = [label.replace(",", "") for label in labels_of(svg)]
    ticks = sorted({float(label) for label in labels[3:] if re.fullmatch(r"-?[\d.]+", label)})
    losses = [float(t) for t in labels[3:] if re.fullmatch(r"-?[\d.]+", t)]
    assert 2 <= len(ticks) <= 24
    assert min(losses) <= low + 1e-9
    assert max(losses) >= high - 1e-9


def test_names_of_lines_that_end_together_stand_apart():
    svg = svg_of("t", "bits", [3.0, 2.0], [(0, 3.0), (2, 2.0)])
    heights = [
        float(text.get("y"))
        for text in svg.findall("{*}text")
        if text.text in ("training 2.00", "held out 2.00")
    ]
    assert abs(heights[0] - heights[1]) >= 13


@pytest.mark.parametrize("losses", [[], [1.0, float("nan")], [float("inf")]])
def test_no_curve_of_nothing_or_of_what_is_no_number(losses):
    with pytest.raises(ValueError, match="expected finite numbers"):
        loss_curve("t", "bits", losses, [])
