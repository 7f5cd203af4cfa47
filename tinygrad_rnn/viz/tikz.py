"""Pictures as TikZ, for papers."""

from __future__ import annotations

from typing import Any

from .shapes import Shape, shapes_of

_WHOLE = r"""\documentclass[tikz,border=2pt]{standalone}
\usepackage[T1]{fontenc}
\usepackage{helvet}
\renewcommand{\familydefault}{\sfdefault}
\begin{document}
%s\end{document}
"""

#: Characters with LaTeX commands; others need lualatex or xelatex.
_characters = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "σ": r"$\sigma$",
    "Σ": r"$\Sigma$",
    "×": r"$\times$",
    "÷": r"$\div$",
    "−": "$-$",
    "·": r"$\cdot$",
    "→": r"$\to$",
    "↻": r"$\circlearrowright$",
    "∂": r"$\partial$",
    "…": r"\dots{}",
    "–": "--",
    "\u00a0": "~",
}


def written(svg: str, whole: bool = True) -> str:
    """One of our SVGs, or of Graphviz's, as a ``tikzpicture``; as a document if ``whole``.

    One unit is a point; y runs downwards, as in SVG.
    """
    width, height, shapes = shapes_of(svg)
    colours: dict[str, str] = {}
    lines = [line for shape in shapes for line in _drawn(shape, colours)]
    defined = [
        f"\\definecolor{{{name}}}{{HTML}}{{{colour[1:].upper()}}}"
        for colour, name in colours.items()
    ]
    picture = "\n".join(
        [
            r"\begin{tikzpicture}[x=1pt,y=-1pt]",
            *defined,
            f"\\useasboundingbox (0,0) rectangle ({_number(width)},{_number(height)});",
            *lines,
            r"\end{tikzpicture}",
            "",
        ]
    )
    return _WHOLE % picture if whole else picture


def _drawn(shape: Shape, colours: dict[str, str]) -> list[str]:
    def name(colour: str) -> str:
        return colours.setdefault(colour, f"tgc{len(colours)}")

    faint = [f"opacity={shape.opacity:g}"] if shape.opacity < 1 else []
    if shape.kind == "text":
        if not shape.words.strip() or shape.fill is None:
            return []
        anchor = {"start": "base west", "middle": "base", "end": "base east"}[shape.anchor]
        font = rf"\fontsize{{{shape.size:g}}}{{{shape.size * 1.2:g}}}\selectfont"
        font += r"\bfseries" if shape.bold else ""
        font += r"\ttfamily" if shape.mono else ""
        options = [f"anchor={anchor}", "inner sep=0", f"text={name(shape.fill)}", f"font={font}"]
        text = "".join(_characters.get(c, c) for c in shape.words)
        return [f"\\node[{','.join(options + faint)}] at {_point(shape.at)} {{{text}}};"]
    options = list(faint)
    if shape.fill is not None and (shape.closed or shape.stroke is None):
        options.append(f"fill={name(shape.fill)}")
    if shape.stroke is not None:
        options += [f"draw={name(shape.stroke)}", f"line width={shape.width:g}pt"]
        options += ["dashed"] if shape.dashed else []
    if not shape.parts or len(options) == len(faint):
        return []
    path = " ".join(_path(part, shape.closed) for part in shape.parts)
    return [f"\\path[{','.join(options)}] {path};"]


def _path(part: list[Any], closed: bool) -> str:
    words = [_point(part[0])]
    for p in part[1:]:
        if isinstance(p[0], tuple):
            words.append(f".. controls {_point(p[0])} and {_point(p[1])} .. {_point(p[2])}")
        else:
            words.append(f"-- {_point(p)}")
    return " ".join(words) + (" -- cycle" if closed else "")


def _point(p: Any) -> str:
    return f"({_number(p[0])},{_number(p[1])})"


def _number(x: float) -> str:
    return f"{x:.2f}".rstrip("0").rstrip(".") or "0"
