"""CDS Hooks: a client walks from discovery to feedback, over HTTP, with tokens that it signs."""

from __future__ import annotations

import asyncio
import base64
import copy
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import jwt
import pytest
from bundles import INFUSION, condition, infusion, level, observation
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from starlette.types import Message, Receive, Scope, Send

from features.errors import SequelaError
from features.schema import Decision, Tier
from serving.access import FAILURES_PER_MINUTE, Access
from serving.cds.clients import Clients
from serving.keys import KeyRing, add_key
from serving.store import publish
from tests.serving.conftest import ENDPOINT, make_artifact
from training.artifact.manifest import ThresholdBenefit
from training.models.risk_model import FittedRiskModel

Json = dict[str, Any]
PUBLIC = "https://sequela.example"
ISSUER = "https://ehr.example"
ORIGIN = "https://ehr.example"
VIEW, ORDER = "sequela-patient-view", "sequela-order-select"
EC = ec.generate_private_key(ec.SECP384R1())
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
STRANGER = ec.generate_private_key(ec.SECP384R1())


def public_keys() -> Json:
    """The client's JSON Web Key Set."""
    keys = []
    for name, private, algorithm in (
        ("ec", EC, jwt.algorithms.ECAlgorithm),
        ("rsa", RSA, jwt.algorithms.RSAAlgorithm),
    ):
        keys.append(algorithm.to_jwk(private.public_key(), as_dict=True) | {"kid": name, "use": "sig"})
    return {"keys": keys}


def token(key: Any = EC, algorithm: str = "ES384", kid: str = "ec", audience: str = PUBLIC, **claims: Any) -> str:
    """What a client shows."""
    now = int(time.time())
    said = {"iss": ISSUER, "aud": audience, "iat": now, "exp": now + 300, "jti": str(uuid.uuid4())} | claims
    said = {name: value for name, value in said.items() if value is not None}
    return jwt.encode(said, key, algorithm=algorithm, headers={"kid": kid})


@dataclass
class Client:
    """An electronic health record with one patient, which knows the standard and nothing of the service."""

    http: httpx.Client
    infused: date
    resources: list[Json] = field(default_factory=list)
    died: str | None = None

    def ask(self, path: str, body: Any = None, *, shown: str | None = None, method: str = "POST") -> httpx.Response:
        headers = {"authorization": f"Bearer {shown or token()}"}
        return self.http.request("GET" if body is None else method, path, json=body, headers=headers)

    def services(self) -> dict[str, Json]:
        return {one["id"]: one for one in self.ask("/cds-services").json()["services"]}

    def fetch(self, template: str) -> Json:
        """What a FHIR server answers to a prefetch template, as far as these need it."""
        query = template.replace("{{context.patientId}}", "p1")
        if query == "Patient/p1":
            died = {"deceasedDateTime": self.died} if self.died else {}
            return {"resourceType": "Patient", "id": "p1", "birthDate": "1961-01-15"} | died
        kind, _, search = query.partition("?")
        wanted = dict(part.split("=", 1) for part in search.split("&"))
        assert wanted.pop("patient") == "p1"
        found = [one for one in self.resources if one["resourceType"] == kind]
        if "code" in wanted:
            codes = set(wanted["code"].split(","))
            found = [one for one in found if {f"{c['system']}|{c['code']}" for c in one["code"]["coding"]} & codes]
        moved = copy.deepcopy(found)
        for one in moved:
            for name in ("effectiveDateTime", "onsetDateTime", "performedDateTime"):
                if name in one:
                    day = date.fromisoformat(one[name][:10])
                    one[name] = (self.infused + (day - INFUSION)).isoformat()
        return {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in moved]}

    def call(self, service: Json, **context: Any) -> Json:
        return {
            "hook": service["hook"],
            "hookInstance": str(uuid.uuid4()),
            "fhirServer": "https://ehr.example/fhir",
            "context": {"userId": "Practitioner/1", "patientId": "p1"} | context,
            "prefetch": {name: self.fetch(template) for name, template in service["prefetch"].items()},
        }


def today() -> date:
    return datetime.now(UTC).date()


RECORD = [
    infusion(),
    observation("2276-4", -2, 2100, "ng/mL", id="f1"),
    observation("718-7", 0, 97, "g/L"),
    observation("751-8", 12, 400, "/uL"),
    observation("8310-5", 1, 38.5, "Cel"),
    level("product", "axi-cel"),
    condition("icans", 5, 3),
]


