"""Fields of the manifests, the unit and the dashboard that must fit together."""

import json
import pathlib
import re

import yaml

here = pathlib.Path(__file__).parent


def manifest(name):
    documents = list(yaml.safe_load_all((here / "kubernetes" / name).read_text()))
    assert len(documents) == 1, name
    return documents[0]


kustomization = manifest("kustomization.yaml")
for name in kustomization["resources"]:
    document = manifest(name)
    assert document["apiVersion"] and document["kind"] and document["metadata"]["name"], name

deployment = manifest("deployment.yaml")["spec"]
pod = deployment["template"]["spec"]
(container,) = pod["containers"]
flags = dict(arg.removeprefix("--").split("=", 1) for arg in container["args"] if "=" in arg)

# Whoever is told to go gets the time to do so.
drain = float(flags["pre-drain"]) + float(flags["drain-timeout"]) + container["lifecycle"]["preStop"]["sleep"]["seconds"]
# And for the prediction log and the last spans.
assert pod["terminationGracePeriodSeconds"] > drain + 5 + 2, drain

ports = {port["name"]: port["containerPort"] for port in container["ports"]}
assert flags["grpc"].endswith(f":{ports['grpc']}") and flags["http"].endswith(f":{ports['http']}")
for probe, path in [("startupProbe", "/healthz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/healthz")]:
    ask = container[probe]["httpGet"]
    assert ask["path"] == path and ask["port"] in ports and ask["scheme"] == "HTTPS", probe
assert pod["securityContext"]["runAsNonRoot"] and container["securityContext"]["readOnlyRootFilesystem"]
assert container["resources"]["limits"]["memory"] and container["resources"]["requests"]["cpu"]
mounts = {mount["name"] for mount in container["volumeMounts"]}
assert mounts == {volume["name"] for volume in pod["volumes"]}
for name in ("registry", "predictions"):
    claim = next(volume for volume in pod["volumes"] if volume["name"] == name)["persistentVolumeClaim"]
    assert claim["claimName"] == manifest(f"{name}.yaml")["metadata"]["name"], name
for flag in ("tls-cert", "tls-key", "access", "prediction-log"):
    assert any(flags[flag].startswith(mount["mountPath"]) for mount in container["volumeMounts"]), flag

labels = deployment["template"]["metadata"]["labels"].items()
for name, selector in [
    ("deployment.yaml", deployment["selector"]["matchLabels"]),
    ("service.yaml", manifest("service.yaml")["spec"]["selector"]),
    ("disruption.yaml", manifest("disruption.yaml")["spec"]["selector"]["matchLabels"]),
    ("network.yaml", manifest("network.yaml")["spec"]["podSelector"]["matchLabels"]),
]:
    assert selector.items() <= labels, name
service_ports = {port["name"]: port for port in manifest("service.yaml")["spec"]["ports"]}
assert {port["targetPort"] for port in service_ports.values()} <= set(ports)
(endpoint,) = manifest("monitor.yaml")["spec"]["endpoints"]
assert endpoint["port"] in service_ports and endpoint["path"] == "/metrics"

unit = (here / "systemd" / "segue.service").read_text()
seconds = {name: int(value) for name, value in re.findall(r"^(Timeout\w+Sec)=(\d+)$", unit, re.M)}
assert seconds["TimeoutStopSec"] > 5 + 25 + 5 + 2, "the defaults of --pre-drain and --drain-timeout, the log, the last spans"
(user,) = re.findall(r"^u (\w+) ", (here / "systemd" / "segue.sysusers").read_text(), re.M)
assert f"\nUser={user}\n" in unit and f"\nGroup={user}\n" in unit
assert seconds["TimeoutStartSec"] > int(re.search(r"health --wait (\d+)", unit)[1])

operations = (here.parent / "docs" / "operations.md").read_text()
headings = {line.removeprefix("### ").strip().lower() for line in operations.splitlines() if line.startswith("### ")}
rules = yaml.safe_load((here / "prometheus" / "segue.rules.yml").read_text())
for rule in [rule for group in rules["groups"] for rule in group["rules"]]:
    anchor = rule["annotations"]["runbook"].split("#")[1]
    assert anchor == rule["alert"].lower() and anchor in headings, f"docs/operations.md says nothing of {rule['alert']}"

dashboard = json.loads((here / "grafana" / "segue.json").read_text())
ids = [panel["id"] for panel in dashboard["panels"]]
assert len(ids) == len(set(ids))
print(f"{len(kustomization['resources']) + 1} manifests, {len(ids)} panels, the unit and the alerts fit together")
