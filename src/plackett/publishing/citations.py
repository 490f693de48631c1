"""The papers behind losses, bases and data, cited at the end of a card. The entries are in `citations.bib`."""

import re
from collections.abc import Iterable
from importlib.resources import files

# Loss -> the key of its paper.
LOSS_PAPERS = {
    "list_mle": "xia2008listwise",
    "p_list_mle": "lan2014position",
    "list_net": "cao2007learning",
    "list_softmax": "bruch2019analysis",
    "rank_net": "burges2005learning",
    "lambda_loss": "wang2018lambdaloss",
    "approx_ndcg": "qin2010general",
    "neural_ndcg": "pobrotyn2021neuralndcg",
    "adr_mse": "schlatt2025rankdistillm",
    "margin_mse": "hofstatter2020improving",
    "kl_divergence": "hinton2015distilling",
    "binary_cross_entropy": "nogueira2019passage",
    "multiple_negatives": "henderson2017efficient",
}

# Pattern of the name of a base, data set or collection -> the key of its paper.
NAMED_PAPERS = {
    r"\bminilm": "wang2020minilm",
    r"\bbert-(base|large)": "devlin2019bert",
    r"(?<!xlm-)\broberta-(base|large)": "liu2019roberta",
    r"\bxlm-roberta": "conneau2020unsupervised",
    r"\belectra-(small|base|large)": "clark2020electra",
    r"\bdistilbert": "sanh2019distilbert",
    r"\bm?deberta-v3": "he2023debertav3",
    r"\bmodernbert": "warner2024modernbert",
    r"\bms[_-]?marco|nanomsmarco": "bajaj2016msmarco",
    r"\bnano(beir|climatefever|dbpedia|fever|fiqa|hotpotqa|msmarco|nfcorpus|nq|quora|scidocs|arguana|scifact|touche)": (
        "thakur2021beir"
    ),
}


def papers(loss: str, names: Iterable[str]) -> list[str]:
    """Return the BibTeX entries for a loss and for bases and data of these names, in this order, each once."""
    keys = [LOSS_PAPERS[loss]] if loss in LOSS_PAPERS else []
    for name in names:
        keys += [key for pattern, key in NAMED_PAPERS.items() if re.search(pattern, name, re.IGNORECASE)]
    known = entries()
    return [known[key] for key in dict.fromkeys(keys)]


def entries() -> dict[str, str]:
    """Return key -> BibTeX entry."""
    text = files("plackett.publishing").joinpath("citations.bib").read_text(encoding="utf-8")
    return {match[1]: match[0] for match in re.finditer(r"^@\w+\{(\w+),.*?^\}", text, re.MULTILINE | re.DOTALL)}
