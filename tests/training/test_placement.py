"""Processes and machines come from params, and from the environment where a scheduler sets it."""

import pytest

from mcld.config import RuntimeParams
from mcld.errors import ConfigError
from mcld.training.placement import Placement, placement_of


def test_params_alone_say_how_many() -> None:
    placement = placement_of(RuntimeParams(num_processes=3), environment={})
    assert placement == Placement(num_processes=3)
    assert placement.num_ranks == 3


def test_the_environment_goes_before_params() -> None:
    environment = {
        "MCLD_NUM_PROCESSES": "8",
        "MCLD_NUM_NODES": "4",
        "MCLD_NODE_RANK": "3",
        "MCLD_RENDEZVOUS": "node0:29500",
    }
    placement = placement_of(RuntimeParams(num_processes=1), environment=environment)
    assert placement == Placement(num_processes=8, num_nodes=4, node_rank=3, rendezvous="node0:29500")
    assert placement.num_ranks == 32


def test_without_gpus_one_process_is_enough() -> None:
    assert placement_of(RuntimeParams(device="cpu"), environment={}).num_processes == 1


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"MCLD_NUM_NODES": "two"}, r"MCLD_NUM_NODES: 'two' in the environment is not a whole number"),
        ({"MCLD_NUM_NODES": "2", "MCLD_NODE_RANK": "2"}, r"runtime\.node_rank: 2 of 2 machines"),
        ({"MCLD_NUM_NODES": "2"}, r"runtime\.rendezvous: None is not host:port"),
        (
            {"MCLD_NUM_NODES": "2", "MCLD_RENDEZVOUS": "node0"},
            r"runtime\.rendezvous: 'node0' is not host:port",
        ),
    ],
)
def test_what_cannot_be_is_refused(environment: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        placement_of(RuntimeParams(num_processes=1), environment=environment)
