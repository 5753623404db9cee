"""`longcut evaluate`, `longcut compare`, `longcut report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from longcut.cli.heads import HeadOption
from longcut.cli.output import say, stop_where

if TYPE_CHECKING:
    from longcut.recipes.models import Model

Runs = Annotated[
    list[Path], typer.Argument(metavar="RUN...", help="Folders of runs that were evaluated, or of audits.")
]


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A model: run:DIR, timm:NAME, torchvision:NAME, onnx:FILE, an exported file, or module:callable.",
        ),
    ],
    data: Annotated[
        Path | None, typer.Option("--data", help="Images in class folders, a Background Challenge, or a suite's.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="What the data set is called in the results.")] = None,
    suite: Annotated[
        str | None,
        typer.Option(
            "--suite",
            help="Out-of-domain suites, comma-separated: corruptions, corruptions-extra, imagenet-c, imagenet-sketch, "
            "imagenet-r, imagenet-a, stylized-imagenet, cue-conflict.",
        ),
    ] = None,
    selection: Annotated[
        str,
        typer.Option(
            "--selection", help="Which checkpoint: last, best_val, best_val_group, best_test, or all that were kept."
        ),
    ] = "last",
    head: HeadOption = "own",
    adversarial: Annotated[bool, typer.Option("--adversarial", help="Also try adversarial backgrounds.")] = False,
    consistency_with: Annotated[
        str | None, typer.Option("--consistency-with", metavar="MODEL", help="Measure error consistency with it.")
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option("--mapping", help="Of a suite's classes: a CSV folder,model_class.")
    ] = None,
    severities: Annotated[str, typer.Option("--severities", help="Of corruptions.")] = "1,2,3,4,5",
    only: Annotated[str | None, typer.Option("--only", help="Names of corruptions, comma-separated.")] = None,
    extra: Annotated[bool, typer.Option("--extra", help="With the four further corruptions.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", help="At most so many of a suite's images.")] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", help="Local weights for timm:NAME, or none for random ones.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the results; the run's own.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave unreadable images out and list them.")] = False,
) -> None:
    """Measure a model on a data set, on every variant of a Background Challenge, or by out-of-domain suites.

    Without --data the suite corruptions takes the data that the run was trained on. Several suites with --data read
    the folders in it that are called like them. A suite that cannot run is told, with the reason.
    """
    from longcut.evaluation.models import RANDOM
    from longcut.recipes.consistency import measure_consistency
    from longcut.recipes.evaluating import evaluate_all, open_model
    from longcut.recipes.models import kept_selections

    if suite is None and data is None:
        raise ValueError("evaluate needs --data DIR, or --suite NAME")
    plain = {"adversarial": adversarial, "consistency-with": consistency_with}
    of_suites = {"mapping": mapping, "only": only, "extra": extra, "limit": limit is not None}
    _check_apart(of_suites if suite is None else plain, "needs --suite" if suite is None else "is none of --suite's")
    _check_apart({"adversarial": adversarial and consistency_with}, "does not go with --consistency-with")
    single = {"suite": suite, "consistency-with": consistency_with, "head": head != "own"}
    _check_apart(single if selection == "all" else {}, "is of one checkpoint: name it with --selection")
    rules = kept_selections(model) if selection == "all" else [selection]
    found = [
        open_model(model, selection=rule, head=head, weights=weights, out=out, or_random=suite is not None)
        for rule in rules
    ]
    models, folder = [opened for opened, _ in found], found[0][1]
    opened = models[0]
    if opened.subject.starting_weights.startswith(RANDOM):
        say(f"{model} has {opened.subject.starting_weights}: its figures say nothing of a trained one")
    not_run: list[str] = []
    if suite:
        options = {"severities": severities, "only": only, "mapping": mapping, "limit": limit, "skip_bad": skip_bad}
        not_run = _run_suites(opened, suite.split(",") + ["corruptions-extra"] * extra, data, folder, options)
    elif consistency_with and data:
        second, _ = open_model(consistency_with, selection=selection, out=folder)
        measure_consistency(opened, second, data, folder, skip_bad=skip_bad, say=say)
    elif data:
        evaluate_all(models, data, folder, name=name, adversarial=adversarial, skip_bad=skip_bad, say=say)
    _print_results(folder)
    for line in not_run:
        print(line)


def _check_apart(options: dict[str, Any], why: str) -> None:
    """Refuse options that do not go with the others."""
    for name, given in options.items():
        if given:
            raise ValueError(f"--{name} {why}")


def _run_suites(model: Model, names: list[str], data: Path | None, folder: Path, options: dict[str, Any]) -> list[str]:
    """Run suites; a line for each that was not run."""
    from longcut.evaluation.class_mapping import read_mapping
    from longcut.recipes.suite_options import SuiteOptions
    from longcut.recipes.suites import run_suites

    chosen = SuiteOptions(
        mapping=read_mapping(options["mapping"]) if options["mapping"] else None,
        severities=_numbers(options["severities"], "--severities"),
        only=options["only"].split(",") if options["only"] else (),
        limit=options["limit"],
        skip_bad=options["skip_bad"],
    )
    outcomes = run_suites(model, names, data, folder, chosen, say)
    return [f"{outcome.suite}: not run: {outcome.not_run}" for outcome in outcomes if outcome.not_run]


def _numbers(text: str, option: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise ValueError(f"{option} {text}: comma-separated numbers are needed") from None


def _print_results(folder: Path) -> None:
    """The table of a folder's results, where there are any."""
    from longcut.report.summary import compare_runs, format_table

    results = folder / "results.jsonl"
    if results.stat().st_size:
        print(format_table(compare_runs([folder])))
        say(f"results in {results}")


