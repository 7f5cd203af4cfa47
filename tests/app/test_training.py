"""``tg.train`` as a function, and what its settings do."""

from __future__ import annotations

import math
import os
import pickle
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import __main__ as command_line
from tinygrad_rnn.app import arguments, truncated_bptt
from tinygrad_rnn.app.settings import SETTINGS
from tinygrad_rnn.text import LanguageModel, Streams, bptt_step
from tinygrad_rnn.viz import Drawing

TEXT = "the cat sat on the mat, the dog sat on the log.\n" * 40
TINY: dict[str, Any] = {"hidden": 8, "embedding": 4, "batch": 4, "bptt": 6}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*argv: object) -> int:
    return command_line.main([str(a) for a in argv])


# ── the function ─────────────────────────────────────────────────────────────────────────


def test_without_a_checkpoint_it_writes_nothing(here: Path, capsys: Any) -> None:
    history = tg.train("text.txt", steps=30, save_every=10, lr=0.02, **TINY)
    assert capsys.readouterr() == ("", "")
    assert os.listdir() == ["text.txt"]
    assert (history["step"], history["steps"], history["stopped"]) == (30, 30, None)
    assert history["losses"].shape == (30,)
    np.testing.assert_array_equal(history["held_out"][:, 0], [0, 10, 20, 30])
    assert history["held_out"][-1, 1] < history["held_out"][0, 1]
    assert pickle.loads(pickle.dumps(history))["step"] == 30  # for joblib, Dask and Ray


def test_it_does_what_the_command_does(here: Path) -> None:
    history = tg.train(here / "text.txt", here / "a.npz", steps=7, save_every=3, **TINY)
    options = [x for name, value in TINY.items() for x in (f"--{name}", value)]
    assert (
        run("train", "text.txt", *options, "--steps", 7, "--save-every", 3, "--out", "b.npz") == 0
    )
    assert (here / "a.npz").read_bytes() == (here / "b.npz").read_bytes()
    np.testing.assert_array_equal(tg.load("b.npz")["training"]["losses"], history["losses"])
    more = tg.train("text.txt", "a.npz", resume=True, steps=9)
    np.testing.assert_array_equal(more["losses"][:7], history["losses"])
    assert more["step"] == 9
    model, vocabulary = tg.load_model("a.npz")
    assert isinstance(model, LanguageModel)
    assert set(TEXT) == set(vocabulary.symbols)
    again = tg.train("text.txt", "a.npz", resume=True)  # nothing left
    np.testing.assert_array_equal(again["losses"], more["losses"])


def test_a_callback_is_told_every_step_and_may_end_it(here: Path) -> None:
    told: list[dict[str, Any]] = []

    def callback(record: dict[str, Any]) -> bool:
        told.append(record)
        return record["step"] == 5

    history = tg.train("text.txt", "a.npz", steps=9, save_every=2, callback=callback, **TINY)
    assert history["stopped"] == "callback"
    assert [record["step"] for record in told] == [1, 2, 3, 4, 5]
    assert ["held_out" in record for record in told] == [False, True, False, True, False]
    assert told[0]["lr"] == 0.01
    assert told[2]["loss"] == pytest.approx(history["losses"][2] * math.log(2), rel=1e-15)
    assert tg.load("a.npz")["training"]["step"] == 5
    rest = tg.train("text.txt", "a.npz", resume=True)
    whole = tg.train("text.txt", steps=9, save_every=2, **TINY)
    np.testing.assert_array_equal(rest["losses"], whole["losses"])


