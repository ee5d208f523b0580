#!/bin/sh
# Tell a Prefect server what this checkout needs: work pools, the limit of GPUs, what happens to runs that crash,
# and its deployments. PREFECT_API_URL; MCLD_GPUS.
set -eu
python -m infra.stack.prefect_setup "${MCLD_GPUS:-1}"
python -m flows.automations &
automations=$!
python -m prefect --no-prompt deploy --all
wait "$automations"
