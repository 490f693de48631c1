"""Files as people have them, on the command line: the right figures, or one line that says what the file is."""

import gzip
import io
import json

import ir_measures
import pytest

from plackett import CrossEncoder
from plackett.data import read_collection

ROWS = [("apple", "the red apple", 1), ("apple", "a green pear", 0), ("sky", "a pear", 0), ("sky", "blue sky", 1)]
QRELS = "q1 0 d1 1\nq1 0 d2 0\n"
RUN = "q1 Q0 d1 1 2.0 t\nq1 Q0 d2 2 1.0 t\n"


@pytest.fixture
def files(tmp_path):
    def files(**contents):
        for name, content in contents.items():
            path = tmp_path / name.replace("__", "/").replace("_", ".")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path

    return files


@pytest.mark.filterwarnings("ignore:.* is deprecated and will be removed in Python 3.14")  # of ast, in ir_measures
@pytest.mark.parametrize(
    "qrels",
    ["q1\t0\td1 \t1\nq1\t0\td2\t0\n", "# judged\nq1 0\td1  1\n\nq1 0 d2 0\n", "\ufeffq1 0 d1 1\r\nq1 0 d2 0\r\n"],
)
def test_judgements_of_trec_in_every_white_space(run, files, qrels):
    folder = files(a_run=RUN, b_run=RUN, x_qrels=qrels)
    measures = ["nDCG@10", "RR@10", "AP"]
    code, _, errors = run(
        *("evaluate", folder / "b.run", "--run", folder / "a.run", "--qrels", folder / "x.qrels"),
        *("--measures", " ".join(measures), "--json", folder / "f.json"),
    )
    assert code == 0, errors
    [found] = json.loads((folder / "f.json").read_text())["collections"].values()
    expected = ir_measures.calc_aggregate(
        map(ir_measures.parse_measure, measures),
        ir_measures.read_trec_qrels(QRELS),
        ir_measures.read_trec_run(RUN),
    )
    for name, value in expected.items():
        assert found["measures"][str(name)]["reranked"] == value


def test_a_pair_that_is_judged_twice(run, files):
    folder = files(a_run=RUN, b_run=RUN, x_qrels="q1 0 d1 1\nq1 0 d1 0\n")
    code, output, errors = run("evaluate", folder / "b.run", "--run", folder / "a.run", "--qrels", folder / "x.qrels")
    assert (code, output) == (2, "")
    assert "x.qrels:2" in errors
    assert "line 1" in errors


@pytest.mark.parametrize("header", ["qid\tcid\tscore", "\nquery-id\tcorpus-id\tscore"])
def test_a_beir_folder_whose_header_has_other_names(run, files, bert, header):
    folder = files(
        corpus_jsonl='{"_id":"1","text":"a large egg has about 72 calories"}\n{"_id":"2","text":"hens lay eggs"}\n',
        queries_jsonl='{"_id":"q1","text":"calories of an egg"}\n',
        qrels__test_tsv=f"{header}\nq1\t1\t1\n",
    )
    code, output, errors = run("evaluate", bert, "--data", folder)
    assert code == 0, errors
    assert "1 quer" in output


@pytest.mark.parametrize(
    "form",
    ["d.txt", "d.jsonl", "d.json", "d.txt.gz", "pretty.json", "d.csv", "-"],
)
def test_documents_with_a_byte_order_mark_in_every_format(run, files, bert, monkeypatch, form):
    texts = [text for _, text, _ in ROWS]
    content = {
        "pretty.json": json.dumps(texts, indent=2),
        "d.json": json.dumps(texts),
        "d.csv": "id,text\n" + "".join(f"{number},{text}\n" for number, text in enumerate(texts)),
    }.get(form, "".join(json.dumps({"text": text}) + "\n" for text in texts))
    raw = b"\xef\xbb\xbf" + content.encode()
    folder = files()
    (folder / form).write_bytes(gzip.compress(raw) if form.endswith(".gz") else raw)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(raw)))
    source = form if form == "-" else folder / form
    code, output, errors = run("rank", "apple", "--documents", source, "--model", bert, "--json")
    assert code == 0, errors
    rows: list[str] | list[dict[str, str]] = [{"text": text} for text in texts]
    if form in {"d.json", "pretty.json"}:
        rows = texts
    elif form == "d.csv":
        rows = [{"id": str(number), "text": text} for number, text in enumerate(texts)]
    expected = CrossEncoder(bert).rank("apple", rows, return_documents=True)
    assert [json.loads(line) for line in output.splitlines()] == expected


