"""The OpenAPI 3.1 document, made from the table of routes and the Structs that they name."""

import importlib.metadata
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from central.api.calls import PREFIX, Route
from central.api.problems import MEDIA_TYPE, Problem

_REF = "#/components/schemas/{name}"
_ALWAYS = (400, 401, 403, 500)
_WITH_BODY = (413, 415)
_PATH_FIELD = re.compile(r"\{(\w+)\}")


def document_of(routes: Sequence[Route]) -> dict[str, Any]:
    kinds: list[type[msgspec.Struct]] = [Problem]
    for route in routes:
        kinds += [kind for kind in (route.answer, route.body, route.query) if kind is not None]
    kinds = list(dict.fromkeys(kinds))
    refs, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    schemas = dict(zip(kinds, refs, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(PREFIX + route.path, {})[route.method.lower()] = _operation(route, schemas, components)
    for kind in {route.query for route in routes if route.query is not None}:
        components.pop(_component(schemas[kind]))  # its fields stand as parameters
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "codepool central",
            "version": importlib.metadata.version("codepool"),
            "summary": "The ledger of trace codes: what came, where it is, who got it",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "security": [{"token": []}],
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, schemas: dict[type[msgspec.Struct], Any], components: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "description": f"Needs a token with the scope `{route.scope}`.",
        "responses": _responses(route, schemas),
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PATH_FIELD.findall(route.path)
    ]
    if route.query is not None:
        parameters += _query_parameters(components[_component(schemas[route.query])])
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schemas[route.body]}}}
    return operation


def _query_parameters(schema: dict[str, Any]) -> list[dict[str, Any]]:
    required = set(schema.get("required", ()))
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _without_null(field)}
        for name, field in schema["properties"].items()
    ]


def _without_null(field: dict[str, Any]) -> dict[str, Any]:
    """A query string has no null: what may be left out is just not given."""
    choices = [choice for choice in field.get("anyOf", ()) if choice.get("type") != "null"]
    if len(choices) == 1:
        return dict(choices[0])
    return {name: value for name, value in field.items() if not (name == "default" and value is None)}


def _responses(route: Route, schemas: dict[type[msgspec.Struct], Any]) -> dict[str, Any]:
    answer = {"application/json": {"schema": schemas[route.answer]}}
    responses: dict[str, Any] = {"200": {"description": HTTPStatus.OK.phrase, "content": answer}}
    if route.creates:
        location = {"Location": {"schema": {"type": "string"}}}
        responses["201"] = {"description": HTTPStatus.CREATED.phrase, "content": answer, "headers": location}
    faults = set(_ALWAYS) | set(route.faults) | (set(_WITH_BODY) if route.body else set())
    for status in sorted(faults):
        content = {MEDIA_TYPE: {"schema": schemas[Problem]}}
        responses[str(status)] = {"description": HTTPStatus(status).phrase, "content": content}
    return responses


def _component(schema: dict[str, Any]) -> str:
    return str(schema["$ref"]).rpartition("/")[2]
