"""A longer fuzz run than the tests have: ``.venv/bin/python tests/fuzz_ids.py FOLDER [SECONDS]``.

Captures below FOLDER are mutated and inspected with all rules below it, until the time is over; what raises
is printed with its seed, and the exit code is 1.
"""

from __future__ import annotations

import random
import sys
import time
import traceback
from pathlib import Path

from nfv.ids.detection.ruleset import RuleSet
from nfv.ids.engine import Engine
from nfv.ids.language import Loaded, load_text
from nfv.ids.settings import Settings
from nfv.ids.sources.pcap import BadCapture, records


def main() -> int:
    """Fuzz; 0 when nothing raised."""
    folder, seconds = Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 600.0
    loaded = Loaded()
    for path in sorted(folder.rglob("*.rules")):
        for rule in load_text(path.read_bytes(), str(path)).rules:
            rule.action = "alert" if rule.action == "pass" else rule.action
            loaded.rules.append(rule)
    rules, captures = RuleSet(loaded.rules), sorted(folder.rglob("*.pcap*"))
    end, seed, bad, slowest = time.monotonic() + seconds, 0, 0, 0.0
    while time.monotonic() < end:
        seed += 1
        rng = random.Random(seed)
        begin = time.process_time()
        try:
            one(rng, captures, rules)
        except Exception:
            bad += 1
            print(f"seed {seed}\n{traceback.format_exc()}", flush=True)
        slowest = max(slowest, time.process_time() - begin)
    print(f"{seed} runs, {bad} raised, the slowest took {slowest:.2f} s")
    return 1 if bad else 0


def one(rng: random.Random, captures: list[Path], rules: RuleSet) -> None:
    """Inspect one capture with some of its bytes changed, its frames in another order, or cut."""
    settings = Settings(ips=rng.random() < 0.3)
    settings.stream.checksums = False
    settings.stream.midstream = rng.random() < 0.5
    settings.stream.async_oneside = rng.random() < 0.2
    settings.stream.inline = rng.random() < 0.3
    engine = Engine(settings, rules, lambda event: None)
    try:
        frames = list(records(rng.choice(captures).read_bytes()))[:400]
    except BadCapture:
        return
    if rng.random() < 0.3:
        rng.shuffle(frames)
    for number, (ts, frame, linktype) in enumerate(frames, 1):
        data = bytearray(frame)
        for _ in range(rng.choice((0, 0, 1, 3, 20)) if data else 0):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.05:
            del data[rng.randrange(len(data) + 1) :]
        engine.frame(bytes(data), ts, number, linktype)
    engine.finish()
    left = settings.stream.buffered, engine.streams.budget.used
    if left != (0, 0):
        raise AssertionError(f"bytes of streams and bodies that are still counted: {left}")


if __name__ == "__main__":
    sys.exit(main())
