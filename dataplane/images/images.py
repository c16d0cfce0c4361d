"""The images that sdnlab knows: found in the cache, built when missing, listed, checked, removed."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from dataplane.images import cache, exported, micro
from dataplane.images.errors import ImageError
from dataplane.images.image import Image
from dataplane.images.recipe import Recipe, Say

RECIPES: dict[str, Callable[[], Recipe]] = {"micro": micro.recipe}
"""The images that sdnlab builds."""


def recipe_of(name: str) -> Recipe:
    """How an image is built. Raises ImageError for an unknown name."""
    if name not in RECIPES:
        raise ImageError(f"there is no image named {name!r}", f"sdnlab builds: {', '.join(RECIPES)}")
    return RECIPES[name]()


def ensure(name: str, say: Say, recipe: Recipe | None = None) -> Image:
    """The current image, built if it is missing, damaged, or of another version of sdnlab.

    ``say`` hears of the progress when something is built. When the image is there this takes 2 ms: its files
    are compared with their noted size and time. ``name`` may be the path of an exported machine. Raises
    ImageError.
    """
    if recipe is None and exported.is_path(name):
        return exported.ensure(name, say)
    recipe = recipe or recipe_of(name)
    folder = cache.root()
    image = _usable(folder, name, recipe)
    if image is not None:
        return image
    with cache.locked(folder, name, say):
        # meanwhile another process may have built it
        image = _usable(folder, name, recipe)
        if image is not None:
            return image
        for base in cache.versions(folder, name):
            if cache.described(base).get("recipe") == recipe.base_digest:
                file = cache.wrong_file(base, thorough=True)
                if file is None:
                    return _with_new_guest(folder, name, base, recipe)
                say(f"the image {name} is damaged ({base / file}): building it again")
        return _build(folder, name, say, recipe)


def build(name: str, say: Say, recipe: Recipe | None = None) -> Image:
    """Build the image from the newest packages, whether it is there or not. Raises ImageError."""
    recipe = recipe or recipe_of(name)
    folder = cache.root()
    with cache.locked(folder, name, say):
        return _build(folder, name, say, recipe)


def find(name: str) -> Image:
    """The version that this sdnlab uses, else the one that was built last. Raises ImageError."""
    versions = [image for image in listed() if image.name == name]
    if not versions:
        recipe_of(name)
        raise ImageError(f"the image {name} is not in {cache.root()}", f"sdnlab image build {name}")
    return versions[0]


def listed() -> list[Image]:
    """The images in the cache, with all their versions: of each image first the one that this sdnlab uses,
    then the one that was built last.

    Raises ImageError for a damaged description.
    """
    folder = cache.root()
    images = []
    for name in cache.names(folder):
        versions = [cache.read(version) for version in cache.versions(folder, name)]
        recipe = RECIPES[name]() if name in RECIPES else None
        images += sorted(versions, key=lambda image: not (recipe and _fits(image.folder, recipe)))
    return images


def verify(image: Image) -> None:
    """Read all files of an image, and compare them with what was built. Raises ImageError."""
    file = cache.wrong_file(image.folder, thorough=True)
    if file is not None:
        raise cache.damaged(image.folder, file)


def remove(name: str, say: Say) -> int:
    """Remove an image with its snapshots; the bytes that are free now. What a lab holds stays until its next
    build.

    Raises ImageError if there is no such image.
    """
    folder = cache.root()
    if name not in cache.names(folder):
        there = ", ".join(cache.names(folder)) or "none"
        raise ImageError(f"there is no image named {name!r} in {folder}", f"there are: {there}")
    with cache.locked(folder, name, say):
        (folder / name).unlink(missing_ok=True)
        sizes = {version: occupied(version) for version in cache.versions(folder, name)}
        return sum(size for version, size in sizes.items() if cache.remove_version(version))


def occupied(version: Path) -> int:
    """Bytes that a version of an image takes on the disk with its snapshots, in which there are holes."""
    return sum(path.lstat().st_blocks * 512 for path in version.rglob("*") if path.is_file())


def _usable(folder: Path, name: str, recipe: Recipe) -> Image | None:
    for version in cache.versions(folder, name):
        if _fits(version, recipe) and cache.wrong_file(version) is None:
            return cache.read(version)
    return None


def _fits(version: Path, recipe: Recipe) -> bool:
    told = cache.described(version)
    return (told.get("recipe"), told.get("guest")) == (recipe.base_digest, recipe.guest_digest)


def _build(folder: Path, name: str, say: Say, recipe: Recipe) -> Image:
    with cache.workshop(folder, name) as work:
        say(f"building the image {name} in {folder}")
        base = recipe.build(work, say)
        (work / "vmlinux").write_bytes(base.kernel)
        (work / "initrd").write_bytes(base.archive + recipe.guest(base.python))
        told = {
            "recipe": recipe.base_digest,
            "guest": recipe.guest_digest,
            "arguments": recipe.arguments,
            "python": base.python,
            "distribution": base.distribution,
            "packages": dict(base.versions),
            "base": len(base.archive),
            "built": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        return cache.adopt(folder, name, work, told)


def _with_new_guest(folder: Path, name: str, base: Path, recipe: Recipe) -> Image:
    """The same base with sdnlab's own files of today: without packages or network."""
    told = cache.described(base)
    with cache.workshop(folder, name) as work:
        os.link(base / "vmlinux", work / "vmlinux")
        archive = (base / "initrd").read_bytes()[: told["base"]]
        (work / "initrd").write_bytes(archive + recipe.guest(told["python"]))
        told.update(guest=recipe.guest_digest, arguments=recipe.arguments)
        return cache.adopt(folder, name, work, told)
