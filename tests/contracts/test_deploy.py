"""What hospitals run: manifests that Kubernetes would take, and settings that must not get lost."""

from __future__ import annotations

import ast
import copy
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from serving.keys import add_key, read_keys

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOY = REPOSITORY / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
Manifest = dict[str, Any]

OLDEST, NEWEST = "1.27", "1.37"
UID = 1034
"""Of BentoML's images."""
PORT = 3000
OTHERS_VARIABLES = {
    "BENTOML_DO_NOT_TRACK",
    "HOME",
    "MLFLOW_DISABLE_TELEMETRY",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION",
    "OTEL_SDK_DISABLED",
    "POSTGRES_DB",
    "POSTGRES_PASSWORD_FILE",
    "POSTGRES_USER",
}
ABSENT = object()
OURS = "sequela:latest"
"""What the manifests call our own image; `kustomization.yaml` says where it is."""


def documents(path: Path) -> list[Manifest]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


KUSTOMIZATION = documents(KUBERNETES / "kustomization.yaml")[0]
COMPONENT = documents(KUBERNETES / "audit" / "kustomization.yaml")[0]
MANIFESTS = [
    *(found for name in KUSTOMIZATION["resources"] for found in documents(KUBERNETES / name)),
    *(found for name in COMPONENT["resources"] for found in documents(KUBERNETES / "audit" / name)),
]
COMPOSE = documents(DEPLOY / "compose.yaml")[0]
SERVICES: dict[str, Manifest] = COMPOSE["services"]


def of_kind(kind: str) -> list[Manifest]:
    return [manifest for manifest in MANIFESTS if manifest["kind"] == kind]


DEPLOYMENT = of_kind("Deployment")[0]
POD = DEPLOYMENT["spec"]["template"]["spec"]
LABELS = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
CONTAINER = POD["containers"][0]
AUDITED = documents(KUBERNETES / "audit" / "deployment.yaml")[0]
AUDITED_POD = AUDITED["spec"]["template"]["spec"]


def findings(manifest: Manifest, version: str) -> list[str]:
    """What Kubernetes' own schema says against a manifest; fields that it does not know count."""
    try:
        kubernetes_validate.validate(manifest, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [str(error)]
    return []


def title(manifest: Manifest) -> str:
    return f"{manifest['kind']}-{manifest['metadata']['name']}"


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("manifest", MANIFESTS, ids=title)
def test_kubernetes_takes_the_manifests(manifest: Manifest, version: str) -> None:
    assert findings(manifest, version) == []


def test_kubernetes_takes_what_the_audit_log_adds() -> None:
    """As kustomize merges it: lists by name, a field of null is removed."""
    merged = copy.deepcopy(DEPLOYMENT)
    merged["spec"] |= {"replicas": AUDITED["spec"]["replicas"], "strategy": {"type": "Recreate"}}
    pod = merged["spec"]["template"]["spec"]
    pod["volumes"] += AUDITED_POD["volumes"]
    for name in ("env", "volumeMounts"):
        pod["containers"][0][name] += AUDITED_POD["containers"][0][name]
    assert findings(merged, NEWEST) == []
    assert AUDITED["spec"]["strategy"] == {"type": "Recreate", "rollingUpdate": None}
    assert AUDITED_POD["containers"][0]["name"] == CONTAINER["name"]
    assert set(AUDITED["spec"]) == {"replicas", "strategy", "template"}
    claim = AUDITED_POD["volumes"][0]["persistentVolumeClaim"]["claimName"]
    assert [found["metadata"]["name"] for found in of_kind("PersistentVolumeClaim")] == [claim]
    # One writer: nothing may ask for a second.
    removed = [found for path in (KUBERNETES / "audit").glob("no_*.yaml") for found in documents(path)]
    assert all(found["$patch"] == "delete" for found in removed)
    counted = of_kind("HorizontalPodAutoscaler") + of_kind("PodDisruptionBudget")
    assert sorted(map(title, removed)) == sorted(map(title, counted))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "template", "spec", "containers", 0, "readinesProbe"), {}),
        (("spec", "template", "spec", "containers", 0, "securityContext", "readOnlyRootFilesystem"), "yes"),
        (("spec", "template", "spec", "terminationGracePeriodSeconds"), "140s"),
        (("spec", "template", "spec", "volumes", 0, "secret", "mode"), 0o440),
        (("spec", "selector"), ABSENT),
    ],
    ids=["unknown", "no boolean", "no number", "unknown in a list", "missing"],
)
def test_a_wrong_manifest_is_found(path: tuple[str | int, ...], value: object) -> None:
    manifest = copy.deepcopy(DEPLOYMENT)
    place: Any = manifest
    for step in path[:-1]:
        place = place[step]
    if value is ABSENT:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    assert findings(manifest, NEWEST) != []


