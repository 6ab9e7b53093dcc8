# Stage 1: the videos, drawn or given, and a check of every frame and mask before anything trains.

if SETTINGS.data.kind == "synthetic":
    DATA = SETTINGS.data_root / "Annotations" / "db_info.yml"

    rule synthesize:
        output:
            DATA,
        log:
            RESULTS.log("synthesize"),
        localrule: True
        conda:
            ENVIRONMENT
        threads: 2
        params:
            key=SETTINGS.data.synthetic.model_dump(),
        shell:
            verb("synthesize") + "--processes {threads}"

else:
    DATA = []


rule check_data:
    input:
        DATA,
    output:
        RESULTS.dataset,
    log:
        RESULTS.log("check-data"),
    localrule: True
    conda:
        ENVIRONMENT
    params:
        key=SETTINGS.digest(
            {"data", "davis_root", "davis_val_root", "protocol", "switches"}
        ),
        selection=SETTINGS.selection_sequences,
        skipped=SKIPPED,
    shell:
        verb("check-data")
