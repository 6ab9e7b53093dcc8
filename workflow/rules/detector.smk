# Stage 2: Mask R-CNN on single frames.


rule detector:
    input:
        RESULTS.dataset,
    output:
        model=update(RESULTS.detector("{seed}") / "model.safetensors"),
        record=update(RESULTS.detector("{seed}") / "record.json"),
    log:
        RESULTS.log("detector", seed="{seed}"),
    # First, since the longest chain of jobs begins here.
    priority: ahead(40)
    conda:
        ENVIRONMENT
    threads: SETTINGS.threads + SETTINGS.loading_workers
    resources:
        gpu=GPU,
    params:
        key=SETTINGS.key("detector"),
    shell:
        verb("train-detector") + "--seed {wildcards.seed}"
