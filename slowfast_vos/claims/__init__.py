"""What a run says of a claim: intervals over seeds and sequences, and verdicts."""
