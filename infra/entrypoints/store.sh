#!/bin/sh
# SeaweedFS in one process: an S3 endpoint on MCLD_PORT, and its parts on the seven ports after that.
# MCLD_STORE_DIR; MCLD_SECRETS_DIR/s3.json; MCLD_BIND, for the endpoint alone: the parts ask for no password.
set -eu
port=${MCLD_PORT:-8333}
dir=$MCLD_STORE_DIR
# autoCreateBucket off: a misspelt bucket is an error. One master: it has nobody to wait for in an election.
exec weed -logtostderr server -dir="$dir" -ip=127.0.0.1 -ip.bind=127.0.0.1 \
  -s3 -s3.ip.bind="${MCLD_BIND:-127.0.0.1}" -s3.port="$port" -s3.port.grpc=$((port + 1)) -s3.port.iceberg=0 -s3.port.lance=0 \
  -s3.config="${MCLD_SECRETS_DIR:-/run/secrets}/s3.json" -s3.autoCreateBucket=false -s3.localSocket="$dir/s3.sock" \
  -master.port=$((port + 2)) -master.port.grpc=$((port + 3)) -master.electionTimeout=1s \
  -master.telemetry=false -master.volumeSizeLimitMB=1024 \
  -volume.port=$((port + 4)) -volume.port.grpc=$((port + 5)) -volume.max=0 -volume.preStopSeconds=1 \
  -filer -filer.port=$((port + 6)) -filer.port.grpc=$((port + 7)) -filer.localSocket="$dir/filer.sock"
