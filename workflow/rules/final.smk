# Stages 6 and 7: one fine-tuned model per validation sequence, and its predictions, in shards of sequences.

FINAL_SHARDS = min(SETTINGS.final.shards, len(VAL))

for index in range(FINAL_SHARDS):

    rule:
        name:
            f"final_{index + 1}_of_{FINAL_SHARDS}"
        input:
            RESULTS.dataset,
            rules.parent.output.model,
            rules.select.output,
            config=ancient(CONFIG),
        output:
            [
                RESULTS.final("{setup}", "{seed}", name)
                for name in shard(VAL, index, FINAL_SHARDS)
            ],
            [
                directory(
                    RESULTS.predictions("semi-supervised", "{setup}", "{seed}") / name
                )
                for name in shard(VAL, index, FINAL_SHARDS)
            ],
        log:
            RESULTS.log("final", "{setup}", seed="{seed}", part=(index, FINAL_SHARDS)),
        priority: 10
        conda:
            ENVIRONMENT
        threads: THREADS
        resources:
            gpu=GPU,
        params:
            key=SETTINGS.key("final"),
        shell:
            "part={log}; part=${{part##*part=}}; "
            "slowfast-vos finetune --config {input.config} --setup {wildcards.setup} --seed {wildcards.seed} "
            "--part ${{part%.log}} 2>&1 | keep {log}"
