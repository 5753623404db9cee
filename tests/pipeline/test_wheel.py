"""The built wheel in an environment of its own, without the source tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from made_images import write_images

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not UV.is_file():
        pytest.skip("uv is not beside this Python: it builds the wheel")
    out = tmp_path_factory.mktemp("wheel")
    here = ["--no-build-isolation", "--python", sys.executable]  # by the hatchling of this environment: no network
    built = subprocess.run([UV, "build", "--wheel", "-q", *here, "-o", out, ROOT], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (found,) = out.glob("*.whl")
    return found


def test_the_wheel_says_that_it_is_typed(wheel: Path) -> None:
    assert "longcut/py.typed" in zipfile.ZipFile(wheel).namelist()


def interpreter(version: str) -> str:
    if version == HERE:
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
    found = [shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}.*/bin/python"))]
    for python in filter(None, found):
        if not subprocess.run([python, "--version"], capture_output=True).returncode:
            return str(python)
    return pytest.skip(f"there is no Python {version} on this machine")


@pytest.mark.parametrize(
    "version", [HERE, *(pytest.param(v, marks=pytest.mark.slow) for v in ("3.11", "3.12", "3.13") if v != HERE)]
)
def test_the_wheel_audits_without_the_source_tree(version: str, wheel: Path, tmp_path: Path) -> None:
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([interpreter(version), "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    if version == HERE:  # what it depends on is here already, and a folder that a .pth names reads no .pth of its own
        (paths,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
        (paths / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    alone = ["--no-deps"] if version == HERE else []
    subprocess.run([UV, "pip", "install", "-q", "--python", python, *alone, wheel], check=True)
    write_images(tmp_path / "images", size=32)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    words = [
        "audit",
        "timm:test_resnet.r160_in1k",
        "images",
        "--weights",
        "none",
        "--image-size",
        "32",
        "--out",
        "audit",
    ]
    done = subprocess.run(
        [python.with_name("longcut"), *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "random weights" in done.stdout
    assert (tmp_path / "audit" / "audit.html").stat().st_size > 10_000
    ask = [python, "-c", "import longcut; print(longcut.__file__)"]
    assert str(tmp_path) in subprocess.check_output(ask, cwd=tmp_path, env=environment, text=True)
