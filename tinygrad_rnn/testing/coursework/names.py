"""The names in messages of the values of a recorded reference."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from ...graph import Node
from ...ops import primitives
from .recorded import Recorded, Site, Use, step_of

getitem = primitives.getitem

#: The gates of the built-in references, in words.
GATES = {
    "i_t": "the input gate i_t",
    "f_t": "the forget gate f_t",
    "g_t": "the candidate g_t",
    "o_t": "the output gate o_t",
    "r_t": "the reset gate r_t",
    "z_t": "the update gate z_t",
    "n_t": "the candidate n_t",
}


class Names:
    """The names of a reference's values, and the states that go from step to step."""

    def __init__(self, recorded: Recorded):
        self.recorded = recorded
        #: For the site of each state, its uses at the next step.
        self.states = {
            site: uses for site, uses in recorded.crossings().items() if not site.outside
        }
        started = {site: name for name, site in self.initial().items()}
        self._state_names = {
            site: f"{_without_number(started[site])}_t" if site in started else f"state {k}_t"
            for k, site in enumerate(self.states)
        }

    def value(self, node: Node, back: int = 0) -> str:
        """The name of a value, seen from ``back`` steps later: h_t is then h_{t-1}."""
        if node.primitive is None:
            return node.name or "an input"
        steps = self.recorded.sites[self.recorded.site[node]].values()
        name = next((x.name for x in steps if x.name), None)
        if name is None:
            site = self.recorded.site[node]
            name = self._state_names.get(site) or self._formula(node)
        return name.replace("_t", f"_{{t-{back}}}") if back else name

    def _formula(self, node: Node) -> str:
        assert node.primitive is not None
        inputs = [self.input(Use(node, i)) for i in range(len(node.parents))]
        symbol = node.primitive.symbol
        if node.primitive is getitem:
            return f"{inputs[0]}[..]"
        if symbol and len(inputs) == 2:
            return f"{inputs[0]} {symbol} {inputs[1]}"
        return f"{node.primitive}({', '.join(inputs)})"

    def input(self, use: Use) -> str:
        """The name of an operation's input; h_{t-1} for a state of the step before."""
        node, i = use
        steps = self.recorded.sites[self.recorded.site[node]]
        for t in sorted(steps, reverse=True):  # try step 0 last: there the state is h0
            parent = steps[t].parents[i]
            if isinstance(parent, Node) and parent.primitive is not None:
                back = t - step_of(parent) if step_of(parent) >= 0 else 0
                return self.value(parent, back)
        parent, x = node.parents[i], node.arrays[i]
        if isinstance(parent, Node):
            return self.value(parent)
        if isinstance(parent, str):
            return parent
        return str(x) if np.ndim(x) == 0 else "a constant"

    def described(self, name: str) -> str:
        return GATES.get(name, name)

    def gradient(self, name: str) -> str:
        """``dh_t``, ``the gradient of the forget gate f_t``, ``d(h @ W)``."""
        if name in GATES:
            return f"the gradient of {GATES[name]}"
        return f"d({name})" if " " in name else f"d{name}"

    def state(self, site: Site) -> str:
        steps = self.recorded.sites[site]
        return self.value(steps[max(steps)])

    def initial(self) -> dict[str, Site]:
        """The inputs that a state starts from, with the state's site."""
        sites: dict[str, Site] = {}
        for site, uses in self.states.items():
            for use in uses:
                first = self.recorded.sites[self.recorded.site[use.node]].get(0)
                parent = None if first is None else first.parents[use.input]
                if isinstance(parent, Node) and parent in self.recorded.leaves:
                    sites[self.recorded.names[self.recorded.leaves.index(parent)]] = site
        return sites

    def users(self, node: Node) -> list[Node]:
        return [user for user in self.recorded.nodes if node in user.parents]

    def parts(self, node: Node) -> list[Node]:
        """The gates cut from a product, or from its sum with the other product or a bias."""
        for _ in range(4):
            users = self.users(node)
            cuts = [user for user in users if user.primitive is getitem]
            if cuts:
                return cuts
            if len(users) != 1 or users[0].output.shape != node.output.shape:
                return []
            node = users[0]
        return []

    def gate(self, part: Node) -> str:
        """The letter of the gate that is computed from a part of a sum: i, f, g, o."""
        node = part
        while node.name is None or node.name.startswith("a_"):
            if node.name is not None:
                return node.name.removeprefix("a_")
            users = self.users(node)
            if not users:
                return self.value(part)
            node = users[0]
        return node.name.removesuffix("_t")

    def cuts(self) -> Iterator[dict[Site, Node]]:
        """The parts of each value that a step cuts into parts of equal shape."""
        by_source: dict[Site, dict[Site, Node]] = {}
        for site, steps in self.recorded.sites.items():
            node = steps[max(steps)]
            source = node.parents[0] if node.primitive is getitem else None
            if isinstance(source, Node) and source.primitive and step_of(source) == step_of(node):
                by_source.setdefault(self.recorded.site[source], {})[site] = node
        for parts in by_source.values():
            if len(parts) > 1 and len({node.output.shape for node in parts.values()}) == 1:
                yield parts


def _without_number(name: str) -> str:
    """The name of a state, from its initial state's name: h for h0, h_0, prev_h or h_prev."""
    return re.sub(r"^prev_?|_?prev$|_?0$", "", name) or name


__all__ = ["GATES", "Names", "getitem"]
