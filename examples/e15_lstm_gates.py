"""An LSTM gate by gate: what is kept, written and shown, in two grammars and in real text.

    f_t = sigmoid(W_f x_t + V_f h_{t-1} + b_f)      forget gate: how much of c_{t-1} is kept
    i_t = sigmoid(W_i x_t + V_i h_{t-1} + b_i)      input gate: how much of g_t is written
    g_t =    tanh(W_g x_t + V_g h_{t-1} + b_g)      what there is to write
    c_t = f_t c_{t-1} + i_t g_t
    o_t = sigmoid(W_o x_t + V_o h_{t-1} + b_o)      output gate: how much of c_t is shown
    h_t = o_t tanh(c_t)

A net reads a string, symbol by symbol, and says of every symbol whether it may come next: a yes or
no each, p > 1/2, trained on the sets of legal symbols. A step is right where it says yes to all
legal symbols and to no other, a string where all of its steps are right. (Hochreiter and
Schmidhuber showed the net only which symbol came, and counted a step as right where the legal ones
had the highest scores; a step that is right here is right there.)

    Reber, embedded    the second symbol, T or P, comes again after four Reber strings in between
    brackets           of three kinds, at most four open; trained on 100, tested on 400 in a string

An LSTM and a tanh RNN of the same number of units make the same number of training steps. A third
net, an RNN of about as many parameters as the LSTM and so twice as wide, is reported with them.
Both languages have finitely many states, and with units enough an RNN, too, learns the brackets,
and with some seeds even to keep T or P, for which nothing pays on the way.

Then one looks inside, at one unit each, picked by a rule:

    Reber       two strings that differ in the outer symbol alone exchange one unit's h and c after
                five symbols; the unit with which most answers go over to the other symbol
    brackets    the unit whose c_t goes most with the number of open brackets
    text        the units whose tanh(c_t) goes most with being inside of "quotes", and with the
                place in a word

("goes with": the largest correlation, of either sign). The text is the Python manual.

With seed 0 the first one's forget gate closes at T or P, and what is written there then stays: f at
1, i near 0 but for where an inner string begins or ends, which it counts on top of it. That of the
quotes closes at every quotation mark, and writes one sign within them and the other one outside.

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
from common import Result, arguments, characters, learn
from grammars import BRACKETS, REBER, Strings, brackets, depths, reber
from svg import border, colours, image, page, text
from tinygrad_rnn.backprop import expanded
from tinygrad_rnn.graph import ancestors
from tinygrad_rnn.text import LanguageModel, Streams, Vocabulary

UNITS, BATCH = 32, 32
NETS = {"LSTM": ("lstm", UNITS), "RNN": ("rnn", UNITS), "RNN, as many parameters": ("rnn", 66)}
EXCHANGED = 5  # after how many symbols units are exchanged: always within the first inner string
ROWS = {
    "f_t": "forget f",
    "i_t": "input i",
    "g_t": "to write g",
    "c_t": "cell c",
    "o_t": "output o",
}  # what a step's graph calls them, and what the picture does
T_OR_P = [REBER.index(symbol) for symbol in "TP"]

# ── the nets, and what is inside ─────────────────────────────────────────────────────────


class Task(NamedTuple):
    """Strings to learn (``draw``: a batch), others to test on, and how a net learns them.

    ``rates`` are by cell; ``forget`` is the LSTM's first forget bias.
    """

    symbols: str
    draw: Callable[[], Strings]
    test: Strings
    rates: dict[str, float]
    forget: float


def trained(name: str, task: Task, steps: int, rng: np.random.Generator) -> LanguageModel:
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


def gates(model: LanguageModel, ids: np.ndarray) -> dict[str, np.ndarray]:
    """f_t, i_t, g_t, c_t, o_t, (T, N, H) each, while it reads ids (T, N): the graph holds them."""
    logits, _ = model(ids, unroll=True)
    held = {name: np.empty((*ids.shape, model.recurrent.hidden_size)) for name in ROWS}
    for node in ancestors(expanded([logits.node])):
        if node.name in held:
            held[node.name][node.scope.step] = node.output
    return held


def scores(model: LanguageModel, ids: np.ndarray, state: Any = None) -> np.ndarray:
    """(T, N, V) the logits."""
    with tg.no_grad():
        logits, _ = model(ids, state)
        return logits.data


def exchanged(model: LanguageModel, ids: np.ndarray, others: np.ndarray, unit: int) -> np.ndarray:
    """The logits for strings that, on the way, get a unit's h and c from others, (T, N) as well."""
    before, after = ids[:EXCHANGED], ids[EXCHANGED:]
    with tg.no_grad():
        (_, own), (_, foreign) = model(before), model(others[:EXCHANGED])
    taken = np.arange(model.recurrent.hidden_size) == unit
    state = tuple(np.where(taken, b.data, a.data) for a, b in zip(own, foreign, strict=True))
    return np.concatenate([scores(model, before), scores(model, after, state)])


