"""The command line itself, and what its verbs share: options, the settings, a job."""

from __future__ import annotations

import logging
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import click
import typer
from typer.core import TyperGroup

from slowfast_vos.cli.running import note_begin, note_end
from slowfast_vos.errors import LostError, UserError

if TYPE_CHECKING:
    from slowfast_vos.config import Settings
    from slowfast_vos.jobs.common import Job
    from slowfast_vos.jobs.context import Context


class OneLineErrors(TyperGroup):
    """Prints a user's mistake in one line, without a traceback, and exits with code 1; notes how a job ended."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb."""
        try:
            done = super().invoke(ctx)
        except LostError as error:
            _refuse(str(error), "stopped")
        except UserError as error:
            _refuse(str(error))
        except (click.exceptions.Exit, click.Abort):
            note_end("stopped")
            raise
        except Exception as error:
            if "torch" in sys.modules:
                from slowfast_vos.jobs.failures import out_of_memory, takes_the_process
                from slowfast_vos.measuring.devices import is_out_of_memory

                if is_out_of_memory(error):
                    _refuse(out_of_memory(error))
                if takes_the_process(error):
                    note_end("stopped", _named(error), traceback.format_exc())
                    raise
            note_end("failed", _named(error), traceback.format_exc())
            raise
        except BaseException:  # interrupted, or asked to end
            note_end("stopped")
            raise
        note_end("done")
        return done


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _refuse(problems: str, state: Literal["failed", "stopped"] = "failed") -> NoReturn:
    note_end(state, problems)
    for line in problems.splitlines():
        typer.echo(f"error: {line}", err=True)
    raise typer.Exit(1) from None


app = typer.Typer(
    cls=OneLineErrors,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="SlowFast networks for video object segmentation: train, fine-tune, predict, score, measure, report.",
)

Config = Annotated[Path, typer.Option("--config", help="Configuration, such as config/config.yaml.")]
Seed = Annotated[int | None, typer.Option(help="One of the run's seeds; the first without it.")]
SetupOption = Annotated[str, typer.Option(help='Slow-fast frames, such as "3-7".')]
Part = Annotated[str, typer.Option(help='Which part of how many, such as "1/4".')]
Out = Annotated[Path | None, typer.Option(help="Folder to write to; the run's own without it.")]


@app.callback()
def main() -> None:
    """Log to stderr, times included."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)


def read_settings(config: Path) -> Settings:
    """The configuration, validated."""
    from slowfast_vos.config import load_settings

    return load_settings(config)


def make_context(
    config: Path, seed: int | None, label: str, *parts: str, part: tuple[int, int] | None = None
) -> Context:
    """A job without a network (see `make_job`)."""
    settings, seed = settings_and_seed(config, seed, label)
    note_begin(settings, *parts, seed=seed, part=part)
    from slowfast_vos.jobs.context import Context

    return Context(settings, seed)


def make_job(config: Path, seed: int | None, label: str, *parts: str, part: tuple[int, int] | None = None) -> Job:
    """A job with one, and with a GPU of its own where there is one; importing torch takes seconds.

    Args:
        label: what the lines of the log begin with.
        parts, part: which job of the run it is, as its log's path has it (see `Results.log`).
    """
    settings, seed = settings_and_seed(config, seed, label)
    note_begin(settings, *parts, seed=seed, part=part)
    from slowfast_vos.measuring.lease import lease_gpu

    lease_gpu(settings.device)
    from slowfast_vos.jobs.common import Job

    return Job(settings, seed)


def settings_and_seed(config: Path, seed: int | None, label: str) -> tuple[Settings, int]:
    """The configuration and one of its seeds; from here on, lines of the log name the job."""
    settings = read_settings(config)
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s {label}: %(message)s", datefmt="%H:%M:%S", force=True)
    if seed is not None and seed not in settings.seeds:
        raise UserError(f"--seed: found {seed}; expected one of seeds {settings.seeds} in {config}")
    return settings, settings.seeds[0] if seed is None else seed


def parse_part(part: str) -> tuple[int, int]:
    """Index from 0 and count of a part such as "1/4", or "1-of-4" as logs have it in their names."""
    index, slash, count = part.replace("-of-", "/", 1).partition("/")
    if not (slash and index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise UserError(f'--part: found {part!r}; expected one such as "1/4", from 1/N to N/N')
    return int(index) - 1, int(count)


def parse_setup(name: str) -> str:
    """A setup's name, checked."""
    from slowfast_vos.setups import Setup

    return str(Setup.parse(name))