def test_every_manifest_is_applied() -> None:
    for folder, listing in ((KUBERNETES, KUSTOMIZATION), (KUBERNETES / "audit", COMPONENT)):
        named = [*listing["resources"], *(patch["path"] for patch in listing.get("patches", ()))]
        assert sorted([*named, "kustomization.yaml"]) == sorted(path.name for path in folder.glob("*.yaml"))
    assert KUSTOMIZATION["namespace"] == of_kind("Namespace")[0]["metadata"]["name"]
    assert [image["name"] for image in KUSTOMIZATION["images"]] == [OURS.split(":")[0]]


def test_names_and_labels_meet() -> None:
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"].items() <= LABELS.items()
    for manifest in of_kind("Service"):
        assert manifest["spec"]["selector"].items() <= LABELS.items()
        assert [(port["port"], port["targetPort"]) for port in manifest["spec"]["ports"]] == [(PORT, "http")]
    for manifest in of_kind("PodDisruptionBudget"):
        assert manifest["spec"]["selector"]["matchLabels"].items() <= LABELS.items()
    for manifest in of_kind("HorizontalPodAutoscaler"):
        target = {"apiVersion": DEPLOYMENT["apiVersion"], "kind": "Deployment", "name": DEPLOYMENT["metadata"]["name"]}
        assert manifest["spec"]["scaleTargetRef"] == target
        assert manifest["spec"]["minReplicas"] >= 2
        assert "replicas" not in DEPLOYMENT["spec"]
        assert "cpu" in CONTAINER["resources"]["requests"]  # of which it takes its percentage
    assert AUDITED["metadata"]["name"] == DEPLOYMENT["metadata"]["name"]


