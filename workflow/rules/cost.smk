# Stage 9: what each setup costs. A measurement takes all cores, so that nothing runs beside it.


rule cost:
    input:
        RESULTS.dataset,
        rules.parent.output.model,
        config=ancient(CONFIG),
    output:
        RESULTS.cost("{setup}", "{seed}"),
    log:
        RESULTS.logs / "cost" / "{setup}" / "seed={seed}.log",
    conda:
        ENVIRONMENT
    threads: workflow.cores or 1
    resources:
        gpu=GPU,
    params:
        key=SETTINGS.digest("precision", "cost"),
    shell:
        "slowfast-vos cost --config {input.config} --setup {wildcards.setup} --seed {wildcards.seed} "
        "2>&1 | tee {log}"
