"""The command line, ``seqgan``: ``training`` and ``using`` hold its commands, ``program`` finds and runs one."""

from agents.cli.program import main as main
