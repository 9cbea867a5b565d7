// Requests to the office. The cookie is out of reach for scripts; the header says that it is the console who asks.

import { language, t } from "./texts.js";

const PREFIX = "/api/v1";

// A refusal (problem+json) or a failure; `definite` is false when nobody knows whether the request was done.
export class Refusal extends Error {
  constructor(status, problem) {
    super(problem.title || `HTTP ${status}`);
    this.status = status;
    this.document = problem;
    this.code = problem.code || "";
    this.detail = problem.detail || "";
    this.fields = problem.errors || [];
    this.definite = status >= 400 && status < 500 && this.code !== "in_progress";
  }
}

let onLoggedOff = () => {};

export function whenLoggedOff(handler) {
  onLoggedOff = handler;
}

// One per form: the same form sent twice is one request for the server.
export function newKey() {
  return crypto.randomUUID ? crypto.randomUUID() : Array.from(crypto.getRandomValues(new Uint32Array(4))).join("-");
}

async function fetched(method, path, { query = {}, body, file, key, version, quiet = false } = {}) {
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") asked.set(name, value);
  }
  const headers = { "X-Office-Console": "1", "Accept-Language": language() };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (file !== undefined) headers["Content-Type"] = file.type || "application/xml";
  if (method === "POST") headers["Idempotency-Key"] = key || newKey();
  if (version !== undefined) headers["If-Match"] = `"${version}"`;
  let response;
  try {
    response = await fetch(`${PREFIX}${path}${asked.size ? `?${asked}` : ""}`, {
      method, headers, body: file ?? (body === undefined ? undefined : JSON.stringify(body)), credentials: "same-origin",
    });
  } catch {
    throw new Refusal(0, { title: t("problem.no_answer") });
  }
  if (response.ok) return response;
  let problem = {};
  try {
    problem = await response.json();
  } catch {
    problem = { title: t("problem.no_answer") };
  }
  if (response.status === 401 && problem.code === "not_logged_on" && !quiet) onLoggedOff();
  throw new Refusal(response.status, problem);
}

// The answer's body; null when it has none.
export async function call(method, path, options) {
  const response = await fetched(method, path, options);
  return response.status === 204 ? null : response.json();
}

export const get = (path, query, options) => call("GET", path, { query, ...options });

// Save a file that the API makes. A link cannot send the header, so it is fetched first.
export async function download(path, query, name) {
  const response = await fetched("GET", path, { query });
  const address = URL.createObjectURL(await response.blob());
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
