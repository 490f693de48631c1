"""Texts by id and documents to rank, in every format."""

import gzip
import io
import json
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from plackett import DataError
from plackett.data import read_documents, read_texts
from plackett.data.documents import read_corpus, read_queries

TEXTS = ["A large egg has about 72 calories.", 'Hens lay "eggs",\tin a nest; 東京']


def documents(content, name="-"):
    stream = io.BytesIO(content if isinstance(content, bytes) else content.encode())
    stream.name = name
    return read_documents(stream)


def parquet(rows):
    pq.write_table(pa.Table.from_pylist(rows), stream := io.BytesIO())
    return stream.getvalue()


def csv(texts, separator=","):
    return "number,text\r\n".replace(",", separator) + "".join(
        f'{number}{separator}"{text.replace(chr(34), chr(34) * 2)}"\r\n' for number, text in enumerate(texts)
    )


OBJECTS = [{"id": number, "text": text} for number, text in enumerate(TEXTS)]
CONTENTS = {
    "lines.jsonl": "".join(json.dumps(text) + "\n" for text in TEXTS),
    "objects.jsonl": "\r\n\r\n".join(json.dumps(row) for row in OBJECTS),
    "lines.json": "\n".join(json.dumps(row) for row in OBJECTS),
    "one.json": json.dumps(TEXTS, ensure_ascii=False),
    "pretty.json": json.dumps(OBJECTS, indent=2),
    "table.csv": csv(TEXTS),
    "semicolons.csv": csv(TEXTS, ";"),
    "table.tsv": "text\r\n" + "".join(text.replace("\t", " ") + "\r\n" for text in TEXTS),
    "ids.tsv": "".join(f"{number}\t{text}\n" for number, text in enumerate(TEXTS)),
    "table.parquet": parquet(OBJECTS),
    "plain.txt": "\n\n".join(TEXTS),
}


@pytest.mark.parametrize("form", ["plain", "mark", "gz", "gz and mark"])
@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("opened", [True, False])
def test_documents_of_every_format(tmp_path, name, form, opened):
    content = CONTENTS[name] if isinstance(CONTENTS[name], bytes) else CONTENTS[name].encode()
    if "mark" in form and name != "table.parquet":
        content = b"\xef\xbb\xbf" + content
    path = tmp_path / (f"{name}.gz" if "gz" in form else name)
    path.write_bytes(gzip.compress(content, mtime=0) if "gz" in form else content)
    expected = [text.replace("\t", " ") for text in TEXTS] if name.endswith(".tsv") else TEXTS
    if opened:
        with path.open("rb") as stream:
            assert read_documents(stream) == expected
    else:
        assert read_documents(path) == expected


@pytest.mark.parametrize("name", [name for name in CONTENTS if ".tsv" not in name])
@pytest.mark.parametrize("zipped", [True, False])
def test_standard_input_is_taken_for_what_it_looks_like(name, zipped):
    content = CONTENTS[name] if isinstance(CONTENTS[name], bytes) else CONTENTS[name].encode()
    assert documents(gzip.compress(content) if zipped else content, "<stdin>") == TEXTS


def test_plain_lines():
    assert documents('plain\n\n  spaced \n"quoted" text\n{% not json %}\n[1] A note\n') == [
        "plain",
        "spaced",
        '"quoted" text',
        "{% not json %}",
        "[1] A note",
    ]
    assert documents("[1] A note\nanother, text\n") == ["[1] A note", "another, text"]
    assert documents("") == documents("[]") == documents("", "x.csv") == documents("", "x.jsonl") == []
    assert documents('"a\\nb"\n{"text": "c"}\n{"title": "T", "text": "d", "_id": 3}\n', "x.jsonl") == [
        "a\nb",
        "c",
        "T d",
    ]


def test_columns_with_other_names():
    content = b"body,n\none,1\n"
    stream = io.BytesIO(content)
    stream.name = "x.csv"
    assert read_documents(stream, columns={"text": "body"}) == ["one"]
    hits = io.BytesIO(b'{"_source": {"body": "one"}}')
    assert read_documents(hits, columns={"text": "_source.body"}) == ["one"]
    with pytest.raises(DataError, match=r"no column _source\.title; columns are body"):
        read_documents(io.BytesIO(b'{"_source": {"body": "one"}}'), columns={"text": "_source.title"})


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ('ok\n{"text": 3}\n', "-", "-:2: text is a number"),
        ('{"body": "a", "_id": "1"}\n', "d", "d:1: no column text; columns are body, _id"),
        (
            '{"_index": "i", "_id": 1, "_score": 1, "_source": {}}',
            "es.jsonl",
            r"columns are _id",
        ),
        ('{"took": 3, "hits": {}}', "es.json", r"es\.json:1: no column text; columns are took, hits"),
        ('"a"\n{"text": "b"\n', "d.jsonl", r"d\.jsonl:2: not a line of JSON"),
        ("3\n", "d.jsonl", r"d\.jsonl:1: the document is a number"),
        ('["a", 3]', "d.json", r"d\.json\[1\]: the document is a number"),
        ('["a",\n "b"', "d.json", r"d\.json:2: not a JSON array"),
        ('["a",\n "b"]', "d.jsonl", r"d\.jsonl:1: .*ends within a value; .* \.json$"),
        ('{"text": }\n', "d.jsonl", r"d\.jsonl:1: not a line of JSON: Expecting value at column 10$"),
        ("text\rone\r", "d.csv", r"d\.csv:1: not a row of CSV: .*carriage return.*Unix or Windows"),
        ("a,b\n1,2\n", "d.csv", r"d\.csv:2: no column text; columns are a, b"),
        ("id,text\n1,one\n2\n", "d.csv", r"d\.csv:3: 1 cell, but 2 columns"),
        ('id,text\n1,"one\ntwo"\n2,"three\n', "d.csv", r"d\.csv:4: not a row of CSV: a quote that opens here"),
        ("text,text\na,b\n", "d.csv", r"d\.csv:1: two columns have the name text"),
        ("one\n", "d.tsv", r"d\.tsv:1: expected an id, a tab and a text"),
        ("é".encode("latin-1"), "d.txt", r"d\.txt:1: not UTF-8"),
        ('["é"]'.encode("latin-1"), "d.json", r"d\.json:?1?: not"),
        (b"PAR1 and more", "-", "- cannot be read"),
    ],
)
def test_documents_that_are_none(content, name, message):
    with pytest.raises(DataError, match=message):
        documents(content, name)


