"""``ryu.app.simple_monitor_13``: a learning switch that logs counters of flows and ports."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from os_ken.app import simple_switch_13
from os_ken.controller import ofp_event
from os_ken.controller.handler import DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.lib import hub


class SimpleMonitor13(simple_switch_13.SimpleSwitch13):
    """Users' apps derive from it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.datapaths: dict[int, Any] = {}
        self.monitor_thread = hub.spawn(self._monitor)

    @set_ev_cls(ofp_event.EventOFPStateChange, [MAIN_DISPATCHER, DEAD_DISPATCHER])
    def _state_change_handler(self, ev: Any) -> None:
        if ev.state == MAIN_DISPATCHER:
            self.datapaths[ev.datapath.id] = ev.datapath
        elif ev.state == DEAD_DISPATCHER:
            self.datapaths.pop(ev.datapath.id, None)

    def _monitor(self) -> None:
        while True:
            for datapath in list(self.datapaths.values()):
                self._request_stats(datapath)
            hub.sleep(10)

    def _request_stats(self, datapath: Any) -> None:
        parser = datapath.ofproto_parser
        datapath.send_msg(parser.OFPFlowStatsRequest(datapath))
        datapath.send_msg(parser.OFPPortStatsRequest(datapath, 0, datapath.ofproto.OFPP_ANY))

    @set_ev_cls(ofp_event.EventOFPFlowStatsReply, MAIN_DISPATCHER)
    def _flow_stats_reply_handler(self, ev: Any) -> None:
        self.logger.info("%16s %8s %17s %8s %8s %8s", "datapath", "in-port", "eth-dst", "out-port",
                         "packets", "bytes")  # fmt: skip
        flows = [flow for flow in ev.msg.body if flow.priority == 1]
        for flow in sorted(flows, key=lambda flow: (flow.match.get("in_port", 0), flow.match["eth_dst"])):
            self.logger.info("%016x %8x %17s %8x %8d %8d", ev.msg.datapath.id, flow.match.get("in_port", 0),
                             flow.match["eth_dst"], flow.instructions[0].actions[0].port,
                             flow.packet_count, flow.byte_count)  # fmt: skip

    @set_ev_cls(ofp_event.EventOFPPortStatsReply, MAIN_DISPATCHER)
    def _port_stats_reply_handler(self, ev: Any) -> None:
        names = ("rx_packets", "rx_bytes", "rx_errors", "tx_packets", "tx_bytes", "tx_errors")
        heads = ("rx-pkts", "rx-bytes", "rx-error", "tx-pkts", "tx-bytes", "tx-error")
        self.logger.info("%16s %8s %8s %8s %8s %8s %8s %8s", "datapath", "port", *heads)
        for port in sorted(ev.msg.body, key=attrgetter("port_no")):
            self.logger.info("%016x %8x %8d %8d %8d %8d %8d %8d", ev.msg.datapath.id, port.port_no,
                             *(getattr(port, name) for name in names))  # fmt: skip
