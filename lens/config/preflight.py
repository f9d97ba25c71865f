"""Composes configurations, and tells the mistakes in them in one sentence each, before anything starts."""

import copy
import re
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import yaml
from hydra import initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from lens.config import words
from lens.config.check import allowed, check, join
from lens.config.schema import fields_of
from lens.errors import LensError

COMPOSITION_ERRORS = (HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError)
"""What Hydra raises for a mistake in YAML or on the command line."""


def compose_file(config_path: Path, config_name: str, overrides: Sequence[str] = ()) -> DictConfig:
    """The configuration that the command line `overrides` would give, without Hydra's node, not checked.

    Hydra's global state is left as it was. Raises LensError for what cannot be composed.
    """
    with opened(config_path) as hydra:
        return without_hydra(compose(hydra, config_name, list(overrides), None))


def preflight(config_path: Path, config_name: str, args: Namespace, schema: type) -> None:
    """Compose and check what a command line asks for: one run, or every job of a sweep.

    Raises LensError at the first mistake.
    """
    with opened(config_path, args.config_dir) as hydra:
        mode = RunMode.MULTIRUN if args.multirun else hydra.get_mode(config_name, args.overrides)
        jobs = [args.overrides]
        if mode == RunMode.MULTIRUN:
            jobs = _jobs(hydra, config_name, args.overrides, schema)
        for job in jobs:
            cfg = compose(hydra, config_name, job, schema)
            with as_job(cfg):
                check(without_hydra(cfg), schema)


@contextmanager
def opened(config_path: Path, config_dir: str | None = None) -> Iterator[Any]:
    """Hydra, opened on the folder of YAML files; its global state, also of a running job, is put back afterwards."""
    state = GlobalHydra.instance()
    running = state.hydra
    state.clear()
    try:
        with initialize_config_dir(str(config_path.resolve()), job_name="preflight", version_base="1.3"):
            hydra = state.hydra
            assert hydra is not None
            if config_dir is not None:
                search = hydra.config_loader.get_search_path()
                folder = f"file://{Path(config_dir).resolve()}"
                search.prepend(
                    provider="command-line", path=folder, anchor=SearchPathQuery(provider="schema")
                )
                hydra.config_loader.repository.initialize_sources(search)  # type: ignore[attr-defined]
            yield hydra
    finally:
        state.hydra = running


@contextmanager
def as_job(cfg: DictConfig) -> Iterator[None]:
    """Let `${hydra:...}` resolve as in a job that runs."""
    with read_write(cfg.hydra), open_dict(cfg.hydra):
        cfg.hydra.runtime.output_dir, cfg.hydra.job.id, cfg.hydra.job.num = ".", "0", 0
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(cfg)
    try:
        yield
    finally:
        HydraConfig.instance().cfg = before


def without_hydra(cfg: DictConfig) -> DictConfig:
    task: DictConfig = copy.deepcopy(cfg)
    with read_write(task), open_dict(task):
        del task["hydra"]
    return task


def _jobs(hydra: Any, config_name: str, overrides: list[str], schema: type) -> list[list[str]]:
    """The command line of every job, as Hydra's own sweeper makes them; none for another sweeper."""
    cfg = compose(hydra, config_name, overrides, schema, RunMode.MULTIRUN)
    if not str(OmegaConf.select(cfg, "hydra.sweeper._target_")).endswith(".BasicSweeper"):
        return []
    params = OmegaConf.to_container(OmegaConf.select(cfg, "hydra.sweeper.params") or OmegaConf.create())
    assert isinstance(params, dict)
    swept = [f"{key!s}={value}" for key, value in params.items()]
    parsed = parse_overrides(swept + list(cfg.hydra.overrides.task), hydra)
    try:
        (batch,) = BasicSweeper.split_arguments(parsed, None)
    except HydraException as error:
        raise LensError(words.one_line(error)) from error
    return [[*cfg.hydra.overrides.hydra, *job] for job in batch]


def compose(
    hydra: Any, config_name: str, overrides: list[str], schema: type | None, mode: RunMode = RunMode.RUN
) -> DictConfig:
    """Compose with Hydra, its own node included; `schema` serves the sentences."""
    parsed = parse_overrides(overrides, hydra)
    try:
        cfg = hydra.compose_config(
            config_name=config_name, overrides=overrides, run_mode=mode, with_log_configuration=False
        )
    except COMPOSITION_ERRORS as error:
        raise LensError(_explain(error, hydra, config_name, parsed, schema)) from error
    assert isinstance(cfg, DictConfig)
    return cfg


def parse_overrides(overrides: Sequence[str], hydra: Any = None) -> list[Override]:
    """The words KEY=VALUE of a command line. Raises LensError for one that cannot be read."""
    try:
        parser = OverridesParser.create(config_loader=hydra.config_loader if hydra else None)
        return parser.parse_overrides(list(overrides))
    except OverrideParseException as error:
        raise LensError(
            f"{error.override!r} cannot be read as KEY=VALUE ({words.one_line(str(error).splitlines()[0])}); "
            "put quotes around a value with special characters."
        ) from error


