"""What memory the function of a loop uses again: decided last, on its lines."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .values import Var


def in_place(lines: list[str], calls: Mapping[str, Var]) -> list[str]:
    """The lines, writing over blocks that nobody reads any more: memory just used is fastest.

    Args:
        lines: of a function.
        calls: those that compute a block by an elementwise function, and the value it holds.
    """
    words = [set(re.findall(r"\w+", line)) for line in lines]
    last: dict[str, int] = {}
    # With what may be a view of it, or is not in this function's hands.
    shared: set[str] = set()
    for i, (line, found) in enumerate(zip(lines, words, strict=True)):
        last.update(dict.fromkeys(found, i))
        if line not in calls:
            shared |= found
    result = []
    held: dict[str, Var] = {}
    for i, line in enumerate(lines):
        v = calls.get(line)
        if v is not None:
            held[f"v{v.number}"] = v
            for x in v.inputs:
                name = f"v{x.number}"
                if (
                    held.get(name) is x
                    and last[name] == i
                    and name not in shared
                    and (x.shape, x.dtype) == (v.shape, v.dtype)
                ):
                    line = f"{line[:-1]}, out={name})"
                    break
        result.append(line)
    return result


_block = re.compile(r"\b(?:v\d+|[bp]\d+_all|beside\d+(?:_flat)?)\b")


def freed(lines: list[str]) -> list[str]:
    """The lines of a function, which lets go of each block once nothing reads it any more.

    Held to the end, the blocks of a long sequence are more than the heap keeps, and every call
    pays for fresh pages; one that is free is taken again while it is still in the cache.
    """
    last: dict[str, int] = {}
    end = 0  # of the steps, which read what they read again and again
    for i, line in enumerate(lines):
        if line.startswith("del "):
            end = i
        else:
            last.update(dict.fromkeys(_block.findall(line), i))
    result = []
    for i, line in enumerate(lines):
        within = line.startswith(("for ", "    "))
        done = [] if within else [name for name, at in last.items() if at == i]
        if i == end:
            done = [name for name, at in last.items() if lines[at].startswith(("for ", "    "))]
            line = ", ".join([line, *[name for name in done if f" {name}," not in f"{line},"]])
        elif done and i < len(lines) - 1:
            line = f"{line}; del {', '.join(done)}"
        result.append(line)
    return result


__all__ = ["freed", "in_place"]