def test_a_response_of_elasticsearch_is_told(run, files, bert):
    hit = {"_index": "i", "_id": "1", "_score": 1.5, "_source": {"body": "the red apple"}}
    folder = files(es_jsonl=json.dumps(hit))
    code, _, errors = run("rank", "apple", "--documents", folder / "es.jsonl", "--model", bert)
    assert code == 2
    assert "columns are _id, body" in errors
    columns = ["--columns", "text=_source.body"]
    code, output, _ = run("rank", "apple", "--documents", folder / "es.jsonl", "--model", bert, *columns)
    assert code == 0
    assert output.endswith("the red apple\n")


@pytest.mark.parametrize("columns", [None, "query=q,document=d,label=hits"])
def test_evaluate_reads_a_spreadsheet(run, files, bert, columns):
    names = "query,document,clicked" if columns is None else "q,d,hits"
    folder = files(
        clicks_csv=names + "\n" + "".join(f"{query},{text},{label}\n" for query, text, label in ROWS),
        lists_jsonl='{"query": "apple", "docs": ["the red apple", "a green pear"], "labels": [1, 0]}\n'
        '{"query": "sky", "docs": ["a pear", "blue sky"], "labels": [0, 1]}\n',
    )
    options = ["--columns", columns] if columns else []
    code, output, errors = run("evaluate", bert, "--data", folder / "clicks.csv", *options)
    assert code == 0, errors
    _, same, _ = run("evaluate", bert, "--data", folder / "lists.jsonl")
    assert output.splitlines()[1:] == same.splitlines()[1:]


@pytest.mark.parametrize("columns", ["query", "query=", "qeury=q"])
def test_columns_that_are_none(run, files, bert, columns):
    folder = files(clicks_csv="q,d,l\n")
    code, _, errors = run("evaluate", bert, "--data", folder / "clicks.csv", "--columns", columns)
    assert code == 2
    assert columns.rstrip("=q") in errors


def test_a_blank_last_line_is_skipped_in_all_files(run, files, bert):
    folder = files(r_run=RUN + "\n", c_tsv="d1\tan egg\nd2\ta hen\n\n", q_tsv="q1\tegg\n\n")
    output = folder / "o.trec"
    texts = ["--queries", folder / "q.tsv", "--corpus", folder / "c.tsv"]
    code, _, errors = run("rerank", "--run", folder / "r.run", *texts, "--output", output, "--model", bert)
    assert code == 0, errors
    assert sorted(line.split()[2] for line in output.read_text().splitlines()) == ["d1", "d2"]


def test_lists_with_ids_of_their_own_give_the_figures_of_lists_without(run, files, bert):
    rows = [
        {"query": "apple", "docs": ["the red apple", "a green pear"], "labels": [1, 0]},
        {"query": "sky", "docs": ["a pear", "blue sky"], "labels": [0, 1]},
    ]
    folder = files(
        a_jsonl="".join(json.dumps(row) + "\n" for row in rows),
        b_jsonl="".join(json.dumps({**row, "docids": [0, 1]}) + "\n" for row in rows),
    )
    outputs = [run("evaluate", bert, "--data", folder / f"{name}.jsonl")[1] for name in "ab"]
    assert outputs[0].splitlines()[1:] == outputs[1].splitlines()[1:]
    assert len(read_collection(folder / "b.jsonl").corpus) == 4


def test_ids_that_do_not_meet_are_told(run, files, bert, caplog):
    corpus = '{"_id": 1.0, "text": "the red apple"}\n{"_id": "2", "text": "a green pear"}\n'
    folder = files(
        corpus_jsonl=corpus, queries_jsonl='{"_id": "q", "text": "apple"}\n', qrels__test_tsv="q\t1\t1\nq\t2\t0\n"
    )
    code, _, errors = run("evaluate", bert, "--data", folder)
    assert code == 0, errors
    assert "1 of 2 judged documents" in caplog.text
    (folder / "qrels" / "test.tsv").write_text("q\t1\t1\n")
    code, _, errors = run("evaluate", bert, "--data", folder)
    assert code == 2
    assert "1 of 1 judged document" in errors


