"""Files as such: what cannot be read is one problem, and never a surprise."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import topologies


def problems(path: str | Path) -> tuple[topologies.Problem, ...]:
    with pytest.raises(topologies.Invalid) as caught:
        topologies.load(path)
    return caught.value.problems


def only(path: str | Path) -> str:
    (problem,) = problems(path)
    assert problem.file == os.fspath(path)
    return problem.message


def test_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    assert only(path) == "there is no such file"
    assert str(problems(path)[0]) == f"{path}: there is no such file; check the name"


def test_directory(tmp_path: Path) -> None:
    assert only(tmp_path) == "is a directory"


def test_part_of_path_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "not a directory" in only(tmp_path / "file" / "x.yaml")


def test_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert only(tmp_path / "pipe") == "is a pipe"


def test_device_is_not_opened() -> None:
    assert only("/dev/zero") == "is a device"


def test_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
        assert only(tmp_path / "socket") == "is a socket"


def test_circle_of_links(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert "circle" in only(tmp_path / "a")


def test_names_that_no_file_can_have(tmp_path: Path) -> None:
    assert "too long" in only(tmp_path / ("x" * 300))
    assert "cannot be a file's name" in only("a\0b")


def test_permission_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "secret.yaml"
    path.write_text("switches: [s1]")
    path.chmod(0)
    if os.geteuid() != 0:
        assert only(path) == "may not be read"
        return
    # Root may read everything: ask as somebody else.
    for directory in (tmp_path, *tmp_path.parents):
        if not directory.stat().st_mode & 1:
            directory.chmod(directory.stat().st_mode | 0o011)
    asked = (
        "import os, sys, topologies, topologies.loading\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: topologies.load(sys.argv[1])\n"
        "except topologies.Invalid as invalid: print(invalid)\n"
    )
    answer = subprocess.run([sys.executable, "-c", asked, path], capture_output=True, text=True, check=True)
    assert answer.stdout == f"{path}: may not be read; check the permissions (chmod +r)\n"


def test_too_big(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    path.write_bytes(b"#" * (4 * 1024 * 1024))
    assert only(path) == "is empty"
    path.write_bytes(b"#" * (4 * 1024 * 1024 + 1))
    assert only(path) == "is too big"
    with pytest.raises(topologies.Invalid, match="is too big; allowed: up to 4 MB"):
        topologies.loads(path.read_bytes())


@pytest.mark.parametrize("text", ["[" * 3_000_000, "{a: " * 700_000, "- " * 2_000_000, "? " * 2_000_000])
def test_deep_nesting_ends_early(text: str) -> None:
    with pytest.raises(topologies.Invalid, match="nested too deeply"):
        topologies.loads(text)


def test_deep_nesting_by_aliases() -> None:
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 5000))]
    with pytest.raises(topologies.Invalid, match="nested too deeply"):
        topologies.loads("\n".join(lines))


def test_too_many_values() -> None:
    with pytest.raises(topologies.Invalid, match="too many values"):
        topologies.loads("switches: [" + "s," * 300_000 + "]")


def test_no_code_from_the_file_runs(tmp_path: Path) -> None:
    owned = tmp_path / "owned"
    for tag in ("python/object/apply:os.mkdir", "python/object/new:os.mkdir", "python/name:os.system"):
        with pytest.raises(topologies.Invalid, match="is refused"):
            topologies.loads(f"name: !!{tag} ['{owned}']\nswitches: [s1]\n")
    assert not owned.exists()


def test_suggestions_are_bounded() -> None:
    """Thousands of unknown names among thousands of known ones: the search for near ones has an end."""
    switches = ", ".join(f"switch{n}" for n in range(2000))
    links = "\n".join(f"- [switch{n}x, switch{n}y]" for n in range(2000))
    with pytest.raises(topologies.Invalid) as caught:
        topologies.loads(f"switches: [{switches}]\nlinks:\n{links}\n")
    assert len(caught.value.problems) == 4000
    assert sum("did you mean" in p.remedy for p in caught.value.problems) <= 40


def test_byte_order_mark_and_windows_line_ends() -> None:
    topology = topologies.loads(b"\xef\xbb\xbfname: x\r\nswitches:\r\n  - s1\r\n")
    assert (topology.name, len(topology.switches)) == ("x", 1)


def test_name_comes_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "Übung 3.yaml"
    path.write_text("switches: [s1]")
    assert topologies.load(path).name == "ubung-3"
    assert topologies.load(str(path)) == topologies.load(path)


def test_graphml_is_known_by_its_content_too() -> None:
    text = '<graphml><graph><node id="a"/></graph></graphml>'
    assert topologies.loads(text, "x").switches[0].name == "a"
    assert topologies.loads("<?xml version='1.0' encoding='latin-1'?>" + text).switches[0].name == "a"


def test_invalid_survives_pickling() -> None:
    with pytest.raises(topologies.Invalid) as caught:
        topologies.loads("switches: {s1: {dpdi: 1}}")
    assert pickle.loads(pickle.dumps(caught.value)).problems == caught.value.problems


def test_problem_does_not_steer_the_terminal() -> None:
    with pytest.raises(topologies.Invalid) as caught:
        topologies.loads(
            'switches: ["s\\e[2J", s1]\nhosts: {h1: "s\\e[2J:1", h2: "s\\e[2J:1"}\n', "a\x1b[2Jb"
        )
    assert str(caught.value).replace("\n", "").isprintable()


def test_importing_topologies_is_cheap() -> None:
    """What only some need (YAML, XML, graphs) is not imported by all."""
    code = "import sys, topologies; print(*sys.modules)"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"yaml", "networkx", "difflib", "xml.parsers.expat"} & set(out)


PYTHON = "switches: [s1]\nfunctions: {{f: {{kind: python, switch: s1, file: {file}}}}}\n"
IDS = "switches: [s1]\nfunctions: {{f: {{kind: ids, switch: s1, files: [{file}]}}}}\n"


def told(directory: Path, text: str, file: str) -> str:
    """The one problem with a topology file in ``directory`` that names ``file``."""
    (directory / "lab.yaml").write_text(text.format(file=file))
    (problem,) = problems(directory / "lab.yaml")
    assert problem.line == 2 and problem.path.startswith("functions.f.file")
    return problem.message


def test_files_that_functions_name_are_seen_from_the_topology_file(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "f.py").write_bytes(b"\xef\xbb\xbfdef process(packet):\r\n    return packet\r\n")
    (tmp_path / "lab.yaml").write_text(PYTHON.format(file="own/f.py"))
    script = topologies.load(tmp_path / "lab.yaml").functions[0].script
    assert script is not None and script.file == "own/f.py" and script.source.startswith("def process")
    (tmp_path / "a.rules").write_text("alert a\n")
    (tmp_path / "lab.yaml").write_text(IDS.format(file=f"a.rules, {tmp_path}/a.rules"))
    ids = topologies.load(tmp_path / "lab.yaml").functions[0].ids
    assert ids is not None and ids.rules == "alert a\nalert a" and len(ids.files) == 2


@pytest.mark.parametrize("text", [PYTHON, IDS])
def test_files_of_functions_are_regular_and_small(tmp_path: Path, text: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "big").write_bytes(b"#" * (512 * 1024 + 1))
    for file, what in {
        "none": "'none': there is no such file", "pipe": "'pipe' is a pipe",
        "/dev/zero": "'/dev/zero' is a device",
        ".": "'.' is a directory", "loop": "'loop': symbolic links go round in a circle",
        "big": "'big' is too big",
    }.items():  # fmt: skip
        assert told(tmp_path, text, file) == what


def test_scripts_are_utf8_and_rules_are_bytes(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"# a\n# \xe4\n")
    (tmp_path / "marked").write_bytes(b"\xef\xbb\xbf# \xc3\xa4\n")
    assert told(tmp_path, PYTHON, "latin") == "latin is not UTF-8 (line 2)"
    for files, wanted in (
        ("latin, marked", b"# a\n# \xe4\n# \xc3\xa4\n"),
        ("marked", b"# \xc3\xa4\n"),
    ):
        (tmp_path / "lab.yaml").write_text(IDS.format(file=files))
        topology = topologies.load(tmp_path / "lab.yaml")
        again = topologies.Topology.model_validate_json(topology.model_dump_json())
        for version in (topology, again):
            ids = version.functions[0].ids
            assert ids is not None and (ids.rules + "\n").encode(ids.encoding) == wanted


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("def process(packet):\n  return [", "f.py, line 2: '[' was never closed"),
        ("def handle(packet): pass", "f.py has no function process(packet)"),
        ("class A:\n  def process(self, packet): pass", "f.py has no function process(packet)"),
        ("async def process(packet): pass", "f.py, line 1: process is async"),
        ("x = '\\0'\n\0", "f.py is no Python that can be read"),
        ("(" * 10000, "f.py, line 1: too many nested parentheses"),
        ("-" * 100000 + "1", "f.py is no Python that can be read"),
    ],
)
def test_scripts_that_are_no_function(tmp_path: Path, source: str, what: str) -> None:
    (tmp_path / "f.py").write_text(source)
    got = told(tmp_path, PYTHON, "f.py")
    assert got == what or (what.startswith("f.py is no Python") and got.startswith("f.py"))


def test_scripts_are_read_and_not_run(tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text("import os\nos.mkdir('owned')\nfrom math import sqrt as process\n")
    (tmp_path / "lab.yaml").write_text(PYTHON.format(file="f.py"))
    assert topologies.load(tmp_path / "lab.yaml").functions[0].script
    assert not (tmp_path / "owned").exists() and not Path("owned").exists()
