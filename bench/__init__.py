"""Side-by-side measurements against named peers: ``bench/run``. See README.md."""
