"""PyTorch's tutorial "Classifying names with a character-level RNN".

The original: https://docs.pytorch.org/tutorials/intermediate/char_rnn_classification_tutorial.html.
An RNN reads a surname letter by letter, one-hot, and its last state predicts the language. The
tutorial reads each name of a batch separately and takes the mean of the losses. Gradients are
clipped to a norm of 3. Here a padded batch can also be read in one call, which gives the same loss
in a fraction of the time.
"""

from __future__ import annotations

import argparse
import string
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import nn

LETTERS = string.ascii_letters + " .,;'"
NAMES = {
    "Korean": "Kim Lee Park Choi Jeong Kang Cho Yoon Jang Lim Han Oh Seo Shin Kwon Hwang Ahn Song "
    "Ryu Hong Jeon Ko Moon Son Yang Bae Baek Heo Nam Shim Noh Ha Joo Cha Woo Min",
    "Italian": "Rossi Russo Ferrari Esposito Bianchi Romano Colombo Ricci Marino Greco Bruno Gallo "
    "Conti Costa Giordano Mancini Rizzo Lombardi Moretti Barbieri Fontana Santoro Mariani "
    "Rinaldi Caruso Ferrara Galli Martini Leone Longo Gentile Martinelli Vitale Lombardo",
    "Russian": "Ivanov Smirnov Kuznetsov Popov Vasiliev Petrov Sokolov Mikhailov Novikov Fedorov "
    "Morozov Volkov Alekseev Lebedev Semenov Egorov Pavlov Kozlov Stepanov Nikolaev Orlov "
    "Andreev Makarov Nikitin Zakharov Zaitsev Solovyov Borisov Yakovlev Grigoriev Romanov",
    "Polish": "Nowak Kowalski Wisniewski Wojcik Kowalczyk Kaminski Lewandowski Zielinski Szymanski "
    "Wozniak Dabrowski Kozlowski Jankowski Mazur Wojciechowski Kwiatkowski Krawczyk Kaczmarek "
    "Piotrowski Grabowski Zajac Pawlowski Michalski Krol Wieczorek Jablonski Wrobel Nowakowski",
    "Japanese": "Sato Suzuki Takahashi Tanaka Watanabe Ito Yamamoto Nakamura Kobayashi Kato "
    "Yoshida Yamada Sasaki Yamaguchi Matsumoto Inoue Kimura Hayashi Shimizu Yamazaki Mori Abe "
    "Ikeda Hashimoto Yamashita Ishikawa Nakajima Maeda Fujita Ogawa Goto Okada Hasegawa Murakami",
}


def ascii_of(name: str) -> str:
    """Return a name without accents, in the letters that the net knows."""
    plain = unicodedata.normalize("NFD", name)
    return "".join(c for c in plain if unicodedata.category(c) != "Mn" and c in LETTERS)


def one_hot(name: str, dtype: Any = np.float32) -> np.ndarray:
    """Encode a name as (letters, 1, len(LETTERS))."""
    return np.eye(len(LETTERS), dtype=dtype)[[LETTERS.index(c) for c in name], np.newaxis]


class CharRNN(nn.Module):
    """An RNN, and a linear map from its last state to log probabilities of the languages.

    Args:
        hidden: the hidden size.
        languages: the number of languages.
    """

    def __init__(self, hidden: int, languages: int, *, dtype: Any = np.float32, rng: Any = None):
        rng = np.random.default_rng(rng)
        self.rnn = nn.RNN(len(LETTERS), hidden, dtype=dtype, rng=rng)
        self.h2o = nn.Linear(hidden, languages, dtype=dtype, rng=rng)

    def forward(self, x: Any, lengths: Any = None) -> tg.Tensor:
        """x (T, N, letters) -> (N, languages)."""
        _, hidden = self.rnn(x, lengths=lengths)
        return tg.log_softmax(self.h2o(hidden[0]))


def batch_loss(model: CharRNN, names: Sequence[np.ndarray], labels: Sequence[int]) -> tg.Tensor:
    """Return the mean loss of a batch, one name after the other, as in the tutorial."""
    losses = [nn.nll_loss(model(x), [y]) for x, y in zip(names, labels, strict=True)]
    return tg.sum(tg.stack(losses)) / len(losses)


def padded_loss(model: CharRNN, names: Sequence[np.ndarray], labels: Sequence[int]) -> tg.Tensor:
    """Return the same number, from one call with ``lengths``."""
    x = nn.pad_sequence([name[:, 0] for name in names])
    return nn.nll_loss(model(x, [len(name) for name in names]), labels)


def train_step(model: CharRNN, optimizer: tg.optim.Optimizer, loss: tg.Tensor) -> float:
    """Make a step of clipped gradient descent, and return the loss."""
    optimizer.zero_grad()
    loss.backward()
    tg.optim.clip_grad_norm_(model.parameters(), 3.0)
    optimizer.step()
    return float(loss.item())


def main(argv: Sequence[str] | None = None) -> float:
    """Train on three quarters of the names; return the accuracy on the others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few seconds of training")
    args = parser.parse_args(argv)
    languages = list(NAMES)
    data = [
        (one_hot(ascii_of(name)), languages.index(language))
        for language in languages
        for name in NAMES[language].split()
    ]
    rng = np.random.default_rng(0)
    order = rng.permutation(len(data)).tolist()
    test, training = (
        [data[i] for i in part] for part in (order[::4], [i for k, i in enumerate(order) if k % 4])
    )
    model = CharRNN(64 if args.quick else 128, len(languages), rng=0)
    optimizer = tg.optim.SGD(model.parameters(), lr=0.15)
    epochs = 30 if args.quick else 100
    for epoch in range(1, epochs + 1):
        losses = []
        shuffled = rng.permutation(len(training))
        for start in range(0, len(training), 32):
            names, labels = zip(*(training[i] for i in shuffled[start : start + 32]), strict=True)
            losses.append(train_step(model, optimizer, padded_loss(model, names, labels)))
        if epoch % (epochs // 5) == 0:
            print(f"epoch {epoch}: loss {np.mean(losses):.3f}")
    with tg.no_grad():
        guesses = [int(np.argmax(model(x).data)) for x, _ in test]
    right = float(np.mean([guess == y for guess, (_, y) in zip(guesses, test, strict=True)]))
    print(f"unseen names: {right:.0%} right, by chance {1 / len(languages):.0%}")
    return right


if __name__ == "__main__":
    main()
