# What several rules share.

ENVIRONMENT = workflow.source_path("../envs/slowfast-vos.yaml")
# Jobs of one setup each, or one job for all setups of a seed.
APART = SETTINGS.one_job_per == "setup"
SETUPS = [{"setup": setup} for setup in SETTINGS.setups]
TUNINGS = [dict(zip(("setup", "backbone", "lr"), one)) for one in RESULTS.tunings()]
PREDICTED = [
    {"task": task, "subject": subject}
    for task, subjects in {
        "unsupervised": [*SETTINGS.setups, *SETTINGS.tested],
        "baseline": BASELINES,
    }.items()
    for subject in subjects
]
SCORED = PREDICTED + [
    {"task": "semi-supervised", "subject": setup} for setup in SETTINGS.setups
]
# Where a GPU works, a thread prefetches frames.
THREADS = SETTINGS.threads + GPU
PARENT_THREADS = SETTINGS.threads + GPU * max(SETTINGS.loading_workers, 1)


def verb(name):
    """The beginning of a rule's command; `exec`, since a cluster's signals must reach the job, which saves its state."""
    return f"exec slowfast-vos {name} --config {CONFIG} "


def part_of(index, count):
    """The part of a job that shares its work with others; a function of the threads, since that makes nothing rerun."""
    return lambda wildcards, threads: f"{index + 1}/{count}"


def each(path, points):
    """What a job makes, with its wildcards; or, where one job serves a seed, what it makes at each of some points."""
    if APART:
        return path
    return [str(path).format(seed="{seed}", **point) for point in points]


def options(option, points):
    """The options that name a job's point, or all that it serves."""
    if APART:
        return option.replace("{", "{wildcards.")
    return " ".join(option.format(**point) for point in points)


def cores_of_a_measurement(wildcards):
    """All of this machine's, or what the measurement itself uses."""
    # Only once the jobs are planned it is known where they run.
    on_a_cluster = workflow.non_local_exec or workflow.remote_exec
    return THREADS if on_a_cluster else 1_000_000


def outputs_of(*kinds):
    """The records of all jobs of some kinds."""
    return [path for job in JOBS if job.kind in kinds for path in job.outputs]


def weights(wildcards):
    """The networks that predict: a control at test time has another setup's weights, and one baseline has none."""
    subjects = (
        [wildcards.subject] if APART else [point["subject"] for point in PREDICTED]
    )
    folders = {
        subject: (
            RESULTS.detector(wildcards.seed)
            if subject in BASELINES
            else RESULTS.parent(Setup.parse(subject).trained, wildcards.seed)
        )
        for subject in subjects
    }
    return sorted({folder / "model.safetensors" for folder in folders.values()})


def ahead(priority):
    """A job's priority: seeds that are searched come before those that wait for their choice."""

    def of(wildcards):
        seed = int(wildcards.seed)
        return priority + 100 * (SETTINGS.search_seed(seed) == seed)

    return of


def selected(wildcards):
    """The choices of the seed whose parents the grid searches."""
    seed = SETTINGS.search_seed(int(wildcards.seed))
    return [
        RESULTS.selected(setup, seed)
        for setup in ([wildcards.setup] if APART else SETTINGS.setups)
    ]


def predictions(wildcards):
    """What evaluations read: folders of predictions, and the records of the final models."""
    inputs, seed = [], wildcards.seed
    for point in [wildcards] if APART else SCORED:
        task, subject = (point.task, point.subject) if APART else point.values()
        if task == "semi-supervised":
            inputs += [RESULTS.final(subject, seed, name) for name in VAL]
        else:
            inputs.append(RESULTS.predictions(task, subject, seed))
    return inputs


def start():
    """Hold the run's lock while this process lives, and write its settings; once, however many modules use the run."""
    settings, locks = SETTINGS, workflow.__dict__.setdefault("run_locks", {})
    if CONFIG in locks:
        return
    # On a cluster one machine decides for all: else a job might use a GPU that it was not given.
    if settings.device == "auto" and workflow.non_local_exec:
        device = "cuda" if GPU else "cpu"
        print(
            f"device auto: {device}, as on this machine, for all jobs; `--config device=cuda` asks for a GPU each"
        )
        settings = settings.model_copy(update={"device": device})
    try:
        # Instead of Snakemake's own lock, which a killed run leaves behind.
        locks[CONFIG] = hold_run(CONFIG.with_name("run.lock"))
        settings.save(CONFIG)
    except UserError as error:
        raise WorkflowError(str(error)) from None


def start_with_the_importing_workflow():
    """In a module, whose own handlers Snakemake does not run."""
    paths = workflow.modifier.path_modifier
    if paths.prefix or paths.modifies_prefixes:
        raise WorkflowError(
            "prefix: found one in a module; expected none, since `name` in its config tells runs apart"
        )
    before = workflow._onstart

    def then_start(log):
        before(log)
        start()

    workflow._onstart = then_start
