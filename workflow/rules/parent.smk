# Stage 3: the unsupervised parent of each setup, and the tuning of that stage.


rule parent:
    input:
        RESULTS.dataset,
        rules.detector.output.model,
        config=ancient(CONFIG),
    output:
        model=RESULTS.parent("{setup}", "{seed}") / "model.safetensors",
        record=RESULTS.parent("{setup}", "{seed}") / "record.json",
    log:
        RESULTS.log("parent", "{setup}", seed="{seed}"),
    priority: 30
    conda:
        ENVIRONMENT
    threads: THREADS
    resources:
        gpu=GPU,
    params:
        key=SETTINGS.key("parent"),
    shell:
        "slowfast-vos train-parent --config {input.config} --setup {wildcards.setup} --seed {wildcards.seed} "
        "2>&1 | keep {log}"


rule tuning:
    input:
        RESULTS.dataset,
        rules.detector.output.model,
        config=ancient(CONFIG),
    output:
        RESULTS.tuning("{setup}", "{backbone}", "{lr}", "{seed}"),
    log:
        RESULTS.log(
            "tuning", "{setup}", "backbone={backbone}", "lr={lr}", seed="{seed}"
        ),
    conda:
        ENVIRONMENT
    threads: THREADS
    resources:
        gpu=GPU,
    params:
        key=SETTINGS.key("tuning"),
    shell:
        "slowfast-vos tune --config {input.config} --setup {wildcards.setup} --seed {wildcards.seed} "
        "--backbone {wildcards.backbone} --lr {wildcards.lr} 2>&1 | keep {log}"
