"""What it costs that somebody can look at OpenFlow messages: packets through an app that handles each of
them, before ``sdnlab openflow -f`` is used, while it runs, and after it has ended.

The figure is the CPU time of all processes of the lab for a round trip, which other programs disturb less
than the clock.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from bench import ours
from bench.figures import Figure, Ratio

PINGS = 1500
_APP = """
from ryu.base import app_manager
from ryu.controller import ofp_event
from ryu.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from ryu.ofproto import ofproto_v1_3


class Hub(app_manager.RyuApp):
    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def connected(self, event):
        datapath = event.msg.datapath
        ofp, parser = datapath.ofproto, datapath.ofproto_parser
        to_us = [parser.OFPActionOutput(ofp.OFPP_CONTROLLER, ofp.OFPCML_NO_BUFFER)]
        apply = [parser.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, to_us)]
        datapath.send_msg(parser.OFPFlowMod(datapath=datapath, match=parser.OFPMatch(), instructions=apply))

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def packet_in(self, event):
        message = event.msg
        datapath = message.datapath
        ofp, parser = datapath.ofproto, datapath.ofproto_parser
        out = [parser.OFPActionOutput(ofp.OFPP_FLOOD)]
        datapath.send_msg(
            parser.OFPPacketOut(
                datapath=datapath,
                buffer_id=ofp.OFP_NO_BUFFER,
                in_port=message.match["in_port"],
                actions=out,
                data=message.data,
            )
        )
"""
_LAB = "controller: hub.py\nswitches: [s1]\nhosts: {h1: s1, h2: s1}\n"
_BEFORE, _WHILE, _AFTER = "before anybody looks", "while openflow -f runs", "after it has ended"


def measure(runs: int) -> list[Figure]:
    """CPU time of a round trip of which the app handles both packets."""
    samples: dict[str, list[float]] = {_BEFORE: [], _WHILE: [], _AFTER: []}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "hub.py").write_text(_APP)
        file = Path(folder) / "hub.yaml"
        file.write_text(_LAB)
        for _ in range(runs):
            with ours.up(file, check=False) as lab:
                _round_trips(lab, 200)  # the app's first packets are slower
                samples[_BEFORE].append(_round_trips(lab, PINGS))
                with Looking():
                    samples[_WHILE].append(_round_trips(lab, PINGS))
                samples[_AFTER].append(_round_trips(lab, PINGS))
    figure = Figure("OpenFlow messages overheard: processor time of a round trip of two packet-ins")
    rows = {name: figure.row(name, values, "ms") for name, values in samples.items()}
    figure.ratios.append(
        Ratio("after against before", rows[_AFTER].median / rows[_BEFORE].median, 1.1, False)
    )
    figure.notes.append("all processes of the lab; the program that shows the messages is not one of them")
    return [figure]


class Looking:
    """``sdnlab openflow -f`` runs meanwhile, and has shown its first message."""

    def __enter__(self) -> None:
        command = [ours.SDNLAB, "openflow", "-f", "--lab", ours.NAME]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        ours.sdnlab(["exec", "--lab", ours.NAME, "h1", "--", "ping", "-q", "-c", "5", "-i", "0.2", "h2"])
        self._process.stdout.readline()
        # It goes on reading, so that the program never waits for us.
        self._reader = subprocess.Popen(["cat"], stdin=self._process.stdout, stdout=subprocess.DEVNULL)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        self._reader.wait()


def _round_trips(lab: ours.Up, count: int) -> float:
    """Milliseconds of processor time that the lab takes for one of ``count`` pings."""
    before = _cpu_seconds(lab)
    lab.exec("h1", ["ping", "-q", "-f", "-c", str(count), "h2"], 120)
    return (_cpu_seconds(lab) - before) / count * 1000


def _cpu_seconds(lab: ours.Up) -> float:
    """CPU time that the processes of the lab have used until now (proc(5), fields 14 and 15 of stat)."""
    ticks = 0
    for pid in lab.processes():
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
