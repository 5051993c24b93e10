"use strict";
// Mails from an mbox file or a single mail (RFC 5322, MIME), read by the browser alone. Bytes are held as text of one character a byte.
const LIMITS = {bytes: 50_000_000, mails: 500, head: 100_000, body: 1_000_000, text: 100_000, depth: 8, parts: 50};
const FIELD = /^[!-9;-~]+:/;
const REPLY_SUBJECT = /^\s*(re|aw|antw|antwort|sv|vs|odp|r)\s*(\[\d+\])?\s*[:\uff1a]/i, FORWARD_SUBJECT = /^\s*(fwd?|wg|tr|rv)\s*[:\uff1a]/i;

function byteText(bytes) {
  const parts = [];
  for (let start = 0; start < bytes.length; start += 32768) parts.push(String.fromCharCode(...bytes.subarray(start, start + 32768)));
  return parts.join("");
}

function decodeBytes(raw, charset) {
  const bytes = Uint8Array.from(raw, character => character.charCodeAt(0));
  const declared = (charset || "").trim().toLowerCase();
  for (const name of [/^(|us-ascii|ascii|utf-?8|unknown-8bit)$/.test(declared) ? "utf-8" : declared, "utf-8"]) {
    try { return new TextDecoder(name, {fatal: true}).decode(bytes); } catch { /* unknown, or the bytes are not of this charset */ }
  }
  return new TextDecoder("windows-1252").decode(bytes);
}

function decodeBase64(raw) {
  const digits = raw.replace(/[^A-Za-z0-9+/]/g, "");
  return atob(digits.slice(0, digits.length - (digits.length % 4 === 1 ? 1 : 0)));
}

const decodeQuoted = raw => raw.replace(/=\r?\n/g, "").replace(/=([0-9A-Fa-f]{2})/g, (_, code) => String.fromCharCode(parseInt(code, 16)));

// Encoded words (RFC 2047). The bytes of a character may be divided between two words of the same charset.
function decodeWords(value) {
  const text = /[\u0080-\uffff]/.test(value) ? decodeBytes(value) : value;
  return text.replace(/=\?[^?\s]+\?[bq]\?[^?]*\?=(?:\s*=\?[^?\s]+\?[bq]\?[^?]*\?=)*/gi, run => {
    const runs = [];
    for (const [, charset, how, content] of run.matchAll(/=\?([^?\s]+)\?([bq])\?([^?]*)\?=/gi)) {
      const bytes = how.toLowerCase() === "b" ? decodeBase64(content) : decodeQuoted(content.replaceAll("_", " ")), name = charset.split("*")[0];
      if (runs.length && runs.at(-1)[0] === name) runs.at(-1)[1] += bytes; else runs.push([name, bytes]);
    }
    return runs.map(([charset, bytes]) => decodeBytes(bytes, charset)).join("");
  });
}

// [headers by lower-case name, body]; the first of equal names counts.
function splitMail(raw) {
  const end = /\r?\n\r?\n/.exec(raw) || {index: raw.length, 0: ""};
  const headers = new Map();
  for (const line of raw.slice(0, Math.min(end.index, LIMITS.head)).replace(/\r?\n(?=[ \t])/g, "").split(/\r?\n/)) {
    const colon = line.indexOf(":"), name = line.slice(0, colon).trim().toLowerCase();
    if (FIELD.test(line) && !headers.has(name)) headers.set(name, line.slice(colon + 1).trim());
  }
  return [headers, raw.slice(end.index + end[0].length)];
}

function parameter(value, name) {
  const match = new RegExp("[;\\s]" + name + "\\s*=\\s*(?:\"([^\"]*)\"|([^;\\s]+))", "i").exec(value);
  return match ? match[1] ?? match[2] : "";
}

function htmlText(html) {
  const page = new DOMParser().parseFromString(html.replace(/\s+/g, " "), "text/html");  // runs and loads nothing
  page.querySelectorAll("script, style, head, template").forEach(element => element.remove());
  page.querySelectorAll("br").forEach(element => element.replaceWith("\n"));
  page.querySelectorAll("p, div, li, tr, h1, h2, h3, blockquote").forEach(element => element.append("\n"));
  return page.documentElement.textContent.replace(/ *\n */g, "\n").replace(/\n{3,}/g, "\n\n");
}

