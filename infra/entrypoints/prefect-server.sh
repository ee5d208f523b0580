#!/bin/sh
# Prefect's server on PostgreSQL. MCLD_POSTGRES_HOST, MCLD_SECRETS_DIR, PREFECT_HOME; MCLD_BIND, MCLD_PORT.
set -eu
. "$(dirname "$0")/secrets.sh"
export PREFECT_SERVER_DATABASE_CONNECTION_URL="postgresql+asyncpg://prefect@/prefect?host=$MCLD_POSTGRES_HOST&port=5432"
# Its pages, with its address in them. Beside its code, their usual place, two servers would mix them up.
export PREFECT_UI_STATIC_DIRECTORY="$PREFECT_HOME/ui"
exec python -m prefect server start --host "${MCLD_BIND:-127.0.0.1}" --port "${MCLD_PORT:-4200}"
