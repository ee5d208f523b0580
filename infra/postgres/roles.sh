#!/bin/sh
# Run once by PostgreSQL's image, on an empty volume: a role and a database for MLflow and for Prefect.
set -eu
for role in mlflow prefect; do
  PASSWORD=$(sed -n "s/^\*:\*:\*:$role://p" "${MCLD_SECRETS_DIR:-/run/secrets}/pgpass")
  export PASSWORD
  # The password goes by the environment: a command line can be read by others.
  psql --set ON_ERROR_STOP=1 --set role="$role" --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\getenv password PASSWORD
CREATE ROLE :"role" LOGIN PASSWORD :'password';
CREATE DATABASE :"role" OWNER :"role";
SQL
done
