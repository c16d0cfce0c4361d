"""``ryu.app.ofctl_rest``: flows, groups, meters, ports and their counters of all switches, by REST.

What is asked and changed is done by os-ken's ``lib.ofctl_v1_X``; here are the paths, as Ryu's documentation
has them.
"""

from __future__ import annotations

import ast
import json
import logging
from collections.abc import Callable
from typing import Any

from os_ken.app.wsgi import ControllerBase, Response, WSGIApplication
from os_ken.base import app_manager
from os_ken.controller import dpset, ofp_event
from os_ken.controller.handler import MAIN_DISPATCHER, set_ev_cls
from os_ken.lib import ofctl_v1_0, ofctl_v1_2, ofctl_v1_3, ofctl_v1_4, ofctl_v1_5
from os_ken.ofproto import ofproto_v1_0, ofproto_v1_2, ofproto_v1_3, ofproto_v1_4, ofproto_v1_5

LOG = logging.getLogger("ryu.app.ofctl_rest")

supported_ofctl = {
    ofproto_v1_0.OFP_VERSION: ofctl_v1_0,
    ofproto_v1_2.OFP_VERSION: ofctl_v1_2,
    ofproto_v1_3.OFP_VERSION: ofctl_v1_3,
    ofproto_v1_4.OFP_VERSION: ofctl_v1_4,
    ofproto_v1_5.OFP_VERSION: ofctl_v1_5,
}

_ASKED: dict[str, tuple[str, tuple[str, ...]]] = {
    "desc": ("get_desc_stats", ()),
    "table": ("get_table_stats", ()),
    "tablefeatures": ("get_table_features", ()),
    "port": ("get_port_stats", ("port",)),
    "queue": ("get_queue_stats", ("port", "queue_id")),
    "queueconfig": ("get_queue_config", ("port",)),
    "queuedesc": ("get_queue_desc", ("port", "queue_id")),
    "meterfeatures": ("get_meter_features", ()),
    "meterconfig": ("get_meter_config", ("meter_id",)),
    "meterdesc": ("get_meter_desc", ("meter_id",)),
    "meter": ("get_meter_stats", ("meter_id",)),
    "groupfeatures": ("get_group_features", ()),
    "groupdesc": ("get_group_desc", ("group_id",)),
    "group": ("get_group_stats", ("group_id",)),
    "portdesc": ("get_port_desc", ("port_no",)),
    "role": ("get_role", ()),
}
"""GET /stats/NAME/DPID[/...] -> the function of ofctl, and what further parts of the path are."""
_FILTERED = {
    "flow": "get_flow_stats",
    "flowdesc": "get_flow_desc_stats",
    "aggregateflow": "get_aggregate_flow_stats",
}
"""GET or POST /stats/NAME/DPID: the body says which flows."""
_FLOW = {"add": "ADD", "modify": "MODIFY", "modify_strict": "MODIFY_STRICT", "delete": "DELETE",
         "delete_strict": "DELETE_STRICT"}  # fmt: skip
_OTHER = {"add": "ADD", "modify": "MODIFY", "delete": "DELETE"}
_SINCE_1_5 = ("get_group_desc", "get_port_desc")
"""Before, these ask for all."""


