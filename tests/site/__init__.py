"""The documentation as a web site: ``python -m tests.site``."""
