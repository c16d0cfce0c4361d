"""``python -m nfv.ids``: the intrusion detection function as a process of its own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from nfv.ids.run import process
from nfv.ids.settings import BadSetting, Settings, put
from nfv.ids.sources import capture


def parser() -> argparse.ArgumentParser:
    """The command line."""
    words = argparse.ArgumentParser(prog="python -m nfv.ids", description=__doc__)
    where = words.add_mutually_exclusive_group(required=True)
    where.add_argument("--interface", metavar="IF", help="tap: read one device")
    where.add_argument(
        "--inline", nargs=2, metavar=("IN", "OUT"), help="bridge two devices, dropping what rules say"
    )
    words.add_argument(
        "--rules", action="append", required=True, type=Path, metavar="FILE", help="may be given again"
    )
    words.add_argument(
        "--eve", required=True, type=Path, metavar="FILE", help="EVE JSON lines are appended to it"
    )
    words.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="as for sdnlab ids")
    words.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes that share the device (1)"
    )
    words.add_argument(
        "--fanout-group", type=int, default=0, metavar="ID", help="1 to 65535; chosen when left out"
    )
    words.add_argument(
        "--stats", type=float, default=8.0, metavar="SECONDS", help="between two stats records (8)"
    )
    words.add_argument(
        "--checksums",
        action="store_true",
        help="leave out TCP segments with a bad checksum (virtual wires have those)",
    )
    return words


def main(arguments: list[str] | None = None) -> int:
    """Run; 0 after SIGTERM, 1 when it can't begin, 2 when the command line is wrong."""
    words = parser()
    given = words.parse_args(arguments)
    settings = Settings()
    settings.stream.checksums = given.checksums
    for text in given.set:
        name, _, value = text.partition("=")
        try:
            put(settings, name, value)
        except BadSetting as error:
            words.error(f"--set {text}: {error}")
    if not 1 <= given.workers <= 64:
        words.error("--workers must be 1 to 64")
    plan = process.Plan(
        interfaces=given.inline or [given.interface],
        rules=given.rules,
        eve=given.eve,
        settings=settings,
        workers=given.workers,
        stats=given.stats,
        group=given.fanout_group,
    )
    try:
        return process.run(plan)
    except capture.CaptureFailed as error:
        sys.stderr.write(f"nfv.ids: {error}\n")
    except OSError as error:
        sys.stderr.write(f"nfv.ids: {error.filename or ''}: {error.strerror}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
