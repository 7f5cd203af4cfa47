"""The programs in examples/ported learn: their quick runs, as users start them."""

import importlib

import numpy as np
import pytest

# What a quick run returns, and what it has to be.
PROGRAMS = {
    "word_language_model": lambda losses: min(losses) < np.log(300),
    "time_sequence_prediction": lambda losses: losses[-1] < losses[0] / 100,
    "char_rnn_classification": lambda right: right > 0.5,
    "seq2seq_translation": lambda right: right > 0.9,
    "makemore": lambda losses: np.mean(losses[-20:]) < np.mean(losses[:20]) - 0.5,
}


FASTEST = "char_rnn_classification"  # the others only with -m examples
EACH = [
    pytest.param(
        name, marks=[pytest.mark.examples, *([] if name == FASTEST else [pytest.mark.more])]
    )
    for name in PROGRAMS
]


@pytest.mark.parametrize("name", EACH)
def test_quick_run(name, capsys):
    result = importlib.import_module(f"examples.ported.{name}").main(["--quick"])
    assert PROGRAMS[name](result), result
    assert capsys.readouterr().out


@pytest.mark.examples
def test_a_padded_batch_of_names_has_the_loss_of_the_names_one_by_one():
    from examples.ported import char_rnn_classification as program

    model = program.CharRNN(8, 5, dtype=np.float64, rng=0)
    names = [program.one_hot(name, np.float64) for name in ("Kim", "Rossi", "Suzuki")]
    one_by_one = program.batch_loss(model, names, [0, 1, 4])
    together = program.padded_loss(model, names, [0, 1, 4])
    assert together.item() == pytest.approx(one_by_one.item(), rel=1e-12)
