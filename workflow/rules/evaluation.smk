# Stages 7 and 8: predictions of the parents and the baselines, and J&F of all predictions.


rule predict:
    input:
        RESULTS.dataset,
        weights,
    output:
        directory(each(RESULTS.predictions("{task}", "{subject}", "{seed}"), PREDICTED)),
    log:
        each(RESULTS.log("predict", "{task}", "{subject}", seed="{seed}"), PREDICTED),
    wildcard_constraints:
        task="unsupervised|baseline",
    conda:
        ENVIRONMENT
    threads: THREADS
    resources:
        gpu=GPU,
    shell:
        verb("predict-val")
        + options("--subject {task}/{subject}", PREDICTED)
        + " --seed {wildcards.seed}"


rule evaluate:
    input:
        predictions,
    output:
        each(RESULTS.scores("{task}", "{subject}", "{seed}"), SCORED),
    log:
        each(RESULTS.log("evaluate", "{task}", "{subject}", seed="{seed}"), SCORED),
    conda:
        ENVIRONMENT
    params:
        frames=SETTINGS.option("frames"),
    shell:
        verb("evaluate")
        + options("--subject {task}/{subject}", SCORED)
        + " --seed {wildcards.seed}"
