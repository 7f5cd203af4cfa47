"""Generated speech for e22_acoustic_lstmp: formants that glide from phone to phone.

The speech comes as frames of a filter bank. A formant is a resonance of the vocal tract. A phone
has target frequencies for the first three formants, and a loudness. The loudness changes at once,
but the tongue takes time to move, so the formants glide from phone to phone. A stop is silent while
it lasts. One can only hear which stop it is from the way the vowels around it end and begin.

    F_k(t)    = s times the geometric mean of the targets around t  s: larger for a shorter tract
    |H(t, f)| = product over k of 1 / |1 - (f / F_k)^2 + j B_k f / F_k^2|
    x(t, f)   = log(g(f) L(t) |H(t, f)|^2 + floor) + noise          L: loudness, g: the voice

There is no pitch: the frames hold the resonances, without the harmonics of a voice.

Sources: the vowels are close to the averages for men in Peterson and Barney, "Control Methods Used
in a Study of the Vowels", JASA 24 (1952), table II. The other phones are rougher: for the second
formant of a closed mouth see Delattre, Liberman and Cooper, "Acoustic Loci and Transitional Cues
for Consonants", JASA 27 (1955). Resonances in series: Klatt, "Software for a Cascade/Parallel
Formant Synthesizer", JASA 67 (1980).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

#: The targets of F1, F2 and F3 in Hz, and the loudness in decibels. The order is that of ``KINDS``.
PHONES: dict[str, tuple[float, float, float, float]] = {
    "iy": (270, 2290, 3010, 0),  # heed
    "ih": (390, 1990, 2550, 0),  # hid
    "eh": (530, 1840, 2480, 0),  # head
    "ae": (660, 1720, 2410, 0),  # had
    "ah": (640, 1190, 2390, 0),  # hud
    "aa": (730, 1090, 2440, 0),  # hod
    "ao": (570, 840, 2410, 0),  # hawed
    "uh": (440, 1020, 2240, 0),  # hood
    "uw": (300, 870, 2240, 0),  # who'd
    "er": (490, 1350, 1690, 0),  # heard
    "b": (200, 720, 2200, -60),
    "d": (200, 1800, 2600, -60),
    "g": (200, 2600, 2800, -60),
    "m": (250, 720, 2200, -12),
    "n": (250, 1800, 2600, -12),
    "ng": (250, 2600, 2800, -12),
    "w": (300, 700, 2200, -3),
    "r": (350, 1100, 1500, -3),
    "l": (380, 1150, 2700, -3),
    "y": (280, 2250, 3000, -3),
}
NAMES = list(PHONES)
KINDS = {"vowels": 10, "stops": 3, "nasals": 3, "glides": 4}
VOWELS = KINDS["vowels"]

CHANNELS = 16
BANDWIDTHS = (90.0, 130.0, 190.0)  # Hz, B_k of the formants
LASTS = {"vowel": (8, 17), "consonant": (5, 11)}  # in frames of 10 ms: at least, less than
GLIDE = 9  # the targets are averaged over so many frames
SHORTEST_TRACT = 1.35  # a child's formants are higher than a man's by this factor
FLOOR, NOISE = -25.0, 3.0  # decibels


class Speech(NamedTuple):
    """Frames (T, N, CHANNELS) float32, in units of 20 decibels; the phone of each (T, N)."""

    frames: np.ndarray
    phones: np.ndarray


def channels() -> np.ndarray:
    """Return the centre frequencies in Hz, evenly spaced on the mel scale from 150 to 4000.

    Source: m = 2595 log10(1 + f / 700): O'Shaughnessy, "Speech Communication" (1987), p. 150.
    """
    low, high = (2595 * np.log10(1 + f / 700) for f in (150, 4000))
    return 700 * (10 ** (np.linspace(low, high, CHANNELS) / 2595) - 1)


def speech(T: int, count: int, rng: np.random.Generator) -> Speech:
    """Draw utterances of T frames, each by another speaker: vowels and consonants in turn."""
    turn = np.arange(T // 6 + 2) + rng.integers(2, size=(count, 1))
    vowel = turn % 2 == 0
    order = np.where(
        vowel,
        rng.integers(VOWELS, size=vowel.shape),
        rng.integers(VOWELS, len(NAMES), size=vowel.shape),
    )
    lasts = np.where(
        vowel,
        rng.integers(*LASTS["vowel"], size=vowel.shape),
        rng.integers(*LASTS["consonant"], size=vowel.shape),
    )
    ends = lasts.cumsum(1) - rng.integers(5, size=(count, 1))  # the first phone began before t = 0
    speaker, place = np.arange(count), (np.arange(T)[:, None, None] >= ends).sum(-1)
    phones = order[speaker, place]

    targets = np.log([row[:3] for row in PHONES.values()])[order]
    targets = targets + rng.normal(0, 0.05, size=targets.shape)  # no two phones sound the same
    shorter = rng.uniform(0, np.log(SHORTEST_TRACT), size=(count, 1))
    formants = np.exp(shorter + _averaged(targets[speaker, place]))
    loudness = np.array([row[3] for row in PHONES.values()])[phones][..., None]
    frames = _heard(formants, loudness + _voice(count, rng))
    noise = NOISE * rng.standard_normal(frames.shape, dtype=np.float32)
    return Speech((frames + noise) / 20, phones)


def _averaged(track: np.ndarray) -> np.ndarray:
    """Average each frame with its neighbours, GLIDE frames in all; near frames weigh most.

    Before the first frame and after the last one the track counts as constant.
    """
    weights = np.hanning(GLIDE + 2)[1:-1]
    half = GLIDE // 2
    padded = np.pad(track, ((half, half), (0, 0), (0, 0)), mode="edge")
    moved = (w * padded[k : k + len(track)] for k, w in enumerate(weights / weights.sum()))
    return sum(moved, start=np.zeros_like(track))


def _voice(count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw how loud and how bright each speaker is, (count, CHANNELS) in decibels."""
    octaves = np.log2(channels() / 1000)
    return rng.uniform(-6, 6, size=(count, 1)) + rng.uniform(-3, 3, size=(count, 1)) * octaves


def _heard(formants: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Return the energy in decibels (T, N, CHANNELS) of formants (T, N, 3) in Hz at a level."""
    f, formants = channels().astype(np.float32), formants[..., None].astype(np.float32)
    widths = np.array(BANDWIDTHS, np.float32)[:, None]
    square = (f / formants) ** 2
    damping = np.prod((1 - square) ** 2 + square * (widths / formants) ** 2, axis=-2)
    energy = 10 ** (level / 10).astype(np.float32) / damping + np.float32(10 ** (FLOOR / 10))
    return 10 * np.log10(energy)
