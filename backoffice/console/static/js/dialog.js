// Modal dialogs on <dialog>: the browser keeps the focus inside, Escape closes, and the focus goes back.

import { h, unique } from "./dom.js";
import { button } from "./parts.js";
import { t } from "./texts.js";

// Show content; `buttons` are [label, value, kind]. Gives the value that was chosen, null when it was closed.
export function ask(title, content, buttons = [[t("close"), null, ""]], kind = "") {
  return new Promise((settle) => {
    const id = unique("dialog");
    let chosen = null;
    const dialog = h("dialog", { "aria-labelledby": id, class: kind });
    const close = (value) => {
      chosen = value;
      dialog.close();
    };
    dialog.append(
      h("h2", { id }, title),
      h("div", { class: "dialog-body" }, content),
      h("div", { class: "dialog-buttons" }, buttons.map(([label, value, look]) => button(label, () => close(value), look))),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      settle(chosen);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

export async function confirmed(title, content, label, kind = "primary") {
  return (await ask(title, content, [[t("cancel"), false, ""], [label, true, kind]])) === true;
}

// Ask for a reason; null when nobody gave one.
export async function reasonFor(title, label, kind = "primary", required = true) {
  const id = unique("reason");
  const area = h("textarea", { id, rows: 3, maxlength: 500, "aria-required": required ? "true" : undefined });
  const wrong = h("p", { class: "field-error", role: "alert" });
  const content = h("div", { class: "field" }, h("label", { for: id }, t("reason")), area, wrong);
  for (;;) {
    const shown = ask(title, content, [[t("cancel"), false, ""], [label, true, kind]]);
    area.focus();
    if ((await shown) !== true) return null;
    if (area.value.trim() || !required) return area.value.trim();
    wrong.textContent = t("reason.needed");
  }
}
