"""Settings of a run: presets in TOML, overrides, and one check of everything at once.

The sections are the signatures of what they configure: `[method.clad]` is `CLAD.__init__`, checked against it.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import json
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from longcut.core import Method
from longcut.data.augmentation import Augmentation
from longcut.data.batches import Patches
from longcut.engine.optimizers import create_optimizer, create_scheduler
from longcut.engine.sections import FORBID, BackboneSettings, DataSettings, EnsembleSettings, RunSettings
from longcut.methods import METHODS

FACTS = ("num_classes", "num_samples", "num_steps", "num_bias", "group_counts", "batch_size", "class_counts")
"""What a constructor is told of its run, and no setting."""


class SettingsError(ValueError):
    """Settings that cannot be; says every fault at once."""


class Settings(BaseModel):
    """All settings of a run, checked and complete."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    preset: str
    method: str
    run: RunSettings
    data: DataSettings
    augmentation: BaseModel
    patches: BaseModel
    backbone: BackboneSettings
    ensemble: EnsembleSettings
    optimizer: BaseModel
    schedule: BaseModel
    hyper_parameters: BaseModel

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `resolve` reads back."""
        sections = ("run", "data", "augmentation", "patches", "backbone", "ensemble", "optimizer", "schedule")
        plain: dict[str, Any] = {"preset": self.preset}
        plain |= {name: json.loads(getattr(self, name).model_dump_json(exclude_none=True)) for name in sections}
        return plain | {"method": {self.method: json.loads(self.hyper_parameters.model_dump_json(exclude_none=True))}}


def find_method(name: str) -> type[Method]:
    """A method by its name, or a stranger's by `package.module:Class`.

    Raises:
        SettingsError: there is no such method; names the nearest.
    """
    if name in METHODS:
        return METHODS[name]
    if ":" not in name:
        raise SettingsError(f"no method or preset is called {name!r}{_nearest(name, [*METHODS, *preset_names()])}")
    module, _, attribute = name.partition(":")
    if not all(module.split(".")):
        raise SettingsError(f"cannot load the method {name}: it is named package.module:Class")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"cannot load the method {name}: {error}") from None
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise SettingsError(f"{name} is no longcut.core.Method")
    return found


def preset_names() -> list[str]:
    """Names of the presets that the package ships."""
    files = (resources.files("longcut") / "presets").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def resolve(name: str, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Settings of a method or preset with some of their keys changed.

    Args:
        name: of a method (all at its paper's defaults), of a preset, or `package.module:Class`.
        overrides: values by `section.key`, or by `key` where one section alone has it.

    Raises:
        SettingsError: every unknown key with the nearest known one, and every wrong value, in one message.
    """
    table = load_preset(name) if name in preset_names() else {"method": {name: {}}}
    return check(table, overrides or {}, preset=name)


def load_preset(name: str) -> dict[str, Any]:
    """A preset's table, laid over the one that it extends."""
    text = (resources.files("longcut") / "presets" / f"{name}.toml").read_text("utf-8")
    table = tomllib.loads(text)
    base = table.pop("extends", None)
    return table if base is None else _merge(load_preset(base), table)


def check(table: Mapping[str, Any], overrides: Mapping[str, Any], *, preset: str) -> Settings:
    """Complete and check a table of settings."""
    methods = dict(table.get("method", {}))
    if len(methods) != 1:
        raise SettingsError(f"settings name one method, as [method.NAME]; these name {', '.join(methods) or 'none'}")
    method, hyper_parameters = next(iter(methods.items()))
    models = _models(method)
    values = {section: dict(table.get(section, {})) for section in models} | {"method": dict(hyper_parameters)}
    faults = [f"unknown section {s!r}" for s in table if s not in models and s not in ("preset", "method")]
    given = _given(overrides, models, faults)
    if given["run"].keys() & {"steps", "epochs"}:  # either replaces the preset's length, whichever that is
        values["run"] = {key: value for key, value in values["run"].items() if key not in ("steps", "epochs")}
    values = {section: values[section] | given[section] for section in models}
    checked = {section: _validate(model, values[section], section, faults) for section, model in models.items()}
    run = checked["run"]
    if isinstance(run, RunSettings) and (run.steps is None) == (run.epochs is None):
        faults.append("give the run's length once: steps=N or epochs=N")
    faults += _contradictions(checked["ensemble"])
    faults += _idle(run, given["run"])
    if faults:
        raise SettingsError("; ".join(faults))
    values_of: dict[str, Any] = {**checked, "preset": preset, "method": method}
    return Settings.model_construct(None, hyper_parameters=checked["method"], **values_of)


def _contradictions(ensemble: BaseModel | None) -> list[str]:
    if isinstance(ensemble, EnsembleSettings) and ensemble.agreement > ensemble.models:
        return [f"ensemble.agreement = {ensemble.agreement}: there are only {ensemble.models} models to agree"]
    return []


