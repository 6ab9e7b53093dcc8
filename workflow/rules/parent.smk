# Stage 3: the unsupervised parent of each setup, and the tuning of that stage.


rule parent:
    input:
        RESULTS.dataset,
        rules.detector.output.model,
    output:
        model=update(RESULTS.parent("{setup}", "{seed}") / "model.safetensors"),
        record=update(RESULTS.parent("{setup}", "{seed}") / "record.json"),
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
        verb("train-parent") + "--setup {wildcards.setup} --seed {wildcards.seed}"


rule tuning:
    input:
        RESULTS.dataset,
        rules.detector.output.model,
    output:
        update(RESULTS.tuning("{setup}", "{backbone}", "{lr}", "{seed}")),
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
        verb("tune") + "--setup {wildcards.setup} --seed {wildcards.seed} "
        "--backbone {wildcards.backbone} --lr {wildcards.lr}"
