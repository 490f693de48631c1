"""The facts of the published reference card, and others, for tests."""

from dataclasses import replace

from plackett.facts import Evaluation, Facts, Lists, MeasureFacts, Model, Sample, Spread, Training, Usage

REVISION = "a47ee7aae8d7d466ba15f9f0bfac3b3681087b3a"
SAMPLES = tuple(Sample(f"what is {n}?", ("so it is", "not so"), (1.0, 0.0), 2) for n in range(3))
MS_MARCO = Lists(
    name="microsoft/ms_marco",
    source="hf://datasets/microsoft/ms_marco/v1.1/train-00000-of-00001.parquet",
    revision=REVISION,
    size=78704,
    sampled=1000,
    query_characters=Spread(11, 33.9, 98),
    document_characters=Spread(12, 401.25, 1100),
    list_length=Spread(2, 8.2, 10),
    label=Spread(0, 0.125, 1),
    samples=SAMPLES,
)
TRAINING = Training(
    data=(MS_MARCO,),
    held_out=replace(MS_MARCO, name="held-out", source="", revision="", size=1000),
    loss="p_list_mle",
    loss_parameters={"weight": "reciprocal_log", "normalise": False, "ties": "input_order"},
    settings={"list_size": 100, "mini_batch_size": 16, "depth": 100},
    arguments={
        "eval_strategy": "steps",
        "per_device_train_batch_size": 16,
        "learning_rate": 2e-05,
        "num_train_epochs": 1,
        "weight_decay": 0.0,
        "seed": 12,
        "bf16": True,
        "load_best_model_at_end": True,
    },
    changed=("mini_batch_size", "learning_rate", "num_train_epochs", "seed", "bf16", "load_best_model_at_end"),
    log=(
        {"step": 0, "epoch": 0.0, "eval_mean_nDCG@10": 0.03},
        {"step": 250, "epoch": 0.05, "loss": 12.5, "learning_rate": 1e-5},
        {"step": 500, "epoch": 0.1, "loss": 11.25, "learning_rate": 2e-5},
        {"step": 500, "epoch": 0.1, "eval_mean_nDCG@10": 0.4636, "eval_runtime": 12.0},
        {"step": 1000, "epoch": 0.2, "eval_mean_nDCG@10": 0.45},
    ),
    best_step=500,
    lists_seen=78704,
    seconds=3601.4,
    hardware="a graphics card",
)
MODEL = Model(
    name="reranker-MiniLM-L12",
    base="microsoft/MiniLM-L12-H384-uncased",
    base_revision="44acabbec0ef496f6dbc93adadea57f376b7c0ec",
    architecture="BertForSequenceClassification",
    parameters=33360769,
    max_length=512,
    labels=1,
    activation="sigmoid",
    language=("en",),
)
# The published card's table: value and difference by collection.
REFERENCE = {
    "NanoMSMARCO_R100": {"map": (0.4776, -0.0120), "mrr@10": (0.4665, -0.0110), "ndcg@10": (0.5330, -0.0074)},
    "NanoNFCorpus_R100": {"map": (0.3041, 0.0431), "mrr@10": (0.4803, -0.0195), "ndcg@10": (0.3170, -0.0081)},
    "NanoNQ_R100": {"map": (0.4790, 0.0594), "mrr@10": (0.4831, 0.0564), "ndcg@10": (0.5407, 0.0401)},
    "NanoBEIR_R100_mean": {"map": (0.4202, 0.0302), "mrr@10": (0.4766, 0.0086), "ndcg@10": (0.4636, 0.0082)},
}
REFERENCE_TABLE = """\
| | NanoMSMARCO_R100 | NanoNFCorpus_R100 | NanoNQ_R100 | NanoBEIR_R100_mean |
|---|---|---|---|---|
| map | 0.4776 (-0.0120) | 0.3041 (+0.0431) | 0.4790 (+0.0594) | 0.4202 (+0.0302) |
| mrr@10 | 0.4665 (-0.0110) | 0.4803 (-0.0195) | 0.4831 (+0.0564) | 0.4766 (+0.0086) |
| **ndcg@10** | 0.5330 (-0.0074) | 0.3170 (-0.0081) | 0.5407 (+0.0401) | 0.4636 (+0.0082) |
"""


def measured(value, difference, **more):
    return MeasureFacts(first_stage=value - difference, reranked=value, difference=difference, **more)


def reference_evaluations():
    for name, measures in REFERENCE.items():
        mean = "mean" in name
        yield Evaluation(
            collection=name,
            queries=150 if mean else 50,
            depth=100,
            measures={measure: measured(*values) for measure, values in measures.items()},
            primary="ndcg@10",
            parameters={"at_k": 10, "always_rerank_positives": True},
            task="cross-encoder-nano-beir" if mean else "cross-encoder-reranking",
        )


FACTS = Facts(
    model=MODEL,
    versions={"python": "3.11.2", "plackett": "0.1.0"},
    usage=Usage("how?", ("so", "or 'so'", "no"), (0.25, 0.9, 0.1), (-1.0986, 2.1972, -2.1972)),
    training=TRAINING,
    evaluations=tuple(reference_evaluations()),
)
HELD_OUT = Evaluation(
    collection="held out",
    queries=43,
    depth=50,
    primary="nDCG@10",
    measures={
        "nDCG@10": measured(0.7012, 0.1954, ci95=(0.1, 0.3), p_value=0.001),
        "AP": measured(0.35, -0.05, ci95=(-0.12, 0.02), p_value=0.21),
    },
)
BARE = Facts(model=replace(MODEL, base="", language=()), versions={})
