"""Which extensions there are, how they are imported, and from whom root takes none."""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from topologies import extensions
from topologies.extensions import ExtensionError, Place

FOLDER, FILE = stat.S_IFDIR, stat.S_IFREG


@pytest.fixture
def own_modules() -> Iterator[None]:
    """What a test imports is forgotten after it."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_the_variable_names_modules_and_files() -> None:
    assert extensions.named(" a.b, ./c.py ,,/d.py") == ["a.b", "./c.py", "/d.py"]
    assert extensions.named("") == []


@pytest.mark.usefixtures("own_modules")
def test_a_file_is_imported_once_and_told_by_its_real_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "counting_toy.py").write_text("import sys\nsys.toys = getattr(sys, 'toys', 0) + 1\n")
    (tmp_path / "link.py").symlink_to("counting_toy.py")
    monkeypatch.setattr(sys, "toys", 0, raising=False)
    monkeypatch.chdir(tmp_path)
    extensions.load(["counting_toy.py", "./counting_toy.py", "link.py"])
    assert vars(sys)["toys"] == 1
    assert extensions.loaded()[-1] == str((tmp_path / "counting_toy.py").resolve())
    assert not (tmp_path / "__pycache__").exists()


@pytest.mark.usefixtures("own_modules")
@pytest.mark.parametrize(
    ("file", "source", "said"),
    [
        ("absent_toy.py", None, r"imported: FileNotFoundError"),
        (
            "wrong_toy.py",
            "x = 1\nx = 1 / 0\n",
            r"imported: ZeroDivisionError in line 2:",
        ),
        (
            "leaving_toy.py",
            "raise SystemExit(0)",
            r"imported: SystemExit in line 1: 0",
        ),
        ("torn_toy.py", "def", r"imported: SyntaxError"),
        ("json.py", "", r"json.py has the name of another module, json; rename the file"),
    ],
)
def test_what_can_not_be_imported_says_why(tmp_path: Path, file: str, source: str | None, said: str) -> None:
    if source is not None:
        (tmp_path / file).write_text(source)
    with pytest.raises(ExtensionError, match=said):
        extensions.load([str(tmp_path / file)])
    assert str(tmp_path / file) not in extensions.loaded()


def test_a_module_that_is_not_installed() -> None:
    with pytest.raises(ExtensionError, match="no_such_toy can't be imported: ModuleNotFoundError"):
        extensions.load(["no_such_toy"])


def test_an_installed_package_declares_its_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, group in (("toy", "sdnlab"), ("other", "console_scripts")):
        info = tmp_path / f"{name}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {name}_package.module\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert extensions.installed(["", str(tmp_path / "absent"), str(tmp_path)]) == ["toy_package.module"]


OWN_UID, OWN_GID = 7, 70


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ([Place(Path("/a.py"), 0, 0, FILE | 0o644), Place(Path("/"), 0, 0, FOLDER | 0o755)], None),
        ([Place(Path("/a.py"), OWN_UID, OWN_GID, FILE | 0o664)], None),
        ([Place(Path("/a.py"), 9, 0, FILE | 0o644)], "/a.py belongs to user 9"),
        ([Place(Path("/a.py"), 0, 0, FILE | 0o666)], "everybody can write to /a.py"),
        ([Place(Path("/a.py"), 0, 9, FILE | 0o664)], "group 9 can write to /a.py"),
        ([Place(Path("/b"), 0, 0, FOLDER | 0o777)], "everybody can write to /b"),
        ([Place(Path("/tmp"), 0, 0, FOLDER | 0o1777)], None),
        ([Place(Path("/tmp"), 9, 0, FOLDER | 0o1777)], "/tmp belongs to user 9"),
        ([Place(Path("/a.py"), 0, 0, FILE | 0o1666)], "everybody can write to /a.py"),
    ],
)
def test_root_imports_only_what_root_or_sdnlabs_owner_can_change(
    places: list[Place], said: str | None
) -> None:
    assert extensions.changeable_by_others(places, {0, OWN_UID}, {0, OWN_GID}) == said


@pytest.mark.usefixtures("own_modules")
def test_what_is_refused_is_not_run(tmp_path: Path) -> None:
    file = tmp_path / "refused_toy.py"
    file.write_text("import sys\nsys.refused_toy = True\n")

    def refuse(path: Path) -> None:
        raise ExtensionError(f"{path} is refused", "")

    for name in (str(file), "pytest"):
        with pytest.raises(ExtensionError, match="is refused"):
            extensions.load([name], refuse)
    assert not hasattr(sys, "refused_toy")


def test_a_file_that_everybody_can_write_is_refused_to_root(tmp_path: Path) -> None:
    file = tmp_path / "open_toy.py"
    file.touch()
    file.chmod(0o666)
    with pytest.raises(ExtensionError, match="root doesn't import the extension"):
        extensions.check_for_root(file)
    with pytest.raises(ExtensionError, match="can't be read: No such file"):
        extensions.check_for_root(tmp_path / "absent.py")
    extensions.check_for_root(Path(extensions.__file__))


@pytest.mark.parametrize(
    ("uid", "uid_map", "root"),
    [
        (0, "         0          0 4294967295\n", True),
        (1000, "         0          0 4294967295\n", False),
        (0, "         0       1000          1\n", False),
        (0, "         0       1000          1\n         1     100000      65536\n", True),
    ],
)
def test_who_is_root_for_others(uid: int, uid_map: str, root: bool) -> None:
    assert extensions.is_root_for_others(uid, uid_map) == root
