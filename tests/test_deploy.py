"""The files of deploy/: checked by the tools of their formats, and against the server's settings, paths and metrics."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import promql_parser
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from plackett.cli.group import commands
from plackett.serving.metrics import COUNTS, GAUGES, HISTOGRAMS
from plackett.serving.settings import OPTIONS, PREFIX, Settings
from serving_app import serving

DEPLOY = Path(__file__).parents[1] / "deploy"
KUBERNETES = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["plackett"]
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
[CLAIM, RAY_JOB] = yaml.safe_load_all((DEPLOY / "kuberay.yaml").read_text())
UNIT = (DEPLOY / "plackett.service").read_text()
DASHBOARD = json.loads((DEPLOY / "grafana.json").read_text())


def installed(tool):
    """Where a tool is: beside the Python of the tests, whether or not its environment is activated, or on the path."""
    return shutil.which(tool, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))


def expressions():
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def run(tool, *arguments):
    command = [installed(tool), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_variables_of_a_service_are_not_settings():
    """Kubernetes sets PLACKETT_PORT=tcp://10.0.0.1:8000 and the like for the Service `plackett`, unless told not to."""
    [service] = [item["metadata"]["name"] for item in KUBERNETES if item["kind"] == "Service"]
    [pod] = [item["spec"]["template"]["spec"] for item in KUBERNETES if item["kind"] == "Deployment"]
    assert f"{service.upper()}_" == PREFIX
    assert pod["enableServiceLinks"] is False


@pytest.mark.process
@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("hadolint", [DEPLOY / "Dockerfile", DEPLOY / "bulk.Dockerfile"]),
        ("bash", ["-n", DEPLOY / "slurm.sh"]),
        ("kubernetes-validate", ["--strict", DEPLOY / "kubernetes.yaml"]),
        ("systemd-analyze", ["verify", "--man=no", DEPLOY / "plackett.service"]),
    ],
)
def test_a_linter_finds_nothing(tool, arguments):
    if not installed(tool):
        pytest.skip(f"needs {tool}")
    done = run(tool, *arguments)
    output = done.stdout + done.stderr
    if tool == "systemd-analyze":  # the program is not installed there
        output = re.sub(r".*/opt/plackett/bin/plackett is not executable.*\n?", "", output)
        assert output.strip() == ""
    else:
        assert done.returncode == 0, output


def test_the_variables_are_settings():
    named = re.findall(rf"\b{PREFIX}([A-Z_]+)", "".join(path.read_text() for path in DEPLOY.iterdir()))
    assert {name.lower() for name in named} <= OPTIONS.keys()


def test_probes_ask_paths_of_the_server(bert):
    [container] = KUBERNETES[0]["spec"]["template"]["spec"]["containers"]
    paths = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert paths == {"startupProbe": "/ready", "readinessProbe": "/ready", "livenessProbe": "/health"}
    [checked] = re.findall(r"127\.0\.0\.1:8000(/\w+)", DOCKERFILE)
    with serving(bert, api_key="k") as client:
        for path in {*paths.values(), checked}:
            assert client.get(path).status_code == 200


def test_draining_ends_before_the_process_is_killed():
    pod = KUBERNETES[0]["spec"]["template"]["spec"]
    environment = {item["name"]: item.get("value") for item in pod["containers"][0]["env"]}
    waited = int(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    drain = int(environment[f"{PREFIX}DRAIN_TIMEOUT"])
    assert pod["terminationGracePeriodSeconds"] > drain + waited
    assert int(COMPOSE["stop_grace_period"].removesuffix("s")) > int(COMPOSE["environment"][f"{PREFIX}DRAIN_TIMEOUT"])
    assert int(re.findall(r"TimeoutStopSec=(\d+)", UNIT)[0]) > Settings().drain_timeout


def test_the_container_does_not_run_as_root():
    user = re.findall(r"^USER (\d+)$", DOCKERFILE, re.MULTILINE)[-1]
    assert int(user) == KUBERNETES[0]["spec"]["template"]["spec"]["securityContext"]["runAsUser"] > 0


def test_scaling_and_the_dashboard_read_metrics_that_exist(bert):
    used = set(re.findall(r"\b(?:te|plackett)_\w+", " ".join(expressions())))
    used |= {item["pods"]["metric"]["name"] for item in KUBERNETES[2]["spec"]["metrics"]}
    known = {*COUNTS, *GAUGES, *(f"{name}_{part}" for name in HISTOGRAMS for part in ("bucket", "sum", "count"))}
    assert used <= known
    with serving(bert) as client:
        text = client.get("/metrics").text
    assert all(re.search(rf"^(# TYPE )?{name}\b", text, re.MULTILINE) for name in used)


def test_grafana_reads_all_of_the_dashboard():
    """Its models add defaults, and drop what they do not know."""
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(DASHBOARD)))
    assert merged(read, DASHBOARD) == read


