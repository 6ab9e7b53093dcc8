# Stage 9: what each setup costs. A measurement takes all cores that there are, so that nothing runs beside it; on a
# cluster it asks for what it uses, and the profile gives it a node.


rule cost:
    input:
        RESULTS.dataset,
        rules.parent.output.model,
    output:
        each(RESULTS.cost("{setup}", "{seed}"), SETUPS),
    log:
        each(RESULTS.log("cost", "{setup}", seed="{seed}"), SETUPS),
    conda:
        ENVIRONMENT
    threads: cores_of_a_measurement
    resources:
        gpu=GPU,
    params:
        key=SETTINGS.key("cost"),
    shell:
        verb("cost") + options("--setup {setup}", SETUPS) + " --seed {wildcards.seed}"