def test_ctrl_c_saves_and_is_a_keyboard_interrupt(here: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.default_int_handler)
    step = bptt_step

    def interrupted(*args: Any, **keywords: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return step(*args, **keywords)

    monkeypatch.setattr(truncated_bptt, "bptt_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tg.train("text.txt", "a.npz", steps=9, **TINY)
    assert tg.load("a.npz")["training"]["step"] == 1


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"hiden": 3}, TypeError, "there is no setting 'hiden'; there is cell, hidden"),
        ({"hidden": 0}, ValueError, "hidden: expected a whole number of at least 1, got 0"),
        ({"hidden": 2.5}, TypeError, "hidden: expected a whole number"),
        ({"hidden": True}, TypeError, "hidden: expected a whole number"),
        ({"lr": math.inf}, ValueError, "lr: expected a number above 0, got inf"),
        ({"lr": "fast"}, TypeError, "lr: expected a number"),
        ({"cell": "elman"}, ValueError, "cell: expected lstm or gru or rnn, got 'elman'"),
        ({"words": 1}, TypeError, "words: expected a bool"),
        ({"steps": 3, "epochs": 1}, ValueError, "give one of them"),
        ({"dropout": 0.5}, ValueError, "--dropout acts between layers"),
        ({"vocabulary": 9}, ValueError, "--vocabulary has no effect without --words"),
        ({"patience": 2, "held_out": 0}, ValueError, "--patience needs a held-out part"),
        ({"schedule": "plateau", "held_out": 0.0}, ValueError, "plateau needs a held-out"),
        ({"steps": 5, "warmup": 5}, ValueError, "--warmup 5 is not shorter than the 5 steps"),
        ({"epochs": 1, "warmup": 72}, ValueError, "--warmup 72 is not shorter than the 72 steps"),
        ({"schedule": "one_cycle", "warmup": 1}, ValueError, "--warmup has no effect with"),
        ({"save_every": 0}, ValueError, "save_every: expected at least 1"),
        ({"resume": True}, ValueError, "resume and overwrite go with out"),
        ({"batch": 2000}, ValueError, "--batch 2000 takes at least 2,001"),
        ({"hidden": 10**9}, ValueError, "this model would take at least .* GiB of memory"),
    ],
)
def test_settings_that_are_none(
    here: Path, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        tg.train("text.txt", **{**TINY, **settings})


def test_files_that_are_there_or_not(here: Path) -> None:
    with pytest.raises(FileNotFoundError):
        tg.train("no.txt")
    tg.train("text.txt", "a.npz", steps=1, **TINY)
    with pytest.raises(FileExistsError, match="add --resume"):
        tg.train("text.txt", "a.npz", steps=1, **TINY)
    with pytest.raises(ValueError, match="trained with --hidden 8, not 9"):
        tg.train("text.txt", "a.npz", resume=True, hidden=9)
    assert tg.train("text.txt", "a.npz", overwrite=True, steps=2, **TINY)["step"] == 2
    with pytest.raises(FloatingPointError, match=r"loss is (nan|inf)"):
        tg.train("text.txt", steps=50, lr=1e38, schedule="constant", **TINY)


def test_numbers_of_numpy_are_numbers(here: Path) -> None:
    settings = {**TINY, "hidden": np.int64(8), "lr": np.float32(0.5), "steps": np.int32(2)}
    history = tg.train("text.txt", "a.npz", **settings)
    assert history["step"] == 2
    assert type(tg.load("a.npz")["training"]["settings"]["hidden"]) is int


# ── what the settings do ─────────────────────────────────────────────────────────────────


def test_accumulated_windows_make_the_gradient_of_one_batch() -> None:
    """Two windows of one step each are one step over both, where no state connects them."""
    ids = np.arange(60) % 7
    x, y = Streams(ids, 4, 3)[0]
    model, twin = (LanguageModel(7, 3, 5, dtype=np.float64, rng=0) for _ in range(2))
    sgd, other = (tg.optim.SGD(m.parameters(), 0.5) for m in (model, twin))
    whole, _ = bptt_step(model, sgd, (x, y), max_norm=0.1)
    parts = [(x[:, :1], y[:, :1]), (x[:, 1:], y[:, 1:])]
    losses = [
        bptt_step(twin, other, part, max_norm=0.1, share=share, start=first, update=not first)[0]
        for part, share, first in zip(parts, (0.25, 0.75), (True, False), strict=True)
    ]
    assert 0.25 * losses[0] + 0.75 * losses[1] == pytest.approx(whole, rel=1e-12)
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(p.data, q.data, rtol=1e-12, atol=1e-15)


def test_accumulation_counts_steps_and_resumes(here: Path, monkeypatch: Any) -> None:
    (here / "text.txt").write_text(TEXT[:230], encoding="utf-8")  # 9 windows
    read: list[bool] = []
    step = bptt_step

    def spy(model: Any, optimizer: Any, window: Any, state: Any, **keywords: Any) -> Any:
        read.append(state is None)
        return step(model, optimizer, window, state, **keywords)

    monkeypatch.setattr(truncated_bptt, "bptt_step", spy)
    whole = tg.train("text.txt", accumulate=4, epochs=3, save_every=3, **TINY)
    assert whole["step"] == math.ceil(3 * 9 / 4)
    assert [i for i, first in enumerate(read) if first] == [0, 9, 18, 27]
    tg.train("text.txt", "a.npz", accumulate=4, epochs=3, callback=lambda r: r["step"] == 3, **TINY)
    parts = tg.train("text.txt", "a.npz", resume=True)
    np.testing.assert_array_equal(parts["losses"], whole["losses"])


def test_patience_stops_and_keeps_the_best_model(here: Path, capsys: Any) -> None:
    # A rate this high learns at first, then wanders.
    settings = {**TINY, "lr": 0.5, "schedule": "constant", "save_every": 2, "patience": 3}
    history = tg.train("text.txt", "a.npz", steps=400, **settings)
    assert history["stopped"] == "patience"
    measured = history["held_out"]
    best = int(np.argmin(measured[:, 1]))
    assert len(measured) - 1 - best == 3
    checkpoint = tg.load("a.npz")
    assert checkpoint["training"]["best"] == measured[best, 0]
    # The model that is kept is the one that was best: measured again, it gives the same number.
    model, vocabulary = tg.load_model("a.npz")
    ids = vocabulary.encode(TEXT)
    test = Streams(ids[len(ids) - math.ceil(0.1 * len(ids)) :], 4, 6)
    again = tg.text.bits_per_character(model.eval(), test)
    assert again == pytest.approx(measured[best, 1], rel=1e-6)
    # And the run goes on from where it stopped, not from there.
    monitor: list[float] = []
    tg.train(
        "text.txt",
        "a.npz",
        resume=True,
        patience=50,
        steps=history["step"] + 4,
        save_every=2,
        callback=lambda record: monitor.append(record["bits"]) and False,
    )
    longer = tg.train("text.txt", **{**settings, "patience": 50}, steps=history["step"] + 4)
    np.testing.assert_array_equal(monitor, longer["losses"][-4:])
    argv = ["--lr", 0.5, "--schedule", "constant", "--save-every", 2, "--patience", 3]
    options = [x for name, value in TINY.items() for x in (f"--{name}", value)]
    assert run("train", "text.txt", *options, *argv, "--out", "c.npz") == 0
    assert ", as nothing was better than " in capsys.readouterr().out


def test_the_plateau_schedule_halves_the_rate_when_stuck(here: Path) -> None:
    rates: list[tuple[float, float]] = []

    def callback(record: dict[str, Any]) -> None:
        rates.append((record["lr"], record.get("held_out", math.nan)))

    history = tg.train(
        "text.txt",
        steps=200,
        lr=0.5,
        schedule="plateau",
        save_every=2,
        warmup=3,
        callback=callback,
        **TINY,
    )
    used = [rate for rate, _ in rates]
    assert used[:3] == pytest.approx([0.5 / 3, 1 / 3, 0.5])
    assert set(used[3:]) > {0.5, 0.25}
    for k in range(3, 200):
        measured = [bits for step, bits in history["held_out"] if step <= k]
        assert used[k] == tg.optim.reduce_on_plateau(measured, 0.5, factor=0.5, patience=1)


def test_a_warmup_of_every_schedule(here: Path) -> None:
    for schedule in ("linear", "cosine", "constant"):
        rates: list[float] = []
        tg.train(
            "text.txt",
            steps=8,
            lr=1e-3,
            schedule=schedule,
            warmup=4,
            callback=lambda record, rates=rates: rates.append(record["lr"]) and False,
            **TINY,
        )
        assert rates[:5] == pytest.approx([0.25e-3, 0.5e-3, 0.75e-3, 1e-3, 1e-3])


def test_one_cycle_rises_and_falls(here: Path) -> None:
    rates: list[float] = []
    tg.train(
        "text.txt",
        steps=20,
        lr=1e-3,
        schedule="one_cycle",
        callback=lambda record: rates.append(record["lr"]) and False,
        **TINY,
    )
    assert rates == [tg.optim.one_cycle(k, 1e-3, 20) for k in range(20)]
    assert rates[0] < max(rates) > rates[-1]
    assert max(rates) == pytest.approx(1e-3, rel=0.01)


def test_the_help_lists_every_setting_with_its_default(capsys: Any) -> None:
    with pytest.raises(SystemExit):
        run("train", "--help")
    text = " ".join(capsys.readouterr().out.split())
    for name, setting in SETTINGS.items():
        assert f"--{name.replace('_', '-')}" in text
        if setting.default and not isinstance(setting.default, bool):
            usual = setting.default
            assert (f"(default: {usual:,})" if isinstance(usual, int) else f"{usual})") in text


# ── requests that make no sense ──────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("models")
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    tg.train(folder / "text.txt", folder / "m.npz", steps=2, **TINY)
    checkpoint = tg.load(folder / "m.npz")
    stripped = {key: value for key, value in checkpoint.items() if key != "training"}
    tg.save(folder / "stripped.npz", stripped)
    for name, training in (("number", 3), ("empty", {}), ("half", {"settings": {}, "text": "x"})):
        tg.save(folder / f"{name}.npz", {**checkpoint, "training": training})
    checkpoint["model"]["parameters"]["output.bias"][3] = np.nan
    tg.save(folder / "nan.npz", checkpoint)
    return folder


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["sample", "m.npz", "--beam", 2, "--top-k", 3], "--top-k has no effect with --beam"),
        (["sample", "m.npz", "--beam", 2, "--seed", 3], "--seed has no effect with --beam"),
        (["sample", "m.npz", "--greedy", "--top-k", 3, "--seed", 1], "--top-k, --seed have no"),
        (["sample", "m.npz", "--temperature", 0, "--top-k", 3], "--top-k has no effect with"),
        (["draw", "m.npz", "--text", "a", "--hidden", 8], "--hidden has no effect on a trained"),
        (["draw", "m.npz", "--text", "a", "--steps", 6], "--steps has no effect"),
        (["draw", "m.npz", "--text", "a", "--seed", 0], "--seed has no effect"),
        (["draw", "m.npz", "--text", "a", "--bidirectional"], "--bidirectional has no effect"),
        (["draw", "--flow", "--detail", "op"], "--detail has no effect on a gradient flow"),
        (["draw", "--flow", "--values"], "--values has no effect"),
        (["draw", "--flow", "--grads"], "--grads has no effect"),
        (["draw", "-o", "a.html", "--max-steps", 3], "--max-steps has no effect"),
        (["draw", "--encoding", "utf-8"], "--encoding has no effect without --text"),
        (["draw", "m.npz", "--text", "a", "--encoding", "utf-8"], "--encoding is that of standard"),
        (["train", "text.txt", "--vocabulary", 9], "--vocabulary has no effect without --words"),
        (["train", "text.txt", "--hidden", 10**12], "would take at least"),
        (["train", "text.txt", "--layers", 10**12], "would take at least"),
        (["train", "text.txt", "--embedding", 10**30], "would take at least"),
        (["draw", "--hidden", 10**9], "this net would take at least"),
        (["draw", "--steps", 10**15], "this net would take at least"),
        (["sample", "nan.npz"], "nan.npz: its parameter output.bias is not finite"),
        (["draw", "nan.npz", "--text", "a"], "its parameter output.bias is not finite"),
        (["train", "text.txt", "--resume", "--out", "stripped.npz"], "'training'"),
        (["train", "text.txt", "--resume", "--out", "number.npz"], "stripped|not a checkpoint"),
        (["train", "text.txt", "--resume", "--out", "empty.npz"], "'settings'"),
        (["train", "text.txt", "--resume", "--out", "half.npz"], "trained on another text"),
    ],
)
def test_one_line_says_what_is_wrong(
    models: Path, capsys: Any, monkeypatch: Any, argv: list[Any], message: str
) -> None:
    import re

    monkeypatch.chdir(models)
    before = sorted(os.listdir())
    assert run(*argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert re.search(message, err), err
    assert sorted(os.listdir()) == before


def test_a_model_without_its_training_part_still_writes(models: Path, capsys: Any) -> None:
    assert run("sample", models / "stripped.npz", "--length", 5) == 0


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["sample", "x", "--temperature", "inf"], "a number of at least 0, got 'inf'"),
        (["train", "x", "--lr", "inf"], "a number above 0, got 'inf'"),
        (["check", "--seed", "-1"], "a whole number of at least 0, got '-1'"),
    ],
)
def test_numbers_that_are_not_finite(argv: list[str], message: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as exit_:
        run(*argv)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


def test_too_little_memory_is_one_line(
    models: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **keywords: Any) -> Any:
        raise MemoryError("Unable to allocate 9 GiB")

    monkeypatch.setattr(truncated_bptt, "bptt_step", full)
    monkeypatch.chdir(models)
    assert run("train", "text.txt", "--resume", "--steps", 9, "--out", "m.npz") == 2
    assert capsys.readouterr().err == (
        "python -m tinygrad_rnn train: not enough memory: Unable to allocate 9 GiB\n"
    )
    monkeypatch.setattr(arguments, "_memory", lambda: 1000)
    assert run("train", "text.txt", "--out", "n.npz") == 2
    assert "this machine has 0.0 GiB" in capsys.readouterr().err


def test_a_dot_that_is_killed(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    dot = tmp_path / "dot"
    for script, reason in (("kill -9 $$", "ended by signal 9"), ("echo no >&2; exit 3", "no")):
        dot.write_text(f"#!/bin/sh\ncat > /dev/null\n{script}\n", encoding="utf-8")
        dot.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        assert run("draw", "--steps", 2, "-o", tmp_path / "a.svg") == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert f"a.svg: dot {'was ' if 'kill' in script else 'failed: '}{reason}" in err
        assert not (tmp_path / "a.svg").exists()
        assert run("demo", "--steps", 1, "--out", tmp_path) == 0
        assert f"no bptt.svg: dot {'was' if 'kill' in script else 'failed'}" in (
            capsys.readouterr().out
        )


def test_a_dot_that_does_not_read(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    def pipe(self: Any, *args: Any, **keywords: Any) -> Any:
        raise BrokenPipeError

    monkeypatch.setattr(Drawing, "pipe", pipe)
    assert run("draw", "--steps", 2, "-o", tmp_path / "a.svg") == 2
    assert "dot ended before it had read the graph" in capsys.readouterr().err
    assert run("demo", "--steps", 1, "--out", tmp_path) == 0


def test_the_version(capsys: Any) -> None:
    with pytest.raises(SystemExit) as exit_:
        run("--version")
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"tinygrad_rnn {tg.__version__}\n"
