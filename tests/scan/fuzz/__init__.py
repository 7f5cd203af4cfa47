"""A differential fuzzer: cells drawn at random, run by ``tg.scan`` and as loops.

A cell is data: a few lines of Python on named values (``cell``). ``texts``, ``lines`` and ``pool``
say what a line may be, ``draw`` draws whole cells. ``run`` and ``check`` run one both ways in
several modes, ``compare`` says whether the numbers agree to rounding, ``flags`` which warnings are
none of scan's doing. ``shrink`` makes a cell that fails small, ``hunt`` goes through many. It uses
only what users use: ``tg.scan(..., unroll=True)`` is the reference.

``tests/scan/test_fuzz.py`` runs some cells with every test run, and for an hour under
``pytest --hypothesis-profile=nightly``. For more: ``python -m tests.scan.fuzz --cells N --seed S``.
"""
