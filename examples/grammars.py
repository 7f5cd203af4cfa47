"""Strings of two grammars, with the legal next symbols after every symbol.

    Reber, embedded    B T r r r r T E  or  B P r r r r P E    with four Reber strings r inside
    brackets           ( ) [ ] { }, each closed by its own kind, nested up to a depth

The first grammar needs a long memory of one symbol. The second symbol, T or P, comes again at the
end, and nothing in between shows which it was. The second grammar needs a stack.

Sources: the embedded grammar: Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural
Computation 9 (1997), sec. 5.1, with one string inside; Reber's: "Implicit learning of artificial
grammars", Journal of Verbal Learning and Verbal Behavior 6 (1967).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

REBER = "BTPSXVE"
BRACKETS = "([{)]}"

#: Reber's grammar: for each state, its symbols and the state that each symbol leads to.
ARROWS = (
    {"B": 1},
    {"T": 2, "P": 3},
    {"S": 2, "X": 4},
    {"T": 3, "V": 5},
    {"X": 3, "S": 6},
    {"P": 4, "V": 6},
    {"E": None},
)


class Strings(NamedTuple):
    """Strings of a grammar, side by side.

    Args:
        ids: (T, N), the symbols.
        legal: (T, N, V), 1 for each symbol that may come next, else 0.
        lengths: (N,), the number of symbols of each string. The rest is padding.
    """

    ids: np.ndarray
    legal: np.ndarray
    lengths: np.ndarray

    @property
    def within(self) -> np.ndarray:
        """A mask (T, N): True inside a string, False in the padding."""
        return np.arange(len(self.ids))[:, None] < self.lengths

    def some(self, which: np.ndarray) -> Strings:
        """Select strings, and cut them to the longest one."""
        T = self.lengths[which].max()
        return Strings(self.ids[:T, which], self.legal[:T, which], self.lengths[which])


def reber(rng: np.random.Generator, count: int, inner: int = 4) -> Strings:
    """Draw different strings of the embedded grammar.

    The last E is left out of the ids: the net only predicts it.

    Args:
        rng: draws every choice with equal probability.
        count: the number of strings.
        inner: the number of Reber strings inside each.
    """
    drawn: dict[str, list[str]] = {}
    while len(drawn) < count:
        string, choices = _embedded(rng, inner)
        drawn[string] = choices
    lengths = np.array([len(string) - 1 for string in drawn])
    ids = np.zeros((lengths.max(), count), int)
    legal = np.zeros((*ids.shape, len(REBER)), np.float32)
    for n, (string, choices) in enumerate(drawn.items()):
        for t in range(lengths[n]):
            ids[t, n] = REBER.index(string[t])
            legal[t, n, [REBER.index(symbol) for symbol in choices[t + 1]]] = 1
    return Strings(ids, legal, lengths)


def _embedded(rng: np.random.Generator, inner: int) -> tuple[str, list[str]]:
    """Draw a string; return it and, for each of its symbols, the legal choices there."""
    outer = "TP"[rng.integers(2)]
    string, choices = "B" + outer, ["B", "TP"]
    for _ in range(inner):
        state = 0
        while state is not None:
            choices.append("".join(ARROWS[state]))
            string += choices[-1][rng.integers(len(choices[-1]))]
            state = ARROWS[state][string[-1]]
    return string + outer + "E", [*choices, outer, "E"]


def brackets(rng: np.random.Generator, T: int, count: int, depth: int) -> Strings:
    """Draw balanced strings of three kinds of brackets.

    A bracket opens with probability 0.6. It always opens if no bracket is open. It never opens if
    ``depth`` brackets are open, or if all remaining symbols are needed to close the open ones. So
    the depth varies in the same way at every length: with depth 4 it is 2.4 on average in strings
    of 100, and 2.5 in strings of 400. The strings are mostly deep, so the first bracket stays open
    for long. A next symbol is legal if it keeps to the depth. ``legal`` ignores the end of the
    string, because the net cannot see it coming.

    Args:
        rng: a generator.
        T: the number of brackets in a string, even.
        count: the number of strings.
        depth: how many brackets may be open at the same time.
    """
    ids, legal = np.empty((T, count), int), np.zeros((T, count, len(BRACKETS)), np.float32)
    stack, height = np.zeros((count, depth), int), np.zeros(count, int)
    each = np.arange(count)
    for t in range(T):
        most = np.minimum(depth, T - t)
        opens = (height == 0) | ((rng.random(count) < 0.6) & (height < most))
        kind = np.where(opens, rng.integers(3, size=count), stack[each, height - 1])
        stack[each[opens], height[opens]] = kind[opens]
        ids[t] = np.where(opens, kind, 3 + kind)
        height += np.where(opens, 1, -1)
        legal[t, height < depth, :3] = 1
        legal[t, each, 3 + stack[each, height - 1]] = height > 0
    return Strings(ids, legal, np.full(count, T))


def depths(strings: Strings) -> np.ndarray:
    """Return the number of open brackets (T, N) after each symbol."""
    return np.where(strings.ids < 3, 1, -1).cumsum(axis=0)
