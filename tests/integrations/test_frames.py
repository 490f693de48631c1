"""Rows of pandas, polars and Arrow tables, against ranking their texts."""

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from plackett import CrossEncoder, rank_frame
from plackett.errors import InputError
from tiny import DOCUMENTS, QUERY

DATA = {"title": ["a", None, "c"] + ["t"] * 5, "body": DOCUMENTS, "price": list(range(8))}


def of_pandas(data):
    return pd.DataFrame(data, index=range(10, 10 + len(data["body"])))


KINDS = {
    "pandas": of_pandas,
    "polars": pl.DataFrame,
    "arrow": pa.table,
    "pandas of arrow": lambda data: of_pandas(data).convert_dtypes(dtype_backend="pyarrow"),
}


def rows(frame):
    frame = frame.to_pylist() if isinstance(frame, pa.Table) else frame
    return frame if isinstance(frame, list) else pl.DataFrame(frame).to_dicts()


@pytest.fixture(scope="module")
def model(bert):
    return CrossEncoder(bert)


@pytest.fixture(params=KINDS)
def table(request):
    return KINDS[request.param]


@pytest.mark.parametrize("options", [{}, {"top_k": 3}, {"min_score": 0.5}, {"top_k": 0}])
def test_rows_come_back_best_first_with_scores(model, table, options):
    frame = table(DATA)
    found = rank_frame(QUERY, frame, text="title, body", model=model, **options)
    texts = [f"{title} {body}" if title else body for title, body in zip(DATA["title"], DOCUMENTS, strict=True)]
    ranked = model.rank(QUERY, texts, **options)
    assert type(found) is type(frame)
    assert [row["price"] for row in rows(found)] == [item["corpus_id"] for item in ranked]
    assert [row["score"] for row in rows(found)] == pytest.approx([item["score"] for item in ranked], abs=1e-6)
    if isinstance(found, pd.DataFrame):
        assert list(found.index) == [10 + item["corpus_id"] for item in ranked]


def test_the_score_has_the_name_that_is_given(model):
    found = rank_frame(QUERY, pl.DataFrame(DATA | {"score": DATA["price"]}), text=["body"], model=model, score="rerank")
    assert found.columns == ["title", "body", "price", "score", "rerank"]


@pytest.mark.parametrize(
    ("change", "text", "named"),
    [
        ({}, "summary", ["summary", "title, body, price"]),
        ({"score": [0] * 8}, "body", ["column score"]),
        ({}, "price", ["row 0", "price"]),
        ({"body": [*DOCUMENTS[:3], None, *DOCUMENTS[4:]]}, "body", ["row 3", "body"]),
    ],
)
def test_errors_name_the_column_and_the_row(model, table, change, text, named):
    with pytest.raises(InputError) as error:
        rank_frame(QUERY, table(DATA | change), text=text, model=model)
    assert all(name in str(error.value) for name in named)


def test_a_model_may_be_named(bert, model):
    frame = pl.DataFrame(DATA)
    expected = rank_frame(QUERY, frame, text="body", model=model)
    assert rank_frame(QUERY, frame, text="body", model=bert).equals(expected)


@pytest.mark.parametrize("missing", [float("nan"), pd.NA, pd.NaT, None])
def test_missing_values_of_pandas_are_skipped(model, missing):
    frame = pd.DataFrame({"title": pd.Series(["a", missing], dtype=object), "body": DOCUMENTS[:2]})
    found = rank_frame(QUERY, frame, text="title, body", model=model)
    expected = model.rank(QUERY, [f"a {DOCUMENTS[0]}", DOCUMENTS[1]])
    assert found["score"].tolist() == pytest.approx([item["score"] for item in expected], abs=1e-6)


def test_columns_of_one_name_are_refused(model):
    with pytest.raises(InputError):
        rank_frame(QUERY, pd.DataFrame([["a", "b", "c"]], columns=["x", "x", "body"]), text="body", model=model)


@pytest.mark.parametrize("frame", [DOCUMENTS, pl.LazyFrame(DATA), {"body": DOCUMENTS}, "text"])
def test_what_is_no_table_is_refused(model, frame):
    with pytest.raises(InputError):
        rank_frame(QUERY, frame, text="body", model=model)
