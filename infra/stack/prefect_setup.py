"""What a Prefect server needs before anything is deployed: `python -m infra.stack.prefect_setup NUM_GPUS`."""

from __future__ import annotations

import os
import sys
import urllib.error
from typing import Any, cast

from infra.stack.asking import ask, get
from mcld.errors import MCLDError

POOLS = ("cpu", "gpu")
GPU_LIMIT = "gpu"  # what flows/run_stage.py waits for
ALREADY_THERE = 409


def make_pools(api_url: str) -> None:
    """Make the work pools that prefect.yaml names, for workers that run flows as processes."""
    found = cast("list[dict[str, Any]]", ask(f"{api_url}/work_pools/filter", body={}))
    for name in sorted(set(POOLS) - {pool["name"] for pool in found}):
        kinds = cast("dict[str, Any]", get(f"{api_url}/collections/views/aggregate-worker-metadata"))
        template = kinds["prefect"]["process"]["default_base_job_configuration"]
        _make(f"{api_url}/work_pools/", {"name": name, "type": "process", "base_job_template": template})


def make_gpu_limit(api_url: str, *, num_gpus: int) -> None:
    """Let as many stages compute with a model at once as there are GPUs. A limit that exists stays."""
    _make(f"{api_url}/v2/concurrency_limits/", {"name": GPU_LIMIT, "limit": num_gpus})


def _make(url: str, body: dict[str, Any]) -> None:
    try:
        ask(url, body=body)
    except urllib.error.HTTPError as error:
        if error.code != ALREADY_THERE:  # somebody else was quicker, which is as well
            raise MCLDError(f"{url}: '{body['name']}' cannot be made: {error}") from error


if __name__ == "__main__":
    api = os.environ["PREFECT_API_URL"]
    make_pools(api)
    make_gpu_limit(api, num_gpus=int(sys.argv[1]))