class StatsController(ControllerBase):
    """Answers requests: 400 for what is not understood, 404 for what is not there, 501 for what the switch's
    version of OpenFlow does not have."""

    def __init__(self, req: Any, link: Any, data: Any, **config: Any) -> None:
        super().__init__(req, link, data, **config)
        self.dpset = data["dpset"]
        self.waiters = data["waiters"]

    def get_dpids(self, req: Any, **_more: Any) -> Response:
        return _json(list(self.dpset.dps))

    def get_stats(self, req: Any, dpid: str, what: str, **parts: str) -> Response:
        """GET /stats/NAME/DPID..."""
        function, names = _ASKED[what]
        given = [None if parts.get(one, "ALL") == "ALL" else parts[one] for one in names]

        def ask(datapath: Any, ofctl: Any) -> Any:
            arguments = given
            if function in _SINCE_1_5 and datapath.ofproto.OFP_VERSION < ofproto_v1_5.OFP_VERSION:
                arguments = []
            return getattr(ofctl, function)(datapath, self.waiters, *arguments)

        return self._answer(dpid, ask)

    def get_flows(self, req: Any, dpid: str, what: str, **_more: Any) -> Response:
        """GET or POST /stats/flow/DPID and its like."""
        try:
            wanted = req.json if req.body else {}
        except ValueError:
            return Response(status=400)
        return self._answer(
            dpid, lambda datapath, ofctl: getattr(ofctl, _FILTERED[what])(datapath, self.waiters, wanted)
        )

    def mod_flow_entry(self, req: Any, cmd: str, **_more: Any) -> Response:
        return self._change(req, lambda dp, ofctl, body: ofctl.mod_flow_entry(
            dp, body, getattr(dp.ofproto, f"OFPFC_{_FLOW[cmd]}")))  # fmt: skip

    def delete_flow_entry(self, req: Any, dpid: str, **_more: Any) -> Response:
        def clear(datapath: Any, ofctl: Any, body: Any) -> None:
            old = datapath.ofproto.OFP_VERSION == ofproto_v1_0.OFP_VERSION
            flow = {} if old else {"table_id": datapath.ofproto.OFPTT_ALL}
            ofctl.mod_flow_entry(datapath, flow, datapath.ofproto.OFPFC_DELETE)

        return self._change(req, clear, dpid)

    def mod_meter_entry(self, req: Any, cmd: str, **_more: Any) -> Response:
        return self._change(req, lambda dp, ofctl, body: ofctl.mod_meter_entry(
            dp, body, getattr(dp.ofproto, f"OFPMC_{_OTHER[cmd]}")))  # fmt: skip

    def mod_group_entry(self, req: Any, cmd: str, **_more: Any) -> Response:
        return self._change(req, lambda dp, ofctl, body: ofctl.mod_group_entry(
            dp, body, getattr(dp.ofproto, f"OFPGC_{_OTHER[cmd]}")))  # fmt: skip

    def mod_port_behavior(self, req: Any, cmd: str, **_more: Any) -> Response:
        def change(datapath: Any, ofctl: Any, body: Any) -> None:
            if cmd != "modify":
                raise KeyError(cmd)
            number = int(str(body.get("port_no")), 0)
            port = self.dpset.port_state[datapath.id][number]
            body.setdefault("hw_addr", port.hw_addr)
            if datapath.ofproto.OFP_VERSION < ofproto_v1_4.OFP_VERSION:
                body.setdefault("advertise", port.advertised)
            else:
                body.setdefault("properties", port.properties)
            ofctl.mod_port_behavior(datapath, body)

        return self._change(req, change)

    def send_experimenter(self, req: Any, dpid: str, **_more: Any) -> Response:
        return self._change(req, lambda dp, ofctl, body: ofctl.send_experimenter(dp, body), dpid)

    def set_role(self, req: Any, **_more: Any) -> Response:
        return self._change(req, lambda dp, ofctl, body: ofctl.set_role(dp, body))

    def _answer(self, dpid: str, ask: Callable[[Any, Any], Any]) -> Response:
        values: list[Any] = []
        refused = self._with(dpid, lambda datapath, ofctl: values.append(ask(datapath, ofctl)))
        return refused or _json(values[0])

    def _change(self, req: Any, change: Callable[[Any, Any, Any], Any], dpid: str | None = None) -> Response:
        try:
            body = _read(req.body.decode()) if req.body else {}
            dpid = str(body.get("dpid") or dpid or "")
        except (SyntaxError, ValueError, AttributeError):
            return Response(status=400)
        return self._with(dpid, lambda datapath, ofctl: change(datapath, ofctl, body)) or Response()

    def _with(self, dpid: str, do: Callable[[Any, Any], Any]) -> Response | None:
        """Do something with a switch; the response if it can't be done."""
        try:
            datapath = self.dpset.get(int(dpid, 0))
        except ValueError:
            return Response(status=400)
        if datapath is None:
            return Response(status=404)
        try:
            do(datapath, supported_ofctl[datapath.ofproto.OFP_VERSION])
        except KeyError as problem:
            LOG.error("not there: %s", problem)
            return Response(status=404)
        except ValueError:
            LOG.exception("not understood")
            return Response(status=400)
        except (AttributeError, TypeError):
            LOG.exception("this version of OpenFlow does not have it")
            return Response(status=501)
        return None


