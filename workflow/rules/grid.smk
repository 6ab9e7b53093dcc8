# Stages 4 and 5: the semi-supervised grid of each setup in shards, and its best configuration.
# A shard keeps finished records aside: killed, or with one rate edited, it computes only what is missing. Which part of
# the whole it is, its log's name tells: as one of the params, another number of shards would make everything again.

SHARDS = min(SETTINGS.grid.shards, len(RESULTS.configurations()))

for index in range(SHARDS):

    rule:
        name:
            f"grid_{index + 1}_of_{SHARDS}"
        input:
            RESULTS.dataset,
            rules.parent.output.model,
            config=ancient(CONFIG),
        output:
            [
                RESULTS.grid("{setup}", *point, "{seed}")
                for point in shard(RESULTS.configurations(), index, SHARDS)
            ],
        log:
            RESULTS.log("grid", "{setup}", seed="{seed}", part=(index, SHARDS)),
        priority: 20
        conda:
            ENVIRONMENT
        threads: THREADS
        resources:
            gpu=GPU,
        params:
            key=SETTINGS.key("grid"),
        shell:
            "part={log}; part=${{part##*part=}}; "
            "slowfast-vos grid --config {input.config} --setup {wildcards.setup} --seed {wildcards.seed} "
            "--part ${{part%.log}} 2>&1 | keep {log}"


rule select:
    input:
        [
            RESULTS.grid("{setup}", *point, "{seed}")
            for point in RESULTS.configurations()
        ],
        config=ancient(CONFIG),
    output:
        RESULTS.selected("{setup}", "{seed}"),
    log:
        RESULTS.log("select", "{setup}", seed="{seed}"),
    localrule: True
    conda:
        ENVIRONMENT
    shell:
        "slowfast-vos select --config {input.config} --setup {wildcards.setup} --seed {wildcards.seed} "
        "2>&1 | keep {log}"
