# A rule that needs more than a minute: it sleeps past a walltime of one, and ends at once under a longer one.


rule outlives:
    output:
        "done",
    log:
        "outlives.log",
    shell:
        "limit=$(squeue --noheader --jobs $SLURM_JOB_ID --format %l); "
        "if [ $limit = 1:00 ]; then sleep 600; fi; touch {output}"
