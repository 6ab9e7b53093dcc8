"""The command line: one verb per stage; every verb also serves a person without Snakemake."""

from slowfast_vos.cli.app import app

from slowfast_vos.cli import run, tools, score, share  # isort: skip  (the order of `--help`)

__all__ = ["app", "run", "score", "share", "tools"]
