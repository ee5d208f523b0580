#!/bin/sh
# MLflow's server: what it knows in PostgreSQL, artifacts through it into an object store.
# MCLD_POSTGRES_HOST (a name, or a socket's folder), MCLD_SECRETS_DIR; AWS_* for the store; MCLD_BIND, MCLD_PORT.
set -eu
. "$(dirname "$0")/secrets.sh"
exec python -m mlflow server \
  --host "${MCLD_BIND:-127.0.0.1}" --port "${MCLD_PORT:-5000}" --workers "${MCLD_SERVER_PROCESSES:-1}" \
  --backend-store-uri "postgresql+psycopg://mlflow@/mlflow?host=$MCLD_POSTGRES_HOST&port=5432" \
  --artifacts-destination "s3://${MCLD_BUCKET:-mcld}/mlflow"
