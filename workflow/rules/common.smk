# What several rules share.

ENVIRONMENT = workflow.source_path("../envs/slowfast-vos.yaml")
# Where a GPU works, a thread reads ahead of it.
THREADS = SETTINGS.threads + GPU
# `keep LOG` shows and keeps what a job says, to the end: Ctrl-C and a cluster's SIGTERM stop the job, not its log, and a
# log that cannot be written stops no job. The shell itself outlives a SIGTERM, so that the job has time to save.
shell.prefix(
    "set -euo pipefail; trap : TERM; keep() {{ trap '' INT TERM; tee \"$1\" || true; }}; "
)


def cores_of_a_measurement(wildcards):
    """All of this machine's, or what the measurement itself uses."""
    # Only once the jobs are planned it is known where they run.
    on_a_cluster = workflow.non_local_exec or workflow.remote_exec
    return THREADS if on_a_cluster else 1_000_000


def predictions(wildcards):
    """What an evaluation reads: a folder of predictions, or the final models' records and predictions."""
    if wildcards.task != "semi-supervised":
        return RESULTS.predictions(wildcards.task, wildcards.subject, wildcards.seed)
    folder = RESULTS.predictions("semi-supervised", wildcards.subject, wildcards.seed)
    records = [RESULTS.final(wildcards.subject, wildcards.seed, name) for name in VAL]
    return [*records, *(folder / name for name in VAL)]