# ── what is right ────────────────────────────────────────────────────────────────────────


def right(logits: np.ndarray, strings: Strings) -> np.ndarray:
    """(T, N) whether the symbols it says yes to are the legal ones; True past a string's end."""
    return ((logits > 0) == (strings.legal > 0)).all(axis=-1) | ~strings.within


def but_outer(strings: Strings) -> np.ndarray:
    """(T, N) the steps within the strings, without the one after which the outer symbol comes."""
    return strings.within & (np.arange(len(strings.ids))[:, None] != strings.lengths - 2)


def outer_right(logits: np.ndarray, strings: Strings) -> float:
    """How often, of T and P, the outer symbol's score is the higher one when it has to come."""
    when = strings.lengths - 2, np.arange(len(strings.lengths))
    said = logits[when][:, T_OR_P].argmax(axis=-1)
    return float((np.take(T_OR_P, said) == strings.ids[1]).mean())


def follows(values: np.ndarray, feature: np.ndarray) -> tuple[int, float]:
    """The unit whose values (..., H) go most with a feature (...), and their correlation."""
    x = values.reshape(-1, values.shape[-1])
    y = feature.reshape(-1) - feature.mean()
    x = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-12)
    r = y @ x / (len(y) * y.std())
    unit = int(np.abs(r).argmax())
    return unit, float(r[unit])


# ── the tasks ────────────────────────────────────────────────────────────────────────────


def reber_task(rng: np.random.Generator, quick: bool) -> Task:
    data, draws = rng.spawn(2)
    known, new = (1000, 200) if quick else (4000, 1000)
    strings = reber(data, known + new, inner=1 if quick else 4)
    test, training = np.split(np.arange(known + new), [new])
    return Task(
        REBER,
        lambda: strings.some(draws.choice(training, BATCH)),
        strings.some(test),
        {"lstm": 0.015, "rnn": 0.005},
        forget=5,  # f near 0.993: half of what is written is there after 100 steps
    )


def bracket_task(rng: np.random.Generator, quick: bool) -> Task:
    T, depth = (20, 2) if quick else (100, 4)
    draws, test = rng.spawn(2)
    return Task(
        BRACKETS,
        lambda: brackets(draws, T, BATCH, depth),
        brackets(test, 4 * T, 500, depth),
        {"lstm": 0.02, "rnn": 0.005},  # with 0.0025, 0.01 or 0.02 the RNN gets fewer strings right
        forget=1,
    )


def in_quotes(read: str) -> np.ndarray:
    """1 from a quotation mark on to the last character before the next one in its line."""
    inside = np.zeros(len(read))
    for match in re.finditer(r'"[^"\n]+"', read):
        inside[match.start() : match.end() - 1] = 1
    return inside


def place_in_word(read: str) -> np.ndarray:
    """1 at a word's first letter, 2 at the second; 0 outside of words."""
    places = np.zeros(len(read))
    for match in re.finditer(r"\w+", read):
        places[slice(*match.span())] = np.arange(1, len(match[0]) + 1)
    return places


# ── the picture ──────────────────────────────────────────────────────────────────────────

