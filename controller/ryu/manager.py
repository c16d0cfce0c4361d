"""ryu-manager itself: understands its options, loads the apps, starts them, and ends them on Ctrl-C."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from controller.ryu import connections, loading, names, old_python
from controller.ryu.options import Options
from controller.ryu.reports import AppFailed, AppLoaded, HandlerFailed, Report, Started, line
from controller.ryu.starting import ROOT

LOG = logging.getLogger("ryu-manager")

_PAUSE = 1.0
"""Seconds between two reports of the same failure."""
_KINDS = 1000
_GRACE = 0.6
"""Seconds that apps have to close what they have open after Ctrl-C."""


class Reporter:
    """Writes reports to a descriptor; to nowhere if there is none, or nobody reads.

    No other green thread may run while it writes: eventlet lets only one of them wait for a descriptor.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        if descriptor is not None:
            os.set_inheritable(descriptor, False)
            os.set_blocking(descriptor, True)

    def __call__(self, report: Report) -> None:
        if self._descriptor is None:
            return
        data = line(report).encode()
        try:
            while data:
                data = data[_native("os", "write")(self._descriptor, data) :]
        except OSError:
            self._descriptor = None


def run(given: Options, chosen: str, hub: Any, program: str) -> int:
    """Run the apps until a signal; the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)  # who follows a log sees what apps print
    report = Reporter(given.report_fd)
    finder = names.install()
    manager = Manager(given, chosen, hub, report, finder)
    try:
        return manager.run(program)
    except loading.LoadFailed as problem:
        report(AppFailed(problem.app, problem.file, problem.error, problem.traceback, problem.remedy))
        sys.stderr.write(problem.traceback)
        print(f"{program}: {problem.error}", file=sys.stderr)
        if problem.remedy:
            print(f"  {problem.remedy}", file=sys.stderr)
        leave(1)
    except CannotListen as problem:
        print(f"{program}: {problem}", file=sys.stderr)
        leave(2)


class CannotListen(Exception):
    """No socket for switches or for HTTP; its text says which, and what to do."""


def leave(status: int) -> NoReturn:
    """End the process now, whatever its threads do."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


