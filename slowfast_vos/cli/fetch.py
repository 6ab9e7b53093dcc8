"""The verb that brings DAVIS."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from slowfast_vos.cli.app import app
from slowfast_vos.cli.show import print_report, progress_bar
from slowfast_vos.errors import UserError
from slowfast_vos.scoring.command import Year


@app.command("fetch-davis")
def fetch_davis(
    out: Annotated[Path, typer.Option(help="Folder of the tree, such as data/davis; the archive stays beside it.")],
    year: Annotated[Year, typer.Option(help="2017 (train and val of both editions) or 2016.")] = Year.DAVIS_2017,
    resolution: Annotated[str, typer.Option(help="480p; Full-Resolution for 2017; 2016 brings 1080p too.")] = "480p",
    url: Annotated[str | None, typer.Option(help="A mirror of the official archive.")] = None,
    sha256: Annotated[
        str | None, typer.Option(help="The archive's SHA-256, to be checked instead of the checksum known here.")
    ] = None,
    retries: Annotated[int, typer.Option(min=0, help="Further tries of a download that breaks off.")] = 5,
) -> None:
    """Download, verify, unpack and check an official archive of DAVIS.

    A download that broke off goes on with the same command; a complete tree is verified and left as it is.
    """
    from slowfast_vos.videos.davis import DavisTree
    from slowfast_vos.videos.fetch import COUNTED_IN_BYTES, fetch

    if sha256 is not None and (len(sha256) != 64 or set(sha256.lower()) - set("0123456789abcdef")):
        raise UserError(f"--sha256: found {sha256!r}; expected 64 hexadecimal digits")
    with progress_bar(of_bytes=COUNTED_IN_BYTES) as progress:
        report, archive = fetch(out, int(year), resolution, url=url, sha256=sha256, retries=retries, progress=progress)
    print_report(report, DavisTree(out, resolution))
    typer.echo(f"{out}: complete" + (", left as it is" if archive is None else f"; {archive} is no longer needed"))
