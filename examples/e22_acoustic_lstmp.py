"""An acoustic model: the phone of every frame of speech, by an LSTM with and without projection.

    LSTM     i, f, o = sigmoid(W x_t + U h_{t-1} + b)    g = tanh(W' x_t + U' h_{t-1} + b')
             c_t = f c_{t-1} + i g                       h_t = o tanh(c_t)
    LSTMP    the same, but for                           h_t = R (o tanh(c_t))
    answer   y_t = softmax(V h_t)                        the phone of frame t - 5

With n cells, inputs of length d and gates that see h_t whole, an LSTM has 4n(d + n + 2) parameters:
every further cell costs more than the one before. A projection R to r numbers makes that
4n(d + r + 2) + rn: in the place of 96 cells 264, at the same number of parameters. What they tell
each other has to go through r = 20 numbers, and so has the answer.

Speech is generated (see formants.py): three formants glide from phone to phone, by speakers of whom
each has a vocal tract, a loudness and a microphone of its own; nobody in the test was heard in
training. One frame cannot show what a phone is: while a stop lasts, nothing sounds; a nasal is a
murmur; and a "w" is a "uw" in passing. An MLP of as many parameters, on single frames, shows how
far one gets without memory. The answers come five frames late, which lets a net that reads forward
hear a little of what follows.

The three nets see the same frames in the same steps. In the paper, with millions of parameters, the
projection gains accuracy. Here it neither gains nor loses any: 2.75 times the cells, about as many
frames right, and a step that takes longer, for what is done cell by cell is done for more of them.

Source: Sak, Senior and Beaufays, arXiv:1402.1128, sec. 2 (projection) and 3 (frames of 10 ms, the
delay by 5); "Long Short-Term Memory Recurrent Neural Network Architectures for Large Scale Acoustic
Modeling", Interspeech 2014.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import tinygrad_rnn as tg
from common import Result, arguments
from formants import CHANNELS, KINDS, NAMES, Speech, speech
from svg import WRONG, border, image, inset, page, text
from tinygrad_rnn.viz.curve import HEIGHT, curves

T, BATCH = 80, 32  # frames of an utterance, utterances of a step
DELAY = 5  # frames
LR = 0.01

# ── the nets ─────────────────────────────────────────────────────────────────────────────


class Acoustic(tg.nn.Module):
    """Frames (T, N, CHANNELS) -> scores (T - DELAY, N, phones), each given DELAY frames late."""

    def __init__(self, cells: int, projection: int, rng: np.random.Generator):
        self.lstm = tg.nn.LSTM(CHANNELS, cells, proj_size=projection, rng=rng)
        self.out = tg.nn.Linear(projection or cells, len(NAMES), rng=rng)
        if projection:  # by default R and U are as small as if each saw all cells: too small
            for name, weight in self.lstm.named_parameters():
                if weight.ndim == 2:
                    gates = 1 if name.startswith("weight_hr") else 4
                    weight.data = tg.nn.init.xavier(weight.shape, gates=gates, rng=rng)

    def forward(self, frames: np.ndarray) -> tg.Tensor:
        h, _ = self.lstm(frames)
        return self.out(h[DELAY:])


class Memoryless(tg.nn.Module):
    """The same from each frame alone. It need not wait."""

    def __init__(self, units: int, rng: np.random.Generator):
        self.mlp = tg.nn.Sequential(
            tg.nn.Linear(CHANNELS, units, rng=rng),
            tg.relu,
            tg.nn.Linear(units, units, rng=rng),
            tg.relu,
            tg.nn.Linear(units, len(NAMES), rng=rng),
        )

    def forward(self, frames: np.ndarray) -> tg.Tensor:
        return self.mlp(frames[:-DELAY])


UNITS, CELLS, PROJECTED_CELLS, PROJECTION = 196, 96, 264, 20


def nets(rng: np.random.Generator) -> dict[str, tg.nn.Module]:
    """The three of them, with the same number of parameters to a percent."""
    return {
        "MLP": Memoryless(UNITS, rng),
        "LSTM": Acoustic(CELLS, 0, rng),
        "LSTMP": Acoustic(PROJECTED_CELLS, PROJECTION, rng),
    }


# ── measured ─────────────────────────────────────────────────────────────────────────────


def cross_entropy(model: tg.nn.Module, of: Speech) -> tg.Tensor:
    scores = model(of.frames).reshape(-1, len(NAMES))
    return tg.nn.cross_entropy(scores, of.phones[:-DELAY].reshape(-1))


def train(
    model: tg.nn.Module, seed: np.random.SeedSequence, steps: int, measured: int, unseen: Speech
) -> list[tuple[int, float]]:
    """Adam on new speakers in every step.

    Args:
        model: changed.
        seed: of the speech; the same one gives every net the same.
        steps: how many, of BATCH utterances each.
        measured: how often on the way.
        unseen: what is measured on. Nothing is chosen by it.

    Returns:
        Pairs of how many steps were made, and the percentage of ``unseen`` that is right then.
    """
    rng = np.random.default_rng(seed)
    optimizer = tg.optim.Adam(model.parameters())
    curve = []
    for k in range(steps):
        optimizer.lr = tg.optim.cosine_lr(k, LR, steps)  # falls along half a cosine
        loss = cross_entropy(model, speech(T, BATCH, rng))
        optimizer.zero_grad()
        loss.backward()
        tg.optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if (k + 1) % (steps // measured) == 0:
            curve.append((k + 1, 100 * float(right(model, unseen).mean())))
    return curve


def posteriors(model: tg.nn.Module, frames: np.ndarray) -> np.ndarray:
    """(T - DELAY, N, phones) how likely each phone is in each frame."""
    with tg.no_grad():
        return tg.softmax(model(frames)).data


def right(model: tg.nn.Module, of: Speech) -> np.ndarray:
    """(T - DELAY, N) in which frames the likeliest phone is the true one."""
    return posteriors(model, of.frames).argmax(-1) == of.phones[:-DELAY]


def milliseconds(model: tg.nn.Module, of: Speech) -> float:
    """Of processor time, forward and back: the least of five."""
    least = np.inf
    for _ in range(5):
        start = time.process_time()
        cross_entropy(model, of).backward()
        least = min(least, time.process_time() - start)
    model.zero_grad()
    return 1000 * least


def kind(phones: np.ndarray) -> np.ndarray:
    """Which of KINDS each phone is of, from 0."""
    return np.searchsorted(np.cumsum(list(KINDS.values())), phones, side="right")


def picture(path: Path, heard: Speech, likely: dict[str, np.ndarray], chart: str) -> None:
    """An utterance, what each net takes its frames for, and how the nets learned.

    Args:
        path: the SVG file.
        heard: one utterance, frames (T, CHANNELS) and phones (T,).
        likely: by the name of a net, the posteriors (T - DELAY, phones).
        chart: an SVG file's text.
    """
    frames, phones = heard
    left, scale, y = 84, 10, 76
    begins = [0, *(np.flatnonzero(np.diff(phones)) + 1).tolist()]
    spans = list(zip(begins, [*begins[1:], len(phones)], strict=True))
    parts = [text(left - 8, y - 10, "true", "end")]
    for begin, end in spans:
        parts.append(text(left + scale * (begin + end) / 2, y - 10, NAMES[phones[begin]]))
        parts.append(border(left + scale * begin, y - 24, scale * (end - begin), 20))
    loud = (frames - frames.min()) / np.ptp(frames)
    parts.append(image(left, y, scale, 1 - loud.T[::-1]))
    parts += [text(left - 8, y + 12, "4 kHz", "end")]
    parts += [text(left - 8, y + scale * CHANNELS - 2, "150 Hz", "end")]
    y += scale * CHANNELS + 36
    for name, p in likely.items():
        parts.append(text(left, y - 8, f"{name}: how likely each phone is", "start"))
        parts.append(image(left, y, scale, 1 - p.T))
        parts.append(border(left, y, scale * len(p), scale * len(NAMES)))
        for k, phone in enumerate(NAMES):  # in two columns: a row is narrower than a letter is high
            parts.append(text(left - 8 - 30 * (k % 2), y + scale * (k + 1), phone, "end"))
        for begin, end in spans:
            end = min(end, len(p))
            if begin < end:
                x, row = left + scale * begin, y + scale * int(phones[begin])
                parts.append(border(x, row, scale * (end - begin), scale, WRONG))
        y += scale * len(NAMES) + 36
    parts.append(inset(chart, y - 16))
    title = (
        "A speaker never heard before, and the phone of every frame (outlined in red: the truth)"
    )
    page(path, left + scale * len(phones) + 20, y - 16 + HEIGHT, title, parts)


def main(argv: Sequence[str] | None = None) -> Result:
    args = arguments(argv, __doc__)
    steps, measured, speakers = (100, 2, 200) if args.quick else (1200, 12, 1000)
    weights, training, test = np.random.SeedSequence(args.seed).spawn(3)
    unseen = speech(T, speakers, np.random.default_rng(test))
    few, batch = (Speech(unseen.frames[:, :n], unseen.phones[:, :n]) for n in (200, BATCH))
    models = nets(np.random.default_rng(weights))
    sizes = {name: sum(p.size for p in net.parameters()) for name, net in models.items()}

    of_kind = kind(unseen.phones[:-DELAY])
    curve, hits, kinds, ms = {}, {}, {}, {}
    print(f"{'':<8}parameters  ms a step      all" + "".join(f"{of:>9}" for of in KINDS))
    for name, net in models.items():
        curve[name] = train(net, training, steps, measured, few)
        hits[name] = right(net, unseen)
        kinds[name] = {of: float(hits[name][of_kind == k].mean()) for k, of in enumerate(KINDS)}
        ms[name] = milliseconds(net, batch)
        print(
            f"{name:<8}{sizes[name]:>10,}{ms[name]:>11.1f}{hits[name].mean():>9.1%}"
            + "".join(f"{share:>9.1%}" for share in kinds[name].values()),
            flush=True,
        )
    share = {name: float(hit.mean()) for name, hit in hits.items()}
    by_speaker = 100 * (hits["LSTMP"].mean(0) - hits["LSTM"].mean(0))
    gain, error = float(by_speaker.mean()), float(by_speaker.std() / np.sqrt(speakers))
    print(
        f"LSTMP over LSTM: {gain:+.2f} points, standard error {error:.2f} over {speakers} speakers"
    )

    shown = int(np.argmax([len(np.unique(said)) for said in of_kind.T]))  # most kinds
    one = unseen.frames[:, [shown]]
    picture(
        args.out / "e22_acoustic_lstmp.svg",
        Speech(one[:, 0], unseen.phones[:, shown]),
        {name: posteriors(net, one)[:, 0] for name, net in models.items()},
        curves("Learning", "% of the frames of unseen speakers that are right", curve),
    )
    memory = min(share["LSTM"], share["LSTMP"])
    stops = min(kinds["LSTM"]["stops"], kinds["LSTMP"]["stops"])
    least, apart = (0.68, 0.08) if args.quick else (0.94, 0.25)
    checks = {
        "parameters: the same number to 1 %": max(sizes.values()) <= 1.01 * min(sizes.values()),
        f"LSTM and LSTMP: at least {least:.0%} of the frames": memory >= least,
        f"MLP: at least {100 * apart:.0f} points lower": share["MLP"] <= memory - apart,
        "MLP: does not hear which stop it is, at most 40 % (chance 33 %)": (
            kinds["MLP"]["stops"] <= 0.4
        ),
    }
    if not args.quick:
        checks["LSTM and LSTMP: at least 80 % of the stops"] = stops >= 0.8
        checks["LSTMP: within 1 point of the LSTM"] = abs(gain) <= 1
    return Result(
        measured=f"LSTM {share['LSTM']:.1%} ({CELLS} cells, {ms['LSTM']:.0f} ms a step), LSTMP "
        f"{share['LSTMP']:.1%} ({PROJECTED_CELLS} cells, {ms['LSTMP']:.0f} ms), MLP "
        f"{share['MLP']:.1%}; LSTMP over LSTM {gain:+.2f} points, standard error {error:.2f}",
        checks=checks,
    ).report()


if __name__ == "__main__":
    main()