SQUARE = 13


class Panel(NamedTuple):
    """What one unit did: a title, the symbols read, and what ``gates`` says of them (T, H)."""

    title: str
    symbols: str
    held: dict[str, np.ndarray]
    unit: int


def draw_panel(panel: Panel, left: float, top: float) -> list[str]:
    rows = np.array([panel.held[name][:, panel.unit] for name in ROWS])
    largest = np.abs(rows).max(axis=1)
    cell = list(ROWS).index("c_t")
    rows[cell] /= largest[cell]
    parts = [text(left, top - 22, panel.title, "start")]
    parts += [
        text(left + SQUARE * (t + 0.5), top - 5, symbol)
        for t, symbol in enumerate(panel.symbols)
        if symbol != " "
    ]
    for k, (name, label) in enumerate(ROWS.items()):
        scale = f" (±{largest[k]:.1f})" if name == "c_t" else ""
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
    title = "One unit at a time: white 0, red 1, blue -1; c by its own scale"
    page(path, width, top + len(panels) * high - 40, title, parts)


# ── measured ─────────────────────────────────────────────────────────────────────────────


def compared(task: Task, steps: int, rng: np.random.Generator) -> tuple[dict, dict]:
    """Every net, trained, and its logits for the test strings."""
    nets = {name: trained(name, task, steps, rng) for name in NETS}
    logits = {name: scores(model, task.test.ids) for name, model in nets.items()}
    for name, said in logits.items():
        is_right = right(said, task.test)
        size = sum(parameter.size for parameter in nets[name].parameters())
        print(
            f"  {name:<24}{size:6,} parameters; right {is_right[task.test.within].mean():9.3%} of "
            f"the steps, {is_right.all(axis=0).mean():6.1%} of the strings"
        )
    return nets, logits