def compare(
    runs: Runs,
    form: Annotated[str, typer.Option("--format", help="text, markdown, csv, json or html.")] = "text",
    out: Annotated[Path | None, typer.Option("--out", help="Of audits: also write the page, an .html file.")] = None,
    fail_on: Annotated[
        str | None,
        typer.Option("--fail-on", help="Of audits: exit 1 where one holds: 'bg_gap.change>0.02,worst_group<0.7'."),
    ] = None,
) -> None:
    """Show runs side by side, or audits.

    Several seeds of the same settings are one row: mean, standard deviation.
    The first audit (folder with audit.json) is what the others are set
    against: what grew and what shrank, image by image where both are of the
    same images. --fail-on is on the last: NAME is a figure of it, NAME.change
    how far it moved from the first.
    """
    from longcut.report.audit_comparison.folders import are_audits
    from longcut.report.summary import compare_runs, format_table

    if are_audits(runs):
        _compare_audits(runs, form, out, fail_on)
        return
    _check_apart({"fail-on": fail_on}, f"is of audits, and {runs[0]} is a run: make one with 'longcut audit run:DIR'")
    _check_apart({"out": out}, "is of audits: the page of runs is 'longcut report RUN... --out FILE.html'")
    print(format_table(compare_runs(runs), form))


def _compare_audits(folders: list[Path], form: str, out: Path | None, fail_on: str | None) -> None:
    from longcut.evaluation.audit.guard import check, parse_guard
    from longcut.report.audit.summary import check_format
    from longcut.report.audit_comparison.compare import compare_audits
    from longcut.report.audit_comparison.page import comparison_page, write_comparison_page
    from longcut.report.audit_comparison.table import format_audits

    check_format(form)
    guard = parse_guard(fail_on) if fail_on else ()
    comparison = compare_audits(folders)
    failing = check(guard, comparison.figures(known=_audit_figures())) if guard else []
    if out is not None:
        say(f"the page: {write_comparison_page(comparison, out)}")
    print(comparison_page(comparison) if form == "html" else format_audits(comparison, form))
    stop_where(failing)


def _audit_figures() -> tuple[str, ...]:
    from longcut.recipes.audit.by_name import AUDIT_FIGURES

    return AUDIT_FIGURES


def report(
    runs: Runs,
    out: Annotated[Path, typer.Option("--out", help="The page to write.")] = Path("report.html"),
    title: Annotated[str | None, typer.Option("--title", help="Heading of the page.")] = None,
) -> None:
    """Write one self-contained HTML page that shows runs side by side, or audits."""
    from longcut.report.audit_comparison.compare import compare_audits
    from longcut.report.audit_comparison.folders import are_audits
    from longcut.report.audit_comparison.page import write_comparison_page
    from longcut.report.page import write_report

    if are_audits(runs):
        print(write_comparison_page(compare_audits(runs), out, title=title))
        return
    print(write_report(runs, out, title=title))
