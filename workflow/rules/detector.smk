# Stage 2: Mask R-CNN on single frames.


rule detector:
    input:
        RESULTS.dataset,
        config=ancient(CONFIG),
    output:
        model=RESULTS.detector("{seed}") / "model.safetensors",
        record=RESULTS.detector("{seed}") / "record.json",
    log:
        RESULTS.log("detector", seed="{seed}"),
    conda:
        ENVIRONMENT
    threads: SETTINGS.threads + SETTINGS.loading_workers
    resources:
        gpu=GPU,
    params:
        key=SETTINGS.key("detector"),
    shell:
        "slowfast-vos train-detector --config {input.config} --seed {wildcards.seed} 2>&1 | keep {log}"
