"""An experiment's model and data as they were when it was submitted. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from engine.config import ExperimentConfig
from engine.data.factory import check_unchanged, new_dataset
from engine.data.resolved import ResolvedData
from engine.vlm.resolved import ResolvedModel, check_files, resolve_model


@dataclass(frozen=True)
class Resolved:
    """Model and data, resolved once; they key every cache.

    ``account`` says in lines how many rows are used, what is left out and why.
    """

    model: ResolvedModel
    data: ResolvedData
    account: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        model, data = self.model.to_dict(), self.data.to_dict()
        return {"model": model, "data": data, "account": list(self.account)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return what ``to_dict`` has written down."""
        model, data = values["model"], values["data"]
        account = tuple(values["account"])
        return cls(ResolvedModel.from_dict(model), ResolvedData.from_dict(data), account)

    def check(self, config: ExperimentConfig) -> None:
        """Raise ConfigError where the config's data or its model's files are no longer these."""
        check_unchanged(new_dataset(config), self.data)
        check_files(config.model, self.model)


def resolve(config: ExperimentConfig) -> Resolved:
    """Look up a config's model and data as they are now.

    Raises ConfigError where the data cannot be read or dealt out, or the model cannot be used.
    """
    dataset = new_dataset(config)
    return Resolved(resolve_model(config), dataset.resolve(), tuple(dataset.account.lines()))