def _read(text: str) -> Any:
    """A body: JSON, or a literal of Python, which can have octets (``b'..'``)."""
    try:
        return json.loads(text)
    except ValueError:
        return ast.literal_eval(text)


def _json(value: Any) -> Response:
    return Response(content_type="application/json", text=json.dumps(value))


class RestStatsApi(app_manager.OSKenApp):
    """Serves the paths, and takes the replies of switches."""

    OFP_VERSIONS = list(supported_ofctl)  # noqa: RUF012 - Ryu's way
    _CONTEXTS = {"dpset": dpset.DPSet, "wsgi": WSGIApplication}  # noqa: RUF012 - Ryu's way

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dpset = kwargs["dpset"]
        self.waiters: dict[int, dict[int, Any]] = {}
        self.data = {"dpset": self.dpset, "waiters": self.waiters}
        wsgi = kwargs["wsgi"]
        wsgi.registory[StatsController.__name__] = self.data

        def connect(method: str, path: str, action: str, **fixed: str) -> None:
            wsgi.mapper.connect("stats", path, controller=StatsController, action=action,
                                conditions={"method": [method]}, **fixed)  # fmt: skip

        connect("GET", "/stats/switches", "get_dpids")
        for name, (_, parts) in _ASKED.items():
            for number in range(len(parts) + 1):
                rest = "".join(f"/{{{part}}}" for part in parts[:number])
                connect("GET", f"/stats/{name}/{{dpid}}{rest}", "get_stats", what=name)
        for name in _FILTERED:
            for method in ("GET", "POST"):
                connect(method, f"/stats/{name}/{{dpid}}", "get_flows", what=name)
        connect("DELETE", "/stats/flowentry/clear/{dpid}", "delete_flow_entry")
        for path, action in (
            ("flowentry/{cmd}", "mod_flow_entry"),
            ("meterentry/{cmd}", "mod_meter_entry"),
            ("groupentry/{cmd}", "mod_group_entry"),
            ("portdesc/{cmd}", "mod_port_behavior"),
            ("experimenter/{dpid}", "send_experimenter"),
            ("role", "set_role"),
        ):
            connect("POST", f"/stats/{path}", action)

    @set_ev_cls(
        [
            ofp_event.EventOFPStatsReply,
            ofp_event.EventOFPDescStatsReply,
            ofp_event.EventOFPFlowStatsReply,
            ofp_event.EventOFPFlowDescStatsReply,
            ofp_event.EventOFPAggregateStatsReply,
            ofp_event.EventOFPTableStatsReply,
            ofp_event.EventOFPTableFeaturesStatsReply,
            ofp_event.EventOFPPortStatsReply,
            ofp_event.EventOFPQueueStatsReply,
            ofp_event.EventOFPQueueDescStatsReply,
            ofp_event.EventOFPMeterStatsReply,
            ofp_event.EventOFPMeterFeaturesStatsReply,
            ofp_event.EventOFPMeterConfigStatsReply,
            ofp_event.EventOFPGroupStatsReply,
            ofp_event.EventOFPGroupFeaturesStatsReply,
            ofp_event.EventOFPGroupDescStatsReply,
            ofp_event.EventOFPPortDescStatsReply,
        ],
        MAIN_DISPATCHER,
    )
    def stats_reply_handler(self, ev: Any) -> None:
        msg = ev.msg
        ofproto = msg.datapath.ofproto
        more = getattr(ofproto, "OFPMPF_REPLY_MORE", None) or getattr(ofproto, "OFPSF_REPLY_MORE", 1)
        self._take(msg, last=not msg.flags & more)

    @set_ev_cls(
        [
            ofp_event.EventOFPSwitchFeatures,
            ofp_event.EventOFPQueueGetConfigReply,
            ofp_event.EventOFPRoleReply,
        ],
        MAIN_DISPATCHER,
    )
    def features_reply_handler(self, ev: Any) -> None:
        self._take(ev.msg, last=True)

    def _take(self, msg: Any, last: bool) -> None:
        """Give a reply to the request that waits for it."""
        waiting = self.waiters.get(msg.datapath.id, {})
        if msg.xid not in waiting:
            return
        lock, messages = waiting[msg.xid]
        messages.append(msg)
        if last:
            del waiting[msg.xid]
            lock.set()
