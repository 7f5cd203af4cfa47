"""Back ends: a program becomes a function that runs it.

``numpy`` writes flat Python with a call of NumPy for each operation.
"""
