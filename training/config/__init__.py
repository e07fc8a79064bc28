"""What can be said of a model and its fitting: pydantic models, one block of a run's YAML each.

models      made of no other                    cell_networks   those that look at single cells
composed    made of others; the union of all    by_kind         how blocks are told apart, other packages' among them
trainer     where networks are trained          validation      folds, and what is chosen inside each
beside      what an artifact may hold beside its risk model
"""

from __future__ import annotations

from training.config.beside import AlertsConfig, CountsConfig, StatesConfig
from training.config.cell_networks import AttentionConfig, CellNetworkConfig, SetTransformerConfig
from training.config.composed import (
    DistilledConfig,
    MixtureConfig,
    ModelConfig,
    RecalibratedConfig,
    SingleConfig,
    StudentConfig,
    WithIntervalsConfig,
    custom_requirements,
    has_network,
    kinds_by_day_seen,
    most_rows_held,
    sees_cells,
    single_models,
)
from training.config.models import (
    AalenJohansenConfig,
    BoostingConfig,
    CoxConfig,
    DeepHitConfig,
    FineGrayConfig,
    ForestConfig,
    InContextConfig,
    NetworkConfig,
)
from training.config.trainer import TrainerConfig
from training.config.validation import SearchRange, TuningConfig, ValidationConfig

__all__ = [
    "AalenJohansenConfig",
    "AlertsConfig",
    "AttentionConfig",
    "BoostingConfig",
    "CellNetworkConfig",
    "CountsConfig",
    "CoxConfig",
    "DeepHitConfig",
    "DistilledConfig",
    "FineGrayConfig",
    "ForestConfig",
    "InContextConfig",
    "MixtureConfig",
    "ModelConfig",
    "NetworkConfig",
    "RecalibratedConfig",
    "SearchRange",
    "SetTransformerConfig",
    "SingleConfig",
    "StatesConfig",
    "StudentConfig",
    "TrainerConfig",
    "TuningConfig",
    "ValidationConfig",
    "WithIntervalsConfig",
    "custom_requirements",
    "has_network",
    "kinds_by_day_seen",
    "most_rows_held",
    "sees_cells",
    "single_models",
]
