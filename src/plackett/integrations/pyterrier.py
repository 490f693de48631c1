"""PyTerrier: a transformer that reranks result frames."""

from collections.abc import Sequence

from plackett.errors import InputError
from plackett.integrations._shared import Source, framework, opened

with framework("pyterrier", "python-terrier", "1.0"):
    import pandas as pd
    import pyterrier as pt


class PlackettReranker(pt.Transformer):
    """Adds the reranker's scores (raw logits) and new ranks to a result frame.

    `retriever % 100 >> PlackettReranker("models/mine")`. The frame needs the columns qid, query, docno, and
    `text_field`, which `pt.text.get_text` adds. All rows and their other columns are kept.
    """

    def __init__(self, model: Source = None, *, text_field: str = "text") -> None:
        self.model = opened(model)
        self.text_field = text_field

    def __repr__(self) -> str:
        return "PlackettReranker()"

    def transform(self, inp: pd.DataFrame) -> pd.DataFrame:
        """Return the frame with `score` and `rank`."""
        pt.validate.columns(inp, includes=["qid", "query", "docno", self.text_field])
        for docno, text in zip(inp["docno"], inp[self.text_field], strict=True):
            if not isinstance(text, str):
                raise InputError(f"the {self.text_field} of document {docno} is {type(text).__name__}, not text")
        pairs = list(zip(inp["query"], inp[self.text_field], strict=True))
        scores: Sequence[float] = self.model.score(pairs)[:, 0].tolist() if pairs else ()
        frame: pd.DataFrame = pt.model.add_ranks(inp.assign(score=pd.Series(scores, index=inp.index, dtype="float64")))
        return frame
