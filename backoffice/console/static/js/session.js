// Who has logged on, and what the API lets that user do. The API enforces it; here it decides what is worth showing.

import { call, get } from "./api.js";

let current = null;
let paths = {};
let schemas = {};

export function session() {
  return current;
}

// Find out whether a session is there already; null when not.
export async function resume() {
  try {
    current = await get("/console/session", {}, { quiet: true });
  } catch (refusal) {
    if (refusal.status !== 401) throw refusal;
    current = null;
  }
  if (current) await learn();
  return current;
}

export async function logOn(name, password, code) {
  current = await call("POST", "/console/session", { body: { name, password, code }, quiet: true });
  await learn();
}

export async function logOff() {
  const had = current;
  current = null;
  if (had) await call("DELETE", "/sessions/current", { quiet: true }).catch(() => {});
}

export function forget() {
  current = null;
}

async function learn() {
  if (Object.keys(paths).length) return;
  const description = await get("/openapi.json");
  paths = description.paths;
  schemas = description.components.schemas;
}

// Whether the office has an operation, and this user may use it; `path` as OpenAPI writes it.
export function may(method, path) {
  const operation = paths[`/api/v1${path}`]?.[method.toLowerCase()];
  if (!operation || !current) return false;
  const permission = operation["x-permission"];
  return permission === "session" || permission === "public" || holds(permission);
}

export function holds(permission) {
  return Boolean(current && current.permissions.includes(permission));
}

// The values that a member of a schema, or a parameter of an operation, may have.
export function choices(schema, member) {
  const found = schemas[schema]?.properties?.[member];
  return (found?.enum || found?.anyOf?.find((each) => each.enum)?.enum || []).filter((value) => value !== "");
}

export function parameterChoices(path, name) {
  const found = paths[`/api/v1${path}`]?.get?.parameters?.find((each) => each.name === name)?.schema;
  return (found?.enum || []).filter((value) => value !== "");
}
