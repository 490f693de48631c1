"""PostgreSQL: the code of the documentation, against a server that the test starts."""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from plackett import CrossEncoder

pytestmark = [pytest.mark.peer, pytest.mark.process]

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
PAGE = Path(__file__).parents[2] / "docs" / "databases.md"
NOTES = [("Eggs", "An egg has 72 calories."), ("Hens", "A hen lays an egg."), ("Coal", "It burns.")]


@pytest.fixture(scope="module")
def server():
    """The address of a server in a new folder, which runs as the user postgres if this is root."""
    if not PROGRAMS:
        pytest.skip("PostgreSQL is not installed: scripts/install-postgresql")
    folder = tempfile.mkdtemp(prefix="plackett-postgres-")
    user = []
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
        user = ["runuser", "-u", "postgres", "--"]
    run = {"check": True, "capture_output": True, "cwd": "/", "timeout": 120}
    subprocess.run(
        [*user, PROGRAMS[-1] / "initdb", "-D", f"{folder}/data", "-U", "plackett", "-A", "trust", "-N", "-E", "UTF8"],
        **run,
    )
    control = [*user, PROGRAMS[-1] / "pg_ctl", "-D", f"{folder}/data", "-w"]
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -F"
    start = [*control, "-l", f"{folder}/log", "-o", options, "start"]
    subprocess.run(start, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", timeout=120)
    try:
        yield f"host={folder} user=plackett dbname=postgres"
    finally:
        with contextlib.suppress(subprocess.SubprocessError):
            subprocess.run([*control, "-m", "immediate", "stop"], **run)
        shutil.rmtree(folder)


def test_the_code_of_the_page_reranks_a_full_text_search(server):
    import psycopg

    with psycopg.connect(server) as db:
        db.execute("CREATE TABLE notes (id SERIAL, title TEXT, body TEXT)")
        for note in NOTES:
            db.execute("INSERT INTO notes (title, body) VALUES (%s, %s)", note)
    section = PAGE.read_text(encoding="utf-8").partition("## PostgreSQL")[2]
    [code] = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    names = {}
    exec(code.replace("dbname=mine", server), names)
    texts = [f"{title} {body}" for title, body in NOTES[:2]]  # the third matches no word
    expected = CrossEncoder().rank("calories in an egg", texts)
    assert sorted(row["title"] for row in names["rows"]) == ["Eggs", "Hens"]
    assert [item["document"]["title"] for item in names["ranked"]] == [NOTES[item["corpus_id"]][0] for item in expected]
    assert [item["score"] for item in names["ranked"]] == pytest.approx([item["score"] for item in expected], abs=1e-6)
