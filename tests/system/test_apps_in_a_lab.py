"""A lab that a user's own Ryu app controls: up, seen, reloaded, broken, diagnosed; one lab for all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.system.command_line import CommandLine
from tests.waiting import until

APP = """
from ryu.app.wsgi import ControllerBase, WSGIApplication, route
from ryu.base import app_manager
from ryu.controller import ofp_event
from ryu.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from ryu.ofproto import ofproto_v1_3
from webob import Response


class Hub(app_manager.RyuApp):
    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]
    _CONTEXTS = {"wsgi": WSGIApplication}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        kwargs["wsgi"].register(Rest, {})
        print("the first version")

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def features(self, event):
        switch = event.msg.datapath
        ofp, parser = switch.ofproto, switch.ofproto_parser
        to = [parser.OFPActionOutput(ofp.OFPP_CONTROLLER, ofp.OFPCML_NO_BUFFER)]
        apply = [parser.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, to)]
        switch.send_msg(parser.OFPFlowMod(switch, priority=0, match=parser.OFPMatch(), instructions=apply))
        # more

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def packet_in(self, event):
        message, switch = event.msg, event.msg.datapath
        ofp, parser = switch.ofproto, switch.ofproto_parser
        actions = [parser.OFPActionOutput(ofp.OFPP_FLOOD)]
        switch.send_msg(
            parser.OFPPacketOut(switch, ofp.OFP_NO_BUFFER, message.match["in_port"], actions, message.data)
        )


class Rest(ControllerBase):
    @route("hello", "/hello", methods=["GET"])
    def hello(self, request, **_):
        return Response(content_type="text/plain", body=b"hello from the app")
"""
BAD_FLOW = (
    "switch.send_msg(parser.OFPFlowMod(switch, priority=5, match=parser.OFPMatch(in_port=1), instructions=["
    "parser.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, [parser.OFPActionOutput(77)])]))"
)


def test_a_lab_of_an_app_of_ones_own(sdnlab: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "my_app.py"
    file.write_text(APP.replace('print("the first version")', 'print "the first version"'))  # Python 2

    def app() -> dict[str, Any]:
        (state,) = sdnlab.json("app")
        return dict(state)

    def connected() -> bool:
        return sorted(app()["connected"]) == ["s1", "s2"]

    up = sdnlab("up", "quickstart", "-d", "--no-check", "--app", str(file), "--fix-py2").stdout
    assert "app (my_app.py) controls s1, s2" in up and "sdnlab logs app -f" in up
    until(connected, "the switches are connected to the app")
    pinged = sdnlab("ping", code=None).stdout
    assert "of 24 reached; app decides that" in pinged
    ask = ("exec", "h1", "--", "ping", "-c", "1", "-W", "5", "10.0.0.4")
    until(lambda: sdnlab(*ask, code=None).returncode == 0, "a hub lets h1 reach h4")
    status = sdnlab("status").stdout
    assert "connected to app" in status and "up to app" in status and "controlled by app" in status
    assert "the first version" in sdnlab("logs", "app").stdout
    assert sdnlab("exec", "app", "--", "curl", "-sm", "20", "http://127.0.0.1:8080/hello").stdout == (
        "hello from the app"
    )
    assert "actions=CONTROLLER" in sdnlab("flows", "s1").stdout
    assert "apps control s1, s2" in sdnlab("trace", "h1", "h2", code=1).stderr

    # messages: nobody has to ask first, so an echo request of Open vSwitch comes at the latest
    heard = sdnlab("openflow", "s1", "-s", "60", "-c", "1").stdout
    assert heard.split()[1:4] in (["s1", "->", "app"], ["s1", "<-", "app"])

    file.write_text(APP.replace("the first version", "the second version").replace("# more", BAD_FLOW))
    until(lambda: "the second version" in sdnlab("logs", "app").stdout, "the changed file is loaded")
    until(connected, "the switches are connected to the changed app")
    until(lambda: "there is no port 77" in sdnlab("doctor", code=None).stdout, "a bad flow is named")
    assert "there is no port 77" in sdnlab("status").stdout
    assert "tables of its switches are emptied" in sdnlab("events").stdout

    file.write_text(APP + "def broken(:\n")
    until(lambda: app()["state"] == "failed", "a broken app is told")
    assert "syntax error" in sdnlab("doctor", code=1).stdout
    assert "def broken(:" in sdnlab("app").stdout
    status = sdnlab("status").stdout
    assert "app failed" in status and "up to app" not in status
    file.write_text(APP)
    until(connected, "the mended app runs")
    assert sdnlab.json("app")[0]["state"] == "running"
    saved = sdnlab("save").stdout
    assert str(file) in saved and "controller: app" in saved