def merged(read, written):
    """What was read, with every value that was written in its place."""
    if isinstance(written, dict) and isinstance(read, dict):
        return read | {name: merged(read.get(name), value) for name, value in written.items()}
    if isinstance(written, list) and isinstance(read, list) and len(written) == len(read):
        return list(map(merged, read, written))
    return written


def test_the_queries_of_the_dashboard_are_promql():
    for expression in expressions():
        promql_parser.parse(expression)
    with pytest.raises(ValueError, match="unclosed"):
        promql_parser.parse(expression + "(")


def test_the_dashboard_is_laid_out():
    panels = DASHBOARD["panels"]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)


@pytest.mark.process
def test_the_pods_of_kuberay_are_pods(tmp_path):
    """Its own kinds have no schema here; what they hold of Kubernetes has."""
    cluster = RAY_JOB["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    pods = [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"pod-{number}"}, **group["template"]}
        for number, group in enumerate(groups)
    ]
    (tmp_path / "pods.yaml").write_text(yaml.safe_dump_all([CLAIM, *pods]))
    done = run("kubernetes-validate", "--strict", tmp_path / "pods.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    names = {volume["persistentVolumeClaim"]["claimName"] for pod in pods for volume in pod["spec"]["volumes"]}
    assert names == {CLAIM["metadata"]["name"]}
    assert f"ray[default]=={cluster['rayVersion']}" in (DEPLOY / "bulk.Dockerfile").read_text()


def test_a_machine_of_the_cluster_has_an_actor():
    cluster = RAY_JOB["spec"]["rayClusterSpec"]
    words = shlex.split(RAY_JOB["spec"]["entrypoint"])
    given = commands.commands["bulk"].make_context("bulk", words[2:]).params
    assert words[:2] == ["plackett", "bulk"]
    assert given["address"] == "auto"
    assert given["concurrency"] == sum(workers["replicas"] for workers in cluster["workerGroupSpecs"])
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


@pytest.mark.process
def test_slurm_starts_ray_on_every_node_and_the_job_once(tmp_path):
    """`scontrol` and `srun` are those of a cluster; here they are two scripts that say what they were given."""
    (tmp_path / "scontrol").write_text("#!/bin/sh\necho first; echo second\n")
    (tmp_path / "srun").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    for name in ("scontrol", "srun"):
        (tmp_path / name).chmod(0o755)
    nodes = {"SLURM_JOB_NODELIST": "node[1-2]", "SLURM_JOB_NUM_NODES": "2"}
    done = subprocess.run(
        [DEPLOY / "slurm.sh", "--input", "a b.parquet", "--output", "out"],
        env={**os.environ, **nodes, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    words = done.stdout.splitlines()
    start, job = words[: words.index("--")], words[words.index("--") + 1 :]
    assert start == [
        "--nodes=2",
        "--ntasks=2",
        *["ray", "symmetric-run", "--address", "first:6379", "--min-nodes", "2"],
    ]
    given = commands.commands["bulk"].make_context("bulk", job[2:]).params
    assert (given["source"], given["output"]) == (Path("a b.parquet"), Path("out"))
    assert (given["address"], given["concurrency"]) == ("auto", 2)
