// What stands around every page: skip link, head, navigation, and the search that "/" opens.

import { h, replace, unique } from "./dom.js";
import { showKeys } from "./keys.js";
import { seen } from "./menu.js";
import { button } from "./parts.js";
import { go } from "./router.js";
import { may, session } from "./session.js";
import { LANGUAGES, choose, language, t } from "./texts.js";
import { THEMES, applyTheme, theme } from "./theme.js";

export function languageSwitch(again) {
  const [other] = Object.keys(LANGUAGES).filter((name) => name !== language());
  return h("button", {
    type: "button", class: "button quiet", lang: other === "zh" ? "zh-CN" : "en",
    onclick: async () => {
      await choose(other);
      again();
    },
  }, LANGUAGES[other]);
}

function themeSwitch() {
  const shown = () => t(`theme.${theme()}`);
  const made = button(shown(), () => {
    applyTheme(THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length]);
    made.textContent = shown();
  }, "quiet");
  return made;
}

export function brand() {
  return h("span", { class: "brand" }, h("img", { src: "/static/icon.svg", alt: "", width: 28, height: 28 }), h("span", {}, t("brand")));
}

export function shell({ leave, again }) {
  const main = h("main", { id: "main", tabindex: "-1" });
  const user = session().user;
  const nav = h("nav", { id: "menu", class: "menu", "aria-label": t("menu") }, seen().map(([group, pages]) => h("section", {},
    h("h2", {}, t(group)),
    h("ul", {}, pages.map(([text, address]) => h("li", {}, h("a", { href: `#${address}`, data: { address } }, t(text))))))));
  const opener = button(t("menu"), () => open(!document.body.classList.contains("menu-open")), "quiet menu-button", {
    "aria-expanded": "false", "aria-controls": "menu",
  });

  function open(wanted) {
    document.body.classList.toggle("menu-open", wanted);
    opener.setAttribute("aria-expanded", String(wanted));
    if (wanted) nav.querySelector("a")?.focus();
  }

  nav.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && document.body.classList.contains("menu-open")) {
      open(false);
      opener.focus();
    }
  });
  open(false);

  const node = h("div", { class: "frame" },
    h("a", {
      href: "#main", class: "skip",
      onclick: (event) => {
        event.preventDefault();
        main.focus();
      },
    }, t("skip")),
    h("header", { class: "head" }, opener, h("a", { href: "#/", class: "home" }, brand()),
      h("span", { class: "business" }, h("span", { class: "label" }, t("business_date")), h("time", { datetime: session().business_date }, session().business_date)),
      h("div", { class: "tools" },
        button([t("find.short"), h("kbd", {}, "/")], () => find(), "quiet find"),
        button("?", showKeys, "quiet keys-button", { "aria-label": t("keys.title") }),
        themeSwitch(), languageSwitch(again),
        h("a", { href: "#/me", class: "button quiet person" }, user.full_name),
        button(t("log_off"), leave, "quiet"))),
    nav, main);

  function select(path) {
    open(false);
    const exact = nav.querySelector(`a[data-address="${CSS.escape(path)}"]`);
    const near = [...nav.querySelectorAll("a")].find((each) => each.dataset.address !== "/" && path.startsWith(`${each.dataset.address}/`));
    for (const each of nav.querySelectorAll("a")) each.removeAttribute("aria-current");
    (exact || near)?.setAttribute("aria-current", "page");
  }

  return { node, main, select, find, opened: false };
}

// Where a typed text may lead: pages by name, payments and accounts by number.
function ways(text) {
  const typed = text.trim();
  const found = seen().flatMap(([, pages]) => pages).map(([name, address]) => [t(name), address, {}])
    .filter(([name]) => name.toLowerCase().includes(typed.toLowerCase()));
  const number = typed.replace(/\s/g, "").toUpperCase();
  if (/^[0-9A-Z-]{6,40}$/.test(number) && /\d/.test(number)) {
    if (may("GET", "/payments/{number}")) found.unshift([t("find.payment", { number }), `/payments/${number}`, {}]);
    if (/^\d+$/.test(number) && may("GET", "/payments")) found.unshift([t("find.account_payments", { number }), "/payments", { account: number }]);
    if (/^\d+$/.test(number) && may("GET", "/accounts/{number}/statement")) found.unshift([t("find.statement", { number }), "/statement", { account: number }]);
  }
  if (/^\d{1,12}$/.test(number) && may("GET", "/customers/{customer_id}")) found.unshift([t("find.customer", { number }), `/customers/${number}`, {}]);
  return found.slice(0, 9);
}

function find() {
  if (document.querySelector("dialog[open]")) return;
  const list = h("ul", { class: "finds", id: unique("finds") });
  const input = h("input", { type: "search", "aria-label": t("find.title"), placeholder: t("find.hint"), autocomplete: "off" });
  const dialog = h("dialog", { class: "finder", "aria-label": t("find.title") }, input, list);

  function fill() {
    replace(list, ways(input.value).map(([name, address, query]) => h("li", {}, button(name, () => {
      dialog.close();
      go(address, query);
    }, "way"))));
  }

  input.addEventListener("input", fill);
  dialog.addEventListener("keydown", (event) => {
    const buttons = [...list.querySelectorAll("button")];
    const at = buttons.indexOf(document.activeElement);
    if (event.key === "ArrowDown") (buttons[at + 1] || buttons[0])?.focus();
    else if (event.key === "ArrowUp") (at > 0 ? buttons[at - 1] : input).focus();
    else if (event.key === "Enter" && document.activeElement === input) buttons[0]?.click();
    else return;
    event.preventDefault();
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  fill();
  dialog.showModal();
  input.focus();
}
