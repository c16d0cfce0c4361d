"""What an Open vSwitch instance is told before it starts."""

from __future__ import annotations

import pytest

from dataplane.ovs.openvswitch import SETTINGS, TUNABLES, WARM_PAIRS, settings, with_tunables


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


def test_the_allocator_keeps_the_buffers_of_one_poll_and_a_users_settings_win() -> None:
    assert with_tunables({"A": "b"}) == {"A": "b", "GLIBC_TUNABLES": TUNABLES}
    own = "glibc.malloc.tcache_count=7"
    assert with_tunables({"GLIBC_TUNABLES": own})["GLIBC_TUNABLES"] == f"{TUNABLES}:{own}"
    kept = dict(entry.split("=") for entry in TUNABLES.split(":"))
    burst, jumbo = 32, 9000 + 18 + 128  # NETDEV_MAX_BURST; a frame and Open vSwitch's headroom
    assert int(kept["glibc.malloc.tcache_count"]) >= burst
    assert int(kept["glibc.malloc.tcache_max"]) >= jumbo
