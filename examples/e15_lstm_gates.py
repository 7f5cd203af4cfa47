"""The gates of an LSTM: what a unit keeps, writes and shows, in two grammars and in real text.

    f_t = sigmoid(W_f x_t + V_f h_{t-1} + b_f)      forget gate: how much of c_{t-1} is kept
    i_t = sigmoid(W_i x_t + V_i h_{t-1} + b_i)      input gate: how much of g_t is written
    g_t =    tanh(W_g x_t + V_g h_{t-1} + b_g)      candidate: the new value
    c_t = f_t c_{t-1} + i_t g_t
    o_t = sigmoid(W_o x_t + V_o h_{t-1} + b_o)      output gate: how much of c_t is shown
    h_t = o_t tanh(c_t)

A net reads a string, symbol by symbol. After each symbol it answers for every possible symbol
whether it may come next: yes if p > 1/2. The targets are the sets of legal symbols. A step is right
if the net says yes to all legal symbols and no to all others. A string is right if all its steps
are. (Hochreiter and Schmidhuber showed the net only the next symbol. They counted a step as right
if the legal symbols had the highest scores. A step that is right here is right there, too.)

    Reber, embedded    the second symbol, T or P, comes again after four Reber strings in between
    brackets           three kinds, at most four open; training strings have 100, test strings 400

An LSTM and a tanh RNN with the same number of units make the same number of training steps. A third
net is an RNN with about as many parameters as the LSTM; it is twice as wide. Both languages have
finitely many states, so a wide RNN also learns the brackets. With some seeds it even learns to keep
T or P, although keeping it brings no reward before the end.

Then we look at single units of the LSTM, each chosen by a rule:

    Reber       Take two strings that differ only in the outer symbol, and exchange the h and c of
                one unit after five symbols. Choose the unit that flips the most answers.
    brackets    Choose the unit whose c_t correlates most with the number of open brackets.
    text        Choose the units whose tanh(c_t) correlates most with being inside "quotes", and
                with the place in a word.

The correlation may have either sign. The text is the Python manual.

With seed 0, the forget gate of the Reber unit closes at T or P, and the unit writes a new value.
After that it keeps the value: f is 1, and i is near 0. It only adds a count of the inner strings
where they begin or end. The quotes unit forgets at every quotation mark. It writes one sign inside
the quotes and the other sign outside.

Sources: Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural Computation 9 (1997), sec.
5.1; a unit that follows quotes: Karpathy, Johnson and Fei-Fei, arXiv:1506.02078.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import tinygrad_rnn as tg
from common import Result, arguments, characters
from grammars import BRACKETS, REBER, Strings, brackets, depths, reber
from svg import border, colours, image, page, text
from tinygrad_rnn.text import LanguageModel, Streams, Vocabulary, bits_per_character, detached

UNITS, BATCH = 32, 32
NETS = {"LSTM": ("lstm", UNITS), "RNN": ("rnn", UNITS), "RNN, as many parameters": ("rnn", 66)}
EXCHANGED = 5  # units are exchanged after so many symbols, always within the first inner string
#: The rows of the picture: names of ``tg.activations``, and labels.
ROWS = {"f": "forget f", "i": "input i", "g": "candidate g", "c": "cell c", "o": "output o"}
T_OR_P = [REBER.index(symbol) for symbol in "TP"]

# ── training ─────────────────────────────────────────────────────────────────────────────


class Task(NamedTuple):
    """A language to learn.

    Args:
        symbols: its symbols.
        draw: draws a batch of training strings.
        test: other strings.
        rates: the learning rate by cell.
        forget: the first forget bias of the LSTM.
    """

    symbols: str
    draw: Callable[[], Strings]
    test: Strings
    rates: dict[str, float]
    forget: float


def trained(name: str, task: Task, steps: int, rng: np.random.Generator) -> LanguageModel:
    """Train one of NETS to say which symbols may come next."""
    cell, units = NETS[name]
    V = len(task.symbols)
    model = LanguageModel(V, V, units, cell=cell, rng=rng)
    if cell == "lstm":
        model.recurrent.bias_ih_l0.data = tg.nn.init.forget_bias(4 * units, task.forget)

    optimizer = tg.optim.Adam(model.parameters())
    for k in range(steps):
        optimizer.lr = tg.optim.cosine_lr(k, task.rates[cell], steps)  # falls along half a cosine
        strings = task.draw()
        logits, _ = model(strings.ids)
        loss = tg.nn.binary_cross_entropy_with_logits(
            logits[strings.within], strings.legal[strings.within]
        )
        optimizer.zero_grad()
        loss.backward()
        tg.optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model


def trained_on_text(
    vocabulary: Vocabulary, ids: np.ndarray, units: int, steps: int, rng: np.random.Generator
) -> LanguageModel:
    """Train an LSTM to predict the next character, by truncated BPTT as in e06."""
    model = LanguageModel(len(vocabulary), 32, units, rng=rng)
    windows = Streams(ids, 32, 64)

    optimizer = tg.optim.Adam(model.parameters())
    state = None
    for k in range(steps):
        optimizer.lr = tg.optim.cosine_lr(k, 0.01, steps)
        x, y = windows[k % len(windows)]
        if k % len(windows) == 0:
            state = None  # the text starts again
        logits, state = model(x, state)
        state = detached(state)  # no gradient goes back into the window before
        loss = tg.nn.cross_entropy(logits.reshape(y.size, -1), y.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        tg.optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model


# ── inside the nets ──────────────────────────────────────────────────────────────────────


def gates(model: LanguageModel, ids: np.ndarray) -> dict[str, np.ndarray]:
    """Return f, i, g, c and o, each (T, N, H), while the model reads ids (T, N)."""
    logits, _ = model(ids)
    values = tg.activations(logits)
    return {name: values[name].astype(np.float64) for name in ROWS}


def scores(model: LanguageModel, ids: np.ndarray, state: Any = None) -> np.ndarray:
    """Return the logits (T, N, V)."""
    with tg.no_grad():
        logits, _ = model(ids, state)
        return logits.data


def exchanged(model: LanguageModel, ids: np.ndarray, others: np.ndarray, unit: int) -> np.ndarray:
    """Return the logits for strings ``ids`` if one unit gets its h and c from ``others``.

    Both have shape (T, N). The exchange happens after EXCHANGED symbols.
    """
    before, after = ids[:EXCHANGED], ids[EXCHANGED:]
    with tg.no_grad():
        (_, own), (_, foreign) = model(before), model(others[:EXCHANGED])
    is_unit = np.arange(model.recurrent.hidden_size) == unit
    state = tuple(np.where(is_unit, b.data, a.data) for a, b in zip(own, foreign, strict=True))
    return np.concatenate([scores(model, before), scores(model, after, state)])


# ── scores ───────────────────────────────────────────────────────────────────────────────


def right(logits: np.ndarray, strings: Strings) -> np.ndarray:
    """Return for each step (T, N) whether the net says yes to the legal symbols alone.

    Steps past the end of a string count as right.
    """
    return ((logits > 0) == (strings.legal > 0)).all(axis=-1) | ~strings.within


def but_outer(strings: Strings) -> np.ndarray:
    """Return a mask (T, N) of all steps but the one before the outer symbol comes again."""
    return strings.within & (np.arange(len(strings.ids))[:, None] != strings.lengths - 2)


def outer_right(logits: np.ndarray, strings: Strings) -> float:
    """Return how often the outer symbol has a higher score than the other one of T and P."""
    when = strings.lengths - 2, np.arange(len(strings.lengths))
    answers = logits[when][:, T_OR_P].argmax(axis=-1)
    return float((np.take(T_OR_P, answers) == strings.ids[1]).mean())


def most_correlated(values: np.ndarray, feature: np.ndarray) -> tuple[int, float]:
    """Find the unit whose values (..., H) correlate most with a feature (...).

    Returns:
        The unit, and its correlation, which may be negative.
    """
    x = values.reshape(-1, values.shape[-1])
    y = feature.reshape(-1) - feature.mean()
    x = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-12)
    r = y @ x / (len(y) * y.std())
    unit = int(np.abs(r).argmax())
    return unit, float(r[unit])


# ── the tasks ────────────────────────────────────────────────────────────────────────────


def reber_task(rng: np.random.Generator, quick: bool) -> Task:
    """Return the task of embedded Reber strings."""
    data, draws = rng.spawn(2)
    training_count, test_count = (1000, 200) if quick else (4000, 1000)
    count = training_count + test_count
    strings = reber(data, count, inner=1 if quick else 4)
    test, training = np.split(np.arange(count), [test_count])
    return Task(
        REBER,
        lambda: strings.some(draws.choice(training, BATCH)),
        strings.some(test),
        {"lstm": 0.015, "rnn": 0.005},
        forget=5,  # f is near 0.993, so half of a value is left after 100 steps
    )


def bracket_task(rng: np.random.Generator, quick: bool) -> Task:
    """Return the task of nested brackets."""
    T, depth = (20, 2) if quick else (100, 4)
    draws, test = rng.spawn(2)
    return Task(
        BRACKETS,
        lambda: brackets(draws, T, BATCH, depth),
        brackets(test, 4 * T, 500, depth),
        {"lstm": 0.02, "rnn": 0.005},  # with 0.0025, 0.01 or 0.02 the RNN gets fewer strings right
        forget=1,
    )


def in_quotes(characters: str) -> np.ndarray:
    """Return 1 from an opening quotation mark up to the closing one in the same line, else 0."""
    inside = np.zeros(len(characters))
    for match in re.finditer(r'"[^"\n]+"', characters):
        inside[match.start() : match.end() - 1] = 1
    return inside


def place_in_word(characters: str) -> np.ndarray:
    """Return 1 at the first letter of a word, 2 at the second, ...; 0 outside words."""
    places = np.zeros(len(characters))
    for match in re.finditer(r"\w+", characters):
        places[slice(*match.span())] = np.arange(1, len(match[0]) + 1)
    return places


# ── the picture ──────────────────────────────────────────────────────────────────────────

SQUARE = 13


class Panel(NamedTuple):
    """One unit over one string: a title, the symbols, and the values of ``gates`` (T, H)."""

    title: str
    symbols: str
    values: dict[str, np.ndarray]
    unit: int


def draw_panel(panel: Panel, left: float, top: float) -> list[str]:
    rows = np.array([panel.values[name][:, panel.unit] for name in ROWS])
    largest = np.abs(rows).max(axis=1)
    cell = list(ROWS).index("c")
    rows[cell] /= largest[cell]  # c is not limited to [-1, 1]; all others are
    parts = [text(left, top - 22, panel.title, "start")]
    parts += [
        text(left + SQUARE * (t + 0.5), top - 5, symbol)
        for t, symbol in enumerate(panel.symbols)
        if symbol != " "
    ]
    for k, (name, label) in enumerate(ROWS.items()):
        scale = f" (±{largest[k]:.1f})" if name == "c" else ""
        parts.append(text(left - 8, top + SQUARE * (k + 0.8), label + scale, "end"))
    parts.append(image(left, top, SQUARE, colours(rows)))
    parts.append(border(left, top, SQUARE * rows.shape[1], SQUARE * len(rows)))
    return parts


def picture(path: Path, panels: Sequence[Panel]) -> None:
    left, top, high = 120, 76, SQUARE * len(ROWS) + 60
    parts = [
        part for k, panel in enumerate(panels) for part in draw_panel(panel, left, top + k * high)
    ]
    width = left + SQUARE * max(len(panel.symbols) for panel in panels) + 16
    title = "One unit at a time: white 0, red 1, blue -1; c has its own scale"
    page(path, width, top + len(panels) * high - 40, title, parts)


# ── results ──────────────────────────────────────────────────────────────────────────────


def compared(task: Task, steps: int, rng: np.random.Generator) -> tuple[dict, dict]:
    """Train every net, and return them with their logits for the test strings."""
    nets = {name: trained(name, task, steps, rng) for name in NETS}
    logits = {name: scores(model, task.test.ids) for name, model in nets.items()}
    for name, predicted in logits.items():
        is_right = right(predicted, task.test)
        size = sum(parameter.size for parameter in nets[name].parameters())
        print(
            f"  {name:<24}{size:6,} parameters; right {is_right[task.test.within].mean():9.3%} of "
            f"the steps, {is_right.all(axis=0).mean():6.1%} of the strings"
        )
    return nets, logits


def look_at_reber(model: LanguageModel, strings: Strings) -> tuple[list[Panel], float]:
    """Find the unit that keeps the outer symbol.

    Returns:
        Two panels, and how often the outer symbol is still right after the unit was exchanged.
    """
    twins = strings.ids.copy()
    twins[1] = sum(T_OR_P) - twins[1]  # T becomes P, and P becomes T
    still_right = [
        outer_right(exchanged(model, strings.ids, twins, unit), strings) for unit in range(UNITS)
    ]
    unit = int(np.argmin(still_right))
    print(
        f"  unit {unit} exchanged: outer symbol right {still_right[unit]:.1%}; "
        f"any other unit exchanged: >= {min(np.delete(still_right, unit)):.1%}"
    )
    n = int(np.argsort(strings.lengths)[len(strings.lengths) // 2])  # a string of median length
    ids = strings.ids[: strings.lengths[n], [n, n]]
    ids[[1, -1]] = T_OR_P
    both = gates(model, ids)
    panels = []
    for k, outer in enumerate("TP"):
        one = {name: values[:, k] for name, values in both.items()}
        title = f"Reber, outer symbol {outer}: the unit that keeps it"
        panels.append(Panel(title, "".join(REBER[j] for j in ids[:, k]), one, unit))
    return panels, still_right[unit]


def look_at_brackets(model: LanguageModel, strings: Strings) -> tuple[Panel, float]:
    """Find the unit whose c follows the depth; return its panel and its correlation."""
    few = strings.some(np.arange(50))
    values = gates(model, few.ids)
    unit, r = most_correlated(values["c"], depths(few))
    changes = np.diff(values["c"][..., unit], axis=0)
    opening, closing = (changes[few.ids[1:] < 3].mean(), changes[few.ids[1:] >= 3].mean())
    print(f"  unit {unit}: correlation of c and depth {r:.3f}")
    print(f"  an opening bracket adds {opening:+.2f} to c, a closing one {closing:+.2f}")
    shown = slice(0, 64)
    symbols = "".join(BRACKETS[k] for k in few.ids[shown, 0])
    one = {name: value[shown, 0] for name, value in values.items()}
    return Panel("Brackets: the unit that follows the depth", symbols, one, unit), r


def look_at_text(model: LanguageModel, vocabulary: Vocabulary, ids: np.ndarray) -> list[Panel]:
    """Find the units that follow quotes and words; show the first line with two pairs of quotes."""
    characters = vocabulary.decode(ids)
    values = {name: value[:, 0] for name, value in gates(model, ids[:, None]).items()}
    line = re.search(r'(?=\S)([^"\n]*"[^"\n]+"){2}[^"\n]*', characters)
    shown = slice(*line.span())
    features = {"quotes": in_quotes(characters), "the place in a word": place_in_word(characters)}
    panels = []
    for what, feature in features.items():
        unit, r = most_correlated(np.tanh(values["c"]), feature)
        print(f"  unit {unit}: correlation of tanh(c) with {what} {r:.2f}")
        one = {name: value[shown] for name, value in values.items()}
        panels.append(Panel(f"Text: the unit that follows {what}", characters[shown], one, unit))
    return panels


def main(argv: Sequence[str] | None = None) -> Result:
    args = arguments(argv, __doc__)
    quick = args.quick
    of_reber, of_brackets, of_text = np.random.default_rng(args.seed).spawn(3)

    print("Reber")
    task = reber_task(of_reber, quick)
    nets, logits = compared(task, 300 if quick else 3000, of_reber)
    outer = {name: outer_right(y, task.test) for name, y in logits.items()}
    rest = {name: right(y, task.test)[but_outer(task.test)] for name, y in logits.items()}
    for name in NETS:
        print(f"  {name:<24}outer symbol right {outer[name]:.1%}, rest {rest[name].mean():.3%}")
    steps_right = right(logits["LSTM"], task.test)[task.test.within]
    panels, after_exchange = look_at_reber(nets["LSTM"], task.test)

    print("Brackets")
    task = bracket_task(of_brackets, quick)
    nets, logits = compared(task, 200 if quick else 2000, of_brackets)
    whole = {name: right(y, task.test).all(axis=0).mean() for name, y in logits.items()}
    panel, r = look_at_brackets(nets["LSTM"], task.test)

    print("Text")
    vocabulary, training, held_out = characters()
    units, steps = (32, 100) if quick else (96, 1200)
    model = trained_on_text(vocabulary, training, units, steps, of_text)
    bits = bits_per_character(model, Streams(held_out, 32, 64))
    print(f"  {bits:.2f} bits per character, held out")
    of_words = look_at_text(model, vocabulary, held_out[: 1000 if quick else 4000])
    picture(args.out / "e15_lstm_gates.svg", [*panels, panel, *of_words])

    if quick:
        checks = {
            "Reber, one string inside: 97 % of the LSTM's steps right, without the outer symbol": (
                bool(rest["LSTM"].mean() >= 0.97)
            ),
            "brackets: 90 % of the LSTM's whole strings right": bool(whole["LSTM"] >= 0.9),
            "a unit's c follows the depth: |r| >= 0.5": abs(r) >= 0.5,
            "text: below 4 bits per character": bits < 4,
        }
    else:
        checks = {
            "Reber: the LSTM names all legal symbols, and no other": bool(steps_right.all()),
            "Reber: the RNN's outer symbol below 80 %": outer["RNN"] < 0.8,
            "brackets: 90 % of the LSTM's whole strings right": bool(whole["LSTM"] >= 0.9),
            "brackets: the RNN at least 10 points lower": bool(whole["RNN"] <= whole["LSTM"] - 0.1),
        }
    wide = "RNN, as many parameters"
    return Result(
        measured=f"Reber: LSTM {steps_right.mean():.2%} of the steps, outer symbol RNN "
        f"{outer['RNN']:.1%} (as many parameters: {outer[wide]:.1%}), LSTM {outer['LSTM']:.1%}, "
        f"with one unit exchanged {after_exchange:.1%}; whole strings of brackets LSTM "
        f"{whole['LSTM']:.1%}, RNN {whole['RNN']:.1%} (as many parameters: {whole[wide]:.1%}); "
        f"a unit's c and the depth: r = {r:.2f}",
        checks=checks,
    ).report()


if __name__ == "__main__":
    main()
