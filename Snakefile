# What Snakemake finds in this folder; the workflow itself is in workflow/, where other workflows expect it.
include: "workflow/Snakefile"


workflow.default_target = "all"
