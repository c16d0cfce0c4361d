"""What Open vSwitch says of its groups' counters."""

from __future__ import annotations

from dataplane.ovs.group_counters import parsed, used

SAID = """\
OFPST_GROUP reply (OF1.5) (xid=0x6):
 group_id=4,duration=3.9s,ref_count=2,packet_count=1,byte_count=50,bucket0:packet_count=0,byte_count=0,\
bucket1:packet_count=1,byte_count=50
 group_id=524292,duration=3.9s,ref_count=2,packet_count=0,byte_count=0,bucket0:packet_count=12,byte_count=0
 group_id=7,duration=3.9s,ref_count=2,packet_count=0,byte_count=0
"""


def test_the_counters_of_each_bucket() -> None:
    assert parsed(SAID) == {4: (0, 1), 524292: (12,), 7: ()}
    assert parsed("ovs-ofctl: /run/x.mgmt: failed to open socket (No such file or directory)\n") == {}


def test_a_bucket_is_known_only_when_no_other_was_used() -> None:
    before = {1: (5, 5), 2: (0, 0), 3: (1, 1), 4: (7,)}
    after = {1: (5, 6), 2: (1, 1), 3: (1, 1), 4: (9,), 5: (0, 1), 6: (2, 2, 2)}
    assert used(before, after) == {1: 1, 4: 0, 5: 1}
    assert used({1: (0,)}, {1: (0, 9)}) == {}  # the group was changed meanwhile
