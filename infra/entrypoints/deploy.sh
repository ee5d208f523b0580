#!/bin/sh
# Make work pools and the limit of GPUs, register this checkout's deployments, have crashed runs go on by themselves.
# PREFECT_API_URL; MCLD_GPUS.
set -eu
python -m infra.stack.prefect_setup "${MCLD_GPUS:-1}"
python -m prefect --no-prompt deploy --all
exec python -m flows.automations
