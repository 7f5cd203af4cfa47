"""The command line: one module for each command of ``python -m tinygrad_rnn``.

The module of a command has the command's name, and ``add_arguments(parser)`` and ``main(args)``,
which returns the exit code. ``command_line`` parses the arguments, calls ``main``, and reports
errors.
"""
