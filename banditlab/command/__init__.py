"""The console command `banditlab`: list, run, figures, verify, status, show, confirm, doctor, plan, llm train."""

from banditlab.command.main import main

__all__ = ["main"]