class Manager:
    """One run of ryu-manager. It talks to os-ken's parts by their modules, which are loaded by now."""

    def __init__(
        self,
        given: Options,
        chosen: str,
        hub: Any,
        report: Callable[[Report], None],
        finder: names.RyuFinder,
    ) -> None:
        self._given, self._chosen, self._hub, self._report, self._finder = given, chosen, hub, report, finder
        self._cfg = importlib.import_module("os_ken.cfg")
        log = importlib.import_module("os_ken.log")
        log.early_init_log(logging.WARNING)
        self._log = log
        self._app_manager: Any = importlib.import_module("os_ken.base.app_manager")
        self._controller: Any = importlib.import_module("os_ken.controller.controller")
        self._ofp_handler: Any = importlib.import_module("os_ken.controller.ofp_handler")
        self._protocol: Any = importlib.import_module("os_ken.ofproto.ofproto_protocol")
        self._utils: Any = importlib.import_module("os_ken.utils")
        for module in ("os_ken.flags", "os_ken.topology.switches"):
            importlib.import_module(module)
        self._wsgi: Any = importlib.import_module("os_ken.app.wsgi")
        names.rename()
        old_python.mend()
        connections.mend(self._controller, hub, report)

    def run(self, program: str) -> int:
        """Load, start, wait; the exit status. Raises ``LoadFailed`` and ``CannotListen``."""
        conf = self._cfg.CONF
        apps = self._options(program)
        self._log.init_log()
        listeners = self._listen()
        files = [Path(name).resolve() for name in apps if loading.is_file(name)]
        apps = [str(Path(name).resolve()) if loading.is_file(name) else name for name in apps]
        if conf.pid_file:
            Path(conf.pid_file).write_text(str(os.getpid()), encoding="utf-8")
        self._enter(files)
        self._patch_loading(listeners)
        names.hide_own_packages()
        self._catch_signals()
        code = 130
        services: list[Any] = []
        singleton = self._app_manager.AppManager.get_instance()
        try:
            singleton.load_apps(apps or ["os_ken.controller.ofp_handler"])
            contexts = singleton.create_contexts()
            services += singleton.instantiate_apps(**contexts)
            web = self._serve_web(singleton)
            port = None
            with contextlib.suppress(OSError, IndexError, TypeError):
                port = listeners[0].getsockname()[1]
            offered = loading.versions(self._protocol._supported_versions)
            port = port if isinstance(port, int) else None
            self._report(Started(self._chosen, port, web, offered))  # type: ignore[arg-type]
            while True:
                self._hub.sleep(3600)
        except Stopped as stopped:
            code = stopped.code
        except KeyboardInterrupt:
            pass
        with contextlib.suppress(BaseException):
            singleton.close()
        leave(code)

    def _options(self, program: str) -> list[str]:
        """Let oslo's parser, which apps share, read ryu-manager's options; the apps that they name."""
        cfg = self._cfg
        cfg.CONF.register_cli_opts(
            [
                cfg.ListOpt("app-lists", default=[], help="application module name to run"),
                cfg.MultiStrOpt("app", positional=True, default=[], help="application to run"),
                cfg.StrOpt("pid-file", default=None, help="pid file name"),
                cfg.BoolOpt("enable-debugger", default=False, help="leave Python's threading as it is"),
                cfg.StrOpt("user-flags", default=None, help="a Python file that registers options of apps"),
            ]
        )
        words = list(self._given.rest)
        for number, word in enumerate(words):
            name, equals, value = word.partition("=")
            if name == "--user-flags":
                file = value if equals else words[number + 1] if number + 1 < len(words) else ""
                if file:
                    loading.load_file(Path(file).resolve())
        if self._given.help:
            words = ["--help"]
        about = f"ryu-manager {'.'.join(map(str, names.VERSION_INFO))} (os-ken)"
        try:
            cfg.CONF(args=words, prog=program, project="ryu", version=about)
        except (cfg.ConfigFilesNotFoundError, cfg.RequiredOptError) as problem:
            print(f"{program}: {problem}", file=sys.stderr)
            leave(2)
        apps = [*cfg.CONF.app_lists, *cfg.CONF.app]
        return [part for app in apps for part in app.split(",") if part]

    def _listen(self) -> list[socket.socket]:
        """The sockets for switches: the inherited one, or those that the options say."""
        conf = self._cfg.CONF
        if self._given.listen_fd is not None:
            try:
                os.set_inheritable(self._given.listen_fd, False)  # what apps start does not keep the port
                return [socket.socket(fileno=self._given.listen_fd)]
            except OSError as problem:
                raise CannotListen(f"--listen-fd {self._given.listen_fd}: {problem.strerror}") from None
        if conf.ctl_privkey is not None and conf.ctl_cert is not None:
            return []  # TLS: os-ken's own
        wanted = conf.ofp_tcp_listen_port
        ports = [6653, 6633] if wanted is None else [wanted]
        listeners = []
        for port in ports:
            try:
                listeners.append(connections.listen(conf.ofp_listen_host, port))
            except (OSError, OverflowError) as problem:
                text = f"cannot listen for switches at {conf.ofp_listen_host} port {port}: {problem}"
                if port == 6633 and listeners:
                    LOG.warning("%s; switches find port 6653", text)
                    continue
                raise CannotListen(
                    f"{text}\n  end the controller that has the port, or use --ofp-tcp-listen-port"
                ) from None
        return listeners

    def _enter(self, files: list[Path]) -> None:
        """Work in the folder of the first app's file; all apps' folders come first in sys.path."""
        here = str(Path.cwd())
        folders = list(dict.fromkeys((*(str(file.parent) for file in files), here)))
        # This project's own folder comes last: what it has beside the launcher is nobody's to import.
        rest = [entry for entry in sys.path if entry not in ("", ROOT, *folders)]
        sys.path[:] = [*folders, *rest, ROOT]
        if files:
            with contextlib.suppress(OSError):
                os.chdir(files[0].parent)
        for file in files:
            for above in file.parents:
                if above.name == "ryu":
                    self._finder.trees.append(above.parent)

    def _patch_loading(self, listeners: list[socket.socket]) -> None:
        """Load and start apps our way: with files' modules, and failures that say whose they are."""
        base = self._app_manager.OSKenApp
        convert, report = self._given.fix_py2, self._report

        def load_app(_self: Any, name: str) -> type | None:
            if loading.is_file(name):
                module = loading.load_file(Path(name).resolve(), convert)
            else:
                module = loading.load_module(name)
            classes = loading.app_classes(module, base)
            file = getattr(module, "__file__", None) or name
            if not classes:
                LOG.warning("%s has no class that is derived from RyuApp: nothing of it runs", file)
                report(AppLoaded(names.ryu_name(module.__name__), file))
                return None
            if len(classes) > 1:
                rest = ", ".join(kind.__name__ for kind in classes[1:])
                LOG.warning("%s: %s runs, not %s: a file has one app", file, classes[0].__name__, rest)
            kind: Any = classes[0]
            if not module.__name__.startswith("os_ken.controller."):
                accepted = loading.versions(kind.OFP_VERSIONS or self._protocol._supported_versions)
                report(AppLoaded(kind.__name__, file, accepted))
            chosen: type = kind
            return chosen

        instantiate = self._app_manager.AppManager._instantiate

        def started(manager: Any, app_name: str | None, kind: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return instantiate(manager, app_name, kind, *args, **kwargs)
            except Exception as error:
                if isinstance(error, KeyError) and error.args == ("wsgi",) and "wsgi" not in manager.contexts:
                    # Ryu's own rest_conf_switch does so: it relies on other apps' contexts.
                    LOG.warning("%s takes the context wsgi, which _CONTEXTS does not name", kind.__name__)
                    kwargs["wsgi"] = manager.contexts["wsgi"] = self._wsgi.WSGIApplication()
                    return started(manager, app_name, kind, *args, **kwargs)
                file = getattr(sys.modules.get(kind.__module__), "__file__", None) or kind.__module__
                raise loading.failed(kind.__name__, file, error) from error

        tell = Failures(report)
        for logger in ("os_ken.lib.hub", "controller.runtime.osken.threads"):
            logging.getLogger(logger).addHandler(ThreadFailures(base, tell))

        def event_loop(app: Any) -> None:
            _handle_events(app, self._hub, tell)

        self._app_manager.AppManager.load_app = load_app
        self._app_manager.AppManager._instantiate = started
        base._event_loop = event_loop
        self._utils.import_module = _imported
        if listeners:
            self._ofp_handler.OpenFlowController = lambda: connections.Listener(
                listeners, self._hub, self._controller
            )

    def _serve_web(self, singleton: Any) -> int | None:
        """Start the apps' HTTP server if an app has one; its port."""
        try:
            server = self._wsgi.start_service(singleton)
        except OSError as problem:
            conf = self._cfg.CONF
            raise CannotListen(
                f"cannot serve HTTP at {conf.wsapi_host} port {conf.wsapi_port}: {problem}\n"
                "  end the program that has the port, or use --wsapi-port"
            ) from None
        if server is None:
            return None
        self._hub.spawn(server)
        port: int = server.server.getsockname()[1]
        return port

    def _catch_signals(self) -> None:
        """Ctrl-C and SIGTERM end the process within a second, also if an app's handler never ends."""
        main = self._hub.getcurrent() if self._chosen == "eventlet" else None

        def stop(number: int, frame: FrameType | None) -> None:
            code = 130 if number == signal.SIGINT else 0
            for one in (signal.SIGINT, signal.SIGTERM):
                signal.signal(one, lambda *_: leave(code))
            _watch(code)
            if hubs is None or main is None or self._hub.getcurrent() is main:
                raise Stopped(code)
            hubs.get_hub().schedule_call_global(0, main.throw, Stopped(code))

        hubs = importlib.import_module("eventlet.hubs") if main is not None else None
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGTERM, stop)


