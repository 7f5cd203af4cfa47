"""The handwritten digits of scikit-learn, split into training and test."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

HELD_OUT = 450  # of 1797


class Digits(NamedTuple):
    """Images (N, 8, 8), float32 from 0 to 1, and their labels (N,)."""

    images: np.ndarray
    labels: np.ndarray


def digits(rng: np.random.Generator) -> tuple[Digits, Digits]:
    """Return the digits for training and the digits for the test, drawn at random.

    Raises:
        ImportError: scikit-learn is not installed.

    Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
    Repository (1998); https://scikit-learn.org/stable/modules/generated/sklearn.datasets.load_digits.html
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ImportError(
            "this example needs the handwritten digits of scikit-learn: "
            "pip install 'tinygrad_rnn[examples]'"
        ) from None
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32).reshape(-1, 8, 8)
    order = rng.permutation(len(labels))
    test, training = order[:HELD_OUT], order[HELD_OUT:]
    return Digits(images[training], labels[training]), Digits(images[test], labels[test])