@pytest.fixture(scope="session")
def tiered(fitted: FittedRiskModel, tmp_path_factory: pytest.TempPathFactory, store_home: Path) -> str:
    """The model whose endpoint has tiers, published."""
    decision = Decision(
        horizon_days=180,
        tiers=(
            Tier(name="standard", options=("herpes_prophylaxis",)),
            Tier(name="raised", from_risk=0.01, options=("immunoglobulin_replacement", "growth_factor")),
        ),
    )
    folder = tmp_path_factory.mktemp("tiered") / "artifact"
    measured = ThresholdBenefit(landmark_day=0, threshold=0.01, flagged=1, gain=(0.01, -0.02, 0.03))
    endpoint = ENDPOINT.model_copy(update={"decision": decision})
    make_artifact(fitted, folder, "mixture-with-tiers", endpoint=endpoint, decision=(measured,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENTOML_HOME", str(store_home))
        return publish(folder, {"registry_version": "4"})


@dataclass(frozen=True)
class Hospital:
    """The service as a hospital runs it."""

    url: str
    folder: Path
    log: Path


@pytest.fixture(scope="module")
def hospital(
    start_server: Any, store_home: Path, tiered: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hospital]:
    folder = tmp_path_factory.mktemp("hospital")
    clients = {"clients": [{"issuer": ISSUER, "jwks": public_keys(), "origins": [ORIGIN]}]}
    (folder / "clients.json").write_text(json.dumps(clients), "utf-8")
    env = {
        "BENTOML_HOME": str(store_home),
        "SEQUELA_MODEL": tiered,
        "SEQUELA_PUBLIC_URL": PUBLIC,
        "SEQUELA_CDS_CLIENTS": str(folder / "clients.json"),
        "SEQUELA_FEEDBACK": str(folder / "feedback"),
        "SEQUELA_AUDIT": str(folder / "audit.jsonl"),
    }
    with start_server(folder, env) as running:
        yield Hospital(running.url, folder, running.log)


@pytest.fixture
def client(hospital: Hospital) -> Iterator[Client]:
    with httpx.Client(base_url=hospital.url, timeout=30, trust_env=False) as http:
        yield Client(http, today() - timedelta(days=20), list(RECORD))


def lines(folder: Path) -> list[Json]:
    return [json.loads(line) for path in sorted(folder.iterdir()) for line in path.read_text().splitlines()]


def test_a_client_walks_from_discovery_to_feedback(client: Client, hospital: Hospital, tiered: str) -> None:
    service = client.services()[VIEW]
    assert service["hook"] == "patient-view"
    seconds = []
    for _ in range(9):
        began = time.perf_counter()
        answered = client.ask(f"/cds-services/{VIEW}", client.call(service))
        seconds.append(time.perf_counter() - began)
        assert answered.status_code == 200, answered.text
    assert median(seconds) < 0.5  # what the standard expects
    (card,) = answered.json()["cards"]
    assert len(card["summary"]) < 140
    assert "raised" in card["summary"]
    assert "simulated" in card["summary"]
    assert card["indicator"] == "warning"
    assert card["source"]["url"] == card["links"][0]["url"] == PUBLIC
    for part in ("| infection of grade 3 or more |", "Immunoglobulin replacement", "was not shown", "For research"):
        assert part in card["detail"]
    given = {"card": card["uuid"], "outcome": "overridden", "outcomeTimestamp": datetime.now(UTC).isoformat()}
    reasons = (card["overrideReasons"][0], {"code": "Mrs Smith says no", "system": "mine"})
    comments = ({"reason": reason, "userComment": "Mrs Smith has it already"} for reason in reasons)
    feedback = {"feedback": [given | {"overrideReason": comment} for comment in comments]}
    assert client.ask(f"/cds-services/{VIEW}/feedback", feedback).status_code == 200
    shown = [one for one in lines(hospital.folder / "feedback" / "cards") if one["card"] == card["uuid"]]
    told = [one for one in lines(hospital.folder / "feedback" / "feedback") if one["card"] == card["uuid"]]
    assert (shown[0]["model"], shown[0]["indicator"]) == (tiered, "warning")
    assert [(one["outcome"], one["reason"], one["by"], one["shown"]) for one in told] == [
        ("overridden", reason, ISSUER, True) for reason in ("known", "other")
    ]
    assert "Smith" not in "".join(path.read_text() for path in hospital.folder.rglob("*.jsonl"))
    audited = [json.loads(line) for line in (hospital.folder / "audit.jsonl").read_text().splitlines()]
    assert [(one["action"], one["key"], len(one["patients"])) for one in audited[-2:]] == [
        ("cds", ISSUER, 1),
        ("feedback", ISSUER, 0),
    ]
    assert client.ask(f"/cds-services/{ORDER}/feedback", feedback).json()["field"] == "request.feedback[0].card"


def test_the_card_has_the_risk_of_the_operation_in_fhir(client: Client) -> None:
    service = client.services()[VIEW]
    call = client.call(service)
    (card,) = client.ask(f"/cds-services/{VIEW}", call).json()["cards"]
    fetched = call["prefetch"]
    entries = [{"resource": fetched["patient"]}]
    entries += [entry for name in ("procedures", "observations", "conditions") for entry in fetched[name]["entry"]]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    prediction = client.http.post("/fhir/$predict-risk", json=bundle).json()["prediction"]
    (tier,) = [one for one in prediction if "qualitativeRisk" in one]
    assert tier["rationale"] in card["summary"]
    assert f"| {tier['rationale']} |" in card["detail"]


def test_an_order_that_guidance_speaks_of_brings_the_card(client: Client) -> None:
    service = client.services()[ORDER]

    def cards(system: str, code: str, *, selected: bool = True) -> list[Json]:
        medication = {"coding": [{"system": system, "code": code}]}
        order = {"resourceType": "MedicationRequest", "id": "o1", "medicationCodeableConcept": medication}
        drafts = {"resourceType": "Bundle", "entry": [{"resource": order}]}
        selections = ["MedicationRequest/o1"] if selected else []
        call = client.call(service, selections=selections, draftOrders=drafts)
        answered = client.ask(f"/cds-services/{ORDER}", call)
        assert answered.status_code == 200, answered.text
        found: list[Json] = answered.json()["cards"]
        return found

    (card,) = cards("http://www.whocc.no/atc", "J06BA02")
    ordered, _, rest = card["detail"].partition("What published guidance offers")
    assert "Immunoglobulin replacement" in ordered
    assert "Immunoglobulin replacement" not in rest
    assert len(cards("urn:sequela:options", "growth_factor")) == 1
    assert cards("http://www.whocc.no/atc", "A02BC01") == []
    assert cards("http://www.whocc.no/atc", "J06BA02", selected=False) == []


def test_nothing_is_said_of_whom_there_is_nothing_to_say(client: Client) -> None:
    service = client.services()[VIEW]

    def cards() -> list[Json]:
        answered = client.ask(f"/cds-services/{VIEW}", client.call(service))
        assert answered.status_code == 200, answered.text
        found: list[Json] = answered.json()["cards"]
        return found

    assert len(cards()) == 1
    client.infused = today() - timedelta(days=209)  # 180 days from day 30 end tomorrow
    (last,) = cards()
    assert "within 180 days of day 30" in last["summary"]
    client.infused = today() - timedelta(days=210)
    assert cards() == []
    client.infused = today() - timedelta(days=40)
    client.died = (today() - timedelta(days=2)).isoformat()  # after the last landmark
    assert cards() == []
    client.died = "2026"
    assert cards() == []
    client.died = None
    client.resources = [*RECORD, condition("infection", 20, 4)]  # what is predicted has happened
    assert cards() == []
    client.resources = [one for one in RECORD if one["resourceType"] != "Procedure"]
    assert cards() == []


@pytest.mark.parametrize("name", ["patient", "procedures", "observations", "conditions"])
def test_without_what_it_asked_for_it_answers_412(client: Client, name: str) -> None:
    call = client.call(client.services()[VIEW])
    for unanswered in ("absent", {"resourceType": "OperationOutcome"}):
        call["prefetch"][name] = unanswered
        if unanswered == "absent":
            del call["prefetch"][name]
        answered = client.ask(f"/cds-services/{VIEW}", call)
        assert answered.status_code == 412
        assert answered.json()["field"] == f"request.prefetch.{name}"
    nothing = client.call(client.services()[VIEW]) | {"prefetch": None}
    assert client.ask(f"/cds-services/{VIEW}", nothing).status_code == 412


def test_a_page_of_several_is_answered_412(client: Client) -> None:
    call = client.call(client.services()[VIEW])
    call["prefetch"]["observations"]["link"] = [{"relation": "next", "url": "https://ehr.example/fhir?page=2"}]
    answered = client.ask(f"/cds-services/{VIEW}", call)
    assert (answered.status_code, answered.json()["field"]) == (412, "request.prefetch.observations.link")


def test_discovery_says_what_a_client_must_send(client: Client) -> None:
    services = client.services()
    for service in services.values():
        assert "an answer of several pages as one Bundle" in service["usageRequirements"]
        assert all("&_count=1000" in query for name, query in service["prefetch"].items() if name != "patient")
    assert "ATC code" in services[ORDER]["usageRequirements"]
    assert "ATC code" not in services[VIEW]["usageRequirements"]


def test_null_says_that_there_is_nothing_of_the_kind(client: Client) -> None:
    """CDS Hooks 2.0: a template for which the client has no data has the value null."""
    service = client.services()[VIEW]
    call = client.call(service)
    call["prefetch"] |= {"observations": None, "conditions": None}
    answered = client.ask(f"/cds-services/{VIEW}", call)
    assert (answered.status_code, len(answered.json()["cards"])) == (200, 1)
    call["prefetch"]["procedures"] = None  # no infusion
    assert client.ask(f"/cds-services/{VIEW}", call).json() == {"cards": []}
    call["prefetch"]["patient"] = None
    assert client.ask(f"/cds-services/{VIEW}", call).status_code == 412


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"hook": "order-sign"}, "request.hook"),
        ({"hookInstance": "7"}, "request.hookInstance"),
        ({"context": {}}, "request.context.patientId"),
        ({"context": {"patientId": "p2"}}, "request.prefetch.patient.id"),
        ({"prefetch": []}, "request.prefetch"),
    ],
)
def test_a_call_that_is_none_is_refused_by_its_field(client: Client, change: Json, field: str) -> None:
    answered = client.ask(f"/cds-services/{VIEW}", client.call(client.services()[VIEW]) | change)
    assert (answered.status_code, answered.json()["field"]) == (400, field)


