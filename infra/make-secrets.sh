#!/bin/sh
# Draw the secrets of compose.yaml by chance, into the folder $1 (default: infra/secrets), unless they are there.
# The folder is closed to others. Its files are not: containers see them one by one, each as a user of its own.
set -eu
dir=${1:-$(dirname "$0")/secrets}
mkdir -p "$dir"
chmod 700 "$dir"
draw() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }
keep() { test -e "$dir/$1" || { cat >"$dir/.$1" && mv "$dir/.$1" "$dir/$1"; }; }
umask 022

draw 24 | keep postgres-password
keep pgpass <<END
*:*:*:mlflow:$(draw 24)
*:*:*:prefect:$(draw 24)
END
keep aws-credentials <<END
[default]
aws_access_key_id = $(draw 10)
aws_secret_access_key = $(draw 30)
END
value() { sed -n "s/^$1 = //p" "$dir/aws-credentials"; }
cat >"$dir/s3.json" <<END
{"identities": [{"name": "mcld", "credentials": [
  {"accessKey": "$(value aws_access_key_id)", "secretKey": "$(value aws_secret_access_key)"}],
  "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
END
echo "$dir: secrets are there"
