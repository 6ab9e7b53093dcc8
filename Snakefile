# slowfast-vos: `snakemake --cores all` runs the embedded default; README.md tells of the rest.
from snakemake.utils import min_version

from slowfast_vos.claims.claims import asked_claims
from slowfast_vos.config import load_settings, parse_settings, read_values
from slowfast_vos.dag import BASELINES, TASKS, parts, planned_jobs, table_names
from slowfast_vos.errors import UserError
from slowfast_vos.jobs.gpus import gpus_per_job
from slowfast_vos.jobs.runner import hold_run
from slowfast_vos.paths import Results, shard
from slowfast_vos.setups import Setup
from slowfast_vos.videos.dataset import skipped_names, validation_names

min_version("9.10")


if not workflow.configfiles:

    configfile: "config/config.yaml"


try:
    for path in workflow.configfiles:
        read_values(path)  # Snakemake takes the last of equal keys
    given = workflow.config_settings.config
    SETTINGS = parse_settings(
        config,
        " + ".join(map(str, [*workflow.configfiles, *["--config"][: len(given)]])),
    )
    # Every verb reads the settings from here; rules name the sections that matter to them as params, so that an edit
    # reruns those jobs alone.
    CONFIG = Results(SETTINGS).root / "settings.json"
    if workflow.remote_exec:
        # A job of a cluster goes by what the head node wrote.
        SETTINGS = load_settings(CONFIG)
    VAL = validation_names(SETTINGS)
    JOBS = planned_jobs(Results(SETTINGS), val=VAL)
    SKIPPED = skipped_names(SETTINGS)
    asked_claims(SETTINGS)
    GPU = gpus_per_job(SETTINGS.device)
except UserError as error:
    raise WorkflowError(str(error)) from None

RESULTS = Results(SETTINGS)


report: "workflow/report/workflow.rst"


wildcard_constraints:
    setup=r"\d+-\d+(\+[a-z]+(\d+-\d+)?)?",
    seed=r"\d+",
    task="unsupervised|semi-supervised|baseline",
    subject=r"\d+-\d+([+@][a-z]+(\d+-\d+)?)?|detector|foreground",
    backbone="frozen|trained",


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/detector.smk"
include: "workflow/rules/parent.smk"
include: "workflow/rules/grid.smk"
include: "workflow/rules/final.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/cost.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        rules.tables.output,
        rules.plots.output,
        rules.strips.output,
        rules.page.output,
        rules.check_records.output,


onstart:
    settings = SETTINGS
    # On a cluster one machine decides for all: else a job might use a GPU that it was not given.
    if settings.device == "auto" and workflow.non_local_exec:
        device = "cuda" if GPU else "cpu"
        print(
            f"device auto: {device}, as on this machine, for all jobs; `--config device=cuda` asks for a GPU each"
        )
        settings = settings.model_copy(update={"device": device})
    try:
        # Held while this process lives, instead of Snakemake's own lock, which a killed run leaves behind.
        RUN_LOCK = hold_run(CONFIG.with_name("run.lock"))
        settings.save(CONFIG)
    except UserError as error:
        raise WorkflowError(str(error)) from None


onsuccess:
    shell(f"slowfast-vos summary --config {CONFIG}")


onerror:
    shell(f"slowfast-vos summary --config {CONFIG}")