def test_what_cannot_be_read_is_left_out_and_said(client: Client) -> None:
    client.resources.append(observation("751-8", 9, 5, "furlongs", id="odd"))
    (card,) = client.ask(f"/cds-services/{VIEW}", client.call(client.services()[VIEW])).json()["cards"]
    assert "Could not be read, and did not enter: Observation/odd." in card["detail"]


def test_a_fault_in_what_was_sent_along_is_named_on_the_card(client: Client) -> None:
    call = client.call(client.services()[VIEW])
    call["prefetch"]["observations"]["entry"][1]["resource"]["valueQuantity"]["value"] = "97"
    (card,) = client.ask(f"/cds-services/{VIEW}", call).json()["cards"]
    unreadable = r"Could not be read, and did not enter: request.prefetch.observations.entry\[1\].resource."
    assert unreadable in card["detail"].split("\n\n")


def part(content: bytes) -> str:
    """Of a token."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def unsigned(said: Mapping[str, Any]) -> str:
    """A token of the algorithm ``none``."""
    head = {"alg": "none", "kid": "ec", "typ": "JWT"}
    return f"{part(json.dumps(head).encode())}.{part(json.dumps(dict(said)).encode())}."


def forged_with_the_public_key() -> str:
    """HS384, the client's public key being the secret (algorithm confusion)."""
    public = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    said = token(RSA, "RS384", "rsa").split(".")[1]
    signed = f"{part(json.dumps({'alg': 'HS384', 'kid': 'rsa', 'typ': 'JWT'}).encode())}.{said}"
    mac = hmac.new(RSA.public_key().public_bytes(*public), signed.encode(), hashlib.sha384)
    return f"{signed}.{part(mac.digest())}"


