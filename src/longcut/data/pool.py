"""Work on many files: a function mapped over items on all cores."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver
from typing import Any, Literal, TypeVar

import cv2

from longcut.data.script_main import main_not_imported
from longcut.data.telling import tell

Item = TypeVar("Item")
Result = TypeVar("Result")
Engine = Literal["pool", "ray"]

_CHUNK = 4
_AHEAD = 8  # chunks under way for each worker: one slow item does not hold up the others
_LINE_EVERY = 10.0  # seconds


def num_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_items(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int | None = None,
    engine: Engine = "pool",
    label: str | None = None,
) -> Generator[Result]:
    """Map a function over items on several processes, each with one thread.

    Results come in the order of the items, as soon as they and all before them are there. Close the iterator
    (`contextlib.closing`) where it may be left early: what is under way is finished, the rest is dropped.

    Args:
        function: picklable, as are items and results.
        items: what to map over.
        workers: number of processes; None takes every core, 1 works in this process.
        engine: "pool" for processes of this machine, "ray" for Ray's (a running cluster, or this machine).
        label: what the progress display on standard error says; None shows none.

    Raises:
        ValueError: for less than one worker or an unknown engine, where Ray is not installed, or where a worker is
            killed; otherwise what the function raised.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}: at least 1 is needed")
    if engine not in ("pool", "ray"):
        raise ValueError(f"unknown engine {engine!r}: 'pool' or 'ray'")
    count = min(workers or num_cores(), max(1, -(-len(items) // _CHUNK)))
    if engine == "ray":
        results = _on_ray(function, items, workers)
    else:
        results = _in_process(function, items) if count == 1 else _on_pool(function, items, count)
    return results if label is None else _with_progress(results, len(items), label)


def _in_process(function: Callable[[Item], Result], items: Sequence[Item]) -> Generator[Result]:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield from map(function, items)
    finally:
        cv2.setNumThreads(threads)


def _on_pool(function: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Generator[Result]:
    module = _module_of(function)
    with main_not_imported(module):
        executor = ProcessPoolExecutor(workers, mp_context=_context(module), initializer=_start_worker)
    chunks = _chunks(items)
    pending: deque[Future[list[Any]]] = deque()
    try:
        for chunk in chunks:
            with main_not_imported(module):
                pending.append(executor.submit(_map_chunk, function, chunk))
            if len(pending) >= workers * _AHEAD:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    except BrokenProcessPool as error:
        raise ValueError(
            "a worker process was killed, most likely for want of memory: use fewer workers and run again"
        ) from error
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _on_ray(function: Callable[[Item], Result], items: Sequence[Item], workers: int | None) -> Generator[Result]:
    try:
        import ray
    except ImportError as error:
        raise ValueError("the engine 'ray' needs Ray: pip install 'longcut[ray]'") from error
    if not ray.is_initialized():
        ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
    remote = ray.remote(_map_chunk_alone)
    ahead = int(ray.cluster_resources().get("CPU", 1)) * _AHEAD
    pending: deque[Any] = deque()
    try:
        for chunk in _chunks(items):
            pending.append(remote.remote(function, chunk))
            if len(pending) >= ahead:
                yield from ray.get(pending.popleft())
        while pending:
            yield from ray.get(pending.popleft())
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    finally:
        for task in pending:
            ray.cancel(task)


def _chunks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (items[at : at + _CHUNK] for at in range(0, len(items), _CHUNK))


def _map_chunk(function: Callable[[Item], Result], chunk: Sequence[Item]) -> list[Result]:
    return [function(item) for item in chunk]


def _map_chunk_alone(function: Callable[[Item], Result], chunk: Sequence[Item]) -> list[Result]:
    _use_one_thread()
    return _map_chunk(function, chunk)


def _context(module: str) -> Any:
    """Processes that share no state with this one; where the system can, forked from one that has imported `module`."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module])
    start_forkserver()
    return context


def start_forkserver() -> None:
    """Start what worker processes are forked from, deaf to Ctrl-C, which a terminal sends to every process.

    It is the parent's to handle: a worker that ends of it, while it still imports say, takes the parent down with it.
    """
    if threading.current_thread() is not threading.main_thread():
        return  # no other may say what a signal does
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, former)


def _module_of(function: Any) -> str:
    return str(getattr(function, "func", function).__module__)  # `func` is what a partial wraps


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _use_one_thread()


def _end_with_parent() -> None:
    """A worker whose parent was killed would go on with what was handed out, and then wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _use_one_thread() -> None:
    cv2.setNumThreads(1)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _with_progress(results: Iterator[Result], total: int, label: str) -> Generator[Result]:
    display = _bar if sys.stderr.isatty() else _lines
    return display(results, total, label)


def _bar(results: Iterator[Result], total: int, label: str) -> Generator[Result]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    rate = TextColumn("{task.fields[rate]}")
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(label, total=total, rate="")
        for result in results:
            progress.update(task, advance=1, rate=f"{progress.tasks[task].speed or 0:.1f}/s")
            yield result


def _lines(results: Iterator[Result], total: int, label: str) -> Generator[Result]:
    start = last = time.monotonic()
    for done, result in enumerate(results, start=1):
        yield result
        now = time.monotonic()
        if now - last >= _LINE_EVERY or done == total:
            last, rate = now, done / max(now - start, 1e-9)
            left = time.strftime("%H:%M:%S", time.gmtime((total - done) / rate))
            tell(f"{label}: {done}/{total}, {rate:.1f}/s, {left} left")
