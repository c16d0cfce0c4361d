"""Which user of the machine root of a host is: decided from what ids there are and who called."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dataplane.hosts.users import NOBODY, RANGE, WIDTH, candidate_maps, extents

ALL = "         0          0 4294967295\n"
ONE = "         0       1000          1\n"
ROOTLESS = "         0       1000          1\n         1     100000      65536\n"


def first_outside(text: str) -> int:
    return int(text.splitlines()[0].split()[1])


def test_root_of_the_machine_gives_hosts_ids_that_own_nothing() -> None:
    best = candidate_maps(ALL, ALL, {})[0]
    assert best.users == best.groups == f"0 {RANGE} {WIDTH}"
    assert RANGE > 1_879_048_191  # beyond systemd-nspawn's and all that is handed out


def test_root_by_sudo_gives_them_the_callers_rights_and_no_more() -> None:
    best = candidate_maps(ALL, ALL, {"SUDO_UID": "1000", "SUDO_GID": "100"})[0]
    assert best.users.splitlines() == ["0 1000 1", f"1 {RANGE + 1} {WIDTH - 1}"]
    assert best.groups.splitlines()[0] == "0 100 1"


def test_an_ordinary_users_hosts_have_the_users_own_id() -> None:
    assert [
        candidate.users for candidate in candidate_maps(ONE, ONE, {"SUDO_UID": "1000", "SUDO_GID": "1000"})
    ] == ["0 0 1"]


def test_where_few_ids_are_mapped_nobodys_is_taken() -> None:
    assert candidate_maps(ROOTLESS, ROOTLESS, {})[0].users == f"0 {NOBODY} 1"


@given(st.text(max_size=12), st.text(max_size=12))
def test_whatever_the_environment_says_root_is_never_the_first_choice(uid: str, gid: str) -> None:
    environment = {"SUDO_UID": uid, "SUDO_GID": gid}
    for candidate in candidate_maps(ALL, ALL, environment)[:-1]:
        assert first_outside(candidate.users) != 0 and first_outside(candidate.groups) != 0


def test_extents_of_a_map() -> None:
    assert extents(ROOTLESS) == [(0, 1), (1, 65536)]
    assert extents("") == []
