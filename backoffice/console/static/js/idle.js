// Nobody leaves a session open by walking away. The server ends it, too; this tells in time, and clears the screen.

import { get } from "./api.js";
import { ask } from "./dialog.js";
import { t } from "./texts.js";

const KEPT = "office.active";
const WARN_MS = 60_000;
let timer = 0;
let written = 0;

function active() {
  const now = Date.now();
  if (now - written < 5000) return;
  written = now;
  localStorage.setItem(KEPT, String(now)); // all tabs of this browser share it
}

// Call `end` when nobody has touched anything for `minutes`; a minute before it asks.
export function watch(minutes, end) {
  clearInterval(timer);
  written = 0;
  active();
  let asking = false;
  let told = Date.now();
  timer = setInterval(async () => {
    const quiet = Date.now() - Number(localStorage.getItem(KEPT) || 0);
    const left = minutes * 60_000 - quiet;
    if (left <= 0) {
      unwatch();
      for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
      end();
    } else if (left <= Math.min(WARN_MS, minutes * 30_000)) {
      if (asking) return;
      asking = true;
      await ask(t("idle.title"), t("idle.words"), [[t("idle.stay"), true, "primary"]]);
      asking = false;
      active();
    } else if (quiet < 60_000 && Date.now() - told > 120_000) {
      told = Date.now(); // somebody reads or types without asking the server: it must know, too
      get("/console/session").catch(() => {});
    }
  }, 1000);
}

export function unwatch() {
  clearInterval(timer);
}

for (const name of ["pointerdown", "keydown", "wheel"]) window.addEventListener(name, active, { passive: true });
