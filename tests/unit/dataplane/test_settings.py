"""What an Open vSwitch instance is told before it starts."""

from __future__ import annotations

import pytest

from dataplane.ovs.openvswitch import SETTINGS, WARM_PAIRS, settings


@pytest.mark.parametrize(("hosts", "warm"), [(0, True), (45, True), (46, False), (200, False)])
def test_small_labs_keep_their_flow_cache(hosts: int, warm: bool) -> None:
    assert (hosts * (hosts - 1) <= WARM_PAIRS) == warm
    assert ("max-idle" in settings(hosts)) == warm
    assert settings(hosts).items() >= SETTINGS.items()


@pytest.mark.parametrize(("hosts", "limit"), [(0, 10_000), (45, 10_000), (100, 39_600), (1000, 40_000)])
def test_the_flow_cache_is_bounded_and_holds_all_pairs_of_a_hundred_hosts(hosts: int, limit: int) -> None:
    told = settings(hosts)
    assert int(told["flow-limit"]) == limit
    assert int(told.get("max-idle", "10000")) <= 60_000
