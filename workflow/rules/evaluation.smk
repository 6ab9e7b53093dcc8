# Stages 7 and 8: predictions of the parents and the baselines, and J&F of all predictions.


rule predict_parent:
    input:
        RESULTS.dataset,
        weights,
    output:
        directory(RESULTS.predictions("unsupervised", "{subject}", "{seed}")),
    log:
        RESULTS.log("predict", "{subject}", seed="{seed}"),
    conda:
        ENVIRONMENT
    threads: THREADS
    resources:
        gpu=GPU,
    shell:
        verb("predict-parent") + "--setup {wildcards.subject} --seed {wildcards.seed}"


rule predict_baseline:
    input:
        RESULTS.dataset,
        rules.detector.output.model,
    output:
        directory(RESULTS.predictions("baseline", "{baseline}", "{seed}")),
    log:
        RESULTS.log("predict", "{baseline}", seed="{seed}"),
    conda:
        ENVIRONMENT
    threads: THREADS
    resources:
        gpu=GPU,
    shell:
        verb("predict-baseline")
        + "--baseline {wildcards.baseline} --seed {wildcards.seed}"


rule evaluate:
    input:
        predictions,
    output:
        RESULTS.scores("{task}", "{subject}", "{seed}"),
    log:
        RESULTS.log("evaluate", "{task}", "{subject}", seed="{seed}"),
    conda:
        ENVIRONMENT
    params:
        frames=SETTINGS.option("frames"),
    shell:
        verb("evaluate") + "--task {wildcards.task} --setup {wildcards.subject} "
        "--seed {wildcards.seed}"
