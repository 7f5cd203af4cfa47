"""The passes of the compiler: each takes a program and returns one that computes the same.

``simplify``   computes the same with fewer operations.
``schedule``   decides what runs before the steps, at every step, and after them. What does not
               depend on the carry moves out of the loop.
``totals``     computes sums over time early: a sum of products becomes one product.
``expand``     writes operations out in simpler ones.

The NumPy back end has four more:

``columns``    cuts products into parts that are contiguous in memory.
``operands``   prepares the operands of the step before the loop.
``pack``       runs equal operations in one call.
``buffers``    decides which memory a value of the step is written to.

It schedules the program again after each of its passes. ``pack`` looks only at operations of the
step, so it comes when the others have left the loop. ``operands`` prepares the operands of packs
too, so it follows. ``totals`` sums blocks that exist anyway, and which these are is known last.
"""