class Stopped(BaseException):
    """A signal asks for the end. ``code``: the exit status."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def _watch(code: int) -> None:
    """End the process after a grace time, in a native thread, which no green one can hold."""
    start, sleep = _native("_thread", "start_new_thread"), _native("time", "sleep")

    def end() -> None:
        sleep(_GRACE)
        leave(code)

    start(end, ())


def _native(module: str, name: str) -> Any:
    """A function of the standard library as it was before eventlet."""
    patcher = sys.modules.get("eventlet.patcher")
    original = patcher.original(module) if patcher is not None else importlib.import_module(module)
    return getattr(original, name)


class Failures:
    """Reports failures of handlers: the same one at most once a second, as it may come with each packet."""

    def __init__(self, report: Callable[[Report], None]) -> None:
        self._report = report
        self._last: dict[HandlerFailed, float] = {}

    def __call__(self, failure: HandlerFailed) -> None:
        now = time.monotonic()
        if now - self._last.get(failure, -_PAUSE) >= _PAUSE:
            if len(self._last) > _KINDS:
                self._last.clear()
            self._last[failure] = now
            self._report(failure)


class ThreadFailures(logging.Handler):
    """Reports exceptions that end a thread of an app, which the hub logs."""

    def __init__(self, base: type, tell: Failures) -> None:
        super().__init__()
        self._base, self._tell = base, tell

    def emit(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if error is None:
            return
        app = function = ""
        for frame, _ in traceback.walk_tb(error.__traceback__):
            owner = frame.f_locals.get("self")
            function = frame.f_code.co_name
            if isinstance(owner, self._base):
                app = str(getattr(owner, "name", ""))
                break
        self._tell(HandlerFailed(app, function, _trace()))


def _handle_events(app: Any, hub: Any, tell: Failures) -> None:
    """An app's loop over its events. A handler that fails is logged and reported; the next event comes."""
    while app.is_active or not app.events.empty():
        event, state = app.events.get()
        app._events_sem.release()
        if event == app._event_stop:
            continue
        for handler in app.get_handlers(event, state):
            try:
                handler(event)
            except hub.TaskExit:
                raise
            except Exception:
                name = getattr(handler, "__name__", str(handler))
                LOG.exception("%s: %s failed at %s", app.name, name, type(event).__name__)
                tell(HandlerFailed(app.name, name, _trace()))


def _trace() -> str:
    kind, error, trace = sys.exc_info()
    return "".join(traceback.format_exception(kind, error, loading.theirs(trace)))


def _imported(name: str) -> Any:
    """os-ken's ``utils.import_module``: of a file, or of a module."""
    return loading.load_file(Path(name).resolve()) if loading.is_file(name) else loading.load_module(name)
