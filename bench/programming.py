"""Programming all switches of Cogentco from empty, against ``ovs-ofctl --bundle replace-flows``.

Both in the same running lab, with the same flows: the controller's are dumped, wiped, and given to ovs-ofctl.
The groups stay for ovs-ofctl, which can't replace them; the controller has to make them, too.
"""

from __future__ import annotations

import subprocess
import time
from typing import Any

from bench import cogentco, ours
from bench.figures import Figure

AT_ONCE = 16
"""More don't help; with one for every switch at once, some of them fail on two cores."""
SINGLE_RUNS = 1
"""ovs-ofctl for one switch after the other takes most of a minute."""
_EACH = r"""
set -e
folder=/run/bench
mkdir -p $folder
each() { # command with BRIDGE and OVS_RUNDIR set, for every switch; $1 at a time
    xargs -P "$1" -L 1 sh -c "$2" <<<"$switches"
}
switches=$(python3 -c '
import json
for name, place in json.load(open("/run/sdnlab/map.json")).items():
    if "bridge" in place:
        print(place["ovs"], place["bridge"])
')
"""
_OFCTL = "OVS_RUNDIR=$0 ovs-ofctl -O OpenFlow15"
_DUMP = f"each 2 '{_OFCTL} --no-stats --no-names dump-flows $1 | grep -v ^OFPST >/run/bench/$1.flows'"
_COUNT = "cat $folder/*.flows | wc -l"
_WIPE_FLOWS = f"each 2 '{_OFCTL} del-flows $1'"
_WIPE = f"{_WIPE_FLOWS}; each 2 '{_OFCTL} del-groups $1'"
_REPLACE = f"""
begin=$EPOCHREALTIME
each %d '{_OFCTL} --bundle replace-flows $1 /run/bench/$1.flows'
end=$EPOCHREALTIME
echo "$begin $end"
"""


def inside(pid: int, script: str) -> str:
    """Run bash in the lab of the supervisor ``pid``; its output."""
    command = ["nsenter", "-t", str(pid), "-m", "-n", "-p", "bash", "-c", _EACH + script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "|INFO|" not in line]
        raise ours.Failed(f"in the lab: {said[:5]}")
    return done.stdout


def replace_flows(pid: int, at_a_time: int) -> float:
    """Seconds that ovs-ofctl takes for all switches, their tables being empty before."""
    inside(pid, _WIPE_FLOWS)
    begin, end = inside(pid, _REPLACE % at_a_time).split()
    return float(end) - float(begin)


def restart(lab: ours.Up) -> list[dict[str, Any]]:
    """Restart the controller; its events until every switch was programmed."""
    before = lab.api("/events")[-1]["number"]
    lab.post("/controller/restart", {})
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        events = [event["data"] for event in lab.api(f"/events?since={before}")]
        own = [event for event in events if "event" in event]
        if any(event["event"] == "all-programmed" for event in own):
            return own
        time.sleep(0.1)
    raise ours.Failed("the controller did not program every switch")


def moments(events: list[dict[str, Any]]) -> tuple[float, float, int, int]:
    """Seconds from the compiled tables to the last confirmation, and of the whole process; what was sent."""
    compiled = next(event for event in events if event["event"] == "compiled")
    done = next(event for event in events if event["event"] == "all-programmed")
    programmed = [event for event in events if event["event"] == "programmed"]
    sent = sum(event["added"] + event["deleted"] for event in programmed)
    return done["time"] - compiled["time"], done["seconds"], sent, len(programmed)


def measure(runs: int) -> list[Figure]:
    """The controller from empty, ovs-ofctl from empty, and the controller with nothing to do."""
    path = cogentco.find()
    singly, at_once = [], []
    program, unchanged, sent_when_unchanged = [], [], set()
    with ours.up(path, check=False) as lab:
        pid = lab.supervisor()
        inside(pid, _DUMP)
        flows = int(inside(pid, _COUNT))
        for run in range(runs):
            if run < SINGLE_RUNS:
                singly.append(replace_flows(pid, 1))
            at_once.append(replace_flows(pid, AT_ONCE))
            inside(pid, _WIPE)
            seconds, _, sent, switches = moments(restart(lab))
            if sent < flows:
                raise ours.Failed(f"only {sent} of {flows} flows were sent: the switches were not empty")
            program.append(seconds)
            if (there := int(inside(pid, _DUMP + "\n" + _COUNT))) != flows:
                raise ours.Failed(f"{there} flows are in the switches, and not {flows}")
            seconds, _, sent, _ = moments(restart(lab))
            unchanged.append(seconds)
            sent_when_unchanged.add(sent)
    figure = Figure(f"Program Cogentco: {flows:,} flows in {switches} switches, from empty")
    one = figure.row("ovs-ofctl --bundle replace-flows, one switch after the other", singly)
    every = figure.row(f"ovs-ofctl --bundle replace-flows, {AT_ONCE} switches at a time", at_once)
    mine = figure.row("controller: tables compiled to last confirmation (with groups)", program)
    figure.row("controller restarted, nothing changed: tables compiled to all compared", unchanged)
    figure.within("controller / ovs-ofctl (its faster way)", mine, min(one, every, key=lambda r: r.median), 2)
    counts = ", ".join(str(sent) for sent in sorted(sent_when_unchanged))
    figure.notes.append(f"Flow messages sent when nothing had changed: {counts} (aimed at: 0).")
    return [figure]
