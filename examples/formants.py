"""Generated speech: formants that move from phone to phone, as frames of a filter bank.

What e22_acoustic_lstmp listens to. A phone is where the first three resonances of the vocal tract,
its formants, want to be, and how loud it is; the mouth opens and closes at once, the tongue takes
time. So formants glide between phones, and what a stop is (nothing sounds while it lasts) can only
be heard in how the vowels around it end and begin.

    F_k(t)    = s times the geometric mean of its targets around t  s: how short the vocal tract is
    |H(t, f)| = product over k of 1 / |1 - (f / F_k)^2 + j B_k f / F_k^2|
    x(t, f)   = log(g(f) L(t) |H(t, f)|^2 + floor) + noise          L: of the phone, g: of the voice

There is no pitch: heard are the resonances alone, not the harmonics of a voice.

Sources: the vowels: about what men said on average to Peterson and Barney, "Control Methods Used in
a Study of the Vowels", JASA 24 (1952), table II; the rest is rounder: the second formant that a
closed mouth points to: Delattre, Liberman and Cooper, "Acoustic Loci and Transitional Cues for
Consonants", JASA 27 (1955); resonances in a row: Klatt, "Software for a Cascade/Parallel Formant
Synthesizer", JASA 67 (1980).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

#: Targets of F1, F2 and F3 in Hz, and the loudness in decibels, in the order of ``KINDS``.
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
LASTS = {"vowel": (8, 17), "consonant": (5, 11)}  # frames of 10 ms: at least, less than
GLIDE = 9  # frames over which the targets are averaged
SHORTEST_TRACT = 1.35  # by this a child's formants lie higher than a man's
FLOOR, NOISE = -25.0, 3.0  # decibels


class Speech(NamedTuple):
    """Frames (T, N, CHANNELS) float32, in units of 20 decibels; the phone of each (T, N)."""

    frames: np.ndarray
    phones: np.ndarray


def channels() -> np.ndarray:
    """The middle frequencies in Hz: evenly on the mel scale, from 150 to 4000.

    Source: m = 2595 log10(1 + f / 700): O'Shaughnessy, "Speech Communication" (1987), p. 150.
    """
    low, high = (2595 * np.log10(1 + f / 700) for f in (150, 4000))
    return 700 * (10 ** (np.linspace(low, high, CHANNELS) / 2595) - 1)


def speech(T: int, count: int, rng: np.random.Generator) -> Speech:
    """Utterances of T frames, each by a speaker of its own: vowels and consonants in turn."""
    turn = np.arange(T // 6 + 2) + rng.integers(2, size=(count, 1))
    vowel = turn % 2 == 0
    said = np.where(
        vowel,
        rng.integers(VOWELS, size=vowel.shape),
        rng.integers(VOWELS, len(NAMES), size=vowel.shape),
    )
    lasts = np.where(
        vowel,
        rng.integers(*LASTS["vowel"], size=vowel.shape),
        rng.integers(*LASTS["consonant"], size=vowel.shape),
    )
    ends = lasts.cumsum(1) - rng.integers(5, size=(count, 1))  # the first one has begun before
    who, which = np.arange(count), (np.arange(T)[:, None, None] >= ends).sum(-1)
    phones = said[who, which]

    targets = np.log([row[:3] for row in PHONES.values()])[said]
    targets = targets + rng.normal(0, 0.05, size=targets.shape)  # nobody says it twice alike
    shorter = rng.uniform(0, np.log(SHORTEST_TRACT), size=(count, 1))
    formants = np.exp(shorter + _averaged(targets[who, which]))
    loudness = np.array([row[3] for row in PHONES.values()])[phones][..., None]
    frames = _heard(formants, loudness + _voice(count, rng))
    noise = NOISE * rng.standard_normal(frames.shape, dtype=np.float32)
    return Speech((frames + noise) / 20, phones)


def _averaged(track: np.ndarray) -> np.ndarray:
    """Over GLIDE frames around each, the nearest ones most; past an end it stays as it is."""
    weights = np.hanning(GLIDE + 2)[1:-1]
    half = GLIDE // 2
    padded = np.pad(track, ((half, half), (0, 0), (0, 0)), mode="edge")
    moved = (w * padded[k : k + len(track)] for k, w in enumerate(weights / weights.sum()))
    return sum(moved, start=np.zeros_like(track))


def _voice(count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, CHANNELS) how loud each speaker is, and how bright, in decibels."""
    octaves = np.log2(channels() / 1000)
    return rng.uniform(-6, 6, size=(count, 1)) + rng.uniform(-3, 3, size=(count, 1)) * octaves


def _heard(formants: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Decibels (T, N, CHANNELS) of resonances (T, N, 3) in Hz, excited at a level."""
    at, formants = channels().astype(np.float32), formants[..., None].astype(np.float32)
    wide = np.array(BANDWIDTHS, np.float32)[:, None]
    square = (at / formants) ** 2
    damped = np.prod((1 - square) ** 2 + square * (wide / formants) ** 2, axis=-2)
    energy = 10 ** (level / 10).astype(np.float32) / damped + np.float32(10 ** (FLOOR / 10))
    return 10 * np.log10(energy)
