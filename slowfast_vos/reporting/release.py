"""A finished run as a folder for a hub of models: weights, masks, a model card, and checksums."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from slowfast_vos.checksums import expect_unchanged, write_checksums
from slowfast_vos.claims.sentences import counted, headline
from slowfast_vos.claims.verdicts import LEAST_SEEDS
from slowfast_vos.config import without_places
from slowfast_vos.dag import BASELINES, TASKS
from slowfast_vos.errors import UserError
from slowfast_vos.files import atomic_folder, write_text
from slowfast_vos.paths import Results
from slowfast_vos.reporting import published
from slowfast_vos.reporting.page import cautions, design, provenance
from slowfast_vos.reporting.publish import write_archive
from slowfast_vos.reporting.records import read_run
from slowfast_vos.reporting.render import to_markdown
from slowfast_vos.reporting.run import MEASURES, Run, of_task
from slowfast_vos.reporting.tables import table1

MASKS = "masks.zip"
SETTINGS = "settings.json"
LICENCES = {
    "synthetic": ("mit", "MIT, the weights as the code. The generated videos are in the public domain (CC0)."),
    "davis": ("cc-by-nc-4.0", "The code is MIT. Weights and masks come from DAVIS, which is not for commercial use."),
}


def write_release(results: Results, out: Path) -> Path:
    """Write a run's release into `out`, in place of one that this wrote there before and nobody changed.

    Raises:
        UserError: a record, the weights of a parent or predictions are missing, or `out` holds anything else.
    """
    run = read_run(results)
    weights, masks = dict(_weights(run)), [*_masks(run)]
    expect_unchanged(out)
    with atomic_folder(out) as folder:
        for name, source in weights.items():
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(source, folder / name)
        write_archive(folder / MASKS, masks, lambda name: (results.root / "predictions" / name).read_bytes())
        settings = without_places(results.settings.model_dump(mode="json"))
        write_text(folder / SETTINGS, json.dumps(settings, indent=2) + "\n")
        write_text(folder / "README.md", write_card(run, [*weights]))
        write_checksums(folder)
    return out


def _weights(run: Run) -> Iterator[tuple[str, Path]]:
    """Each parent's name in the release, and its file."""
    for row in run.of("parent").itertuples():
        if row.failed:
            continue
        path = run.results.parent(row.setup, row.seed) / "model.safetensors"
        if not path.is_file():
            raise UserError(f"{path}: missing; expected the weights of a parent that is done")
        yield f"weights/{row.setup}-seed={row.seed}.safetensors", path


def _masks(run: Run) -> Iterator[str]:
    """The files of all predictions that were scored, below the run's predictions."""
    root = run.results.root / "predictions"
    scored = run.records[run.records["task"].notna() & ~run.records["failed"]]
    for row in scored.itertuples():
        subject = row.baseline if row.task == "baseline" else row.setup
        folder = run.results.predictions(row.task, subject, row.seed)
        found = [path.relative_to(root).as_posix() for path in folder.rglob("*.png")]
        if not found:
            raise UserError(f"{folder}: missing; expected the predictions that were scored")
        yield from found


def write_card(run: Run, weights: list[str]) -> str:
    """The model card: YAML as Hugging Face's hub reads it, and what a user must know."""
    from huggingface_hub import ModelCardData

    settings, name = run.settings, f"slowfast-vos-{run.settings.name}"
    licence, words = _licence(run)
    data = ModelCardData(
        license=licence,
        library_name="slowfast-vos",
        pipeline_tag="image-segmentation",
        tags=["video-object-segmentation", "mask-r-cnn", "slowfast", "davis"],
        datasets=["davis" if run.is_davis else "slowfast-vos-generated"],
        metrics=[*MEASURES],
        model_name=name,
        eval_results=[*_results(run)],
    )
    environment = Environment(
        loader=PackageLoader("slowfast_vos.reporting"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    files = [(path, "weights of a parent, for unsupervised segmentation") for path in weights]
    files += [(MASKS, "indexed PNGs of all scored predictions, as davis2017-evaluation reads them")]
    files += [(SETTINGS, f"the configuration: `snakemake --cores all --configfile {SETTINGS}` makes all again")]
    model = settings.model
    card = environment.get_template("card.md.j2").render(
        name=name,
        limits=[*_limits(run)],
        files=files,
        example=weights[-1] if weights else "WEIGHTS",
        design=design(run, run.findings),
        model=f"backbone {model.backbone}, {model.fpn_channels} channels, initial weights {model.weights}.",
        headline=headline(run.findings),
        cautions=cautions(run),
        context=run.context,
        table="\n\n".join(to_markdown(panel, "") for panel in table1(run).panels).strip(),
        provenance=[(term, text) for term, text in provenance(run) if term not in ("Hosts", "Again")],
        licence=words,
    )
    return f"---\n{data.to_yaml()}\n---\n\n{card}"


def _results(run: Run) -> Iterator[object]:
    """The run's scores with their intervals, for the card's `model-index`."""
    from huggingface_hub import EvalResult

    dataset = "DAVIS 2016 validation" if run.is_davis else "slowfast-vos generated videos, validation"
    for task in TASKS:
        records = of_task(run.records, task)
        scores = run.over_seeds(records, [*MEASURES.values()], run.names)
        for subject, (measure, column) in product(run.names, MEASURES.items()):
            value, half = scores.loc[subject, column], scores.loc[subject, f"{column}_half"]
            if subject in BASELINES.values() or pd.isna(value):
                continue
            spread = "" if pd.isna(half) else f", 95 % interval {value - half:.3f} to {value + half:.3f}"
            yield EvalResult(
                task_type="image-segmentation",
                task_name=f"{task} video object segmentation",
                dataset_type="davis" if run.is_davis else "slowfast-vos-generated",
                dataset_name=dataset,
                dataset_config=task,  # results of one task and data are one, whatever the task's name
                dataset_split="val",
                metric_type=column,
                metric_name=f"{measure} of {subject}{spread}",
                metric_value=round(float(value), 4),
            )


def _limits(run: Run) -> Iterator[str]:
    scored, backbone, seeds = len(run.val), run.settings.model.backbone, len(run.settings.seeds)
    yield "The authors' weights or results: the method was implemented and trained anew."
    if not run.is_davis:
        yield (
            "A model for real video: it was trained and scored on generated videos alone, and its scores do not "
            "compare with those on DAVIS."
        )
    elif scored != published.SEQUENCES:
        yield f"A result on all of DAVIS 2016: {scored} of its {published.SEQUENCES} validation sequences were scored."
    if backbone != "resnet50":
        yield f"The paper's network: its backbone is {backbone}, the paper's is ResNet-50 from COCO weights."
    yield "A tracker or a classifier: all that moves is one foreground, without classes or identities over time."
    yield (
        "The fine-tuned networks of the semi-supervised task: there is one for each video, and only their masks are "
        "here."
    )
    if seeds < LEAST_SEEDS:
        yield f"A measure of chance between trainings: {counted(seeds, 'seed')}."


def _licence(run: Run) -> tuple[str, str]:
    """The hub's name of the licence, and what there is to say."""
    name, words = LICENCES[run.settings.data.kind]
    if run.settings.model.weights != "none":
        words += " The trainings started from weights of others, which have their own licence."
    return name, words