def test_a_run_of_ms_marco_is_told(run, files):
    folder = files(a_run="q1\td1\t1\n", b_run=RUN, x_qrels=QRELS)
    code, _, errors = run("evaluate", folder / "b.run", "--run", folder / "a.run", "--qrels", folder / "x.qrels")
    assert code == 2
    assert "a.run:1" in errors
    assert "MS MARCO" in errors
    assert "awk" in errors


SPREADSHEET = "q,d,hits\n" + "".join(f"{query},{text},{label}\n" for query, text, label in ROWS)
NAMES = ["--columns", "query=q,document=d,label=hits"]


def test_verify_reads_a_spreadsheet(run, files, bert):
    folder = files(x_csv=SPREADSHEET)
    code, output, errors = run("verify", bert, bert, "--data", folder / "x.csv", *NAMES, "--json")
    assert code == 0, errors
    assert json.loads(output)["agreement"]["pairs"] == 4


def test_export_reads_a_spreadsheet(run, files, bert, tmp_path):
    folder = files(x_csv=SPREADSHEET)
    output = tmp_path / "exported"
    options = ["--engine", "onnx", "--calibration", folder / "x.csv", "--output", output]
    code, _, errors = run("export", bert, *options, *NAMES)
    assert code == 0, errors
    assert "nDCG@10" in errors


def test_mine_reads_a_spreadsheet(run, files):
    folder = files(x_csv=f"{SPREADSHEET}apple,an apple pie,0\nsky,a grey sky,0\n")
    code, _, errors = run("mine", folder / "x.csv", "--output", folder / "l.jsonl", *NAMES)
    assert code == 0, errors
    found = [json.loads(line) for line in (folder / "l.jsonl").read_text().splitlines()]
    assert [(row["query"], row["docs"][0], row["labels"][0]) for row in found] == [
        ("apple", "the red apple", 1),
        ("sky", "blue sky", 1),
    ]


def test_rerank_and_evaluate_read_spreadsheets_of_texts(run, files, bert):
    folder = files(
        q_csv="number,question\nq1,egg\n",
        c_csv="key,body\nd1,an egg\nd2,a hen\n",
        q_tsv="q1\tegg\n",
        c_tsv="d1\tan egg\nd2\ta hen\n",
        r_run=RUN,
        x_qrels=QRELS,
    )
    names = ["--columns", "query=question,qid=number,text=body,docid=key"]
    outputs = []
    for suffix, options in (("csv", names), ("tsv", [])):
        texts = ["--queries", folder / f"q.{suffix}", "--corpus", folder / f"c.{suffix}", *options]
        written = folder / f"{suffix}.trec"
        code, _, errors = run("rerank", "--run", folder / "r.run", *texts, "--output", written, "--model", bert)
        assert code == 0, errors
        code, output, errors = run("evaluate", bert, "--run", folder / "r.run", "--qrels", folder / "x.qrels", *texts)
        assert code == 0, errors
        outputs.append((written.read_text(), output))
    assert outputs[0] == outputs[1]


def test_a_reranking_is_not_continued_with_other_columns(run, files, bert, monkeypatch):
    folder = files(q_csv="qid,query,other\nq1,egg,hen\n", c_tsv="d1\tan egg\nd2\ta hen\n", r_run=RUN)
    texts = ["--queries", folder / "q.csv", "--corpus", folder / "c.tsv", "--run", folder / "r.run"]
    with monkeypatch.context() as patched:
        patched.setattr("plackett._resumable.PartialFile.finish", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        code, _, _ = run("rerank", *texts, "--output", folder / "o.trec", "--model", bert)
        assert code == 130
    code, _, errors = run("rerank", *texts, "--output", folder / "o.trec", "--model", bert, "--columns", "query=other")
    assert code == 2
    assert "columns" in errors
