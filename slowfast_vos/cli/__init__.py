"""The command line: one verb per stage; every verb also serves a person without Snakemake."""

from slowfast_vos.cli.app import app

from slowfast_vos.cli import run, tools, share  # isort: skip  (the order of `--help`)
from slowfast_vos.scoring.command import score_command

app.command("score")(score_command)

__all__ = ["app", "run", "share", "tools"]
