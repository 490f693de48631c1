"""DuckDB: the registered function, in SQL."""

import pytest

from plackett import CrossEncoder
from tiny import DOCUMENTS, QUERY, TEXTS

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def connection(bert):
    import duckdb

    from plackett.integrations.duckdb import register

    with duckdb.connect() as connection:
        register(connection, bert)
        connection.execute("CREATE TABLE notes (id INTEGER, body VARCHAR)")
        connection.executemany("INSERT INTO notes VALUES (?, ?)", list(enumerate(DOCUMENTS)))
        yield connection


def test_rows_are_ordered_by_the_reranker(connection, bert):
    query = "SELECT id, plackett_score(?, body) AS score FROM notes ORDER BY score DESC, id LIMIT 3"
    found = connection.execute(query, [QUERY]).fetchall()
    expected = CrossEncoder(bert).rank(QUERY, DOCUMENTS, top_k=3)
    assert [number for number, _ in found] == [item["corpus_id"] for item in expected]
    assert [score for _, score in found] == pytest.approx([item["score"] for item in expected], abs=1e-6)


def test_more_rows_than_a_vector(connection, bert):
    texts = [TEXTS[index % 300] for index in range(5000)]
    connection.execute("CREATE OR REPLACE TABLE many AS SELECT unnest(?) AS body", [texts])
    found = connection.execute("SELECT plackett_score('a list of words', body) FROM many").fetchall()
    scores = CrossEncoder(bert).predict([("a list of words", text) for text in texts[:300]])
    assert [score for (score,) in found] == pytest.approx(
        [float(scores[index % 300]) for index in range(5000)], abs=1e-5
    )


@pytest.mark.parametrize(("query", "text"), [(None, "a"), ("a", None), ("", "a"), ("a", " ")])
def test_nothing_to_read_has_no_score(connection, query, text):
    assert connection.execute("SELECT plackett_score(?::VARCHAR, ?::VARCHAR)", [query, text]).fetchall() == [(None,)]


def test_the_function_may_have_another_name(bert):
    import duckdb

    from plackett.integrations.duckdb import register

    with duckdb.connect() as connection:
        register(connection, CrossEncoder(bert), name="relevance")
        [(score,)] = connection.execute("SELECT relevance('a', 'b')").fetchall()
    assert score == pytest.approx(float(CrossEncoder(bert).predict([("a", "b")])[0]), abs=1e-6)


def test_registering_again_replaces_the_model(bert):
    import duckdb

    from plackett.integrations.duckdb import register

    with duckdb.connect() as connection:
        for activation in ("sigmoid", "identity"):
            register(connection, CrossEncoder(bert, activation=activation))
        found = connection.execute("SELECT plackett_score(?, ?)", [QUERY, DOCUMENTS[0]]).fetchall()
    expected = CrossEncoder(bert, activation="identity").predict([(QUERY, DOCUMENTS[0])])
    assert found == [(pytest.approx(float(expected[0]), abs=1e-6),)]
