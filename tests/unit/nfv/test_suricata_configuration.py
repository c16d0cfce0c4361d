"""The configuration that is made for the program Suricata."""

from __future__ import annotations

import yaml

from nfv.ids.run.suricata import counters
from nfv.ids.run.suricata_yaml import configuration


def test_a_tap_reads_one_device_and_two_are_bridged() -> None:
    tap = yaml.safe_load(configuration(["tap"], "/run/x/suricata.sock"))
    assert [capture["interface"] for capture in tap["af-packet"]] == ["tap"]
    assert "copy-mode" not in tap["af-packet"][0]
    assert tap["unix-command"] == {"enabled": True, "filename": "/run/x/suricata.sock"}
    assert tap["rule-files"] == ["ids.rules"]
    both = yaml.safe_load(configuration(["in-user", "out-user"], "/s"))["af-packet"]
    assert [(capture["interface"], capture["copy-iface"], capture["copy-mode"]) for capture in both] == [
        ("in-user", "out-user", "ips"),
        ("out-user", "in-user", "ips"),
    ]
    assert len({capture["cluster-id"] for capture in both}) == 2


def test_events_go_to_the_socket_and_drops_where_it_stands_in_the_way() -> None:
    def kinds(*interfaces: str) -> set[str]:
        text = configuration(interfaces, "/s")
        assert text.startswith("%YAML 1.1\n---\n")  # which Suricata insists on
        eve = yaml.safe_load(text)["outputs"][0]["eve-log"]
        assert (eve["filetype"], eve["filename"]) == ("unix_stream", "eve.sock")
        return {kind if isinstance(kind, str) else next(iter(kind)) for kind in eve["types"]}

    assert kinds("in-user", "out-user") - kinds("tap") == {"drop"}
    assert {"alert", "flow", "http", "dns", "tls", "stats"} <= kinds("tap")


def test_counters_are_taken_from_stats_whatever_is_there() -> None:
    stats = {"decoder": {"pkts": 9, "bytes": 900}, "detect": {"alert": 2}, "ips": {"blocked": 1}}
    assert counters({**stats, "capture": {"kernel_drops": 3}}) == {
        "packets": 9,
        "bytes": 900,
        "dropped": 1,
        "alerts": 2,
        "lost": 3,
    }
    assert set(counters({"decoder": 7, "detect": {"alert": "x"}}).values()) == {0}