def _idle(run: BaseModel | None, given: Mapping[str, Any]) -> list[str]:
    """A fault for each setting that does nothing beside the others; one of a preset's own may be without use."""
    if not isinstance(run, RunSettings):
        return []
    faults = []
    if "validate_every" in given and run.validate_every and not (run.validate_epochs or run.oracle):
        faults.append(
            f"run.validate_every = {run.validate_every}: validate_epochs=false validates nothing; leave it out, or set "
            "validate_epochs=true"
        )
    if "oracle_metric" in given and run.oracle_metric and not run.oracle:
        faults.append(f"run.oracle_metric = {run.oracle_metric!r}: nothing is measured by it without oracle=true")
    return faults


@cache
def _models(method: str) -> dict[str, type[BaseModel]]:
    return {
        "run": RunSettings,
        "data": DataSettings,
        "augmentation": model_of(Augmentation, without=("size",)),
        "backbone": BackboneSettings,
        "ensemble": EnsembleSettings,
        "optimizer": model_of(create_optimizer, without=("method",)),
        "schedule": model_of(create_scheduler, without=("optimizer", "steps")),
        "patches": model_of(Patches, without=()),
        "method": model_of(find_method(method), without=FACTS, keyword_only=True),
    }


def model_of(function: Any, *, without: tuple[str, ...], keyword_only: bool = False) -> type[BaseModel]:
    """A model that checks the arguments of a function or class: its signature is the configuration."""
    target = inspect.getattr_static(function, "__init__") if isinstance(function, type) else function
    hints = get_type_hints(target, include_extras=True)
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(target).parameters.items():
        positional = parameter.kind is not parameter.KEYWORD_ONLY
        if name == "self" or name in without or (keyword_only and positional):
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[name] = (hints.get(name, Any), default)
    return create_model(function.__name__, __config__=FORBID, **fields)


def _given(
    overrides: Mapping[str, Any], models: Mapping[str, type[BaseModel]], faults: list[str]
) -> dict[str, dict[str, Any]]:
    """Overrides by section and short name; a fault for each that has no place, or another's."""
    given: dict[str, dict[str, Any]] = {section: {} for section in models}
    for key, value in overrides.items():
        section, short = _place(key, models, faults)
        if short in given.get(section, {}):
            faults.append(f"{section}.{short} is given twice: leave one out")
        elif section:
            given[section][short] = value
    return given


def _place(key: str, models: Mapping[str, type[BaseModel]], faults: list[str]) -> tuple[str, str]:
    """Section and short name of an override's key; a fault where it has no or several places."""
    section, _, short = key.rpartition(".")
    places = [s for s, model in models.items() if short in model.model_fields and section in ("", s)]
    if len(places) == 1:
        return places[0], short
    if places:
        faults.append(f"{key} is ambiguous: write {' or '.join(f'{s}.{short}' for s in places)}")
        return "", short
    known = [name for model in models.values() for name in model.model_fields]
    known += [f"{s}.{name}" for s, model in models.items() for name in model.model_fields]
    faults.append(f"unknown setting {key!r}{_nearest(key, known)}")
    return "", short


def check_arguments(function: Any, values: Mapping[str, Any], section: str) -> None:
    """Check values for a function's keyword arguments.

    Args:
        function: whose signature says what they must be.
        values: by name.
        section: what they are called after, for the message.

    Raises:
        SettingsError: every unknown name with the nearest known one, and every wrong value, in one message.
    """
    faults: list[str] = []
    _validate(model_of(function, without=(), keyword_only=True), dict(values), section, faults)
    if faults:
        raise SettingsError("; ".join(faults))


def _validate(model: type[BaseModel], values: dict[str, Any], section: str, faults: list[str]) -> BaseModel | None:
    try:
        return model(**values)
    except ValidationError as error:
        for fault in error.errors():
            key = str(fault["loc"][0]) if fault["loc"] else section
            if fault["type"] == "extra_forbidden":
                faults.append(f"unknown setting {section}.{key}{_nearest(key, list(model.model_fields))}")
            elif fault["type"] == "missing":
                faults.append(f"{section}.{key} is needed")
            else:
                faults.append(f"{section}.{key} = {fault['input']!r}: {fault['msg'].lower()}")
    return None


def _nearest(word: str, known: list[str]) -> str:
    found = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" (did you mean {found[0]!r}?)" if found else f"; there are {', '.join(sorted(set(known)))}"


def _merge(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    merged = {**base, **{k: v for k, v in top.items() if not isinstance(v, dict)}}
    for key, value in top.items():
        if isinstance(value, dict):
            merged[key] = value if key == "method" else _merge(base.get(key, {}), value)
    return merged


def parse_value(text: str) -> Any:
    """The value of `key=value` on the command line: a TOML value, else the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
