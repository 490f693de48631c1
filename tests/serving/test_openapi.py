"""The OpenAPI document: schemathesis sends what it describes, and checks the replies against it."""

import re
import warnings

import pytest
from hypothesis import HealthCheck, given, settings

from plackett.dialects.requests import OPTIONS
from plackett.serving.documentation import page
from plackett.serving.openapi import document
from plackett.serving.schemas import OPTIONS as DESCRIBED
from plackett.serving.schemas import SCHEMAS
from serving_app import serving

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import schemathesis
    from schemathesis.specs.openapi import checks

pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore")]

CHECKS = (
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
)


@pytest.fixture(scope="module")
def server(bert):
    with serving(bert) as made:
        yield made


@pytest.fixture(scope="module")
def described(server):
    return schemathesis.openapi.from_asgi("/openapi.json", server.app)


@pytest.mark.slow
def test_the_server_does_what_its_document_says(described, subtests):
    for operation in (result.ok() for result in described.get_all_operations()):

        @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def conforms(case):
            case.call_and_validate(checks=CHECKS)

        with subtests.test(operation.label):
            conforms()


def test_every_setting_is_described():
    assert DESCRIBED.keys() == OPTIONS.keys()


def test_references_lead_somewhere():
    found = set(re.findall(r"#/components/schemas/(\w+)", str(document([("POST", "/rerank"), ("GET", "/models")]))))
    assert found <= SCHEMAS.keys()


def test_the_page_has_everything_in_it(server):
    reply = server.get("/docs")
    assert reply.headers["content-type"].startswith("text/html")
    assert "<script" not in reply.text
    assert not re.search(r"https?://|url\(|@import|src=", page(document([("POST", "/rerank")])))
    for path in server.get("/openapi.json").json()["paths"]:
        assert f" {path}</code>" in reply.text