def changed(shown: str) -> str:
    """Another patient's application in a token that was signed."""
    head, said, signature = shown.split(".")
    content = json.loads(base64.urlsafe_b64decode(said + "=" * (-len(said) % 4))) | {"sub": "other"}
    return f"{head}.{part(json.dumps(content).encode())}.{signature}"


NOW = int(time.time())
BAD = {
    "forged": lambda: token(STRANGER),
    "changed": lambda: changed(token()),
    "expired": lambda: token(iat=NOW - 900, exp=NOW - 600),
    "not yet valid": lambda: token(nbf=NOW + 3600),
    "of a wrong audience": lambda: token(audience="https://elsewhere.example"),
    "of another path": lambda: token(audience=f"{PUBLIC}/cds-services/{ORDER}"),
    "of an unknown issuer": lambda: token(iss="https://other.example"),
    "of an unknown key": lambda: token(kid="old"),
    "without an end": lambda: token(exp=None),
    "without a name": lambda: token(jti=None),
    "valid for a day": lambda: token(exp=NOW + 86_400),
    "of algorithm none": lambda: unsigned({"iss": ISSUER, "aud": PUBLIC, "iat": NOW, "exp": NOW + 300, "jti": "n"}),
    "signed with the public key": forged_with_the_public_key,
    "of another algorithm of the key": lambda: token(RSA, "RS256", "rsa"),
    "no token": lambda: "a.b.c",
    "nothing": lambda: "x",
}


