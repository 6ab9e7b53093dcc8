"""One module per stage: gathers what a job needs, runs it, and writes its record."""
