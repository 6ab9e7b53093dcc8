#!/usr/bin/env bash
# Snakemake runs this in the new environment, from the folder of the checkout.
set -euo pipefail
pip install --no-deps -r requirements.lock
pip install --no-deps --no-build-isolation -e .
