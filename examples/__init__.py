"""A path of runnable examples, each one idea beyond the one before: see README.md beside this."""
