// Starts Swagger UI. What is tried out is asked with the console's cookie, so with the rights of who has logged on.
"use strict";

// The packaged Swagger UI reads OpenAPI 3.0; what 3.1 writes otherwise is rewritten for display alone.
function older(schema) {
  if (Array.isArray(schema)) return schema.map(older);
  if (schema === null || typeof schema !== "object") return schema;
  const found = Object.fromEntries(Object.entries(schema).map(([name, each]) => [name, older(each)]));
  for (const choice of ["anyOf", "oneOf"]) {
    if (!Array.isArray(found[choice])) continue;
    const rest = found[choice].filter((each) => each.type !== "null");
    if (rest.length === found[choice].length) continue;
    found.nullable = true;
    if (rest.length === 1 && !rest[0].$ref) {
      delete found[choice];
      Object.assign(found, rest[0]);
    } else {
      found[choice] = rest;
    }
  }
  if ("const" in found && !("enum" in found)) {
    found.enum = [found.const];
    delete found.const;
  }
  for (const end of ["Minimum", "Maximum"]) {
    const name = `exclusive${end}`;
    if (typeof found[name] !== "number") continue;
    found[end.toLowerCase()] = found[name];
    found[name] = true;
  }
  if (Array.isArray(found.examples)) {
    [found.example] = found.examples;
    delete found.examples;
  }
  return found;
}

async function start() {
  const answer = await fetch("/api/v1/openapi.json");
  const description = await answer.json();
  window.SwaggerUIBundle({
    spec: { ...older(description), openapi: "3.0.3" },
    dom_id: "#swagger",
    docExpansion: "none",
    filter: true,
    validatorUrl: null,
    requestInterceptor(request) {
      request.headers["X-Office-Console"] = "1";
      if (request.method === "POST" && !request.headers["Idempotency-Key"]) {
        request.headers["Idempotency-Key"] = crypto.randomUUID();
      }
      return request;
    },
  });
}

start();
