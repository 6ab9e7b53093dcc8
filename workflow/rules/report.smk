# Stage 10: tables and figures, from the records alone; pictures of the predictions.

RECORDS = [path for _, _, path in record_paths(SETTINGS, RESULTS.root)]
EVALUATIONS = [
    path
    for kind, _, path in record_paths(SETTINGS, RESULTS.root)
    if kind in ("evaluation", "baseline")
]


rule tables:
    input:
        RESULTS.dataset,
        RECORDS,
        config=ancient(CONFIG),
    output:
        [
            report(
                RESULTS.reports / "tables" / f"{name}.{suffix}",
                caption="../report/tables.rst",
                category="Tables",
                labels={"table": name, "format": suffix},
            )
            for name in table_names(SETTINGS)
            for suffix in ("csv", "md", "tex")
        ],
        report(
            RESULTS.reports / "tables" / "summary.md",
            caption="../report/summary.rst",
            category="Tables",
            labels={"table": "all of them", "format": "md"},
        ),
    log:
        RESULTS.log("tables"),
    localrule: True
    conda:
        ENVIRONMENT
    shell:
        "slowfast-vos tables --config {input.config} 2>&1 | keep {log}"


rule plots:
    input:
        RESULTS.dataset,
        RECORDS,
        config=ancient(CONFIG),
    output:
        report(
            directory(RESULTS.reports / "figures"),
            patterns=["{name}.png"],
            caption="../report/plots.rst",
            category="Figures",
            labels={"figure": "{name}"},
        ),
    log:
        RESULTS.log("plots"),
    localrule: True
    conda:
        ENVIRONMENT
    shell:
        "slowfast-vos plots --config {input.config} 2>&1 | keep {log}"


rule strips:
    input:
        RESULTS.dataset,
        EVALUATIONS,
        config=ancient(CONFIG),
    output:
        report(
            directory(RESULTS.reports / "strips"),
            patterns=["{name}.png"],
            caption="../report/strips.rst",
            category="Predictions",
            labels={"task and sequence": "{name}"},
        ),
    log:
        RESULTS.log("strips"),
    localrule: True
    conda:
        ENVIRONMENT
    shell:
        "slowfast-vos strips --config {input.config} 2>&1 | keep {log}"


# The run's exit code: it fails, after all else is there, if a row of the tables is a failed record.
rule check_records:
    input:
        RESULTS.reports / "tables" / "records.csv",
        rules.plots.output,
        rules.strips.output,
        config=ancient(CONFIG),
    output:
        RESULTS.root / "complete.json",
    log:
        RESULTS.log("check-records"),
    retries: 0
    localrule: True
    conda:
        ENVIRONMENT
    shell:
        "slowfast-vos check-records --config {input.config} --out {output} 2>&1 | keep {log}"
