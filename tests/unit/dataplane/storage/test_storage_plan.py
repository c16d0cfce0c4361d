"""What QEMU is told to make volumes."""

from __future__ import annotations

from pathlib import Path

from dataplane.storage import plan
from topologies.model.storage import Volume

RUN = Path("/run/sdnlab")
BOTH = ("st1", "st2")
DATA = Volume(name="data", pool="p", size=64 << 20, limit=256 << 20, copies=BOTH, host="web1", path="/srv")
ALONE = DATA.model_copy(update={"copies": ("st1",)})


def test_a_storage_host_serves_at_its_own_address() -> None:
    words = plan.server(RUN / "storage/0.server.qmp", "10.1.0.1")
    assert words[0] == "qemu-storage-daemon"
    assert "addr.type=inet,addr.host=10.1.0.1,addr.port=10809" in words


def test_paths_of_sockets_fit_a_unix_address() -> None:
    longest = plan.folder(RUN, "v" * 63)
    names = (longest.assembled, longest.disk, longest.path / "assembler.qmp")
    assert all(len(str(name)) < 108 for name in names)


def test_a_copy_that_comes_back_has_another_name_than_before() -> None:
    before, after = (plan.remote_copy(DATA, "st1", "10.1.0.1", epoch) for epoch in (1, 2))
    assert before["export"] != after["export"]
    assert before["node-name"] != after["node-name"]


def test_one_copy_of_two_is_not_waited_for_and_the_only_one_is() -> None:
    assert plan.remote_copy(DATA, "st1", "10.1.0.1", 1)["reconnect-delay"] == 0
    assert plan.remote_copy(ALONE, "st1", "10.1.0.1", 1)["reconnect-delay"] == plan.WAIT


def test_a_silent_storage_host_is_noticed_also_while_it_owes_an_answer() -> None:
    assert plan.remote_copy(DATA, "st1", "10.1.0.1", 1)["server"]["keep-alive"] is True
    assert {"ipv4/tcp_retries2", "ipv4/tcp_keepalive_time"} <= plan.SETTINGS.keys()


def test_one_copy_is_enough_and_the_first_is_read() -> None:
    node = plan.assembled(["st1.1", "st2.1"])
    assert (node["vote-threshold"], node["read-pattern"]) == (1, "fifo")


def test_a_hole_answers_nothing() -> None:
    kinds = {rule["iotype"] for rule in plan.hole(4096)["inject-error"]}
    assert kinds == {"read", "write", "write-zeroes", "discard", "flush"}


def test_a_rebuilt_copy_takes_the_holes_place_and_gets_what_is_written_meanwhile() -> None:
    job = plan.rebuild("st1.2")
    assert (job["replaces"], job["sync"], job["copy-mode"]) == (plan.HOLE, "full", "write-blocking")


def test_a_disk_is_a_file_for_hosts_that_mount_it_and_nbd_for_a_virtual_machine() -> None:
    of = plan.folder(RUN, "data")
    assert plan.head_export(DATA, of)["type"] == "fuse"
    device = DATA.model_copy(update={"device": True})
    assert plan.head_export(device, of)["type"] == "nbd"


def test_a_machines_disk_is_formatted_beside_it_and_copied_there() -> None:
    of = plan.folder(RUN, "data")
    url = "nbd+unix:///data?socket=/run/sdnlab/storage/data/disk.nbd"
    size, make, copy = plan.formatted(DATA, of, "/tmp/x")
    assert size == ["truncate", "-s", str(64 << 20), "/tmp/x"]
    assert (make[0], make[-1]) == ("mkfs.ext4", "/tmp/x")
    assert copy[-2:] == ["/tmp/x", url] and {"-n", "--target-is-zero"} <= set(copy)
    assert f"if={url}" in plan.beginning(DATA, of, "/tmp/x")


def test_names_of_nodes_are_as_short_as_qemu_wants_them() -> None:
    assert len(plan.copy_node("h" * 63, 123456789)) <= 31


def test_the_child_of_the_quorum_is_found_by_its_node() -> None:
    graph = {
        "nodes": [{"id": 1, "name": "quorum"}, {"id": 2, "name": "st1.1"}, {"id": 3, "name": "st2.4"}],
        "edges": [
            {"parent": 1, "child": 2, "name": "children.0"},
            {"parent": 1, "child": 3, "name": "children.1"},
            {"parent": 3, "child": 2, "name": "file"},
        ],
    }
    assert plan.child_of(graph, "st2.4") == "children.1"
    assert plan.child_of(graph, "st3.1") is None