// Lines that end in a blank go on in the next (RFC 3676), a signature's "-- " excepted.
const unflowed = text => text.split("\n").reduce((lines, line) => {
  const last = lines.at(-1);
  if (last !== undefined && last.endsWith(" ") && last !== "-- ") lines[lines.length - 1] = last + line; else lines.push(line);
  return lines;
}, []).join("\n");

// {plain, html}: the first text of each kind in a mail or a part of one, without attachments.
function texts(headers, body, budget, depth = 0) {
  const type = headers.get("content-type") || "text/plain", media = type.split(";")[0].trim().toLowerCase();
  if (budget.parts-- <= 0 || depth > LIMITS.depth || /^\s*attachment/i.test(headers.get("content-disposition") || "")) return {};
  if (media.startsWith("multipart/")) {
    const found = {}, boundary = parameter(type, "boundary");
    if (!boundary) return {};
    for (const part of ("\n" + body).split("\n--" + boundary, LIMITS.parts).slice(1)) {
      if (part.startsWith("--")) break;
      const line = part.indexOf("\n");
      const inner = texts(...splitMail(part.slice(line).replace(/^\n/, part[line + 1] === "\r" || part[line + 1] === "\n" ? "\n" : "")), budget, depth + 1);
      found.plain ??= inner.plain;
      found.html ??= inner.html;
      if (found.plain !== undefined) break;
    }
    return found;
  }
  if (media !== "text/plain" && media !== "text/html") return {};
  const encoding = (headers.get("content-transfer-encoding") || "").toLowerCase(), cut = body.slice(0, LIMITS.body);
  const bytes = encoding.includes("base64") ? decodeBase64(cut) : encoding.includes("quoted-printable") ? decodeQuoted(cut) : cut;
  const text = decodeBytes(bytes, parameter(type, "charset")).replace(/\r\n?/g, "\n");
  if (media === "text/html") return {html: text};
  return {plain: parameter(type, "format").toLowerCase() === "flowed" ? unflowed(text) : text};
}

function parseMail(raw) {
  const [headers, body] = splitMail(raw.replace(/^[\r\n]+/, ""));
  if (!["from", "subject", "date", "to", "received", "message-id"].some(name => headers.has(name))) return null;
  const header = name => decodeWords(headers.get(name) || ""), {plain, html} = texts(headers, body, {parts: LIMITS.parts});
  const subject = header("subject"), addresses = (header("to") + "," + header("cc")).replace(/"[^"]*"/g, "").match(/[^\s,;<>@]+@[^\s,;<>@]+/g) || [];
  return {
    from: header("from"), to: header("to"), subject, date: header("date"),
    text: (plain ?? (html === undefined ? "" : htmlText(html))).slice(0, LIMITS.text).trim(),
    recipients: addresses.length,
    isReply: !FORWARD_SUBJECT.test(subject) && (headers.has("in-reply-to") || headers.has("references") || REPLY_SUBJECT.test(subject)),
    fromList: headers.has("list-id") || headers.has("list-post") || headers.has("list-unsubscribe") || /^(list|bulk)$/i.test(headers.get("precedence") || ""),
  };
}

// {mails: the last LIMITS.mails, where new mail is added, found: how many there are}
function parseMailbox(raw) {
  if (!/^[\r\n]*From /.test(raw)) {
    const mail = parseMail(raw);
    return {mails: mail ? [mail] : [], found: mail ? 1 : 0};
  }
  const starts = [...raw.matchAll(/^From [^\n]*\n(?=[!-9;-~]+:)/gm)].map(match => [match.index, match.index + match[0].length]);
  const ends = [...starts.slice(1).map(([end]) => end), raw.length].slice(-LIMITS.mails);
  const mails = starts.slice(-LIMITS.mails).map(([, start], number) => parseMail(raw.slice(start, ends[number]).replace(/^>(>*From )/gm, "$1")));
  return {mails: mails.filter(mail => mail), found: starts.length};
}

const senderName = from => (from.replace(/<[^>]*>/, "").replace(/"/g, "").trim() || from.replace(/[<>]/g, "").trim() || "Unknown sender");
const senderAddress = from => (/<([^>]+)>/.exec(from)?.[1] || from).trim().toLowerCase();
