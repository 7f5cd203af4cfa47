"""The command line: one module for each command of ``python -m tinygrad_rnn``.

A command is a module with ``add_arguments(parser)`` and ``main(args) -> exit code``, named after
the command. ``command_line`` parses, calls it and reports what went wrong.
"""