def test_the_network_is_closed_but_for_callers() -> None:
    closed, opened = of_kind("NetworkPolicy")
    assert closed["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert opened["spec"]["podSelector"]["matchLabels"].items() <= LABELS.items()
    assert "egress" not in opened["spec"]
    for rule in opened["spec"]["ingress"]:
        assert rule["ports"] == [{"protocol": "TCP", "port": PORT}]
        assert all(peer["namespaceSelector"]["matchLabels"] for peer in rule["from"])


def test_pods_have_no_rights() -> None:
    context = POD["securityContext"]
    assert (context["runAsNonRoot"], context["runAsUser"], context["fsGroup"]) == (True, UID, UID)
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert POD["automountServiceAccountToken"] is False
    for container in [*POD["initContainers"], *POD["containers"]]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]
    assert of_kind("Namespace")[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_probes_ask_what_the_service_answers() -> None:
    asked = {name: CONTAINER[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {probe["port"] for probe in asked.values()} == {"http"}
    assert CONTAINER["ports"] == [{"name": "http", "containerPort": PORT}]
    # A refused model is no reason to restart: only traffic waits for /readyz.
    assert {name: probe["path"] for name, probe in asked.items()} == {
        "startupProbe": "/livez",
        "livenessProbe": "/livez",
        "readinessProbe": "/readyz",
    }


def service_docstring() -> str:
    text = ast.get_docstring(ast.parse((REPOSITORY / "serving" / "service.py").read_text(encoding="utf-8")))
    assert text is not None
    return text


def longest_answer_seconds() -> int:
    code = (REPOSITORY / "serving" / "service.py").read_text(encoding="utf-8")
    found = re.search(r'"SEQUELA_MAX_SECONDS", (\d+)', code)
    assert found is not None
    return int(found[1])


def test_what_is_in_flight_ends() -> None:
    paused = int(CONTAINER["lifecycle"]["preStop"]["exec"]["command"][1])
    assert POD["terminationGracePeriodSeconds"] > paused + longest_answer_seconds()
    assert int(SERVICES["sequela"]["stop_grace_period"].removesuffix("s")) > longest_answer_seconds()


def variables() -> Iterator[tuple[str, str]]:
    """Names and values, in all manifests."""
    for container in [*POD["initContainers"], *POD["containers"], *AUDITED_POD["containers"]]:
        yield from ((entry["name"], entry["value"]) for entry in container.get("env", ()))
    for service in SERVICES.values():
        yield from service.get("environment", {}).items()


def test_every_variable_is_one_that_somebody_reads() -> None:
    documented = set(re.findall(r"^ {4}([A-Z_]+) {2,}", service_docstring(), re.MULTILINE))
    assert {"SEQUELA_KEYS", "SEQUELA_AUDIT", "BENTOML_HOME"} <= documented
    assert {name for name, _ in variables()} <= documented | OTHERS_VARIABLES


def test_files_lie_where_something_is_mounted() -> None:
    mounts = {mount["mountPath"]: mount for mount in CONTAINER["volumeMounts"]}
    env = {entry["name"]: entry["value"] for entry in CONTAINER["env"]}
    assert mounts[str(Path(env["SEQUELA_KEYS"]).parent)]["readOnly"] is True
    assert "readOnly" not in mounts[str(Path(env["BENTOML_HOME"]).parent)]  # BentoML makes folders there
    volumes = {volume["name"] for volume in POD["volumes"]}
    for container in [*POD["initContainers"], *POD["containers"]]:
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
    audited = AUDITED_POD["containers"][0]
    assert str(Path(audited["env"][0]["value"]).parent) == audited["volumeMounts"][0]["mountPath"]


def copied(script: str, source: str, target: str, tmp_path: Path, mode: int) -> Path:
    """The file of keys, as a container copies it."""
    given, own = tmp_path / "given.json", tmp_path / "own"
    own.mkdir()
    add_key(given, "ward", ["predict"])
    given.chmod(mode)
    script = script.replace(source, str(given)).replace(f"{target}/", f"{own}/")
    script = script.replace(f"{UID}:{UID}", f"{os.getuid()}:{os.getgid()}")
    for _ in range(2):  # a pod's containers may start again
        subprocess.run(["sh", "-c", script], check=True)
    return own / "keys.json"


def test_the_service_takes_the_keys_that_the_pod_copies(tmp_path: Path) -> None:
    secret = next(volume["secret"] for volume in POD["volumes"] if "secret" in volume)
    assert KUSTOMIZATION["secretGenerator"] == [{"name": secret["secretName"], "files": ["keys.json"]}]
    shell, option, script = POD["initContainers"][0]["command"]
    assert (shell, option) == ("/bin/sh", "-c")
    path = copied(script, "/secret/keys.json", "/keys", tmp_path, secret["defaultMode"])
    assert [key.name for key in read_keys(path)] == ["ward"]


def test_the_service_takes_the_keys_that_compose_copies(tmp_path: Path) -> None:
    path = copied(SERVICES["keys"]["command"][0], "/run/secrets/keys", "/keys", tmp_path, 0o644)
    assert [key.name for key in read_keys(path)] == ["ward"]


def test_no_secret_is_committed() -> None:
    ignored = (DEPLOY / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {"kubernetes/keys.json", "secrets/"} <= set(ignored)
    assert all(secret["file"].startswith("secrets/") for secret in COMPOSE["secrets"].values())
    assert of_kind("Secret") == []
    assert not [name for name, _ in variables() if name.endswith("PASSWORD")]
    text = "".join(path.read_text(encoding="utf-8") for path in DEPLOY.rglob("*.yaml"))
    assert not re.search(r"://[^/\s]+:[^/\s]+@", text)  # no password in an address


def images() -> Iterator[str]:
    for container in [*POD["initContainers"], *POD["containers"]]:
        yield container["image"]
    for service in SERVICES.values():
        yield service["image"]
    yield from re.findall(r"^FROM (\S+)", (DEPLOY / "mlflow" / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)


def test_images_of_others_are_of_one_version() -> None:
    others = {image for image in images() if image != OURS}
    assert len(others) == 3
    assert [image for image in others if not re.search(r":\d+\.\d+\.?\d*[^:]*$", image)] == []


def test_the_mlflow_image_has_the_tested_versions() -> None:
    pins = set(re.findall(r"\b[\w-]+(?:\[\w+\])?==[\d.]+", (DEPLOY / "mlflow" / "Dockerfile").read_text("utf-8")))
    tested = set((REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines())
    assert len(pins) == 2
    assert {re.sub(r"\[\w+\]", "", pin) for pin in pins} <= tested
    assert f"mlflow=={SERVICES['mlflow']['image'].split(':')[1]}" in tested


@pytest.mark.parametrize("name", SERVICES)
def test_compose_services_have_no_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "mem_limit" in service
    assert "privileged" not in service
    if name == "keys":  # it gives a file away, and has no network
        assert (service["cap_add"], service["network_mode"]) == (["CHOWN", "DAC_OVERRIDE"], "none")
    else:
        assert "cap_add" not in service
        assert not service["user"].startswith(("0", "root"))
        assert service["healthcheck"]["test"][0] == "CMD"
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_compose_names_meet() -> None:
    assert set(COMPOSE) == {"name", "x-locked", "services", "networks", "volumes", "secrets"}
    assert SERVICES["sequela"]["user"] == f"{UID}:{UID}"
    for name, service in SERVICES.items():
        assert set(service.get("networks", ())) <= set(COMPOSE["networks"])
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
        assert {volume.split(":")[0] for volume in service.get("volumes", ())} <= set(COMPOSE["volumes"])
        for other, awaited in service.get("depends_on", {}).items():
            ended = awaited["condition"] == "service_completed_successfully"
            assert ended or "healthcheck" in SERVICES[other], (name, other)
    assert COMPOSE["networks"]["tracking"] == {"internal": True}
    assert SERVICES["db"]["networks"] == ["tracking"]


@pytest.mark.parametrize(("name", "page"), [("sequela", "3000/readyz"), ("mlflow", "5000/health")])
def test_compose_asks_whether_servers_are_well(name: str, page: str) -> None:
    code = SERVICES[name]["healthcheck"]["test"][3]
    compile(code, name, "exec")
    assert f"http://127.0.0.1:{page}" in code
    port = page.split("/")[0]
    assert SERVICES[name]["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_mlflow_answers_this_machine_alone() -> None:
    command = SERVICES["mlflow"]["command"][0]
    assert "--allowed-hosts localhost:5000,127.0.0.1:5000" in command
    assert "$$(cat /run/secrets/postgres_password)" in command  # `$$`: for the shell, not for Compose
