"""A running lab's switches are given to a user's Ryu app by ``apply``, and taken back."""

from __future__ import annotations

from pathlib import Path

from tests.system.command_line import CommandLine
from tests.waiting import until

LAB = """
name: handover
switches: {{s1: {{controller: {s1}}}, s2: {{controller: {s2}}}}}
hosts: {{h1: s1, h2: s1, h3: s2}}
links: [s1 -- s2]
"""
APP = "ryu.app.simple_switch_13"
PING = ("exec", "h1", "--", "ping", "-c", "1", "-W", "5", "h3")


def test_switches_go_to_an_app_and_come_back(sdnlab: CommandLine, tmp_path: Path) -> None:
    files = {}
    broken = tmp_path / "broken.py"
    broken.write_text("def broken(:\n")
    for name, s1, s2 in (
        ("own", "sdnlab", "sdnlab"),
        ("app", APP, APP),
        ("mixed", "sdnlab", APP),
        ("broken", broken, "sdnlab"),
    ):
        files[name] = str(tmp_path / f"{name}.yaml")
        Path(files[name]).write_text(LAB.format(s1=s1, s2=s2))

    sdnlab("up", files["own"], "-d")
    told = sdnlab("apply", files["app"], "--dry-run").stdout
    assert "switch s1: controller sdnlab -> " in told and "nothing was touched" in told
    assert "its tables are emptied" in told and sdnlab.json("app") == []

    sdnlab("apply", files["app"])
    (app,) = sdnlab.json("app")
    assert sorted(app["connected"]) == ["s1", "s2"] and app["state"] == "running"
    until(lambda: sdnlab(*PING, code=None).returncode == 0, "the app's switches learn the way to h3")
    flows = sdnlab("flows", "s1").stdout
    assert "actions=CONTROLLER" in flows and "table=0" in flows and "ct_state" not in flows
    assert sdnlab.json("apply", files["app"])["changes"] == []
    assert f"controller: {app['name']}" in sdnlab("save").stdout
    port = app["port"]

    sdnlab("apply", files["mixed"])
    (app,) = sdnlab.json("app")
    assert sorted(app["connected"]) == ["s2"]
    status = {switch["name"]: switch["controller"] for switch in sdnlab.json("status")["switches"]}
    assert status == {"s1": "sdnlab", "s2": app["name"]}

    sdnlab("apply", files["own"])
    assert sdnlab.json("app") == []
    assert sdnlab.json("ping")["good"]
    assert "actions=CONTROLLER:65535" not in sdnlab("flows", "s1").stdout

    # an app that can't run gets its switch all the same, as at the start of a lab, and apply says so
    said = sdnlab("apply", files["broken"], code=None)
    assert "its app can't run" in said.stdout + said.stderr
    sdnlab("apply", files["own"])
    assert sdnlab.json("ping")["good"]

    # a switch that is off gets its new controller when it returns
    sdnlab("switch", "down", "s1")
    sdnlab("apply", files["app"])
    (app,) = sdnlab.json("app")
    assert sorted(app["connected"]) == ["s2"] and app["port"] == port  # the first app's, again
    sdnlab("switch", "up", "s1")
    until(lambda: sorted(sdnlab.json("app")[0]["connected"]) == ["s1", "s2"], "s1 returns to the app")
    sdnlab("apply", files["own"])
    assert sdnlab.json("ping")["good"]
