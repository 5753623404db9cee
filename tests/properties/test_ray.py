"""Ray's engine against the pool's, on a stand-in for Ray: its tasks run where they are asked for."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from longcut.data import pool
from longcut.data.decoding import ImageError
from longcut.data.pool import map_items

CORES = 2


class RayTaskError(Exception):
    def __init__(self, cause: Exception) -> None:
        super().__init__("raised in a task")
        self.cause = cause


class Ray(ModuleType):
    """As much of Ray's interface as the engine uses, and what was asked of it."""

    def __init__(self) -> None:
        super().__init__("ray")
        self.exceptions = SimpleNamespace(RayTaskError=RayTaskError)
        self.started: dict[str, Any] | None = None
        self.under_way: list[Any] = []
        self.most_under_way = 0
        self.cancelled: list[Any] = []

    def is_initialized(self) -> bool:
        return self.started is not None

    def init(self, **options: Any) -> None:
        assert self.started is None, "a cluster that runs is left as it is"
        self.started = options

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": float(CORES)}

    def remote(self, function: Any) -> Any:
        def ask(*parts: Any) -> Any:
            self.under_way.append(lambda: function(*parts))
            self.most_under_way = max(self.most_under_way, len(self.under_way))
            return self.under_way[-1]

        return SimpleNamespace(remote=ask)

    def get(self, task: Any) -> Any:
        self.under_way.remove(task)
        try:
            return task()
        except Exception as error:
            raise RayTaskError(error) from error

    def cancel(self, task: Any) -> None:
        self.under_way.remove(task)
        self.cancelled.append(task)


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Ray:
    stand_in = Ray()
    monkeypatch.setitem(sys.modules, "ray", stand_in)
    monkeypatch.setattr(pool, "_use_one_thread", lambda: None)  # it would stay so in this process
    return stand_in


def refuse_seventy(number: int) -> int:
    if number == 70:
        raise ImageError("seventy is refused")
    return number * number


@pytest.mark.parametrize("count", [0, 1, 4, 5, 203])
def test_results_are_the_pool_s_in_the_items_order(ray: Ray, count: int) -> None:
    found = list(map_items(abs, range(-count, 0), engine="ray"))
    assert found == list(map_items(abs, range(-count, 0), workers=1)) == list(range(count, 0, -1))
    assert (ray.under_way, ray.cancelled) == ([], [])
    assert ray.most_under_way <= CORES * pool._AHEAD, "a long list is handed out as it is worked off"


def test_a_cluster_is_started_once_and_one_that_runs_is_taken(ray: Ray) -> None:
    for _ in range(2):
        assert list(map_items(abs, [-1], workers=3, engine="ray")) == [1]
    assert ray.started == {"num_cpus": 3, "include_dashboard": False, "log_to_driver": False}


def test_an_error_is_the_pool_s_and_what_is_left_is_cancelled(ray: Ray) -> None:
    errors: dict[str, tuple[type[Exception], str, list[int]]] = {}
    for engine in ("pool", "ray"):
        got: list[int] = []
        with pytest.raises(ImageError) as caught:
            got.extend(map_items(refuse_seventy, range(200), workers=2, engine=engine))
        errors[engine] = type(caught.value), str(caught.value), got
    assert errors["ray"] == errors["pool"] == (ImageError, "seventy is refused", [n * n for n in range(68)])
    assert ray.under_way == []
    assert ray.cancelled


def test_an_iterator_closed_early_cancels_what_is_under_way(ray: Ray) -> None:
    results = map_items(abs, range(200), engine="ray")
    assert next(results) == 0
    results.close()
    assert ray.under_way == []
    assert len(ray.cancelled) == CORES * pool._AHEAD - 1


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"pip install 'longcut\[ray\]'"):
        list(map_items(abs, [1], engine="ray"))
