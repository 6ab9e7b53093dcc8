# Stages 7 and 8: predictions of the parents and the baselines, and J&F of all predictions.


rule predict_parent:
    input:
        RESULTS.dataset,
        rules.parent.output.model,
        config=ancient(CONFIG),
    output:
        directory(RESULTS.predictions("unsupervised", "{setup}", "{seed}")),
    log:
        RESULTS.log("predict", "{setup}", seed="{seed}"),
    conda:
        ENVIRONMENT
    threads: THREADS
    resources:
        gpu=GPU,
    shell:
        "slowfast-vos predict-parent --config {input.config} --setup {wildcards.setup} --seed {wildcards.seed} "
        "2>&1 | keep {log}"


rule predict_baseline:
    input:
        RESULTS.dataset,
        rules.detector.output.model,
        config=ancient(CONFIG),
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
        "slowfast-vos predict-baseline --config {input.config} --baseline {wildcards.baseline} "
        "--seed {wildcards.seed} 2>&1 | keep {log}"


rule evaluate:
    input:
        predictions,
        config=ancient(CONFIG),
    output:
        RESULTS.scores("{task}", "{subject}", "{seed}"),
    log:
        RESULTS.log("evaluate", "{task}", "{subject}", seed="{seed}"),
    conda:
        ENVIRONMENT
    params:
        frames=SETTINGS.option("frames"),
    shell:
        "slowfast-vos evaluate --config {input.config} --task {wildcards.task} --setup {wildcards.subject} "
        "--seed {wildcards.seed} 2>&1 | keep {log}"
