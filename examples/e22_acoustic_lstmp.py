"""An acoustic model: the phone of every frame of speech, by an LSTM with and without projection.

    LSTM     i, f, o = sigmoid(W x_t + U h_{t-1} + b)    g = tanh(W' x_t + U' h_{t-1} + b')
             c_t = f c_{t-1} + i g                       h_t = o tanh(c_t)
    LSTMP    the same, but for                           h_t = R (o tanh(c_t))
    answer   y_t = softmax(V h_t)                        the phone of frame t - 5

With n cells and inputs of length d, an LSTM has 4n(d + n + 2) parameters, because every gate reads
all of h_{t-1}. So each additional cell costs more than the one before. A projection R to r numbers
changes this to 4n(d + r + 2) + rn. With the same number of parameters we get 264 cells instead of
96. But the cells can only exchange r = 20 numbers, and the answer reads only these.

The speech is generated (see formants.py): three formants glide from phone to phone. Each speaker
has a vocal tract, a loudness and a microphone of their own, and no test speaker is in the training.
One frame cannot show which phone it is. A stop is silent while it lasts, a nasal is a murmur, and a
"w" is a short "uw". An MLP on single frames, with as many parameters, shows how well a net does
without memory. The answers come five frames late, so that a net that reads forward hears a little
of the future.

The three nets see the same frames in the same steps. In the paper, with millions of parameters, the
projection improves the accuracy. Here it makes no difference: 2.75 times the cells get about as
many frames right. A step takes longer, because the elementwise work grows with the cells.

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
from svg import WRONG, border, image, inset, page, size_of, text
from tinygrad_rnn.viz import curves

T, BATCH = 80, 32  # frames in an utterance, utterances in a step
DELAY = 5  # frames
LR = 0.01

# ── the nets ─────────────────────────────────────────────────────────────────────────────


class Acoustic(tg.nn.Module):
    """Map frames (T, N, CHANNELS) to scores (T - DELAY, N, phones), each DELAY frames late."""

    def __init__(self, cells: int, projection: int, rng: np.random.Generator):
        self.lstm = tg.nn.LSTM(CHANNELS, cells, proj_size=projection, rng=rng)
        self.out = tg.nn.Linear(projection or cells, len(NAMES), rng=rng)
        # By default R and U get values for inputs as long as the cells: too small here.
        if projection:
            for name, weight in self.lstm.named_parameters():
                if weight.ndim == 2:
                    gates = 1 if name.startswith("weight_hr") else 4
                    weight.data = tg.nn.init.xavier(weight.shape, gates=gates, rng=rng)

    def forward(self, frames: np.ndarray) -> tg.Tensor:
        h, _ = self.lstm(frames)
        return self.out(h[DELAY:])


class Memoryless(tg.nn.Module):
    """An MLP with the same outputs, from each frame alone. It has no delay."""

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
    """Return the three nets; their numbers of parameters differ by at most 1 %."""
    return {
        "MLP": Memoryless(UNITS, rng),
        "LSTM": Acoustic(CELLS, 0, rng),
        "LSTMP": Acoustic(PROJECTED_CELLS, PROJECTION, rng),
    }


# ── training and scores ──────────────────────────────────────────────────────────────────


def cross_entropy(model: tg.nn.Module, utterances: Speech) -> tg.Tensor:
    scores = model(utterances.frames).reshape(-1, len(NAMES))
    return tg.nn.cross_entropy(scores, utterances.phones[:-DELAY].reshape(-1))


def train(
    model: tg.nn.Module, seed: np.random.SeedSequence, steps: int, measured: int, unseen: Speech
) -> list[tuple[int, float]]:
    """Train with Adam, on new speakers in every step.

    Args:
        model: trained in place.
        seed: of the speech; with the same seed every net hears the same.
        steps: the number of steps, of BATCH utterances each.
        measured: how many times to measure during the training.
        unseen: test utterances. They only measure; they choose nothing.

    Returns:
        Pairs of a step and the percentage of ``unseen`` that is right after it.
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
    """Return the probability of each phone in each frame, (T - DELAY, N, phones)."""
    with tg.no_grad():
        return tg.softmax(model(frames)).data


def right(model: tg.nn.Module, utterances: Speech) -> np.ndarray:
    """Return for each frame (T - DELAY, N) whether the likeliest phone is the true one."""
    return posteriors(model, utterances.frames).argmax(-1) == utterances.phones[:-DELAY]


def milliseconds(model: tg.nn.Module, utterances: Speech) -> float:
    """Return the processor time of forward and backward: the shortest of five runs."""
    least = np.inf
    for _ in range(5):
        start = time.process_time()
        cross_entropy(model, utterances).backward()
        least = min(least, time.process_time() - start)
    model.zero_grad()
    return 1000 * least


def kind(phones: np.ndarray) -> np.ndarray:
    """Return the index in KINDS of each phone."""
    return np.searchsorted(np.cumsum(list(KINDS.values())), phones, side="right")


def picture(path: Path, utterance: Speech, answers: dict[str, np.ndarray], chart: str) -> None:
    """Draw an utterance, the answers of each net, and the learning curves.

    Args:
        path: the SVG file.
        utterance: frames (T, CHANNELS) and phones (T,).
        answers: by the name of a net, the posteriors (T - DELAY, phones).
        chart: the SVG text of the learning curves.
    """
    frames, phones = utterance
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
    for name, p in answers.items():
        parts.append(text(left, y - 8, f"{name}: the probability of each phone", "start"))
        parts.append(image(left, y, scale, 1 - p.T))
        parts.append(border(left, y, scale * len(p), scale * len(NAMES)))
        # The labels alternate between two columns, because rows are lower than letters.
        for k, phone in enumerate(NAMES):
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
    page(path, left + scale * len(phones) + 20, y - 16 + size_of(chart)[1], title, parts)


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
    print(f"{'':<8}parameters  ms a step      all" + "".join(f"{name:>9}" for name in KINDS))
    for name, net in models.items():
        curve[name] = train(net, training, steps, measured, few)
        hits[name] = right(net, unseen)
        kinds[name] = {
            label: float(hits[name][of_kind == k].mean()) for k, label in enumerate(KINDS)
        }
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

    # Show the utterance with the most kinds of phones.
    shown = int(np.argmax([len(np.unique(kinds_of_one)) for kinds_of_one in of_kind.T]))
    one = unseen.frames[:, [shown]]
    picture(
        args.out / "e22_acoustic_lstmp.svg",
        Speech(one[:, 0], unseen.phones[:, shown]),
        {name: posteriors(net, one)[:, 0] for name, net in models.items()},
        curves("Learning", "% of frames right, unseen speakers", curve),
    )
    memory = min(share["LSTM"], share["LSTMP"])
    stops = min(kinds["LSTM"]["stops"], kinds["LSTMP"]["stops"])
    least, apart = (0.68, 0.08) if args.quick else (0.94, 0.25)
    checks = {
        "parameters: numbers differ by at most 1 %": max(sizes.values())
        <= 1.01 * min(sizes.values()),
        f"LSTM and LSTMP: at least {least:.0%} of the frames": memory >= least,
        f"MLP: at least {100 * apart:.0f} points lower": share["MLP"] <= memory - apart,
        "MLP: at most 40 % of the stops right (chance 33 %)": (kinds["MLP"]["stops"] <= 0.4),
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
