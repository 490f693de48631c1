"""BM25 against its formula; splitting by words, stems and characters; scripts without spaces are found."""

# ruff: noqa: RUF001 - full-width characters are meant

import math
import re
import subprocess
import sys
from importlib.metadata import version

import bm25s
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plackett._extras import is_installed
from plackett.errors import DataError, MissingExtraError, SettingError
from plackett.records import Collection
from plackett.retrieval.bm25 import BM25, LANGUAGES, Splitting, ngrams, spaceless_share, with_bm25

CORPUS = {"a": "red apple pie", "b": "green apple", "c": "blue sky over red red roofs", "d": "nothing here matches"}
QUERIES = {"1": "red apple", "2": "zebra"}


def bm25(query, document, k1=1.5, b=0.75):
    texts = {name: re.findall(r"\w\w+", text) for name, text in CORPUS.items()}
    average = sum(map(len, texts.values())) / len(texts)
    score = 0.0
    for term in query.split():
        frequency, containing = texts[document].count(term), sum(term in text for text in texts.values())
        idf = math.log(1 + (len(texts) - containing + 0.5) / (containing + 0.5))
        score += idf * frequency / (frequency + k1 * (1 - b + b * len(texts[document]) / average))
    return score


def test_scores_are_bm25s_and_documents_without_a_term_are_left_out():
    run = BM25(CORPUS).run(QUERIES, depth=10)
    assert {scored.query_id for scored in run} == {"1"}
    expected = sorted(((bm25("red apple", name), name) for name in "abc"), reverse=True)
    assert [(scored.doc_id) for scored in run] == [name for _, name in expected]
    # bm25s drops the English stop words "over" and "here" from the lengths, the formula above does not.
    assert [scored.score for scored in run] == pytest.approx([score for score, _ in expected], rel=0.1)


def test_depth_bounds_the_candidates():
    assert len(BM25(CORPUS).run(QUERIES, depth=2)) == 2


def test_nothing_to_search_is_an_error_and_no_query_an_empty_run():
    with pytest.raises(DataError, match="no documents"):
        BM25({})
    for corpus in ({"a": "the", "b": ""}, {"a": "x y z"}):
        with pytest.raises(DataError, match="--language"):
            BM25(corpus)
    assert BM25(CORPUS).run({}, depth=3) == []


def test_english_is_split_exactly_as_bm25s_splits_it():
    texts = ["The naïve café's e-mail_address, 3.14 and I", "Übermäßig groß", "", "a 東京 b"]
    theirs = bm25s.tokenize(texts, show_progress=False)
    ours = Splitting(ngrams=0).terms(texts)
    assert (ours.ids, ours.vocab) == (theirs.ids, theirs.vocab)
    assert str(Splitting(ngrams=0)) == "English stop words, no stemming"


def test_the_collection_gets_the_run_and_the_description():
    index = bm25s.BM25()
    collection = with_bm25(Collection("c", QUERIES, CORPUS, (), ()), depth=10)
    assert collection.run == BM25(CORPUS).run(QUERIES, depth=10)
    assert collection.origin.first_stage == (
        f"BM25 (bm25s {version('bm25s')}, {index.method}, k1 {index.k1}, b {index.b}, English stop words, no stemming)"
    )


def found(corpus, query, **settings):
    return [scored.doc_id for scored in BM25(corpus, Splitting(**settings)).run({"q": query}, depth=10)]


def test_stop_words_are_those_of_the_language():
    corpus = {"a": "der Hund", "b": "ein Hund und der Apfel", "c": "the apple"}
    assert found(corpus, "der") == ["a", "b"]
    assert found(corpus, "der", language="german") == []
    assert found(corpus, "the", language="german") == ["c"]
    assert found(corpus, "the", language="none") == ["c"]
    assert found(corpus, "the") == []


@pytest.mark.skipif(not is_installed("Stemmer"), reason="the extra `stemmer` is not installed")
def test_a_stemmer_finds_other_forms():
    corpus = {"a": "ranking documents", "b": "a ranked list", "c": "pears"}
    assert found(corpus, "rank") == []
    assert sorted(found(corpus, "rank", stemmer="english")) == ["a", "b"]
    description = BM25(corpus, Splitting(stemmer="english", language="none")).description
    assert description.endswith("no stop words, english stemmer)")


@pytest.mark.process
@pytest.mark.skipif(not is_installed("Stemmer"), reason="the extra `stemmer` is not installed")
def test_stemmed_scores_do_not_depend_on_the_order_of_sets():
    program = (
        "from plackett.retrieval.bm25 import *; "
        "corpus = {str(i): f'ranked ranking w{i % 7} words lists listing w{i % 3}' for i in range(50)}; "
        "print(BM25(corpus, Splitting(stemmer='english')).run({'q': 'w1 w2 list words rank w5 listed'}, depth=20))"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in "123"
    }  # fmt: skip
    assert len(runs) == 1


def test_a_stemmer_that_is_not_installed_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "Stemmer", None)
    with pytest.raises(MissingExtraError, match=r"plackett\[stemmer\]"):
        Splitting(stemmer="english")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"language": "germann"}, "did you mean 'german'"),
        ({"language": "klingon"}, "known: .*none"),
        ({"ngrams": -1}, "ngrams is -1"),
        pytest.param(
            {"stemmer": "englsh"},
            "did you mean 'english'",
            marks=pytest.mark.skipif(not is_installed("Stemmer"), reason="the extra `stemmer` is not installed"),
        ),
    ],
)
def test_unknown_settings_are_errors(settings, named):
    with pytest.raises(SettingError, match=named):
        Splitting(**settings)


