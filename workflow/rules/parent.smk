# Stage 3: the unsupervised parents, and the tuning of that stage.


rule parent:
    input:
        RESULTS.dataset,
        rules.detector.output.model,
    output:
        model=update(
            each(RESULTS.parent("{setup}", "{seed}") / "model.safetensors", SETUPS)
        ),
        record=update(each(RESULTS.parent("{setup}", "{seed}") / "record.json", SETUPS)),
    log:
        each(RESULTS.log("parent", "{setup}", seed="{seed}"), SETUPS),
    priority: ahead(30)
    conda:
        ENVIRONMENT
    threads: PARENT_THREADS
    resources:
        gpu=GPU,
    params:
        key=SETTINGS.key("parent"),
    shell:
        verb("train-parent")
        + options("--setup {setup}", SETUPS)
        + " --seed {wildcards.seed}"


if TUNINGS:

    rule tuning:
        input:
            RESULTS.dataset,
            rules.detector.output.model,
        output:
            update(
                each(
                    RESULTS.tuning("{setup}", "{backbone}", "{lr}", "{seed}"), TUNINGS
                )
            ),
        log:
            each(
                RESULTS.log("tuning", "{setup}", "{backbone}", "{lr}", seed="{seed}"),
                TUNINGS,
            ),
        conda:
            ENVIRONMENT
        threads: PARENT_THREADS
        resources:
            gpu=GPU,
        params:
            key=SETTINGS.key("tuning"),
        shell:
            verb("tune")
            + options("--point {setup}/{backbone}/{lr}", TUNINGS)
            + " --seed {wildcards.seed}"
