# Stages 4 and 5: the semi-supervised grid of each setup in shards, and its best configuration.
# Snakemake leaves records where they are (`update`): killed, or with one rate edited, a shard computes only those that
# lack its key.

for index, count in parts(SETTINGS.grid.shards, len(RESULTS.configurations())):

    rule:
        name:
            f"grid_{index + 1}_of_{count}"
        input:
            RESULTS.dataset,
            rules.parent.output.model,
        output:
            [
                update(RESULTS.grid("{setup}", *point, "{seed}"))
                for point in shard(RESULTS.configurations(), index, count)
            ],
        log:
            RESULTS.log("grid", "{setup}", seed="{seed}", part=(index, count)),
        priority: 20
        conda:
            ENVIRONMENT
        threads: THREADS
        resources:
            gpu=GPU,
        params:
            key=SETTINGS.key("grid"),
            part=part_of(index, count),
        shell:
            verb("grid")
            + "--setup {wildcards.setup} --seed {wildcards.seed} --part {params.part}"


rule select:
    input:
        [
            RESULTS.grid("{setup}", *point, "{seed}")
            for point in RESULTS.configurations()
        ],
    output:
        RESULTS.selected("{setup}", "{seed}"),
    log:
        RESULTS.log("select", "{setup}", seed="{seed}"),
    localrule: True
    conda:
        ENVIRONMENT
    shell:
        verb("select") + "--setup {wildcards.setup} --seed {wildcards.seed}"