def look_at_reber(model: LanguageModel, strings: Strings) -> tuple[list[Panel], float]:
    """The unit that keeps the outer symbol; how often the answer is right with the wrong one."""
    twins = strings.ids.copy()
    twins[1] = sum(T_OR_P) - twins[1]
    left = [
        outer_right(exchanged(model, strings.ids, twins, unit), strings) for unit in range(UNITS)
    ]
    unit = int(np.argmin(left))
    print(
        f"  unit {unit} from the other string: outer symbol right {left[unit]:.1%}; "
        f"any other unit: >= {min(np.delete(left, unit)):.1%}"
    )
    n = int(np.argsort(strings.lengths)[len(strings.lengths) // 2])  # of the middle length
    ids = strings.ids[: strings.lengths[n], [n, n]]
    ids[[1, -1]] = T_OR_P
    held = gates(model, ids)
    panels = []
    for k, outer in enumerate("TP"):
        one = {name: values[:, k] for name, values in held.items()}
        title = f"Reber, outer symbol {outer}: the unit that keeps it"
        panels.append(Panel(title, "".join(REBER[j] for j in ids[:, k]), one, unit))
    return panels, left[unit]


def look_at_brackets(model: LanguageModel, strings: Strings) -> tuple[Panel, float]:
    """The unit that follows the depth, and its correlation."""
    few = strings.some(np.arange(50))
    held = gates(model, few.ids)
    unit, r = follows(held["c_t"], depths(few))
    steps = np.diff(held["c_t"][..., unit], axis=0)
    opening, closing = (steps[few.ids[1:] < 3].mean(), steps[few.ids[1:] >= 3].mean())
    print(f"  unit {unit}: correlation of c and depth {r:.3f}")
    print(f"  an opening bracket adds {opening:+.2f} to c, a closing one {closing:+.2f}")
    shown = slice(0, 64)
    read = "".join(BRACKETS[k] for k in few.ids[shown, 0])
    one = {name: values[shown, 0] for name, values in held.items()}
    return Panel("Brackets: the unit that follows the depth", read, one, unit), r


def look_at_text(model: LanguageModel, vocabulary: Vocabulary, ids: np.ndarray) -> list[Panel]:
    """The units that follow quotes and words, over the first line with two pairs of quotes."""
    read = vocabulary.decode(ids)
    held = {name: values[:, 0] for name, values in gates(model, ids[:, None]).items()}
    line = re.search(r'(?=\S)([^"\n]*"[^"\n]+"){2}[^"\n]*', read)
    shown = slice(*line.span())
    features = {"quotes": in_quotes(read), "the place in a word": place_in_word(read)}
    panels = []
    for what, feature in features.items():
        unit, r = follows(np.tanh(held["c_t"]), feature)
        print(f"  unit {unit}: correlation of tanh(c) with {what} {r:.2f}")
        one = {name: values[shown] for name, values in held.items()}
        panels.append(Panel(f"Text: the unit that follows {what}", read[shown], one, unit))
    return panels


def main(argv: Sequence[str] | None = None) -> Result:
    args = arguments(argv, __doc__)
    quick = args.quick
    of_reber, of_brackets, of_text = np.random.default_rng(args.seed).spawn(3)

    print("Reber")
    task = reber_task(of_reber, quick)
    nets, logits = compared(task, 300 if quick else 3000, of_reber)
    outer = {name: outer_right(said, task.test) for name, said in logits.items()}
    rest = {name: right(said, task.test)[but_outer(task.test)] for name, said in logits.items()}
    for name in NETS:
        print(f"  {name:<24}outer symbol right {outer[name]:.1%}, all else {rest[name].mean():.3%}")
    steps_right = right(logits["LSTM"], task.test)[task.test.within]
    panels, crossed = look_at_reber(nets["LSTM"], task.test)

    print("Brackets")
    task = bracket_task(of_brackets, quick)
    nets, logits = compared(task, 200 if quick else 2000, of_brackets)
    whole = {name: right(said, task.test).all(axis=0).mean() for name, said in logits.items()}
    panel, r = look_at_brackets(nets["LSTM"], task.test)

    print("Text")
    vocabulary, training, held_out = characters()
    model = LanguageModel(len(vocabulary), 32, 32 if quick else 96, rng=of_text)
    steps = 100 if quick else 1200
    windows, test = Streams(training, 32, 64), Streams(held_out, 32, 64)
    [(_, bits)] = learn(model, windows, steps, 0.01, test, steps)
    print(f"  {bits:.2f} bits per character, held out")
    of_words = look_at_text(model, vocabulary, held_out[: 1000 if quick else 4000])
    picture(args.out / "e15_lstm_gates.svg", [*panels, panel, *of_words])

    if quick:
        checks = {
            "Reber, one string inside: the LSTM's steps 97 % right, but for the outer symbol": bool(
                rest["LSTM"].mean() >= 0.97
            ),
            "brackets: the LSTM reads 90 % of the whole strings right": bool(whole["LSTM"] >= 0.9),
            "a unit's c follows the depth: |r| >= 0.5": abs(r) >= 0.5,
            "text: below 4 bits per character": bits < 4,
        }
    else:
        checks = {
            "Reber: the LSTM names all legal symbols, and no other": bool(steps_right.all()),
            "Reber: the RNN's outer symbol below 80 %": outer["RNN"] < 0.8,
            "brackets: the LSTM reads 90 % of the whole strings right": bool(whole["LSTM"] >= 0.9),
            "brackets: the RNN at least 10 points less": bool(whole["RNN"] <= whole["LSTM"] - 0.1),
        }
    wide = "RNN, as many parameters"
    return Result(
        measured=f"Reber: LSTM {steps_right.mean():.2%} of the steps, outer symbol RNN "
        f"{outer['RNN']:.1%} (as many parameters: {outer[wide]:.1%}), LSTM {outer['LSTM']:.1%}, "
        f"with one unit exchanged {crossed:.1%}; whole strings of brackets LSTM "
        f"{whole['LSTM']:.1%}, RNN {whole['RNN']:.1%} (as many parameters: {whole[wide]:.1%}); "
        f"a unit's c and the depth: r = {r:.2f}",
        checks=checks,
    ).report()


if __name__ == "__main__":
    main()
