// Addresses behind the #: #/payments/123?state=open. A page is found by its pattern and gets what stands in it.

const routes = [];

// `pattern` as in "/payments/:number"; `page(parameters, query)` gives {title, node}, or a promise of it.
export function route(pattern, page, allowed = () => true) {
  const names = [];
  const source = pattern.replace(/:(\w+)/g, (_, name) => {
    names.push(name);
    return "([^/]+)";
  });
  routes.push({ expression: new RegExp(`^${source}$`), names, page, allowed });
}

export function here() {
  const [path, query = ""] = (window.location.hash.slice(1) || "/").split("?");
  return { path, query: Object.fromEntries(new URLSearchParams(query)) };
}

export function go(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const search = new URLSearchParams(given).toString();
  const address = `#${path}${search ? `?${search}` : ""}`;
  if (window.location.hash === address) window.dispatchEvent(new HashChangeEvent("hashchange"));
  else window.location.hash = address;
}

export function found(path) {
  for (const each of routes) {
    const match = each.expression.exec(path);
    if (match && each.allowed()) {
      const values = match.slice(1).map((part) => decodeURIComponent(part));
      return { page: each.page, parameters: Object.fromEntries(each.names.map((name, index) => [name, values[index]])) };
    }
  }
  return null;
}
