// How values of the API are written. Money stays a decimal string from end to end: digits are grouped, never computed.

import { locale } from "./texts.js";

const NONE = "–";

// "1234.50" as "1,234.50"; what is no decimal is given back as it is.
export function decimal(text) {
  const found = /^(-?)(\d+)(\.\d+)?$/.exec(text);
  if (!found) return text;
  const [, sign, whole, part = ""] = found;
  return `${sign ? "−" : ""}${whole.replace(/\B(?=(\d{3})+$)/g, ",")}${part}`;
}

export function money(amount) {
  if (!amount) return NONE;
  return `${amount.currency} ${decimal(amount.amount)}`;
}

// Whether it is nothing, without reading it as a number.
export function isZero(amount) {
  return !amount || /^-?[0.]*$/.test(amount.amount);
}

// What people type: full-width digits, separators and spaces are taken for what they mean.
export function typedDecimal(text) {
  return text.normalize("NFKC").replace(/[,\s]/g, "");
}

// A moment, in the user's time zone.
export function moment(text) {
  if (!text) return NONE;
  return new Intl.DateTimeFormat(locale(), {
    year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
    hourCycle: "h23",
  }).format(new Date(text));
}

// A day has no time zone: it is written as it came.
export function day(text) {
  return text || NONE;
}

export function count(number) {
  return new Intl.NumberFormat(locale()).format(number);
}

// An account's number in groups of four, as it is printed.
export function account(number) {
  return number ? number.replace(/(.{4})(?=.)/g, "$1 ") : NONE;
}

export function text(value) {
  return value === null || value === undefined || value === "" ? NONE : String(value);
}
