// The beginning: language, session, then the page that the address names.

import { whenLoggedOff } from "./api.js";
import { h, replace } from "./dom.js";
import { unwatch, watch } from "./idle.js";
import { setKeys } from "./keys.js";
import { registerAreas, shortcuts } from "./menu.js";
import { announce, heading, refused } from "./parts.js";
import { logonPage } from "./pages/logon.js";
import { found, here } from "./router.js";
import { forget, logOff, resume, session } from "./session.js";
import { shell } from "./shell.js";
import { load, t } from "./texts.js";
import { applyTheme } from "./theme.js";

const app = document.getElementById("app");
let turn = 0;
let frame = null;

async function show() {
  const mine = ++turn;
  const { path, query } = here();
  const address = window.location.hash;
  frame.select(path);
  frame.main.setAttribute("aria-busy", "true");
  const match = found(path);
  let page;
  try {
    page = match ? await match.page(match.parameters, query) : missing();
  } catch (refusal) {
    if (refusal.status === undefined) throw refusal;
    page = { title: refusal.message, node: h("div", {}, heading(refusal.message), refused(refusal)) };
  }
  if (mine !== turn || !session()) return;
  document.title = `${page.title} · ${t("brand")}`;
  replace(frame.main, page.node);
  const title = frame.main.querySelector("h1");
  const wanted = frame.main.querySelector("[data-focus]") || title;
  if (frame.opened) wanted?.focus();
  frame.opened = true;
  frame.main.dataset.at = address;
  frame.main.setAttribute("aria-busy", "false");
  window.scrollTo(0, 0);
}

function missing() {
  return { title: t("page.missing"), node: h("div", {}, heading(t("page.missing")), h("p", {}, t("page.missing.words"))) };
}

// Make everything anew: after logging on, and in another language.
export function begin() {
  turn += 1;
  frame = null;
  if (!session()) {
    document.title = `${t("logon.title")} · ${t("brand")}`;
    setKeys([]);
    replace(app, logonPage(begun, begin));
    app.querySelector("input")?.focus();
    return;
  }
  frame = shell({ leave, again: begin });
  setKeys(shortcuts(frame));
  replace(app, frame.node);
  show();
}

function begun() {
  watch(session().idle_minutes, () => leave(t("idle.ended")));
  begin();
}

async function leave(words) {
  unwatch();
  await logOff();
  begin();
  if (typeof words === "string") announce(words, "bad");
}

whenLoggedOff(() => {
  if (!session()) return;
  unwatch();
  forget();
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  begin();
  announce(t("logon.ended"), "bad");
});

window.addEventListener("hashchange", () => {
  if (session()) show();
});

applyTheme();
await load();
registerAreas();
try {
  if (await resume()) begun();
  else begin();
} catch (refusal) {
  replace(app, h("main", { class: "alone" }, refused(refusal)));
}
