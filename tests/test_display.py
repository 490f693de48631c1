"""What a notebook shows."""

import json
import pickle
from html.parser import HTMLParser

import pytest

from plackett import CrossEncoder
from plackett._display import MOST_ROWS, Ranking
from plackett.evaluation import compare
from plackett.evaluation.report import _rows
from plackett.records import Collection, Qrel, ScoredDoc


class Cells(HTMLParser):
    """The rows of a table, as a browser reads them."""

    def __init__(self, text):
        super().__init__()
        self.rows = []
        self.feed(text)

    def filled(self):
        return [row for row in self.rows if row]

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data

    def handle_endtag(self, tag):
        if tag == "tr":
            self.rows.append([])


@pytest.fixture(scope="module")
def model():
    return CrossEncoder()


def test_a_ranking_is_a_list_and_a_table(model):
    documents = ["Hens lay eggs.", "<b>An egg</b> has 72 calories & more."]
    ranked = model.rank("calories in an egg", documents, return_documents=True)
    head, first, second = Cells(ranked._repr_html_()).filled()
    assert head == ["rank", "score", "id", "text"]
    assert first == ["1", f"{ranked[0]['score']:.4f}", "1", documents[1]]
    assert second[0] == "2"
    assert isinstance(ranked, list)
    assert json.loads(json.dumps(ranked)) == ranked == pickle.loads(pickle.dumps(ranked))


def test_texts_are_shown_if_they_are_there(model):
    ranked = model.rank("a", ["b"])
    assert Cells(ranked._repr_html_()).filled()[0] == ["rank", "score", "id"]
    [ranked] = model.rank_many(["a"], [[{"id": "x7", "text": "b"}]])
    assert Cells(ranked._repr_html_()).filled()[1][2] == "x7"


def test_a_long_ranking_is_cut():
    shown = Ranking({"corpus_id": number, "score": 0.5} for number in range(MOST_ROWS + 7))._repr_html_()
    assert len(Cells(shown).filled()) == MOST_ROWS + 1
    assert "7 more" in shown


def test_a_comparison_has_the_cells_of_its_report(model):
    collection = Collection(
        "eggs <1>",
        {"q": "calories in an egg"},
        {"a": "Hens lay eggs.", "b": "An egg has 72 calories."},
        [Qrel("q", "b", 1)],
        [ScoredDoc("q", "a", 2.0), ScoredDoc("q", "b", 1.0)],
    )
    comparison = compare(model, collection, depth=2)
    shown = comparison._repr_html_()
    assert Cells(shown).filled() == _rows([comparison])
    assert "eggs &lt;1&gt;" in shown
