"""From the choices of a trial to the run it stands for."""

from __future__ import annotations

import copy
import hashlib
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna

from experiments.config import RunConfig, make_absolute
from experiments.sweeps.config import Parameter, Sweep, in_order
from features.check import read_endpoint
from features.cohort import write_yaml
from features.documents import validate
from features.errors import SequelaError
from features.files import written_beside
from features.schema import Endpoint

Value = str | int | float
Assignment = Mapping[str, Value]
"""Of the parameters that apply: the name of the choice, or the number in the range."""
SHARED = ("name", "experiment", "cohort", "seed", "validation")
"""What all trials have in common, so that their scores can be compared."""
OF_ENDPOINT = "endpoint."


class Space:
    """The parameters of a sweep around its base run."""

    def __init__(self, sweep: Sweep, endpoints: Path) -> None:
        """`endpoints` is the folder where endpoints are written that differ from the run's."""
        self.sweep = sweep
        self.parameters: Mapping[str, Parameter] = sweep.config.space
        self._order = in_order(self.parameters)
        self._endpoints = endpoints
        self._base = sweep.base.model_dump(mode="json", exclude_unset=True)
        for key in self.parameters:
            if key.split(".")[0] in SHARED:
                msg = f"space.{key}: all trials share it, so that their scores can be compared; set it in the run"
                raise SequelaError(f"{sweep.config.name}: {msg}")

    def propose(self, trial: optuna.Trial) -> dict[str, Value]:
        """Let Optuna choose."""
        chosen: dict[str, Value] = {}
        for key in self._order:
            if self._applies(key, chosen):
                chosen[key] = _suggested(trial, key, self.parameters[key])
        return chosen

    def grid(self) -> list[dict[str, Value]]:
        """Every combination of choices."""
        known: list[dict[str, Value]] = [{}]
        for key in self._order:
            values = self.parameters[key].values
            known = [
                more
                for chosen in known
                for more in ([chosen | {key: value} for value in values] if self._applies(key, chosen) else [chosen])
            ]
        return known

    def probes(self) -> Iterator[tuple[str, dict[str, Value]]]:
        """Trials that between them show every choice and end of a range, and every pair of them; each with its name."""
        values = [(key, value) for key in self._order for value in self.parameters[key].values]
        singles = [(one,) for one in values]
        pairs = [(one, other) for one, other in itertools.combinations(values, 2) if one[0] != other[0]]
        seen = []
        for probed in [*singles, *pairs]:
            whole = self._completed(dict(probed))
            if whole is not None and whole not in seen:
                seen.append(whole)
                yield ", ".join(f"{key} = {value}" for key, value in whole.items()), whole

    def run(self, chosen: Assignment, shown: str) -> RunConfig:
        """The run of a trial.

        Args:
            chosen: By key.
            shown: What errors call it.

        Raises:
            SequelaError: The run cannot be; names the key and the nearest valid one.
        """
        content = copy.deepcopy(self._base)
        for key in sorted(chosen, key=lambda key: key.count(".")):  # a block before what is set inside it
            if not key.startswith(OF_ENDPOINT):
                _set(content, key, self.value(key, chosen[key]), shown)
        make_absolute(content, self.sweep.folder)
        config = validate(content, RunConfig, shown)
        inside = {key: value for key, value in chosen.items() if key.startswith(OF_ENDPOINT)}
        if not inside:
            return config
        endpoint = read_endpoint(config.endpoint).model_dump(mode="json", exclude_unset=True)
        for key, value in inside.items():
            _set(endpoint, key.removeprefix(OF_ENDPOINT), self.value(key, value), shown)
        return config.model_copy(update={"endpoint": self._written(validate(endpoint, Endpoint, shown))})

    def value(self, key: str, chosen: Value) -> Any:  # noqa: ANN401  (plain YAML)
        """What the run's key is set to."""
        choices = self.parameters[key].choices
        return chosen if choices is None else copy.deepcopy(choices[str(chosen)])

    def _applies(self, key: str, chosen: Assignment) -> bool:
        return all(chosen.get(other) in names for other, names in self.parameters[key].when.items())

    def _completed(self, probed: dict[str, Value]) -> dict[str, Value] | None:
        """A trial with these values, and the first ones elsewhere; None where they exclude one another."""
        wanted = dict(probed)
        for key in reversed(self._order):
            for other, names in self.parameters[key].when.items() if key in wanted else ():
                wanted.setdefault(other, names[0])
        whole: dict[str, Value] = {}
        for key in self._order:
            if self._applies(key, whole):
                whole[key] = wanted.get(key, self.parameters[key].values[0])
        return whole if probed.items() <= whole.items() else None

    def _written(self, endpoint: Endpoint) -> Path:
        """The endpoint as a file, named by its content: the same for all trials that share it."""
        digest = hashlib.sha256(endpoint.model_dump_json().encode()).hexdigest()[:8]
        path = self._endpoints / f"{endpoint.name}-{digest}.yaml"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with written_beside(path) as beside:  # several workers may write it at once
                write_yaml(beside, endpoint.model_dump(mode="json", exclude_unset=True))
        return path


def _suggested(trial: optuna.Trial, key: str, parameter: Parameter) -> Value:
    low, high = parameter.low, parameter.high
    if low is None or high is None:
        chosen: str = trial.suggest_categorical(key, list(parameter.choices or ()))
        return chosen
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(key, low, high, log=parameter.log)
    return trial.suggest_float(key, low, high, log=parameter.log)


def _set(content: dict[str, Any], key: str, value: object, shown: str) -> None:
    """Set a dotted key; ``model.members.1.hidden`` is the second member's."""
    block: Any = content
    *parents, last = key.split(".")
    for number, name in enumerate([*parents, last]):
        if isinstance(block, list) and name.isdigit() and int(name) < len(block):
            place: str | int = int(name)
        elif isinstance(block, dict):
            place = name
        else:
            msg = f"{shown}: {'.'.join(parents[:number])} holds no block in which {name} could be set"
            raise SequelaError(msg)
        if number == len(parents):
            block[place] = value
        else:
            block = block.setdefault(place, {}) if isinstance(block, dict) else block[int(place)]