def test_a_quoted_line_end_counts_as_a_line():
    with pytest.raises(DataError, match=r"d\.csv:4: 1 cell, "):
        documents('id,text\n1,"one\ntwo"\n2\n', "d.csv")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["d.jsonl", "d.json", "d.csv", "d.tsv", "-"])
def test_a_document_of_50_mb_takes_a_few_times_its_size(name):
    text = "word " * (10 * 2**20)
    content = {"d.csv": f"text\n{text}\n", "d.tsv": f"1\t{text}\n", "-": text}.get(name, json.dumps({"text": text}))
    raw = content.encode()
    tracemalloc.start()
    try:
        assert [len(item) for item in documents(raw, name)] in ([len(text)], [len(text) - 1])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < (12 if name == "d.csv" else 6) * len(raw)  # the module csv takes four bytes a character, twice


def test_a_line_without_end_is_refused(monkeypatch):
    monkeypatch.setattr("plackett.data.rows.LINE_LIMIT", 2**20)
    with pytest.raises(DataError, match=r"d\.jsonl:2: the line is longer than 1 MiB"):
        documents(b'"a"\n' + b"\0" * 2**21, "d.jsonl")


def test_texts_by_id(tmp_path):
    for name, content in CONTENTS.items():
        if name in ("lines.jsonl", "one.json", "plain.txt", "table.tsv") or name.endswith(".csv"):
            continue
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        expected = [text.replace("\t", " ") for text in TEXTS] if name.endswith(".tsv") else TEXTS
        assert read_texts(path) == {"0": expected[0], "1": expected[1]}, name
        assert read_texts(path, {"1"}) == {"1": expected[1]}, name
    (tmp_path / "c.csv").write_text(csv(TEXTS))
    assert read_texts(tmp_path / "c.csv", columns={"id": "number"}) == dict(zip("01", TEXTS, strict=True))


def test_a_blank_line_is_none_in_every_format(tmp_path):
    for name, content in {"a.tsv": "d1\tan egg\n\n", "a.csv": "id,text\n\nd1,an egg\n\n"}.items():
        (tmp_path / name).write_text(content)
        assert read_texts(tmp_path / name) == {"d1": "an egg"}


def test_quotes_in_tables_of_tabs(tmp_path):
    (tmp_path / "raw.tsv").write_text('1\t"quoted" text\n2\t"whole"\n')
    assert read_texts(tmp_path / "raw.tsv") == {"1": '"quoted" text', "2": '"whole"'}
    (tmp_path / "pandas.tsv").write_text('id\ttext\n1\t"a ""quoted"" word"\n2\t"a" and "b"\n')
    assert read_texts(tmp_path / "pandas.tsv") == {"1": 'a "quoted" word', "2": '"a" and "b"'}
    (tmp_path / "r.tsv").write_text('"id"\t"text"\n"1"\t"one"\n')
    assert read_texts(tmp_path / "r.tsv") == {"1": "one"}


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_queries_and_a_corpus_take_their_own_of_the_columns(tmp_path, name):
    def write(folder, row):
        (tmp_path / folder).mkdir()
        table = ",".join(row) + "\n" + ",".join(map(str, row.values())) + "\n"
        (tmp_path / folder / name).write_text(table if name == "t.csv" else json.dumps(row) + "\n")
        return tmp_path / folder / name

    # Both files have columns that would be read without the names.
    queries = write("q", {"id": "no", "text": "no", "number": 7, "question": "apple"})
    corpus = write("c", {"id": "no", "text": "no", "key": "d1", "body": "a pear", "head": "Fruit"})
    columns = {"query": "question", "qid": "number", "text": "body", "title": "head", "docid": "key"}
    assert read_queries(queries, columns=columns) == {"7": "apple"}
    assert read_corpus(corpus, columns=columns) == {"d1": "Fruit a pear"}
    with pytest.raises(DataError, match="no column answer"):
        read_corpus(corpus, columns={"document": "answer", "query": "question"})
