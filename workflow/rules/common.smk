# What several rules share.

ENVIRONMENT = workflow.source_path("../envs/slowfast-vos.yaml")


def predictions(wildcards):
    """What an evaluation reads: a folder of predictions, or the final models' records and predictions."""
    if wildcards.task != "semi-supervised":
        return RESULTS.predictions(wildcards.task, wildcards.subject, wildcards.seed)
    folder = RESULTS.predictions("semi-supervised", wildcards.subject, wildcards.seed)
    records = [RESULTS.final(wildcards.subject, wildcards.seed, name) for name in VAL]
    return [*records, *(folder / name for name in VAL)]
