#!/bin/sh
# Make work pools and the limit of GPUs, and register this checkout's deployments. PREFECT_API_URL; MCLD_GPUS.
set -eu
python -m infra.stack.prefect_setup "${MCLD_GPUS:-1}"
exec python -m prefect --no-prompt deploy --all
