# Stage 9: what each setup costs. A measurement takes all cores that there are, so that nothing runs beside it; on a
# cluster it asks for what it uses, and the profile gives it a node.


rule cost:
    input:
        RESULTS.dataset,
        rules.parent.output.model,
    output:
        RESULTS.cost("{setup}", "{seed}"),
    log:
        RESULTS.log("cost", "{setup}", seed="{seed}"),
    conda:
        ENVIRONMENT
    threads: cores_of_a_measurement
    resources:
        gpu=GPU,
    params:
        key=SETTINGS.key("cost"),
    shell:
        verb("cost") + "--setup {wildcards.setup} --seed {wildcards.seed}"