def test_every_language_can_be_chosen():
    assert {"english", "german", "chinese", "japanese", "korean", "none"} <= set(LANGUAGES)
    for language in LANGUAGES:
        assert found({"a": "zzyzx qqq", "b": "other words"}, "zzyzx", language=language) == ["a"]


# Scripts without spaces ----------------------------------------------------------------------------------------------

# Five documents and a question for each, whose words occur inside of longer runs of characters.
CHINESE = {
    "苹果": "苹果是一种常见的水果，富含维生素和膳食纤维。",
    "长城": "万里长城是中国古代修建的防御工程，全长超过两万公里。",
    "排序": "重排序模型同时读取查询和文档，并给出一个相关性分数。",
    "茶叶": "绿茶未经发酵，保留了鲜叶中较多的天然物质。",
    "高铁": "北京到上海的高速铁路全程大约需要四个半小时。",
}
CHINESE_QUERIES = {
    "苹果": "哪些水果含有维生素？",
    "长城": "长城有多少公里长",
    "排序": "模型怎样计算文档的相关性",
    "茶叶": "什么茶没有发酵",
    "高铁": "从北京坐高速铁路去上海要几个小时",
}
JAPANESE = {
    "寿司": "寿司は酢飯と魚介類を組み合わせた日本料理である。",
    "富士": "富士山は標高三七七六メートルで、日本で最も高い山です。",
    "検索": "検索エンジンは文書を索引に登録し、質問に近い順に並べる。",
    "鉄道": "新幹線は東京と新大阪をおよそ二時間半で結んでいる。",
    "天気": "梅雨の時期は雨の日が多く、湿度も高くなります。",
}
JAPANESE_QUERIES = {
    "寿司": "酢飯を使う料理は何ですか",
    "富士": "日本で一番高い山の標高",
    "検索": "検索エンジンが文書を並べる方法",
    "鉄道": "東京から大阪まで新幹線で何時間",
    "天気": "梅雨に雨が多いのはいつ",
}
THAI = {
    "ข้าว": "ข้าวผัดเป็นอาหารไทยที่นิยมมาก",
    "รถไฟ": "รถไฟฟ้าในกรุงเทพเปิดให้บริการทุกวัน",
    "ฝน": "ฤดูฝนมีฝนตกหนักเกือบทุกวัน",
}
THAI_QUERIES = {"ข้าว": "อาหารไทย", "รถไฟ": "นั่งรถไฟฟ้าในกรุงเทพ", "ฝน": "ฝนตกหนัก"}
KOREAN = {
    "사과": "사과는 비타민이 풍부한 과일이다",
    "기차": "서울에서 부산까지 기차로 세 시간이 걸린다",
    "산": "한라산은 제주도에 있는 산이다",
}
KOREAN_QUERIES = {"사과": "사과에 비타민", "기차": "부산행 기차", "산": "제주도의 산"}

SPACELESS = {
    "Chinese": (CHINESE, CHINESE_QUERIES),
    "Japanese": (JAPANESE, JAPANESE_QUERIES),
    "Thai": (THAI, THAI_QUERIES),
    "Korean": (KOREAN, KOREAN_QUERIES),
}


@pytest.mark.parametrize("name", SPACELESS)
def test_text_without_spaces_is_detected_and_each_question_finds_its_document_first(name):
    corpus, queries = SPACELESS[name]
    run = BM25(corpus).run(queries, depth=1)
    assert {scored.query_id: scored.doc_id for scored in run} == {query_id: query_id for query_id in queries}
    assert "character 2-grams" in BM25(corpus).description


@pytest.mark.parametrize("name", ["Chinese", "Japanese"])
def test_words_alone_find_next_to_nothing_there(name):
    corpus, queries = SPACELESS[name]
    assert BM25(corpus, Splitting(ngrams=0)).run(queries, depth=10) == []


LUCENE = {  # as in its TestCJKAnalyzer and TestCJKWidthFilter: a single character stays, and words stay words
    "一二三四五六七八九十": "一二 二三 三四 四五 五六 六七 七八 八九 九十",
    "一 二三四 五六七八九 十": "一 二三 三四 五六 六七 七八 八九 十",
    "あいうえおabcかきくけこ": "あい いう うえ えお abc かき きく くけ けこ",
    "Ｔｅｓｔ １２３４": "Test 1234",
    "ﾃｽﾄ": "テス スト",
}


@pytest.mark.parametrize("text", LUCENE)
def test_ngrams_are_those_of_lucene(text):
    assert ngrams(text, 2).split() == LUCENE[text].split()


@given(st.text(st.sampled_from("東京都 abcア"), max_size=30), st.integers(1, 4))
def test_ngrams_lose_no_character_and_are_no_longer_than_asked(text, size):
    terms = ngrams(text, size).split()
    spaceless = [term for term in terms if re.match("[東京都ア]", term)]
    assert max(map(len, spaceless), default=0) <= size
    assert set("".join(terms)) == set(text) - {" "}


def test_a_query_of_two_words_needs_no_space_between_scripts():
    corpus = {"a": "iPhoneの電池を交換する", "b": "電車の時刻表", "c": "Androidの電池"}
    assert found(corpus, "iphone電池") == ["a", "c"]


def test_the_share_of_text_without_spaces_decides():
    assert spaceless_share(["abc", ""]) == 0
    assert spaceless_share(["東京"]) == 1
    assert spaceless_share(["東京", "ab"]) == 0.5
    assert spaceless_share([]) == 0
    english = {str(i): "plain words all over this document, one after the other" for i in range(100)}
    quoting = english | {"q": "the city of 東京 is large"}
    assert "2-grams" not in BM25(quoting).description
    assert "2-grams" in BM25(quoting | {"j": "".join(JAPANESE.values())}).description
