"use strict";
// Shared by the pages: elements, requests and their JSON. A page has a form #guard with an input #token.
const at = id => document.getElementById(id);
const MISSING = "\u0000missing";  // a number that is not known, NaN in a request
const params = new URLSearchParams(location.hash.slice(1));  // #model=...&text=... links to an answer
let token = sessionStorage.getItem("token") || "";

function create(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

async function ask(path, body, signal) {
  const headers = {};
  if (token) headers.Authorization = "Bearer " + token;
  if (body) headers["Content-Type"] = "application/json";
  const response = await fetch(path, {method: body ? "POST" : "GET", headers, body: body && json(body), signal});
  if (response.status === 401) { at("guard").hidden = false; throw new Error("This server requires a token."); }
  const outputs = await response.json();
  if (!response.ok) throw new Error(outputs.error || response.statusText);
  return outputs;
}

function guarded(begin) {
  at("guard").addEventListener("submit", event => { event.preventDefault(); token = at("token").value; sessionStorage.setItem("token", token); begin(); });
}

const modelUrl = (model, method) => "/v1/models/" + encodeURIComponent(model.name) + ":" + method;
const kind = (model, field) => (model.fields || []).find(spec => spec.name === field)?.kind || "text";
const typed = (model, field, value) => kind(model, field) === "number" ? (value.trim() === "" || isNaN(value) ? MISSING : Number(value)) : value;
const requestBody = (inputs, signature) => ({...(signature ? {signature_name: signature} : {}), inputs});
const json = body => JSON.stringify(body).replaceAll(JSON.stringify(MISSING), "NaN");
const quoted = text => "'" + text.replace(/'/g, "'\\''") + "'";
const capitalized = name => name[0].toUpperCase() + name.slice(1).replaceAll("_", " ");
const modelOption = model => create("option", {value: model.name, textContent: model.name + (model.version ? " (version " + model.version + ")" : " (not serving)")});
// The replies or texts of the first row, or its only answer; places without one are left out.
const candidates = outputs => !outputs.replies && !outputs.texts ? [[outputs.answer[0], outputs.score[0]]] :
  (outputs.replies || outputs.texts)[0].map((text, number) => [text, outputs.scores[0][number]]).filter(([text, score]) => score > -1e8 && (text || !outputs.replies));

function curl(model, row) {
  const secret = token ? ' -H "Authorization: Bearer $TOKEN"' : "";
  return "curl" + secret + " -d " + quoted(json({instances: [row]})) + " " + location.origin + modelUrl(model, "predict");
}
