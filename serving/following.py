"""The model that serves, and its successor: loaded and checked beside it, put in its place between requests."""

from __future__ import annotations

import gc
import logging
import threading
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import bentoml
from bentoml.exceptions import BentoMLException
from starlette.types import ASGIApp, Receive, Scope, Send

from features.errors import SequelaError
from serving.card import model_card
from serving.champions import read_champion
from serving.explaining import explain_request
from serving.guard import with_headers
from serving.messages import ModelCard, RefusedModel
from serving.monitor_messages import MonitorRequest
from serving.monitoring import monitor_request
from serving.openapi import document
from serving.state_messages import StatesRequest
from serving.states import states_request
from serving.store import artifact_folder
from serving.watched import WatchedFile
from training.artifact.folder import Artifact, read_artifact

logger = logging.getLogger("bentoml.sequela")

LOOK_AGAIN_SECONDS = 1.0
TRY_AGAIN_SECONDS = 30.0
"""A model that was refused is tried again: what was damaged may have been repaired."""


@dataclass(frozen=True)
class Served:
    """A model that reproduced its own example."""

    artifact: Artifact
    tag: str
    card: ModelCard

    @cached_property
    def document(self) -> dict[str, Any]:
        """The OpenAPI document, whose examples are this model's answers."""
        request = self.card.example.request
        watched = monitor_request(self.artifact, self.tag, MonitorRequest(patients=request.patients))
        followed = states_request(self.artifact, self.tag, StatesRequest(patients=request.patients))
        return document(self.card, explain_request(self.artifact, self.tag, request), watched, followed)


def load(stored: bentoml.Model) -> Served:
    """A stored model, once it has proven sound.

    Raises:
        SequelaError: It is damaged, or does not reproduce its own example.
    """
    artifact = read_artifact(artifact_folder(stored))
    return Served(artifact, str(stored.tag), model_card(artifact, str(stored.tag)))


class Champion:
    """Holds the model that serves. Whoever answers a request takes it once, so an answer is wholly of one model."""

    def __init__(self) -> None:
        self.served: Served | None = None
        self.refused: RefusedModel | None = None
        """The model that should serve and does not."""
        self._told = ("", "")

    @property
    def card(self) -> ModelCard | None:
        """The card of the model that serves, with what was refused."""
        served = self.served
        return None if served is None else served.card.model_copy(update={"refused": self.refused})

    def take(self, stored: bentoml.Model) -> bool:
        """Load a model and let it serve; where it is refused, the present one goes on."""
        try:
            served = load(stored)
        except SequelaError as error:
            self._refuse(str(stored.tag), str(error))
            return False
        self.refused, self.served = None, served  # in this order: nobody sees the new one beside its own refusal
        logger.info("Serving %s (%s)", served.tag, served.artifact.manifest.name)
        gc.collect()
        gc.freeze()  # the model and all modules stay: the collector need not look at them again
        return True

    def follow(self, path: Path) -> None:
        """Serve whichever model a file names, from now on, in a thread of its own."""
        threading.Thread(target=self._follow, args=(path,), name="follow-champion", daemon=True).start()

    def _follow(self, path: Path) -> None:
        file = WatchedFile(path)
        while True:
            self.look(path)
            tried = time.monotonic()
            while not (file.changed() or (self.refused and time.monotonic() - tried > TRY_AGAIN_SECONDS)):
                time.sleep(LOOK_AGAIN_SECONDS)

    def look(self, path: Path) -> None:
        """Take the model that a file names, unless it serves already."""
        tag = "unknown"
        try:
            tag = read_champion(path).tag
            if self.served is not None and self.served.tag == tag:
                self.refused = None
                return
            self.take(bentoml.models.get(tag))
        except (SequelaError, BentoMLException) as error:
            self._refuse(tag, str(error))
        except Exception as error:  # noqa: BLE001  whatever it is, the present model goes on, and the next look comes
            self._refuse(tag, f"could not be loaded ({type(error).__name__})")

    def _refuse(self, tag: str, problem: str) -> None:
        if (tag, problem) != self._told:
            logger.error("Model %s is not served: %s", tag, problem)
        self._told, self.refused = (tag, problem), RefusedModel(version=tag)


class Named:
    """Says in the headers of /readyz which model serves, and which was refused (ASGI)."""

    def __init__(self, app: ASGIApp, champion: Champion) -> None:
        self.app, self.champion = app, champion

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http" or scope["path"] != "/readyz":
            await self.app(scope, receive, send)
            return
        await self.app(scope, receive, with_headers(send, self._headers()))

    def _headers(self) -> list[tuple[bytes, bytes]]:
        served, refused = self.champion.served, self.champion.refused
        headers = [] if served is None else [(b"x-sequela-model", served.tag.encode())]
        return headers if refused is None else [*headers, (b"x-sequela-refused", refused.version.encode())]
