"""JSON schemas of requests and replies, for the OpenAPI document."""

from collections.abc import Mapping, Sequence

Schema = dict[str, object]

LARGEST = 2**31
TEXT: Schema = {"type": "string"}
BOOLEAN: Schema = {"type": ["boolean", "null"]}
COUNT: Schema = {"type": ["integer", "null"], "minimum": 1, "maximum": LARGEST}
TOKENS: Schema = {"type": ["integer", "null"], "minimum": 0, "maximum": LARGEST}
NUMBER: Schema = {"type": "number"}
QUERY: Schema = {"type": "string", "pattern": r"\w", "description": "The query; it must not be blank."}


def _described(schema: Schema, description: str) -> Schema:
    return {**schema, "description": description}


def _list(items: Schema, **more: object) -> Schema:
    return {"type": "array", "items": items, **more}


def _object(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


# The settings of every request, by the names of all dialects.
OPTIONS: Mapping[str, Schema] = {
    "model": _described({"type": ["string", "null"]}, "Name of one of several models."),
    "top_n": _described(COUNT, "Return at most this many results."),
    "top_k": _described(COUNT, "The same as top_n, which overrides it."),
    "min_score": _described({"type": ["number", "null"]}, "Return only results with at least this score."),
    "return_documents": _described(BOOLEAN, "Return the documents."),
    "return_text": _described(BOOLEAN, "The same as return_documents."),
    "return_input": _described(BOOLEAN, "The same as return_documents."),
    "raw_scores": _described(BOOLEAN, "Return logits instead of probabilities."),
    "use_activation": _described(BOOLEAN, "If false, return logits instead of probabilities."),
    "activation": _described({"enum": ["sigmoid", "identity", "tanh", "calibrated", None]}, "The scale of the scores."),
    "truncate": _described(
        {"enum": [True, False, "NONE", "END", "START", None]},
        "If false, refuse pairs that are too long.",
    ),
    "truncation": _described(BOOLEAN, "The same as truncate."),
    "truncation_side": _described({"enum": ["left", "right", None]}, "The side at which long texts are cut."),
    "truncation_direction": _described({"enum": ["Left", "Right", None]}, "The same as truncation_side."),
    "truncate_prompt_tokens": _described(
        {"type": ["integer", "null"], "minimum": -1, "maximum": LARGEST},
        "Maximum number of tokens of a pair; -1 uses the model's limit.",
    ),
    "max_tokens_per_doc": _described(TOKENS, "Maximum number of tokens of a document; 0 sets no limit."),
    "max_tokens_per_query": _described(TOKENS, "Maximum number of tokens of the query; 0 sets no limit."),
    "relevant_spans": {
        "description": "Return the sentences that the score of a document depends on.",
        "anyOf": [
            {"type": "null"},
            _object(
                {"mode": {"enum": ["enabled", "disabled"]}},
                {"threshold": {"type": ["number", "null"]}, "max_spans": COUNT},
            ),
        ],
    },
    "instruction": _described(
        {"type": ["string", "null"]}, "What to look for, for a model with a chat template; others ignore it."
    ),
    "priority": _described(
        {"type": ["integer", "null"], "minimum": -LARGEST, "maximum": LARGEST},
        "Above 0, the request waits longer and is refused first.",
    ),
}
RANK_FIELDS: Schema = {
    **_list(TEXT),
    "type": ["array", "null"],
    "description": "Fields to score, if documents are objects.",
}

DOCUMENT: Schema = {"anyOf": [TEXT, _object({"text": TEXT})]}
DOCUMENTS = _list(DOCUMENT, minItems=1)
RANKED_QUERY: Schema = {"anyOf": [QUERY, _object({"text": QUERY})]}
INTEGER: Schema = {"type": "integer"}


def _ranking(name: str) -> Schema:
    return _object({"query": RANKED_QUERY, name: DOCUMENTS}, {**OPTIONS, "rank_fields": RANK_FIELDS})


def _sides(left: str, right: str) -> Schema:
    """Return the schemas of two sides: one text on the left, any number on the right."""
    return _object({left: QUERY, right: {"anyOf": [TEXT, DOCUMENTS]}}, OPTIONS)


def _item(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    spans = {"relevant_spans": _list(_reference("Span"))}
    return _object({"index": {"type": "integer", "minimum": 0}, **required}, {**spans, **(optional or {})})


def _reply(items: str, item: Schema, extra: Mapping[str, Schema]) -> Schema:
    about: Mapping[str, Schema] = {"id": TEXT, "object": TEXT, "created": INTEGER, "model": TEXT}
    return _object({**about, items: _list(item), "usage": _reference("Usage")}, extra)


def _any_of(schemas: Sequence[Schema]) -> Schema:
    return {"anyOf": list(schemas)}


MODEL = _object({"id": TEXT, "object": TEXT, "created": INTEGER, "owned_by": TEXT})
PAIR = _list(TEXT, minItems=2, maxItems=2)
QUERY_PAIR: Schema = {"type": "array", "prefixItems": [QUERY, TEXT], "items": TEXT, "minItems": 2, "maxItems": 2}
PLACE: Schema = {"type": ["integer", "null"]}
TOKEN = _object({"id": INTEGER, "text": TEXT, "special": {"type": "boolean"}, "start": PLACE, "stop": PLACE})
RESULT = _item({"relevance_score": NUMBER}, {"document": {}})

SCHEMAS: Mapping[str, Schema] = {
    "RerankRequest": _ranking("documents"),
    "RerankReply": _reply("results", RESULT, {"data": _list(RESULT), "meta": {"type": "object"}}),
    "TeiRequest": _ranking("texts"),
    "TeiReply": _list(_item({"score": NUMBER}, {"text": TEXT})),
    "MixedbreadRequest": _ranking("input"),
    "MixedbreadReply": _reply("data", _item({"score": NUMBER}, {"input": {}}), {}),
    "NimRequest": _ranking("passages"),
    "NimReply": _object({"rankings": _list(_item({"logit": NUMBER})), "usage": _reference("Usage")}),
    "ScoreRequest": _any_of(
        [
            _sides(*names)
            for names in (("queries", "documents"), ("queries", "items"), ("data_1", "data_2"), ("text_1", "text_2"))
        ]
    ),
    "ScoreReply": _reply("data", _object({"index": INTEGER, "object": TEXT, "score": NUMBER}), {}),
    "IsaacusReply": _object({"results": _list(_item({"score": NUMBER})), "usage": _object({"input_tokens": INTEGER})}),
    "DeepInfraRequest": _sides("queries", "documents"),
    "DeepInfraReply": _object({"scores": _list(NUMBER), "input_tokens": INTEGER, "request_id": TEXT}),
    "SimilarityRequest": _object(
        {"inputs": _object({"source_sentence": QUERY, "sentences": _list(TEXT, minItems=1)})}, OPTIONS
    ),
    "SimilarityReply": _list(NUMBER),
    "PredictRequest": _object(
        {"inputs": _any_of([QUERY_PAIR, _list(QUERY_PAIR, minItems=1)])},
        {"raw_scores": BOOLEAN, "truncate": BOOLEAN},
    ),
    "PredictReply": _any_of([_list(_reference("Label")), _list(_list(_reference("Label")))]),
    "Label": _object({"score": NUMBER, "label": TEXT}),
    "Span": _object({"start": INTEGER, "end": INTEGER, "score": {"type": "number", "minimum": 0, "maximum": 1}}),
    "Usage": _object({"prompt_tokens": INTEGER, "completion_tokens": INTEGER, "total_tokens": INTEGER}),
    "TokenizeRequest": _any_of(
        [
            _object({name: _any_of([TEXT, _list(TEXT, minItems=1)])}, {"add_special_tokens": BOOLEAN})
            for name in ("inputs", "prompt")
        ]
    ),
    "TeiTokens": _list(_list(TOKEN)),
    "VllmTokens": _object({"tokens": _list(INTEGER), "count": INTEGER, "max_model_len": INTEGER}),
    "Status": _object({"status": TEXT}),
    "Models": _object({"object": TEXT, "data": _list(MODEL)}),
    "Info": _object(
        {
            "model_id": TEXT,
            "model_type": {"type": "object"},
            "max_input_length": INTEGER,
            "max_client_batch_size": INTEGER,
            "max_concurrent_requests": INTEGER,
            "max_batch_tokens": INTEGER,
            "auto_truncate": {"type": "boolean"},
            "version": TEXT,
        }
    ),
    "Reloaded": _object({"models": _list(TEXT)}),
    "Anything": {"type": "object"},
    "Error": _object(
        {
            "id": TEXT,
            "message": TEXT,
            "detail": TEXT,
            "error": _object(
                {"message": TEXT, "type": TEXT, "code": INTEGER, "param": {"type": ["string", "null"]}},
            ),
        }
    ),
    "TeiError": _object({"error": TEXT}, {"error_type": TEXT}),
}
