"""Run the benchmarks, all of them or those that are named, and print a table."""

from __future__ import annotations

import argparse
import importlib
import os
import statistics

from benchmarks.timing import Row

NAMES = (
    "contrast",
    "step",
    "self_supervised",
    "data_path",
    "small_images",
    "debiasing",
    "patches",
    "corruptions",
    "segmentation",
    "textures",
    "audit",
    "cli",
)
_UNITS = {"times faster": "x", "times as long": "x", "seconds": " s"}


def main() -> None:
    """Print each row as soon as it is measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all of them by default")
    names = parser.parse_args().names or NAMES
    if unknown := sorted(set(names) - set(NAMES)):
        parser.error(f"no benchmark is called {unknown[0]}: take {', '.join(NAMES)}")
    from longcut.engine.launch import flush_denormals, keep_memory  # here: worker processes import this module anew

    keep_memory()
    flush_denormals()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; medians of pairs timed in turns")
    print(f"{'what':<80} {'ours':>9} {'other':>9} {'figure [min..max]':>24} {'bar':>9}  met", flush=True)
    for name in names:
        for row in importlib.import_module(f"benchmarks.{name}").rows():
            print(_line(row), flush=True)


def _line(row: Row) -> str:
    if row.skipped:
        return f"{row.what:<80} skipped: {row.skipped}"
    unit, sign = _UNITS[row.kind], ">=" if row.kind == "times faster" else "<="
    spread = f"{_short(min(row.figures))}..{_short(max(row.figures))}"
    figure = f"{_short(statistics.median(row.figures))}{unit} [{spread}]"
    bar = f"{sign} {row.bar:g}{unit}" if row.bar else "-"
    met = {None: "-", True: "yes", False: "NO"}[row.met]
    return f"{row.what:<80} {_seconds(row.ours)} {_seconds(row.other)} {figure:>24} {bar:>9}  {met}"


def _short(figure: float) -> str:
    return f"{figure:.2f}" if figure >= 0.1 else f"{figure:.4f}"


def _seconds(times: tuple[float, ...]) -> str:
    if not times:
        return " " * 9
    seconds = statistics.median(times)
    return f"{seconds:>7.2f} s" if seconds >= 1 else f"{seconds * 1000:>6.1f} ms"


if __name__ == "__main__":
    main()