def _explain(
    error: Exception, hydra: Any, config_name: str, parsed: list[Override], schema: type | None
) -> str:
    """The sentence for what Hydra could not compose: the guilty setting, else Hydra's own words."""
    if isinstance(error, yaml.YAMLError):
        return _explain_yaml(error)
    found = _explain_choice(hydra, parsed) or _explain_file(error, hydra, config_name, parsed)
    found = found or _explain_setting(hydra, config_name, parsed, schema)
    if found:
        return found
    text = words.one_line(str(error) or str(error.__cause__))
    if text.startswith("Ambiguous value") or "requires --multirun" in text:
        given = next(o.input_line for o in parsed if o.is_sweep_override())
        return f"{given}: several values; add -m to run each in turn, or write [a,b] to mean one list."
    return text


def _explain_yaml(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    place = f"{mark.name}, line {mark.line + 1}" if mark else "a configuration file"
    return f"{place}: not valid YAML: {words.one_line(getattr(error, 'problem', None) or error)}."


def _explain_choice(hydra: Any, parsed: list[Override]) -> str | None:
    """The first group on the command line whose choice does not exist."""
    for override in parsed:
        if override.is_delete() or override.is_sweep_override():
            continue
        value, group = override.value(), override.key_or_group
        if isinstance(value, dict) or not _choices(hydra, group):
            continue
        for choice in value if isinstance(value, list) else [value]:
            folder, _, name = str(choice).removesuffix(".yaml").rpartition("/")
            choices = _choices(hydra, f"{group}/{folder}" if folder else group)
            if name not in choices:
                return words.unknown_choice(group, "null" if choice is None else choice, choices)
    return None


def _choices(hydra: Any, group: str) -> list[str]:
    return list(hydra.config_loader.get_group_options(group))


def _explain_file(error: Exception, hydra: Any, config_name: str, parsed: list[Override]) -> str | None:
    """A choice or a group that a YAML file names and that does not exist."""
    text = words.one_line(error)
    inside = re.search(r"In '([^']+)'", text)
    # Hydra names the file that the defaults list began in, not the chosen file that overrides a group of it.
    groups = hydra.list_all_config_groups()
    chosen = [f"{o.key_or_group}/{o.value()}" for o in parsed if o.key_or_group in groups]
    files = dict.fromkeys([*([inside[1]] if inside else []), *chosen])
    place = f"in {' or '.join(f'{name}.yaml' for name in files)}: " if inside else ""
    if isinstance(error, MissingConfigException):
        group, _, choice = (error.missing_cfg_file or "").rpartition("/")
        if group:
            return place + words.unknown_choice(group, choice, error.options or ())
        names = _choices(hydra, "")
        return place + words.unknown_choice("--config-name", choice, names) if choice == config_name else None
    group_error = re.search(r"Could not override '([^']+)'\. No match in the defaults list", text)
    if group_error and inside:
        return place + words.unknown_key(group_error[1], hydra.list_all_config_groups())
    return None


def _explain_setting(hydra: Any, config_name: str, parsed: list[Override], schema: type | None) -> str | None:
    """The first key on the command line that is not among those of the configuration without it."""
    groups = [o for o in parsed if o.is_hydra_override() or _choices(hydra, o.key_or_group)]
    try:
        cfg = hydra.compose_config(
            config_name=config_name,
            overrides=[o.input_line for o in groups],
            run_mode=RunMode.MULTIRUN,
            with_log_configuration=False,
            validate_sweep_overrides=False,
        )
    except COMPOSITION_ERRORS:
        return None
    raw = cast(dict[str, Any], OmegaConf.to_container(without_hydra(cfg), resolve=False))
    guide = _guide(raw) if schema is None else list(allowed(raw, fields_of(schema)))
    for override in parsed:
        key = override.key_or_group
        if override in groups or override.is_force_add():
            continue
        if key not in guide:
            return words.unknown_key(key, [*guide, *hydra.list_all_config_groups()])
        if not (override.is_add() or override.is_delete()) and not _listed(raw, key):
            return f"{key} has a default that the YAML does not list; add it with +{override.input_line}"
    return None


def _guide(raw: dict[str, Any], path: str = "") -> list[str]:
    """Every dotted key of a mapping."""
    keys: list[str] = []
    for key, child in raw.items():
        here = join(path, key)
        keys += [here, *(_guide(child, here) if isinstance(child, dict) else [])]
    return keys


def _listed(raw: Any, key: str) -> bool:
    for part in key.split("."):
        if not isinstance(raw, dict) or part not in raw:
            return False
        raw = raw[part]
    return True
