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
                update(each(RESULTS.grid("{setup}", *point, "{seed}"), SETUPS))
                for point in shard(RESULTS.configurations(), index, count)
            ],
        log:
            each(
                RESULTS.log("grid", "{setup}", seed="{seed}", part=(index, count)),
                SETUPS,
            ),
        priority: ahead(20)
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
            + options("--setup {setup}", SETUPS)
            + " --seed {wildcards.seed} --part {params.part}"


rule select:
    input:
        [
            each(RESULTS.grid("{setup}", *point, "{seed}"), SETUPS)
            for point in RESULTS.configurations()
        ],
    output:
        each(RESULTS.selected("{setup}", "{seed}"), SETUPS),
    log:
        each(RESULTS.log("select", "{setup}", seed="{seed}"), SETUPS),
    localrule: True
    conda:
        ENVIRONMENT
    params:
        key=SETTINGS.key("selected"),
    shell:
        verb("select") + options("--setup {setup}", SETUPS) + " --seed {wildcards.seed}"
