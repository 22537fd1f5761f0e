"""Turns a JSON Schema (2020-12) into what there is to look for: objects, lists and single values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jsonschema_rs

__all__ = ["ListNode", "Node", "ObjectNode", "ValueNode", "compile_schema", "validator"]

_MAX_DEPTH = 8
"""A schema may contain itself; documents do not go that deep."""

_MAX_NODES = 2_000

ValueType = Literal["string", "number", "integer", "boolean"]
_VALUE_TYPES: tuple[ValueType, ...] = ("string", "number", "integer", "boolean")


@dataclass(frozen=True, slots=True)
class ValueNode:
    """One value. schema: with references resolved, of one type. hints: what title and description call it."""

    type: ValueType
    schema: Mapping[str, Any]
    nullable: bool
    hints: tuple[str, ...] = ()

    @property
    def format(self) -> str | None:
        return self.schema.get("format")

    @property
    def choices(self) -> tuple[Any, ...] | None:
        if "const" in self.schema:
            return (self.schema["const"],)
        return tuple(self.schema["enum"]) if "enum" in self.schema else None


@dataclass(frozen=True, slots=True)
class ObjectNode:
    properties: Mapping[str, tuple[Node, ...]]
    required: frozenset[str]
    nullable: bool


@dataclass(frozen=True, slots=True)
class ListNode:
    items: tuple[Node, ...]
    nullable: bool
    hints: tuple[str, ...] = ()


Node = ValueNode | ObjectNode | ListNode


def compile_schema(schema: Mapping[str, Any]) -> ObjectNode:
    """Return the root. Each property maps to its alternatives, in the schema's order (``anyOf``, lists of types).

    Raises ValueError where the root is no object or a reference leads nowhere.
    """
    for node in _Compiler(schema).alternatives(schema, 0):
        if isinstance(node, ObjectNode):
            return node
    raise ValueError("the root of an output schema must be an object")


def validator(schema: Mapping[str, Any]) -> jsonschema_rs.Validator:
    """Return a checker of outputs that never fetches a remote reference. Raises ValueError for an invalid schema."""
    return jsonschema_rs.validator_for(dict(schema), validate_formats=True, retriever=_refuse)


def _refuse(uri: str) -> Any:
    raise ValueError(f"references to other documents are not followed: {uri}")


class _Compiler:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._nodes = 0

    def alternatives(self, schema: Any, depth: int) -> tuple[Node, ...]:
        if not isinstance(schema, Mapping):
            schema = {}
        if depth > _MAX_DEPTH:
            return ()
        schema = self._resolved(schema)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                return self._union(schema, schema[keyword], depth)
        types = _types(schema)
        nullable = "null" in types or (not schema.keys() & {"type", "enum", "const"}) or None in schema.get("enum", ())
        return tuple(node for kind in types if (node := self._node(kind, schema, nullable, depth)))

    def _union(self, schema: Mapping[str, Any], members: list[Any], depth: int) -> tuple[Node, ...]:
        outer = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
        resolved = [self._resolved(member) if isinstance(member, Mapping) else {} for member in members]
        nullable = any(member.get("type") == "null" or member.get("const", "") is None for member in resolved)
        rest = [member for member in resolved if member.get("type") != "null"]
        nodes = [node for member in rest for node in self.alternatives(_merged(outer, member), depth + 1)]
        return tuple(_with_null(node) if nullable else node for node in nodes)

    def _node(self, kind: str, schema: Mapping[str, Any], nullable: bool, depth: int) -> Node | None:
        self._nodes += 1
        if self._nodes > _MAX_NODES:
            raise ValueError(f"the schema asks for more than {_MAX_NODES} values")
        if kind == "object":
            properties = schema.get("properties", {})
            nodes = {name: self.alternatives(sub, depth + 1) for name, sub in properties.items()}
            return ObjectNode(nodes, frozenset(schema.get("required", ())), nullable)
        if kind == "array":
            return ListNode(self.alternatives(schema.get("items", {}), depth + 1), nullable, _hints(schema))
        if kind in _VALUE_TYPES:
            value_type: ValueType = kind
            return ValueNode(value_type, {**schema, "type": kind}, nullable, _hints(schema))
        return None

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        for _ in range(_MAX_DEPTH):
            if "$ref" in schema:
                rest = {key: value for key, value in schema.items() if key != "$ref"}
                schema = _merged(self._target(schema["$ref"]), rest)
            elif "allOf" in schema:
                rest = {key: value for key, value in schema.items() if key != "allOf"}
                for member in schema["allOf"]:
                    rest = _merged(rest, self._resolved(member))
                schema = rest
            else:
                return schema
        raise ValueError("the references of the schema lead in a circle")

    def _target(self, reference: str) -> Mapping[str, Any]:
        if not reference.startswith("#"):
            raise ValueError(f"references to other documents are not followed: {reference}")
        target: Any = self._root
        for step in reference[1:].split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            target = target.get(step) if isinstance(target, Mapping) else None
        if not isinstance(target, Mapping):
            raise ValueError(f"the schema has no {reference}")
        return target


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**one, **other}
    if "properties" in one and "properties" in other:
        merged["properties"] = {**one["properties"], **other["properties"]}
    if "required" in one and "required" in other:
        merged["required"] = [*one["required"], *other["required"]]
    return merged


def _types(schema: Mapping[str, Any]) -> tuple[str, ...]:
    given = schema.get("type")
    if given is not None:
        return (given,) if isinstance(given, str) else tuple(given)
    if "properties" in schema:
        return ("object",)
    if "items" in schema:
        return ("array",)
    choices = [schema["const"]] if "const" in schema else schema.get("enum", [])
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string"}
    return tuple(dict.fromkeys(kinds[type(choice)] for choice in choices if type(choice) in kinds)) or ("string",)


def _hints(schema: Mapping[str, Any]) -> tuple[str, ...]:
    texts = (schema.get("title"), schema.get("description"))
    return tuple(text for text in texts if isinstance(text, str) and 0 < len(text.split()) <= 5)


def _with_null(node: Node) -> Node:
    if isinstance(node, ValueNode):
        return ValueNode(node.type, node.schema, True, node.hints)
    if isinstance(node, ListNode):
        return ListNode(node.items, True, node.hints)
    return ObjectNode(node.properties, node.required, True)
