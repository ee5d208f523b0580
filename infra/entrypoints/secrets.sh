# shellcheck shell=sh
# Sourced: PGPASSFILE, for programs that take passwords only from a file that nobody else can read.
PGPASSFILE=${MCLD_SECRETS_DIR:-/run/secrets}/pgpass
case $(stat -Lc %a "$PGPASSFILE") in
*00) ;;
*) # Mounted secrets are often readable by more; memory (tmpfs) is where /tmp should be then.
  private=$(mktemp -d)
  (umask 077 && cat "$PGPASSFILE" >"$private/pgpass")
  PGPASSFILE=$private/pgpass
  ;;
esac
export PGPASSFILE
