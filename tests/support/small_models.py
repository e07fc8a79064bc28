"""A small configuration of every kind of model, and of kinds within kinds."""

from __future__ import annotations

from training.config import (
    AalenJohansenConfig,
    AttentionConfig,
    BoostingConfig,
    CoxConfig,
    DeepHitConfig,
    DistilledConfig,
    FineGrayConfig,
    ForestConfig,
    InContextConfig,
    MixtureConfig,
    ModelConfig,
    NetworkConfig,
    RecalibratedConfig,
    SetTransformerConfig,
    WithIntervalsConfig,
)

TINY = NetworkConfig(members=4, hidden=4, max_epochs=20, bins=6, batch_rows=64)
TINY_ATTENTION = AttentionConfig(
    members=3, hidden=4, bins=6, width=8, heads=2, components=6, prototypes=4, cells_per_sample=16, max_epochs=8
)
MODELS: dict[str, ModelConfig] = {
    "aalen_johansen": AalenJohansenConfig(),
    "cox": CoxConfig(),
    "fine_gray": FineGrayConfig(),
    "network": TINY,
    "mixture": MixtureConfig(members=(CoxConfig(penalty=20.0), TINY), weights=(1.0, 3.0)),
    "recalibrated": RecalibratedConfig(
        model=MixtureConfig(members=(CoxConfig(penalty=20.0), AalenJohansenConfig()), weights="stacked")
    ),
    "with_intervals": WithIntervalsConfig(model=RecalibratedConfig(model=CoxConfig(penalty=20.0)), refits=3),
    "forest": ForestConfig(trees=20, min_leaf=5),
    "boosting": BoostingConfig(members=3, bins=8, rounds=30, learning_rate=0.2, min_leaf=5),
    "deephit": DeepHitConfig(bins=6, shared=8, own=8, max_epochs=20),
    "in_context": InContextConfig(context_rows=200),
    "distilled": DistilledConfig(model=InContextConfig(context_rows=200), student=TINY, draws=3),
    "attention": TINY_ATTENTION,
    "set_transformer": SetTransformerConfig(
        members=3,
        hidden=4,
        bins=6,
        width=8,
        heads=2,
        components=6,
        prototypes=4,
        points=4,
        cells_per_sample=16,
        max_epochs=8,
    ),
    "cells_within": WithIntervalsConfig(
        model=RecalibratedConfig(
            model=MixtureConfig(
                members=(CoxConfig(penalty=20.0), TINY_ATTENTION.model_copy(update={"max_epochs": 1, "members": 2}))
            )
        ),
        refits=2,
    ),
}
