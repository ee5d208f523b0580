#!/bin/sh
# A Prefect worker for the work pool $1, which it makes if there is none. Flows run as processes in this
# folder, a checkout, with its code. PREFECT_API_URL, MLFLOW_TRACKING_URI; AWS_* for the store.
# With MCLD_HEALTH_PORT it says on loopback whether it still polls.
set -eu
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PREFECT_LOGGING_EXTRA_LOGGERS=mcld
# Prefect keeps files in a folder of TMPDIR that belongs to whoever came first: each user gets their own TMPDIR.
TMPDIR=${TMPDIR:-/tmp}/mcld-$(id -u)
mkdir -p "$TMPDIR"
chmod 700 "$TMPDIR" # refused where it is somebody else's
export TMPDIR
export PREFECT_WORKER_WEBSERVER_HOST=127.0.0.1 PREFECT_WORKER_WEBSERVER_PORT="${MCLD_HEALTH_PORT:-8080}"
exec python -m prefect worker start --pool "$1" --type process --name "${MCLD_WORKER_NAME:-worker-$1}" \
  ${MCLD_HEALTH_PORT:+--with-healthcheck}
