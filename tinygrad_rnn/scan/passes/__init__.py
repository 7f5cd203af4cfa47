"""The passes of the compiler: each takes a program and returns one that computes the same.

``simplify``   says the same with fewer operations, and brings together what does not wait for the
               carry.
``schedule``   decides what runs before the steps, at every step, and after them.
``totals``     sums over time while it multiplies.

For the back end that calls NumPy there are three more:

``columns``    cuts products into parts whose numbers lie one behind the other.
``pack``       does operations that are alike in one call.
``buffers``    decides which memory a value of the step is written to.
"""
