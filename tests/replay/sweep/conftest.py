"""A Dask cluster on this machine."""

from collections.abc import Iterator
from typing import Any

import pytest
from dask.config import set as configured
from distributed import LocalCluster


def local_cluster(workers: int, *, processes: bool = True) -> Any:
    """With workers that are processes of their own, or threads of this one. A task may kill one of them."""
    made: Any = LocalCluster
    with configured({"distributed.scheduler.allowed-failures": 1}):
        return made(n_workers=workers, threads_per_worker=1, processes=processes, dashboard_address=":0")


@pytest.fixture(scope="session")
def lasting_cluster() -> Iterator[Any]:
    with local_cluster(2) as running:
        yield running


@pytest.fixture
def scheduler(lasting_cluster: Any) -> Any:
    """One that lasts for all tests that kill no worker; both of its workers are there."""
    lasting_cluster.wait_for_workers(2, timeout=60)
    return lasting_cluster
