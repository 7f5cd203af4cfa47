"""Checking what a student wrote: a forward and a backward in plain NumPy, against a reference.

``check_bptt`` calls both and compares. Where a gradient is wrong, the same wrong numbers are looked
for: the reference is recorded, and its backward is run with one mistake after another.

In the order in which to read them: ``conventions`` (which net is meant, as which course writes it),
``recorded`` (the reference, and its backward with a mistake in it), ``names`` (what its values are
called), ``loop_mistakes``, ``line_mistakes``, ``one_gradient`` and ``forward_mistakes`` (the
mistakes), ``student`` (calling the student's functions), ``diagnosis`` (which mistake it is).
"""

from .check import check_bptt

__all__ = ["check_bptt"]