@pytest.mark.parametrize("name", BAD)
def test_a_token_that_is_not_to_be_trusted_is_refused(client: Client, name: str) -> None:
    call = client.call(client.services()[VIEW])
    answered = client.ask(f"/cds-services/{VIEW}", call, shown=BAD[name]())
    assert answered.status_code == 401, name
    assert "Smith" not in answered.text


@pytest.mark.parametrize(
    ("key", "algorithm", "kid", "audience"),
    [
        (EC, "ES384", "ec", PUBLIC),
        (RSA, "RS384", "rsa", f"{PUBLIC}/"),
        (RSA, "RS384", "rsa", f"{PUBLIC}/cds-services"),
    ],
)
def test_both_algorithms_and_addresses_are_known(
    client: Client, key: Any, algorithm: str, kid: str, audience: str
) -> None:
    assert client.ask("/cds-services", shown=token(key, algorithm, kid, audience)).status_code == 200


def test_a_token_is_good_for_once(client: Client) -> None:
    shown = token()
    assert client.ask("/cds-services", shown=shown).status_code == 200
    assert client.ask("/cds-services", shown=shown).status_code == 401


def test_without_a_token_the_hooks_are_closed(client: Client) -> None:
    assert client.http.get("/cds-services").status_code == 401
    assert client.http.get("/v1/model").status_code == 200  # this machine, of a service without keys


def asked(access: Access, path: str, shown: str) -> int:
    """Status of a request from elsewhere; whoever is let in is answered 204."""
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("the body was read")

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"authorization", f"Bearer {shown}".encode())]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "client": ("192.0.2.9", 1)}
    asyncio.run(access(scope, receive, send))
    return int(sent[0]["status"])


async def let_in(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})


@pytest.fixture
def guarded(tmp_path: Path) -> Callable[..., Access]:
    """``guarded(requests_per_minute=…)``: a service with keys and one client."""

    def made(**more: Any) -> Access:
        clients = {"clients": [{"issuer": ISSUER, "jwks": public_keys(), **more}]}
        (tmp_path / "clients.json").write_text(json.dumps(clients), "utf-8")
        add_key(tmp_path / "keys.json", "ward", ("predict",))
        return Access(let_in, KeyRing(tmp_path / "keys.json"), Clients(tmp_path / "clients.json", PUBLIC))

    return made


def test_a_token_opens_the_hooks_alone_and_a_key_opens_them_too(guarded: Callable[..., Access], tmp_path: Path) -> None:
    access = guarded()
    _, key = add_key(tmp_path / "keys.json", "engine", ("predict",))
    time.sleep(1.1)  # keys are looked at again
    assert asked(access, f"/cds-services/{VIEW}", token()) == 204
    assert asked(access, f"/cds-services/{VIEW}", key) == 204
    for path in ("/v1/predict", "/fhir/$predict-risk", "/v1/model", "/metrics", "/cds-services-not"):
        assert asked(access, path, token()) == 401, path


def test_late_and_used_tokens_lock_nobody_out_and_forged_ones_do(guarded: Callable[..., Access]) -> None:
    access, used = guarded(), token()
    for _ in range(FAILURES_PER_MINUTE + 5):
        asked(access, "/cds-services", used)
        assert asked(access, "/cds-services", token(iat=NOW - 900, exp=NOW - 600)) == 401
    assert asked(access, "/cds-services", token()) == 204
    statuses = {asked(access, "/cds-services", token(STRANGER)) for _ in range(FAILURES_PER_MINUTE + 5)}
    assert statuses == {401, 429}


def test_a_client_may_ask_so_often(guarded: Callable[..., Access]) -> None:
    access = guarded(requests_per_minute=3)
    assert [asked(access, "/cds-services", token()) for _ in range(4)] == [204, 204, 204, 429]


