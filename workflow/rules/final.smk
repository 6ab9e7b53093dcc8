# Stages 6 and 7: one fine-tuned model per validation sequence, in shards of sequences. Its record is written after its
# predictions, and stands for both.

for index, count in parts(SETTINGS.final.shards, len(VAL)):

    rule:
        name:
            f"final_{index + 1}_of_{count}"
        input:
            RESULTS.dataset,
            rules.parent.output.model,
            selected,
        output:
            [
                update(each(RESULTS.final("{setup}", "{seed}", name), SETUPS))
                for name in shard(VAL, index, count)
            ],
        log:
            each(
                RESULTS.log("final", "{setup}", seed="{seed}", part=(index, count)),
                SETUPS,
            ),
        priority: 10
        conda:
            ENVIRONMENT
        threads: THREADS
        resources:
            gpu=GPU,
        params:
            key=SETTINGS.key("final"),
            part=part_of(index, count),
        shell:
            verb("finetune")
            + options("--setup {setup}", SETUPS)
            + " --seed {wildcards.seed} --part {params.part}"
