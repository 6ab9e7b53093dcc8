# Stage 10: tables and figures, from the records alone; pictures of the predictions.

EVALUATIONS = outputs_of("baseline", *TASKS)
# An edit of what is claimed makes the reports again, and nothing else.
CLAIMS = [SETTINGS.claims.file] if SETTINGS.claims.file else []


rule tables:
    input:
        RESULTS.dataset,
        EVALUATIONS,
        outputs_of("detector", "parent", "tuning", "grid", "selected", "cost"),
        CLAIMS,
    output:
        [
            report(
                RESULTS.reports / "tables" / f"{name}.{suffix}",
                caption=f"../report/{name.partition('-')[0] if name.startswith('grid') else name}.rst",
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
    params:
        claims=SETTINGS.digest({"claims"}),
    shell:
        verb("tables")


rule plots:
    input:
        rules.tables.input,
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
    params:
        claims=SETTINGS.digest({"claims"}),
    shell:
        verb("plots")


rule strips:
    input:
        RESULTS.dataset,
        EVALUATIONS,
        CLAIMS,
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
    params:
        claims=SETTINGS.digest({"claims"}),
    shell:
        verb("strips")


rule page:
    input:
        rules.tables.output,
        rules.plots.output,
        rules.strips.output,
    output:
        report(
            RESULTS.reports / "report.html",
            caption="../report/page.rst",
            category="The run's page",
        ),
        RESULTS.reports / "report.md",
    log:
        RESULTS.log("report"),
    localrule: True
    conda:
        ENVIRONMENT
    shell:
        verb("report")


# The run's exit code: it fails, after all else is there, if a row of the tables is a failed record.
rule check_records:
    input:
        RESULTS.reports / "tables" / "records.csv",
        rules.page.output,
    output:
        RESULTS.root / "complete.json",
    log:
        RESULTS.log("check-records"),
    retries: 0
    localrule: True
    conda:
        ENVIRONMENT
    shell:
        verb("check-records") + "--out {output}"
