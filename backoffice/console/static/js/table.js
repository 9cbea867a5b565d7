// Lists of the API as tables: pages by cursor, and cards instead of rows where the screen is narrow.

import { h, replace } from "./dom.js";
import { button, empty, refused } from "./parts.js";
import { t } from "./texts.js";

// Columns: {label, cell(row), kind}; kind "number" stands at the right. `href(row)` makes the whole row a way to it.
// `plain`: the caption is for screen readers alone, because a title above says the same.
export function rowsTable({ caption, columns, rows, href, none, plain = false }) {
  if (!rows.length) return empty(none || t("list.empty"));
  const head = h("tr", { role: "row" }, columns.map((column) =>
    h("th", { scope: "col", role: "columnheader", class: column.kind }, column.label)));
  const body = rows.map((row) => {
    const address = href?.(row);
    return h("tr", {
      role: "row", class: address ? "linked" : "",
      onclick: address ? (event) => follow(event, address) : undefined,
    }, columns.map((column, index) => {
      const shown = column.cell(row);
      const content = index === 0 && address ? h("a", { href: address }, shown) : shown;
      return h("td", { role: "cell", class: column.kind, data: { label: column.label } }, content);
    }));
  });
  return h("div", { class: "table-frame" }, h("table", { role: "table" },
    h("caption", { class: plain ? "hidden" : undefined }, caption), h("thead", { role: "rowgroup" }, head), h("tbody", { role: "rowgroup" }, body)));
}

function follow(event, address) {
  if (event.target.closest("a, button, input") || String(window.getSelection())) return;
  window.location.hash = address;
}

// A table that asks for its pages: load(cursor) gives {items, next}.
export function pagedTable({ load, ...shape }) {
  const place = h("div", { class: "paged", "aria-busy": "true" });
  const before = [];

  async function show(cursor, focus) {
    place.setAttribute("aria-busy", "true");
    try {
      const page = await load(cursor);
      const back = before.length > 0;
      const buttons = back || page.next ? h("div", { class: "pages" },
        button(t("list.previous"), () => show(before.pop(), true), "", { disabled: !back }),
        h("span", { "aria-live": "polite" }, t("list.page", { n: before.length + 1 })),
        button(t("list.next"), () => {
          before.push(cursor);
          show(page.next, true);
        }, "", { disabled: !page.next })) : null;
      replace(place, rowsTable({ ...shape, rows: page.items }), buttons);
    } catch (refusal) {
      replace(place, refused(refusal));
    }
    place.setAttribute("aria-busy", "false");
    if (focus) {
      place.tabIndex = -1;
      place.focus();
    }
  }

  const ready = show(undefined, false);
  return { node: place, reload: () => show(undefined, false), ready };
}
