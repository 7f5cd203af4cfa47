"""Checking a student's work: a forward and a backward in plain NumPy, against a reference.

``check_bptt`` (in ``check``) calls both and compares. If a gradient is wrong, it searches for the
mistake: it runs the backward of the recorded reference with one known mistake after another, until
one gives the student's numbers.

Read the files in this order: ``conventions`` (the net, and the conventions of the course),
``recorded`` (the reference, and its backward with a mistake), ``names`` (the names of its values),
``loop_mistakes``, ``line_mistakes``, ``one_gradient`` and ``forward_mistakes`` (the mistakes),
``student`` (calling the student's functions), ``diagnosis`` (choosing the mistake).
"""

from .check import check_bptt

__all__ = ["check_bptt"]
