"""Problem bodies of Replicate: `detail` and `status`, sometimes `title` and `invalid_fields`."""

from __future__ import annotations

from typing import Any

from peft_tui.sandbox.web import Refusal

PROBLEM = "application/problem+json"


def refuse(status: int, detail: str, *, title: str | None = None, **extra: Any) -> Refusal:
    """An error answer."""
    headers = extra.pop("headers", None)
    body: dict[str, Any] = {"title": title} if title else {}
    return Refusal(status, {**body, "detail": detail, "status": status, **extra}, headers, PROBLEM)


def not_found() -> Refusal:
    """404 in the platform's words."""
    return refuse(404, "The requested resource could not be found.")


def bad_version() -> Refusal:
    """422 for a version that does not exist."""
    return refuse(
        422,
        "The specified version does not exist (or perhaps you don't have permission to use it?)",
        title="Invalid version or not permitted",
    )


def no_credit() -> Refusal:
    """402 of an empty prepaid balance."""
    return refuse(
        402,
        "You have insufficient credit to run this model. Go to "
        "https://replicate.com/account/billing#billing to "
        "purchase credit. Once you purchase credit, please wait a few minutes before trying again.",
        title="Insufficient credit",
    )


class Fields:
    """Collects what is wrong with the fields of a body."""

    def __init__(self) -> None:
        self.faults: list[dict[str, str]] = []

    def add(self, type: str, field: str, description: str) -> None:
        """One more fault; `field` is empty for the top level."""
        self.faults.append({"type": type, "field": field, "description": description})

    def check(self) -> None:
        """Refuse with 422 if there is any."""
        if self.faults:
            detail = "".join(f"- {f['field'] or '(root)'}: {f['description']}\n" for f in self.faults)
            raise refuse(422, detail, title="Input validation failed", invalid_fields=self.faults)


_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def is_kind(value: Any, kind: str) -> bool:
    """Whether a JSON value is of a JSON schema type."""
    if isinstance(value, bool) and kind != "boolean":
        return False
    return isinstance(value, _KINDS.get(kind, (object,)))


def check_value(fields: Fields, name: str, value: Any, schema: dict[str, Any]) -> None:
    """Check a value against the simple parts of a JSON schema."""
    kind = schema.get("type")
    if kind and not is_kind(value, kind):
        fields.add("invalid_type", name, f"Invalid type. Expected: {kind}, given: {_name_of(value)}")
        return
    if "enum" in schema and value not in schema["enum"]:
        fields.add(
            "enum", name, f"{name} must be one of the following: {', '.join(map(str, schema['enum']))}"
        )
    if isinstance(value, int | float) and not isinstance(value, bool):
        if "minimum" in schema and value < schema["minimum"]:
            fields.add("number_gte", name, f"Must be greater than or equal to {schema['minimum']}")
        if "maximum" in schema and value > schema["maximum"]:
            fields.add("number_lte", name, f"Must be less than or equal to {schema['maximum']}")


def _name_of(value: Any) -> str:
    if value is None:
        return "null"
    return next(
        (n for n in ("boolean", "integer", "number", "string", "array", "object") if is_kind(value, n)), "?"
    )


def check_object(
    body: Any, properties: dict[str, dict[str, Any]], required: tuple[str, ...], *, strict: bool = True
) -> dict[str, Any]:
    """Check a request body; unknown keys are refused when strict.

    Raises:
        Refusal: 422 with `invalid_fields`.
    """
    fields = Fields()
    if not isinstance(body, dict):
        fields.add("invalid_type", "", f"Invalid type. Expected: object, given: {_name_of(body)}")
        fields.check()
    for name in required:
        if name not in body:
            fields.add("required", name, f"{name} is required")
    for name, value in body.items():
        if name in properties:
            check_value(fields, name, value, properties[name])
        elif strict:
            fields.add("additional_property_not_allowed", "", f"Additional property {name} is not allowed")
    fields.check()
    result: dict[str, Any] = body
    return result
