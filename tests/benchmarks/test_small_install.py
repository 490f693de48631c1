"""The wheel and the sdist, in a new virtual environment without extras: what `pip install plackett` gives, offline.

The environment gets the files of the core dependencies from the one that runs the tests, so that nothing is fetched;
pip then installs the wheel with no index, and so refuses a dependency that is not among them. Every process in it ends
where it opens a connection.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
QUERY = "how many calories in an egg"
DOCUMENTS = ["Hens lay eggs in a nest.", "A large egg has about 72 calories.", "The capital of France is Paris."]

# An audit hook sees every socket of Python.
NO_NETWORK = """
import os, sys
def hook(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname"}:
        os.write(2, f"network: {event} {arguments}".encode())
        os._exit(97)
sys.addaudithook(hook)
"""

pytestmark = pytest.mark.slow


def call(*command, **options):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=120, check=False, **options)
    return done.returncode, done.stdout, done.stderr


def succeed(*command, **options):
    code, output, errors = call(*command, **options)
    assert code == 0, output + errors
    return output


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """(the wheel, the sdist), both made of this tree."""
    folder = tmp_path_factory.mktemp("dist")
    succeed(sys.executable, "-m", "hatchling", "build", "-d", folder, cwd=ROOT)
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


def core_dependencies():
    """The distributions that plackett needs without any extra, and what those need."""
    found = {}
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    for line in wanted:  # grows on the way
        requirement = Requirement(line)
        if requirement.name not in found and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            found[requirement.name] = distribution(requirement.name)
            wanted += found[requirement.name].requires or []
    return found.values()


@pytest.fixture(scope="module")
def environment(built, tmp_path_factory):
    """A new virtual environment with the wheel."""
    folder = tmp_path_factory.mktemp("small") / "venv"
    succeed(sys.executable, "-m", "venv", "--without-pip", folder)
    [site] = folder.glob("lib/python*/site-packages")
    for installed in core_dependencies():
        for file in installed.files:
            if ".." not in file.parts and file.suffix != ".pyc":
                (site / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(installed.locate_file(file), site / file)
    install(folder, built[0])
    (site / "no_network.py").write_text(NO_NETWORK)
    (site / "no_network.pth").write_text("import no_network")  # Debian's Python has a sitecustomize of its own
    return folder


def install(environment, file, *options):
    pip = [sys.executable, "-m", "pip", "--python", environment / "bin" / "python"]
    succeed(*pip, "install", "--no-index", *options, file)


@pytest.fixture
def small(environment, tmp_path, monkeypatch):
    """`small(words, ...)`: a command in the environment, in an empty folder: (exit code, output, errors)."""
    for name in [name for name in os.environ if name.startswith(("PYTHON", "HF_", "ORT_")) or name == "CI"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    return lambda *words, **options: call(environment / "bin" / words[0], *words[1:], **options)


def test_the_wheel_is_what_the_sdist_makes(built, tmp_path):
    wheel, sdist = built
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        shipped = {name for name in names if name.startswith("plackett/default_model/")}
        sums = archive.read("plackett/default_model/SHA256SUMS").decode()
    assert shipped == {f"plackett/default_model/{line.split()[1]}" for line in sums.splitlines()} | {
        "plackett/default_model/SHA256SUMS"
    }
    succeed(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, sdist)
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()


@pytest.mark.process
def test_it_is_small(environment, module):
    done = module("benchmarks.small_install.run", environment, "--json", "--rounds", 1)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["megabytes"] <= 215, found["packages"]
    assert set(found["seconds"]) == {"python", "import", "first score"}
    assert not {name for name in found["packages"] if re.match("torch|transformers|jinja2|pyarrow", name)}


def test_an_import_and_a_score_load_few_modules(small):
    """What makes the first score come early; docs/default-model.md has its time."""
    count = "import sys; before = set(sys.modules); import plackett; {}; print(len(set(sys.modules) - before))"
    for call, most in {"plackett.CrossEncoder": 400, f"plackett.CrossEncoder().predict([{('q', 'd')}])": 900}.items():
        code, output, errors = small("python", "-c", count.format(call))
        assert (code, errors) == (0, "")
        assert int(output) <= most


@pytest.mark.parametrize("command", [["plackett"], ["python", "-m", "plackett"]])
def test_the_first_command_of_the_readme(small, tmp_path, command):
    code, output, errors = small(*command, "rank", QUERY, *DOCUMENTS)
    assert (code, errors) == (0, "")
    assert output.splitlines()[0].endswith(DOCUMENTS[1])
    assert not (tmp_path / "home").exists(), "nothing is left behind, of onnxruntime's telemetry neither"


def test_predict_rank_and_rerank(small, tmp_path):
    (tmp_path / "queries.tsv").write_text(f"q\t{QUERY}\n")
    (tmp_path / "corpus.tsv").write_text("".join(f"{index}\t{text}\n" for index, text in enumerate(DOCUMENTS)))
    (tmp_path / "first.trec").write_text("".join(f"q Q0 {index} {index + 1} {-index} x\n" for index in range(3)))
    files = [f"--run={tmp_path / 'first.trec'}", f"--output={tmp_path / 'out.trec'}"]
    files += [f"--{name}={tmp_path / name}.tsv" for name in ("queries", "corpus")]
    code, _, errors = small("plackett", "rerank", *files)
    assert code == 0, errors
    assert (tmp_path / "out.trec").read_text().split()[2] == "1"
    code = "import sys, json, plackett; print(plackett.CrossEncoder().predict(json.loads(sys.argv[1])).argmax())"
    assert small("python", "-c", code, json.dumps([[QUERY, text] for text in DOCUMENTS]))[:2] == (0, "1\n")


def test_the_demo_ranks_and_says_what_to_install_for_its_other_half(small, tmp_path):
    code, output, errors = small("plackett", "demo")
    assert (code, errors) == (0, "")
    assert len(re.findall(r"^  \d\.\d{3}  ", output, re.MULTILINE)) == 5
    assert output.rstrip().splitlines()[-1].count("pip install 'plackett[train]'") == 1
    assert list((tmp_path / "empty").iterdir()) == [], "nothing is written"


def test_a_connection_would_have_been_seen(small):
    code, _, errors = small("python", "-c", "import socket; socket.create_connection(('127.0.0.1', 9))")
    assert (code, "network:" in errors) == (97, True)


def test_a_damaged_installation_says_so_and_installing_again_mends_it(built, environment, small):
    [model] = environment.glob("lib/python*/site-packages/plackett/default_model/onnx/model_int8.onnx")
    os.truncate(model, 1000)
    code, output, errors = small("plackett", "rank", QUERY, *DOCUMENTS)
    assert (code, output) == (2, "")
    [line] = errors.splitlines()
    assert f"{model}, a file of the embedded model, is damaged" in line
    assert "pip install --force-reinstall --no-deps plackett" in line
    install(environment, built[0], "--force-reinstall", "--no-deps")
    assert small("plackett", "rank", QUERY, *DOCUMENTS)[0] == 0


@pytest.mark.process
def test_zipped_and_from_two_processes_at_once(built, environment, tmp_path):
    """The wheel is a zip with the package at its root. Three processes find an empty cache at the same time."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HF_"))}
    clean |= {"PYTHONPATH": str(built[0]), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [environment / "bin" / "python", "-m", "plackett", "rank", QUERY, *DOCUMENTS]
    running = [
        subprocess.Popen(command, env=clean, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    done = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], done
    assert len({output for output, _ in done}) == 1
    assert done[0][0].splitlines()[0].endswith(DOCUMENTS[1])
    [cached] = (tmp_path / "cache").rglob("default_model")
    assert not [path for path in cached.rglob(".*")], "no half-written file is left"