def weak(kind: str) -> Json:
    """A key that is not to be taken."""
    if kind == "short":
        private = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505
        return jwt.algorithms.RSAAlgorithm.to_jwk(private.public_key(), as_dict=True) | {"kid": "k"}
    if kind == "curve":
        other = ec.generate_private_key(ec.SECP256R1())
        return jwt.algorithms.ECAlgorithm.to_jwk(other.public_key(), as_dict=True) | {"kid": "k"}
    if kind == "private":
        return jwt.algorithms.ECAlgorithm.to_jwk(EC, as_dict=True) | {"kid": "k"}
    return jwt.algorithms.ECAlgorithm.to_jwk(EC.public_key(), as_dict=True)


@pytest.mark.parametrize("kind", ["short", "curve", "private", "nameless"])
def test_keys_that_are_not_to_be_taken_are_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "clients.json"
    path.write_text(json.dumps({"clients": [{"issuer": ISSUER, "jwks": {"keys": [weak(kind)]}}]}), "utf-8")
    with pytest.raises(SequelaError, match=r"clients\.json: clients\.0\.jwks: .*public keys with a kid"):
        Clients(path, PUBLIC)


def test_pages_of_the_client_may_call_and_others_not(client: Client) -> None:
    def preflight(path: str, origin: str) -> httpx.Response:
        asked = {"origin": origin, "access-control-request-method": "POST"}
        return client.http.options(path, headers=asked | {"access-control-request-headers": "authorization"})

    opened = preflight(f"/cds-services/{VIEW}", ORIGIN)
    assert (opened.status_code, opened.headers["access-control-allow-origin"]) == (200, ORIGIN)
    assert "access-control-allow-origin" not in preflight(f"/cds-services/{VIEW}", "https://evil.example").headers
    assert "access-control-allow-origin" not in preflight("/v1/predict", ORIGIN).headers
    answered = client.http.get("/cds-services", headers={"origin": ORIGIN, "authorization": f"Bearer {token()}"})
    assert answered.headers["access-control-allow-origin"] == ORIGIN


def test_clients_may_change_while_it_runs(client: Client, hospital: Hospital) -> None:
    path = hospital.folder / "clients.json"
    before = path.read_text()
    other = jwt.algorithms.ECAlgorithm.to_jwk(STRANGER.public_key(), as_dict=True) | {"kid": "new"}
    more = json.loads(before)
    page = "https://pages.example"
    more["clients"].append({"issuer": "https://new.example", "jwks": {"keys": [other]}, "origins": [page]})
    new = {"key": STRANGER, "kid": "new", "iss": "https://new.example"}
    try:
        path.write_text(json.dumps(more), "utf-8")
        assert client.ask("/cds-services", shown=token(**new)).status_code == 200
        opened = client.http.get("/cds-services", headers={"origin": page, "authorization": f"Bearer {token(**new)}"})
        assert opened.headers["access-control-allow-origin"] == page
        path.write_text("{", "utf-8")  # a file that cannot be read changes nothing
        assert client.ask("/cds-services", shown=token(**new)).status_code == 200
    finally:
        path.write_text(before, "utf-8")
    assert client.ask("/cds-services", shown=token(**new)).status_code == 401


def test_patient_values_are_in_no_log(client: Client, hospital: Hospital) -> None:
    client.resources.append(observation("2276-4", 3, 31415, "ng/mL"))
    answered = client.ask(f"/cds-services/{VIEW}", client.call(client.services()[VIEW]))
    assert len(answered.json()["cards"]) == 1
    call = client.call(client.services()[VIEW]) | {"hookInstance": "31415"}
    assert "31415" not in client.ask(f"/cds-services/{VIEW}", call).text
    assert "31415" not in hospital.log.read_text()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"feedback": []},
        {"feedback": [{"card": "1", "outcome": "accepted", "outcomeTimestamp": "2026-11-29T12:00:00Z"}]},
    ],
)
def test_feedback_that_is_none_is_refused(client: Client, body: Json) -> None:
    assert client.ask(f"/cds-services/{VIEW}/feedback", body).status_code == 400


def test_there_are_no_other_services(client: Client) -> None:
    answered = client.ask("/cds-services/other", {})
    assert (answered.status_code, answered.json()["field"]) == (404, "id")


def test_prefetch_is_all_that_the_model_can_use(client: Client) -> None:
    query = client.services()[VIEW]["prefetch"]["observations"]
    assert "http://loinc.org|2276-4" in query
    assert "8310-5" not in query  # temperature: no variable of the model
