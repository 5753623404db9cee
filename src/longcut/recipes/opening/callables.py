"""Models of a person's own code, by `package.module:callable`."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from longcut.evaluation.foreign.models import reason_of

Network = Callable[[Tensor], Any]


def load_network(name: str) -> tuple[Network, str]:
    """A network, or a function from images to scores, by its name; with the hash of the name and of the file it is in.

    The module is imported with the working directory first among the places that are searched. What can be called
    without an argument makes the network; what it returns is taken.

    Args:
        name: `package.module:callable`, also an attribute of an attribute.

    Raises:
        ValueError: there is no such module or name in it, importing or calling it fails, or it is nothing to call.
    """
    module_name, _, attribute = name.partition(":")
    with _working_directory():
        module = _import(module_name, name)
        found = _attribute(module, attribute, name)
        network = _made(found, name) if _is_factory(found) else found
    if isinstance(network, type) or not callable(network):
        raise ValueError(
            f"{name} is of the type {type(network).__name__}: a torch.nn.Module or a function of images is needed"
        )
    digest = hashlib.sha256(name.encode())
    file = getattr(module, "__file__", None)
    if file is not None:
        digest.update(Path(file).read_bytes())
    return (network.eval() if isinstance(network, nn.Module) else network), f"sha256:{digest.hexdigest()}"


@contextmanager
def _working_directory() -> Iterator[None]:
    """The working directory first among the places where modules are looked for."""
    place = str(Path.cwd())
    sys.path.insert(0, place)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(place)


def _import(module_name: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except Exception as error:  # it is anybody's code
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and f"{module_name}.".startswith(f"{missing}."):
            raise ValueError(
                f"{name}: there is no module {missing!r}, in {Path.cwd()} or installed; other models are called "
                "DIR, timm:NAME, torchvision:NAME, onnx:FILE or FILE.safetensors"
            ) from error
        raise ValueError(f"{name}: importing {module_name} fails ({reason_of(error)})") from error


def _attribute(module: ModuleType, attribute: str, name: str) -> Any:
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            nearest = difflib.get_close_matches(part, dir(found), n=3, cutoff=0.5)
            hint = f"; the nearest names are {', '.join(nearest)}" if nearest else ""
            raise ValueError(f"{name}: {module.__name__} has no {attribute!r}{hint}")
        found = getattr(found, part)
    return found


def _is_factory(found: Any) -> bool:
    """Whether it can be called without an argument; a network cannot, which is called with images."""
    if isinstance(found, nn.Module) or not callable(found):
        return False
    try:
        inspect.signature(found).bind()
    except (TypeError, ValueError):  # it needs an argument, or is of a kind that tells nothing
        return isinstance(found, type)
    return True


def _made(factory: Callable[[], Any], name: str) -> Any:
    try:
        return factory()
    except Exception as error:  # it is anybody's code
        raise ValueError(f"{name} cannot be called without an argument ({reason_of(error)})") from error
