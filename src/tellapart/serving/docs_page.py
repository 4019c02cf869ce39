"""Documentation of a service as a plain HTML page, from its OpenAPI schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tellapart.inspection.page import render

_TEMPLATE = "serving/templates/docs.html"


def docs_page(schema: Mapping[str, Any], address: str, *, needs_token: bool) -> str:
    """Renders the page; it loads nothing and runs no script.

    Args:
        schema: The OpenAPI schema.
        address: Address of the service, for examples.
        needs_token: Whether requests need an access token.
    """
    operations = [
        _operation(schema, method, path, operation)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    ]
    return render(
        _TEMPLATE,
        title="tellapart: classify texts",
        subtitle=f"Version {schema['info']['version']}",
        address=address,
        operations=operations,
        needs_token=needs_token,
    )


def _operation(
    schema: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]
) -> dict[str, Any]:
    body = _content(schema, operation.get("requestBody", {}))
    answer = _content(schema, operation["responses"].get("200", {}))
    errors = {
        status: response["description"].replace("`", "")
        for status, response in operation["responses"].items()
        if status != "200"
    }
    return {
        "name": f"{method.upper()} {path}",
        "path": path,
        "summary": operation.get("description", operation.get("summary", "")),
        "fields": _fields(schema, body),
        "example": _example(body),
        "answer_fields": _fields(schema, answer),
        "answer_example": _example(answer),
        "errors": errors,
    }


def _content(schema: Mapping[str, Any], holder: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the schema of a JSON body."""
    found = holder.get("content", {}).get("application/json", {}).get("schema", {})
    return _resolved(schema, found)


def _resolved(schema: Mapping[str, Any], part: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = part.get("$ref")
    return schema["components"]["schemas"][reference.rsplit("/", 1)[-1]] if reference else part


def _fields(schema: Mapping[str, Any], body: Mapping[str, Any], prefix: str = "") -> list[list[str]]:
    """Returns name, type and meaning of each field, those of nested objects after their own."""
    rows: list[list[str]] = []
    for name, field in body.get("properties", {}).items():
        required = "" if name in body.get("required", ()) else "optional"
        rows.append([prefix + name, _type(field), required, field.get("description", "").replace("`", "")])
        for part in [field, *field.get("anyOf", ())]:
            if "$ref" in part:
                rows += _fields(schema, _resolved(schema, part), f"{prefix}{name}.")
            if "$ref" in part.get("items", {}):
                rows += _fields(schema, _resolved(schema, part["items"]), f"{prefix}{name}[].")
    return rows


def _type(field: Mapping[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_type(part) for part in field["anyOf"] if part.get("type") != "null")
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}s"
    return str(field.get("type", "object"))


def _example(body: Mapping[str, Any]) -> str:
    examples = body.get("examples")
    return json.dumps(examples[0], indent=2) if examples else ""
