"""The launcher of Ryu applications in a process of its own: what apps find there."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from controller.ryu import names
from controller.ryu.reports import AppFailed, AppLoaded, HandlerFailed, Report, Started, SwitchReport, parse
from controller.ryu.starting import command
from tests.waiting import until

APP = "from ryu.base import app_manager\nclass {name}(app_manager.RyuApp):\n    def start(self):\n"
ENDS = "        import os, signal; os.kill(os.getpid(), signal.SIGTERM)\n"


def write(file: Path, *lines: str) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.write_text("\n".join(lines) + "\n")
    return file


def run(tmp_path: Path, *words: object, **environment: str) -> tuple[int, list[Report], str]:
    """Exit status, reports and output of a launcher that ends by itself."""
    reports = tmp_path / "reports"
    with reports.open("wb") as out:
        options = ["--report-fd", str(out.fileno()), "--ofp-tcp-listen-port", "0", "--wsapi-port", "0"]
        done = subprocess.run(
            command([*options, *map(str, words)]),
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            pass_fds=[out.fileno()],
            check=False,
            timeout=120,
        )
    return done.returncode, [parse(line) for line in reports.read_text().splitlines()], done.stdout


def test_names_of_ryu_are_modules_of_os_ken(tmp_path: Path) -> None:
    app = write(
        tmp_path / "names" / "app.py",
        "import importlib, os, sys",
        "import ryu, os_ken",
        "from ryu import cfg, log, utils, version",
        "from ryu.app import wsgi",
        "from ryu.app.wsgi import ControllerBase, Response, WebSocketRPCServer, route, rpc_public, websocket",
        "from ryu.base import app_manager",
        "from ryu.cmd import manager",
        "from ryu.exception import RyuException",
        "from ryu.lib import hub, stplib",
        "from ryu.lib.packet import packet",
        "from ryu.topology import api, event, switches",
        "import ryu.contrib.netaddr",
        "import tinyrpc.exc",
        "import os_ken.app.wsgi, os_ken.base.app_manager as theirs",
        "assert ryu is os_ken and theirs is app_manager and os_ken.app.wsgi is wsgi",
        "assert theirs.__spec__.name == theirs.__name__ == 'os_ken.base.app_manager'",
        "assert app_manager.RyuApp is theirs.OSKenApp and version == '4.34'",
        "import controller, helper",
        "assert controller.MINE and helper.MINE  # the files beside this one",
        "assert os.getcwd() == os.path.dirname(os.path.abspath(__file__)) == sys.path[0]",
        "assert open('data.txt').read() == 'beside\\n'",
        "from collections import Mapping, MutableMapping",
        "import inspect, time",
        "assert inspect.getargspec(lambda a, b=1: 0).args == ['a', 'b'] and time.clock() >= 0",
        "import array",
        "assert array.array('B', 'ab').tostring() == array.array('B', b'ab').tobytes() == b'ab'",
        "from webob import Response",
        "answer = Response(content_type='application/json', body='{}')",
        "assert answer.body == b'{}' and answer.content_type == 'application/json'",
        "answer.body = 'text'",
        "assert answer.body == b'text' and Response('é').text == 'é'",
        "import networkx as nx",
        "g = nx.DiGraph(); g.add_nodes_from([1, 2]); g.add_edges_from([(1, 2, {'port': 3})])",
        "assert g.edge[1][2]['port'] == 3 and g.node[1] == {} and list(g.nodes_iter()) == [1, 2]",
        APP.format(name="Names") + ENDS,
    )
    for name in ("controller", "helper"):
        write(app.parent / f"{name}.py", "MINE = True")
    write(app.parent / "data.txt", "beside")
    status, reports, output = run(tmp_path, app)
    assert status == 0, output
    assert AppLoaded("Names", str(app), ("1.0", "1.2", "1.3", "1.4", "1.5")) in reports


def test_every_app_that_comes_with_it_can_be_imported(tmp_path: Path) -> None:
    apps = [name for name in names.provided() if name.startswith("os_ken.app.")]
    assert "os_ken.app.simple_switch_igmp_13" in apps and "os_ken.app.wsgi" in apps
    app = write(
        tmp_path / "all" / "every.py",
        *(f"import {name.replace('os_ken', 'ryu', 1)}" for name in apps),
        APP.format(name="Every") + ENDS,
    )
    status, _, output = run(tmp_path, app)
    assert status == 0, output


def test_a_thread_that_fails_is_reported(tmp_path: Path) -> None:
    app = write(
        tmp_path / "threads" / "threads.py",
        "import os, signal",
        "from ryu.base import app_manager",
        "from ryu.lib import hub",
        "class Threads(app_manager.RyuApp):",
        "    def start(self):",
        "        super().start()",
        "        for _ in range(3): hub.spawn(self.monitor)",
        "        hub.spawn_after(0.5, os.kill, os.getpid(), signal.SIGTERM)",
        "    def monitor(self):",
        "        raise KeyError('mine')",
    )
    status, reports, output = run(tmp_path, app)
    assert status == 0, output
    (failed,) = [one for one in reports if isinstance(one, HandlerFailed)]
    assert (failed.app, failed.handler) == ("Threads", "monitor")
    assert failed.traceback.endswith("KeyError: 'mine'\n")


def test_apps_with_any_names_run_together(tmp_path: Path) -> None:
    """Called ryu.py or as a module of the library, of one name in two folders, and imported by each other."""
    first = write(tmp_path / "a" / "ryu.py", "import ryu.lib.hub", APP.format(name="First") + "        pass")
    second = write(tmp_path / "b" / "queue.py", APP.format(name="Second") + "        pass")
    third = write(tmp_path / "c" / "queue.py", APP.format(name="Third") + "        pass")
    shared = write(
        tmp_path / "d" / "shared.py", "from ryu.base import app_manager", "class Shared(app_manager.RyuApp):",
        "    pass",
    )  # fmt: skip
    last = write(
        tmp_path / "d" / "last.py",
        "from ryu.base import app_manager",
        "import shared",
        "class Last(app_manager.RyuApp):",
        "    _CONTEXTS = {'shared': shared.Shared}",
        "    def start(self):",
        "        assert app_manager.lookup_service_brick('Shared')",
        ENDS,
    )
    status, reports, output = run(tmp_path, first, second, third, last)
    assert status == 0, output
    assert [one.app for one in reports if isinstance(one, AppLoaded)] == ["First", "Second", "Third", "Last"]
    assert shared.exists()


@pytest.mark.parametrize(
    ("lines", "error", "remedy"),
    [
        (["import ryu", "print 'hello'"], "line 2: print statement: this is Python 2", "--fix-py2"),
        (["try: pass", "except ValueError, e: pass"], "line 2: 'except X, e': this is Python 2", "--fix-py2"),
        (["x = 1", "def f(:"], "line 2: syntax error", None),
        (["import nowhere_at_all"], "No module named 'nowhere_at_all'", "pip install nowhere_at_all"),
        (["import urllib2"], "No module named 'urllib2'", "urllib.request"),
        (["from ryu.app import rest_firewall"], "rest_firewall", "rest_firewall.py"),
        (["import ryu.none"], "No module named 'ryu.none'", "PYTHONPATH"),
        (["raise SystemExit(3)"], "it ends its process", None),
        (["x = {}.iteritems()"], "has no attribute 'iteritems'", "--fix-py2"),
        (["1 / 0"], "ZeroDivisionError: division by zero", None),
    ],
)
def test_what_cannot_be_loaded_is_said_with_the_way_out(
    lines: list[str], error: str, remedy: str | None, tmp_path: Path
) -> None:
    app = write(tmp_path / "bad" / "bad_app.py", *lines)
    status, reports, output = run(tmp_path, app)
    assert status == 1, output
    (report,) = reports
    assert isinstance(report, AppFailed)
    assert report.file == str(app) and error in report.error and report.error in output
    assert (report.remedy is None) if remedy is None else remedy in str(report.remedy)
    assert "importlib" not in report.traceback and "controller/ryu" not in report.traceback


def test_python_2_is_converted_where_that_is_asked_for(tmp_path: Path) -> None:
    app = write(
        tmp_path / "old" / "old.py",
        "from ryu.base import app_manager",
        "import Queue",
        "class Old(app_manager.RyuApp):",
        "\tdef start(self):",
        "\t\tfor key, value in {'a': 1}.iteritems():",
        "\t\t\tprint 'key', key",
        "\t\t" + ENDS.strip(),
    )
    before = app.read_text()
    status, reports, output = run(tmp_path, "--fix-py2", app)
    assert status == 0, output
    assert "key a" in output and app.read_text() == before
    assert any(isinstance(one, AppLoaded) and one.file == str(app) for one in reports)


def test_names_of_python_2_are_converted_where_the_syntax_is_new(tmp_path: Path) -> None:
    app = write(
        tmp_path / "half" / "half.py",
        "import Queue",
        "from ryu.base import app_manager",
        "print('table', [x for x in xrange(2)], {}.has_key(1))",
        APP.format(name="Half") + ENDS,
    )
    status, _, output = run(tmp_path, app)
    assert status == 1 and "--fix-py2" in output
    status, _, output = run(tmp_path, "--fix-py2", app)
    assert status == 0 and "table [0, 1] False" in output, output


def test_a_mistake_is_told_by_its_line_also_where_python_2_is_converted(tmp_path: Path) -> None:
    app = write(tmp_path / "wrong" / "wrong.py", "import ryu", "def broken(:")
    status, _, output = run(tmp_path, "--fix-py2", app)
    assert status == 1 and "line 2: syntax error" in output, output


@pytest.mark.parametrize("hub", ["eventlet", "native"])
def test_waits_end_when_they_should(hub: str, tmp_path: Path) -> None:
    """Timeout, kill, Event.wait, Queue.get, spawn_after: on each hub alike."""
    app = write(
        tmp_path / "hub" / "hub_app.py",
        "import time",
        "from ryu.base import app_manager",
        "from ryu.lib import hub",
        "class Waits(app_manager.RyuApp):",
        "    def start(self):",
        "        super().start()",
        "        hub.spawn(self.work)",
        "    def work(self):",
        "        begin = time.monotonic()",
        "        assert hub.Event().wait(timeout=0.05) is False",
        "        try:",
        "            with hub.Timeout(0.05):",
        "                hub.sleep(30)",
        "            raise AssertionError('no timeout')",
        "        except hub.Timeout: pass",
        "        with hub.Timeout(0.05, False):",
        "            hub.Queue().get()",
        "        ended = hub.Event()",
        "        def endless():",
        "            try: hub.sleep(30)",
        "            finally: ended.set()",
        "        thread = hub.spawn(endless)",
        "        hub.sleep(0.05)",
        "        hub.kill(thread)",
        "        assert ended.wait(timeout=10)",
        "        later = hub.Event()",
        "        hub.spawn_after(0.05, later.set)",
        "        assert later.wait(timeout=10) and time.monotonic() - begin < 25",
        "        print('all ended')",
        "        import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    )
    status, reports, output = run(tmp_path, "--hub", hub, app)
    assert (status, "all ended" in output) == (0, True), output
    assert [one.hub for one in reports if isinstance(one, Started)] == [hub]
    assert not [one for one in reports if isinstance(one, HandlerFailed)]


def test_options_of_ryu_manager_and_of_apps(tmp_path: Path) -> None:
    write(
        tmp_path / "opts" / "flags.py",
        "from ryu import cfg",
        "cfg.CONF.register_cli_opts([cfg.IntOpt('my-number', default=1)])",
    )
    app = write(
        tmp_path / "opts" / "app.py",
        "from ryu.base import app_manager",
        "class Opts(app_manager.RyuApp):",
        "    def start(self):",
        "        c = self.CONF",
        "        print(c.my_number, c.observe_links, c.verbose, c.wsapi_host, c.explicit_drop)",
        ENDS,
    )
    config = write(tmp_path / "opts" / "ryu.conf", "[DEFAULT]", "wsapi_host = 127.0.0.9")
    log = tmp_path / "ryu.log"
    status, _, output = run(
        tmp_path, "--user-flags", app.parent / "flags.py", "--my-number", "7", "--observe-links",
        "--config-file", config, "--log-file", log, "--nouse-stderr", "--app-lists", app,
    )  # fmt: skip
    assert status == 0, output
    assert "7 True False 127.0.0.9 True" in output
    assert "loading app" in log.read_text()


def _dial(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 60)


@pytest.mark.parametrize("hub", ["eventlet", "native"])
def test_connections_that_are_no_switch_disturb_nobody(hub: str, tmp_path: Path) -> None:
    """Mute ones, garbage, half a message, and many that come and go."""
    read, report = os.pipe()
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    with (tmp_path / "log").open("wb") as log:
        words = ["--hub", hub, "--listen-fd", str(listener.fileno()), "--report-fd", str(report)]
        process = subprocess.Popen(
            command([*words, "ryu.app.simple_switch_13"]),
            stdout=log,
            stderr=log,
            pass_fds=[listener.fileno(), report],
        )
    os.close(report)
    mutes: list[socket.socket] = []
    try:
        for data in (
            b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",
            b"\x04\x00\x00\x02\0\0\0\0",
            bytes(64),
            b"\xff" * 4096,
        ):
            garbage = _dial(port)
            garbage.sendall(data)
            until(lambda garbage=garbage: _ended(garbage), "the connection ends")
            garbage.close()
        mutes = [_dial(port) for _ in range(20)]
        mutes[0].sendall(b"\x04\x00\x00")
        for _ in range(100):
            _dial(port).close()
        switch = _dial(port)
        assert switch.recv(8, socket.MSG_WAITALL)[:2] == b"\x04\x00"
        switch.sendall(bytes.fromhex("0400000800000001"))
        assert switch.recv(8, socket.MSG_WAITALL)[1] == 5
        features = bytes.fromhex("000000000000000700000000fe0000000000000000000000")
        switch.sendall(bytes.fromhex("0406002000000002") + features)
        text = b""
        while b'"connected"' not in text:
            kind = switch.recv(8, socket.MSG_WAITALL)
            body = switch.recv(int.from_bytes(kind[2:4], "big") - 8, socket.MSG_WAITALL)
            if kind[1] == 18:
                switch.sendall(b"\x04\x13\x00\x10" + kind[4:] + body[:2] + bytes(6))
                while b'"connected"' not in text:
                    text += os.read(read, 4096)
        switch.close()
        while b'"gone"' not in text:
            text += os.read(read, 4096)
        reports = [parse(line) for line in text.decode().splitlines()]
        assert SwitchReport("0000000000000007", "connected", "1.3") in reports
        assert SwitchReport("0000000000000007", "gone", "1.3") in reports
        said = (tmp_path / "log").read_text()
        assert said.count("does not speak OpenFlow") == 4 and "Traceback" not in said, said
    finally:
        for mute in mutes:
            mute.close()
        process.kill()
        process.wait()
        listener.close()
        os.close(read)


def _ended(garbage: socket.socket) -> bool:
    try:
        return not garbage.recv(4096)
    except ConnectionResetError:
        return True


def test_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            command(["--ofp-tcp-listen-port", str(port), "ryu.app.simple_switch"]),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 2
    assert f"port {port}" in done.stderr and "--ofp-tcp-listen-port" in done.stderr
    assert "Traceback" not in done.stderr


def test_usage(tmp_path: Path) -> None:
    status, _, output = run(tmp_path, "--help")
    assert status == 0
    assert "--hub" in output and "--observe-links" in output
