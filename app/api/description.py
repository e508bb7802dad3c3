"""The OpenAPI document, made of the routes themselves."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from app.api.problems import Kind, Problem, documented


def describe_api(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with every problem described once."""
    document: dict[str, Any] = app.openapi()
    components = document["components"]
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    components["schemas"] |= problem.pop("$defs", {}) | {"Problem": problem}
    described = documented(*(kind for kind in Kind if kind.is_documented))
    components["responses"] = {Kind.of(int(status)).name: each for status, each in described.items()}
    for operations in document["paths"].values():
        for operation in operations.values():
            _refer(operation["responses"])
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = _present(parameter["schema"])
    return document


def _refer(responses: dict[str, Any]) -> None:
    for status in responses:
        if int(status) >= 400:
            responses[status] = {"$ref": f"#/components/responses/{Kind.of(int(status)).name}"}


def _present(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter that is not given is left out: there is no null in a path or a query."""
    forms: list[dict[str, Any]] = [form for form in schema.get("anyOf", ()) if form.get("type") != "null"]
    if len(forms) != 1:
        return schema
    return {name: value for name, value in schema.items() if name != "anyOf"} | forms[0]
