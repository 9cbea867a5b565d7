"""Requests made from the OpenAPI document alone: valid as far as the schema says, about things that do not exist."""

from typing import Any

from backoffice.api.app import PREFIX

BY_FORMAT = {"date": "2030-01-01", "date-time": "2030-01-01T00:00:00Z", "uuid": "018f3c1e-7b1a-7c2d-9e4f-0123456789ab"}


def example(schema: dict[str, Any], components: dict[str, Any]) -> Any:
    """Give the smallest value that the schema allows: only required members, shortest strings."""
    if "$ref" in schema:
        return example(components[schema["$ref"].rsplit("/", 1)[1]], components)
    for known in ("const", "default"):
        if known in schema:
            return schema[known]
    if schema.get("examples"):
        return schema["examples"][0]
    if "enum" in schema:
        return schema["enum"][0]
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return example(schema[several][0], components)
    if "allOf" in schema:
        return {key: value for part in schema["allOf"] for key, value in example(part, components).items()}
    match schema.get("type"):
        case "object":
            members = schema.get("properties", {})
            return {name: example(members[name], components) for name in schema.get("required", ())}
        case "array":
            return [example(schema["items"], components)] * schema.get("minItems", 0)
        case "integer" | "number":
            return max(schema.get("minimum", 1), schema.get("exclusiveMinimum", 0) + 1)
        case "boolean":
            return False
        case "string":
            return BY_FORMAT.get(schema.get("format", ""), "x" * max(schema.get("minLength", 1), 1))
    return {}


def requests_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Give for each operation: method, path (without the prefix, filled in), permission, and json or form to send."""
    components = document.get("components", {}).get("schemas", {})
    found = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            target, query = path.removeprefix(PREFIX), []
            for each in operation.get("parameters", ()):
                if each["in"] == "path":
                    numeric = each["schema"].get("type") == "integer"
                    value = "999999" if numeric else str(example(each["schema"], components))
                    if value == "x":
                        value = "nothing"
                    target = target.replace("{" + each["name"] + "}", value)
                elif each["in"] == "query" and each.get("required"):
                    query.append(f"{each['name']}={example(each['schema'], components)}")
            made: dict[str, Any] = {
                "method": method.upper(),
                "template": path.removeprefix(PREFIX),
                "path": target + ("?" + "&".join(query) if query else ""),
                "permission": operation["x-permission"],
            }
            for kind, content in operation.get("requestBody", {}).get("content", {}).items():
                schema = content["schema"]
                if kind == "application/json":
                    made["json"] = example(schema, components)
                elif kind == "multipart/form-data":
                    if "$ref" in schema:
                        schema = components[schema["$ref"].rsplit("/", 1)[1]]
                    files, data = {}, {}
                    for name, member in schema.get("properties", {}).items():
                        if member.get("format") == "binary" or "contentMediaType" in member:
                            files[name] = ("nothing.csv", b"nothing\n", "text/csv")
                        elif name in schema.get("required", ()):
                            data[name] = str(example(member, components))
                    made |= {"files": files, "data": data}
            found.append(made)
    return found
