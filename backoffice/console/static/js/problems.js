// The commonest words of the API about a field, in the user's language; the rest stay as they came.

import { t } from "./texts.js";

const KNOWN = [
  [/^Field required$/, () => t("field.required")],
  [/^String should have at least 1 character$/, () => t("field.required")],
  [/^(?:String should have )?at least (\d+) characters$/i, (n) => t("field.at_least", { n })],
  [/^(?:String should have )?at most (\d+) characters$/i, (n) => t("field.at_most", { n })],
  [/^String should match pattern/, () => t("field.pattern")],
  [/^Input should be a valid date/, () => t("field.date")],
  [/^not after today$/, () => t("field.not_after_today")],
  [/^there is no such account$/, () => t("field.no_account")],
  [/^it must not hold the user's name$/, () => t("field.holds_name")],
  [/^too few different characters$/, () => t("field.too_few")],
  [/^2 to 32 small letters/, () => t("field.user_name")],
];

export function worded(message) {
  for (const [pattern, words] of KNOWN) {
    const found = pattern.exec(message);
    if (found) return words(found[1]);
  }
  return message;
}
