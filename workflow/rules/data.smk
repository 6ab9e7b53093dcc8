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
            root=SETTINGS.data_root,
            options=" ".join(
                f"--{key} {value}"
                for key, value in SETTINGS.data.synthetic.model_dump().items()
            ),
        shell:
            "slowfast-vos synthesize --root {params.root} {params.options} "
            "--processes {threads} 2>&1 | keep {log}"

else:
    DATA = []


rule check_data:
    input:
        DATA,
        config=ancient(CONFIG),
    output:
        RESULTS.dataset,
    log:
        RESULTS.log("check-data"),
    localrule: True
    conda:
        ENVIRONMENT
    params:
        key=SETTINGS.digest(
            "data", "davis_root", "davis_val_root", "protocol", "switches"
        ),
        selection=SETTINGS.selection_sequences,
        skipped=SKIPPED,
    shell:
        "slowfast-vos check-data --config {input.config} 2>&1 | keep {log}"
