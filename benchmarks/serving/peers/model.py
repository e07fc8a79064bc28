"""The model that all peers serve: the artifact in ``PEER_ARTIFACT``."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from training.artifact.folder import read_artifact

torch.set_num_threads(1)
MODEL = read_artifact(Path(os.environ["PEER_ARTIFACT"]))
