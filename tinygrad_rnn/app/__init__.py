"""The command line: one module for each command of ``python -m tinygrad_rnn``.

The module of a command has the command's name, and ``add_arguments(parser)`` and ``main(args)``,
which returns the exit code. ``command_line`` parses the arguments, calls ``main``, and reports
errors. The commands are ``demo``, ``train``, ``sample``, ``draw``, ``check``, ``export`` and
``explore``.

A training run goes through these files:

1. ``train``: the command. It calls ``training``, which is ``tg.train``.
2. ``settings``: the options and their checks. ``corpus``: the text as ids.
3. ``training_run``: the model in training, its measurements and checkpoints. ``ranks``: the same
   on several processes. ``truncated_bptt``: the loop, which ``demo`` uses too.
4. ``progress``: the line on the terminal. ``logs``: the files ``--log-json`` and ``--tensorboard``.
5. ``checkpoints``: reads what a run has written.

``arguments`` and ``outputs`` help all commands. ``checked_operations`` finds what ``check`` checks.
"""
