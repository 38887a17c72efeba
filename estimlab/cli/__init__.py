"""The command line: its commands, what they list and print, and estimators that a user names."""

from estimlab.cli.commands import app

__all__ = ["app"]
