"""Turn pip's report of one resolve into requirements.lock: exact versions, readable on every machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path

HEADER = """\
# Exact versions of everything that the package and its development tools need.
# Made by `make lock` (one resolve by pip of pyproject.toml); do not edit by hand.
# Left out on purpose: torch's CUDA libraries, which torch itself pins and a CPU machine does without.
# Installed by `make install`, or: pip install -r requirements.lock && pip install --no-deps -e .
"""
CUDA_PREFIXES = ("nvidia-", "cuda-", "triton")
OWN_NAME = "mcld"


def pins(report: dict[str, object]) -> list[str]:
    """Every resolved distribution as `name==version`, without local builds such as `+cpu`."""
    installs = report["install"]
    assert isinstance(installs, list)
    found = [(item["metadata"]["name"].lower(), item["metadata"]["version"]) for item in installs]
    return sorted(
        f"{name}=={version.partition('+')[0]}"
        for name, version in found
        if name != OWN_NAME and not name.startswith(CUDA_PREFIXES)
    )


def main() -> None:
    """Read pip's JSON report from stdin, write the lock to the path given."""
    lines = pins(json.load(sys.stdin))
    Path(sys.argv[1]).write_text(HEADER + "\n".join(lines) + "\n")
    print(f"{sys.argv[1]}: {len(lines)} packages")


if __name__ == "__main__":
    main()
