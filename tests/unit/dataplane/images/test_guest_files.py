"""What a guest of the micro image gets of sdnlab."""

from __future__ import annotations

from dataplane.hosts.guest import files
from dataplane.images import micro


def test_the_agent_is_there_with_all_that_it_imports() -> None:
    packed = micro.recipe().guest("python3.11")
    for path in files.shipped():
        assert f"{path.strip('/')}\0".encode() in packed, path


def test_it_is_started_from_the_folder_that_the_agent_expects() -> None:
    assert f'sys.path.insert(0, "{files.FOLDER}")'.encode() in micro.recipe().guest("python3.11")
