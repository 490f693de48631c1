"""Texts that reveal differences in scoring: several scripts, composed and decomposed accents, long and short texts."""
# ruff: noqa: RUF001 - letters of other scripts that look like Latin ones are what these texts are for

from plackett.records import Collection, ScoredDoc

QUERIES = (
    "how do I keep bread fresh",
    "Wie groß ist die Straße nach Zürich?",
    "Где находится музей?",
    "東京の天気はどうですか",
)

DOCUMENTS = (
    "Bread keeps for a few days in a paper bag; in the freezer it keeps for months.",
    "bread",
    "Die Straße nach Zürich ist gut ausgebaut. Übung macht den Meister; ﬁnden Sie den Weg?",
    "Cafe\u0301, nai\u0308ve, re\u0301sume\u0301: the same words as café, naïve, résumé, in other code points.",
    "Музей находится в центре города, рядом с вокзалом, и открыт каждый день.",
    "Το μουσείο βρίσκεται στο κέντρο της πόλης.",
    "المتحف في وسط المدينة بالقرب من المحطة.",
    "המוזיאון נמצא במרכז העיר.",
    "संग्रहालय शहर के केंद्र में है।",
    "พิพิธภัณฑ์อยู่ใจกลางเมือง",
    "今天天气很好，我们去博物馆吧。",
    "東京は晴れ、最高気温は２５度です。",
    "박물관은 도시 중심에 있습니다.",
    "👩‍🍳 bakes 🍞 at 5:30, 🙂",
    "def keep(bread: Bread, *, days: int = 3) -> None:\n\tfreezer.put(bread)  # not the fridge\n",
    "1,234.50 EUR; 2026-11-05T08:00Z; https://example.org/bread?keep=1&days=3#top",
    "!?",
    "To keep bread fresh, let it cool, wrap it in cloth, and cut only what you eat. " * 60,
    "面包放在纸袋里可以保存几天。" * 80,
)


def probes() -> Collection:
    """Return every query with every document, unjudged, in a fixed order."""
    queries = {f"query {number}": text for number, text in enumerate(QUERIES, start=1)}
    corpus = {f"document {number}": text for number, text in enumerate(DOCUMENTS, start=1)}
    run = [ScoredDoc(query, doc, -float(rank)) for query in queries for rank, doc in enumerate(corpus)]
    return Collection("built-in texts", queries, corpus, (), run)
