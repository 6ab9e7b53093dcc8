# What several rules share.

ENVIRONMENT = workflow.source_path("../envs/slowfast-vos.yaml")
# Where a GPU works, a thread prefetches frames.
THREADS = SETTINGS.threads + GPU
# The job itself gets the signals of a cluster, and has time to save its state.
shell.prefix("exec ")


def verb(name):
    """The beginning of a rule's command."""
    return f"slowfast-vos {name} --config {CONFIG} "


def part_of(index, count):
    """The part of a job that shares its work with others; a function of the threads, since that makes nothing rerun."""
    return lambda wildcards, threads: f"{index + 1}/{count}"


def cores_of_a_measurement(wildcards):
    """All of this machine's, or what the measurement itself uses."""
    # Only once the jobs are planned it is known where they run.
    on_a_cluster = workflow.non_local_exec or workflow.remote_exec
    return THREADS if on_a_cluster else 1_000_000


def outputs_of(*kinds):
    """The records of all jobs of some kinds."""
    return [path for job in JOBS if job.kind in kinds for path in job.outputs]


def weights(wildcards):
    """The parent that predicts: a control at test time has another setup's weights."""
    trained = Setup.parse(wildcards.subject).trained
    return RESULTS.parent(trained, wildcards.seed) / "model.safetensors"


def predictions(wildcards):
    """What an evaluation reads: a folder of predictions, or the records of the final models."""
    if wildcards.task != "semi-supervised":
        return RESULTS.predictions(wildcards.task, wildcards.subject, wildcards.seed)
    setup, seed = wildcards.subject, wildcards.seed
    return [RESULTS.final(setup, seed, name) for name in VAL]
