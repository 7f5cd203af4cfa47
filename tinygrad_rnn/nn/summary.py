"""A module as an HTML table: its parts, the shapes and the number of their parameters."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .module import Module


def html_of(module: Module) -> str:
    """The table for notebooks. A shared parameter counts only at its first place."""
    rows, total, size, seen = [], 0, 0, set()
    for name, part in module.named_modules():
        shapes, count = [], 0
        for label, parameter in part.named_parameters(recurse=False):
            again = id(parameter) in seen
            seen.add(id(parameter))
            shared = " (shared)" if again else ""
            shapes.append(f"{escape(label)} {parameter.shape}{shared}")
            if not again:
                count += parameter._array.size
                size += parameter._array.nbytes
        total += count
        kind = f"{type(part).__name__}({part.extra_repr()})"
        numbers = f"{count:,}" if shapes else ""
        cells = (escape(name) or "&mdash;", escape(kind), "<br>".join(shapes))
        left = "".join(f'<td style="text-align:left">{cell}</td>' for cell in cells)
        rows.append(f'{left}<td style="text-align:right">{numbers}</td>')
    heads = "".join(f"<th>{head}</th>" for head in ("name", "module", "parameters", "numbers"))
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    mode = "training" if module.training else "eval"
    return (
        f"<div><b>{type(module).__name__}</b> &middot; {total:,} parameters &middot; "
        f"{_bytes(size)} &middot; {mode}"
        f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _bytes(size: int) -> str:
    return f"{size / 1e3:.3g} kB" if size < 1e6 else f"{size / 1e6:,.4g} MB"


__all__ = ["html_of"]
