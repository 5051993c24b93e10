"use strict";
const PAUSE = 300, MOST_WORDS = 60, MOST_CHARACTERS = 20_000, WORDS_SHOWN = 5;
const EXAMPLES = [
  ["Maria Quinn <maria.quinn@example.org>", "Budget meeting", "Hello,\n\nare you free on Thursday at 3 to go through the budget? It should not take longer than half an hour.\n\nBest regards,\nMaria"],
  ["Felix Jensen <felix.jensen@example.com>", "Project plan", "Hi,\n\nthe attachment was missing from your last mail. Could you send the project plan again?\n\nThank you,\nFelix"],
  ["Oakmere Furniture <orders@example.net>", "Your order 71887", "Dear customer,\n\nyour order 71887 has left our warehouse and arrives on Tuesday. There is nothing that you have to do.\n\nOakmere Furniture"],
  ["Julia Rossi <julia.rossi@example.org>", "Lunch?", "Hey,\n\nlunch at the new place tomorrow? I would love to hear how the move went.\n\nJulia"],
  ["Simon Ibrahim <simon.ibrahim@example.com>", "Draft of the offer", "Hi,\n\nI have put the draft of the offer into the shared folder. What do you think of the prices? The customer is waiting for our answer.\n\nMany thanks,\nSimon"],
  ["City Library <news@example.net>", "News from the library", "Opening hours change in June: we open at 10 and close at 7. The reading group meets on the first Monday as always.", {fromList: true}],
].map(([from, subject, text, more]) => ({from, to: "you@example.org", subject, date: "", text, recipients: 1, isReply: false, fromList: false, ...more}));
// What of a mail an input of the model is, by its name. A model with one text and no subject gets the text alone.
const FIELDS = {
  subject: mail => mail.subject, body: mail => mail.text, message: mail => mail.text, text: mail => mail.text, source: mail => mail.text,
  recipients: mail => String(mail.recipients), is_reply: mail => String(+mail.isReply), from_list: mail => String(+mail.fromList),
  known_sender: mail => String(+answered.has(senderAddress(mail.from))),
  sender: mail => mail.from, from: mail => mail.from, to: mail => mail.to, date: mail => mail.date,
};
const WORDS_OF = ["subject", "body", "message", "text", "source"];
let models = [], logged = false, mails = [], chosen = null, shown = [], running = null, turn = 0, original = "", answered = new Set();

const model = () => models.find(one => one.name === at("model").value);
const percent = share => (100 * share).toFixed(1) + " %";
// The value of an input: what stands in its box, else what the mail gives.
const cell = (field, mail) => typed(model(), field, at("field_" + field)?.value ?? FIELDS[field]?.(mail) ?? "");
const row = mail => Object.fromEntries(model().inputs.map(field => [field, cell(field, mail)]));
const columns = rows => Object.fromEntries(model().inputs.map(field => [field, rows.map(one => one[field])]));

function note(text, fault) {
  at("note").className = fault ? "fault" : "quiet";
  at("note").textContent = text;
}

function list() {
  at("mails").replaceChildren(...mails.map((mail, number) => {
    const first = mail.text.replace(/\s+/g, " ").slice(0, 90);
    const button = create("button", {type: "button", className: "mail", tabIndex: mail === (chosen || mails[0]) ? 0 : -1},
      create("b", {textContent: senderName(mail.from), dir: "auto"}), create("span", {className: "mark", textContent: mail.done || ""}),
      create("span", {className: "topic", textContent: mail.subject || "(no subject)", dir: "auto"}), create("span", {className: "first", textContent: first, dir: "auto"}));
    if (mail === chosen) button.setAttribute("aria-current", "true");
    button.onclick = () => choose(mail, true);
    button.onkeydown = event => {
      const next = {ArrowDown: number + 1, ArrowUp: number - 1, Home: 0, End: mails.length - 1}[event.key];
      if (next === undefined || !mails[next]) return;
      event.preventDefault();
      choose(mails[next]);
      at("mails").children[next].querySelector("button").focus();
    };
    return create("li", {}, button);
  }));
}

function choose(mail, opened) {
  chosen = mail;
  list();
  at("main").classList.toggle("reading", Boolean(opened));
  at("subject").textContent = mail.subject || "(no subject)";
  at("from").textContent = mail.from + (mail.date ? " \u00b7 " + mail.date : "");
  at("body").textContent = mail.text || "(no text)";
  fields();
  // On a narrow screen the mail takes the place of the list.
  if (opened) (getComputedStyle(at("back")).display === "none" ? at("mails").querySelector("[aria-current]") : at("subject")).focus();
  suggest();
}

// Numbers, and what no header gives, can be changed.
function fields() {
  const open = model()?.inputs?.filter(field => !FIELDS[field] || kind(model(), field) === "number") || [];
  at("fields").hidden = !open.length;
  at("fields").open = open.some(field => !FIELDS[field]);
  at("boxes").replaceChildren(...open.flatMap(field => {
    const box = create("input", {id: "field_" + field, type: "text", dir: "auto", value: FIELDS[field]?.(chosen) ?? "", inputMode: kind(model(), field) === "number" ? "decimal" : "text"});
    let pause;
    box.addEventListener("input", () => { clearTimeout(pause); pause = setTimeout(suggest, PAUSE); });
    return [create("label", {htmlFor: "field_" + field, textContent: capitalized(field)}), box];
  }));
}

async function suggest(anyway) {
  const mine = ++turn, one = model(), mail = chosen;
  running?.abort();
  for (const id of ["editor", "why", "dismiss", "anyway"]) at(id).hidden = true;
  at("replies").replaceChildren();
  at("latency").textContent = at("trigger").textContent = at("curl").textContent = "";
  shown = [];
  if (!mail) return;
  if (!one) return note("This server has no models.", true);
  if (!one.inputs) return note("No version of this model is serving.", true);
  const values = row(mail);
  at("curl").textContent = curl(one, one.inputs.length > 1 ? values : values[one.inputs[0]]);
  if (mail.done === "Taken") return note("You took: " + mail.reply);
  note("One moment \u2026");
  running = new AbortController();
  const signal = running.signal, began = performance.now();
  try {
    const request = anyway === true && "threshold" in (one.options || {}) ? requestBody({...columns([values]), threshold: 0}, "options") : requestBody(columns([values]), one.view.signature);
    const outputs = (await ask(modelUrl(one, "predict"), request, signal)).outputs;
    if (mine !== turn) return;
    at("latency").textContent = "\u00b7 " + Math.round(performance.now() - began) + " ms";
    show(one, outputs, anyway === true);
    if (outputs.probability) await explain(one, values, outputs.probability[0], signal, mine);
  } catch (error) {
    if (error.name !== "AbortError" && mine === turn) note(error.message, true);
  }
}

function show(one, outputs, anyway) {
  const fires = anyway || !outputs.fires || outputs.fires[0];
  if (outputs.probability) at("trigger").textContent = "Probability that it is answered: " + percent(outputs.probability[0]);
  shown = fires ? candidates(outputs).slice(0, 3).map(([text]) => text) : [];
  at("dismiss").hidden = !shown.length;
  at("anyway").hidden = fires || !("threshold" in (one.options || {}));
  at("replies").replaceChildren(...shown.map(text => {
    const button = create("button", {type: "button", textContent: text, dir: "auto"});
    button.onclick = () => edit(text);
    return button;
  }));
  note(shown.length ? "" : fires ? "The model has no reply to this mail." : "No reply is suggested for this mail.");
}

// The change of the probability when one word is left out, of the first words in one request.
async function explain(one, values, probability, signal, mine) {
  const words = [];
  for (const field of one.inputs.filter(name => WORDS_OF.includes(name) && kind(one, name) === "text")) {
    for (const match of values[field].matchAll(/\S+/g)) {
      if (words.length === MOST_WORDS) break;
      words.push({word: match[0], row: {...values, [field]: values[field].slice(0, match.index) + values[field].slice(match.index + match[0].length)}});
    }
  }
  if (words.length < 2) return;
  at("pushes").replaceChildren();
  at("why").hidden = false;
  if (JSON.stringify(values).length > MOST_CHARACTERS) return at("pushnote").textContent = "The mail is too long to try it without each word.";
  at("pushnote").textContent = "One moment \u2026";
  let without;
  try {
    without = (await ask(modelUrl(one, "predict"), requestBody(columns(words.map(({row}) => row)), one.view.signature), signal)).outputs.probability;
  } catch (error) {
    if (error.name === "AbortError" || mine !== turn) return;
    return at("pushnote").textContent = "The words could not be tried: " + error.message;
  }
  if (mine !== turn) return;
  const pushes = words.map(({word}, number) => [word, probability - without[number]]).filter(([, push]) => Math.abs(push) >= 0.0005);
  pushes.sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
  const most = Math.abs(pushes[0]?.[1] || 1);
  at("pushes").replaceChildren(...pushes.slice(0, WORDS_SHOWN).map(([word, push]) => create("li", {className: push > 0 ? "up" : "down"},
    create("span", {textContent: word, dir: "auto"}), create("i", {style: "width:" + 100 * Math.abs(push) / most + "%"}),
    create("b", {textContent: (push > 0 ? "+" : "\u2212") + (100 * Math.abs(push)).toFixed(1) + " points"}))));
  at("pushnote").textContent = pushes.length ? "How much each word raises (+) or lowers (\u2212) the probability: the change when it alone is left out, among the first " + words.length + " words."
    : "Leaving out any one of the first " + words.length + " words hardly changes the probability.";
}

function edit(text) {
  original = at("reply").value = text;
  at("editor").hidden = false;
  at("dismiss").hidden = true;
  at("reply").focus();
}

async function finish(reply) {
  const one = model(), mail = chosen, edited = reply !== null && reply !== original;
  const body = {inputs: row(mail), shown, taken: reply, edited};
  mail.done = reply === null ? "Not now" : "Taken";
  mail.reply = reply;
  if (reply !== null) answered.add(senderAddress(mail.from));
  turn++;
  for (const id of ["editor", "dismiss", "anyway"]) at(id).hidden = true;
  at("replies").replaceChildren();
  list();
  const said = reply === null ? "Not now." : (edited ? "Taken, as you changed it: " : "Taken: ") + reply + " \u2014 nothing was sent.";
  note(said);
  at("note").focus();
  if (!logged) return;
  try {
    await ask(modelUrl(one, "feedback"), body);
    if (mail === chosen) note(said + " Written to the operator\u2019s log.");
  } catch (error) {
    if (mail === chosen) note(said + " Not written to the log: " + error.message, true);
  }
}

function add(found, said, opened) {
  mails = [...found, ...mails.filter(mail => !mail.example)];
  at("listnote").textContent = said;
  choose(mails[0], opened);
  if (!opened) at("mails").querySelector("[aria-current]").focus();
}

async function openFiles(files) {
  const found = [], cut = [];
  let count = 0;
  for (const file of files) {
    const bytes = new Uint8Array(await file.slice(0, LIMITS.bytes).arrayBuffer()), box = parseMailbox(byteText(bytes));
    if (file.size > LIMITS.bytes) cut.push(file.name);
    count += box.found;
    for (const mail of box.mails.slice(0, LIMITS.mails - found.length)) found.push(mail);
  }
  if (!found.length) return at("listnote").textContent = [...files].map(file => file.name).join(", ") + ": no mail was found; open an .mbox or .eml file.";
  const time = mail => Date.parse(mail.date) || 0;
  found.sort((a, b) => time(b) - time(a));
  add(found, (found.length < count ? "The last " + found.length + " of " + count + " mails" : found.length + (found.length === 1 ? " mail" : " mails")) + ", read by your browser."
    + (cut.length ? " Only the first 50 MB of " + cut.join(", ") + " were read." : ""), false);
}

function written() {
  const text = at("newtext").value, headers = /^(From |(From|To|Subject|Date|Received|Message-ID|Return-Path|MIME-Version):)/i.test(text.trimStart());
  const pasted = headers ? parseMailbox(byteText(new TextEncoder().encode(text.trimStart()))).mails[0] : null;
  const mail = pasted || {from: at("newfrom").value.trim(), to: "", subject: at("newsubject").value.trim(), date: "", text: text.trim(), recipients: 1, isReply: REPLY_SUBJECT.test(at("newsubject").value), fromList: false};
  at("dialog").close();
  for (const id of ["newfrom", "newsubject", "newtext"]) at(id).value = "";
  add([{...mail, text: mail.text.slice(0, LIMITS.text)}], "", true);
}

async function begin() {
  let described;
  try {
    described = await ask("/models");
  } catch (error) {
    return note(error.message, true);
  }
  at("guard").hidden = true;
  models = described.models;
  logged = described.feedback === true;
  at("privacy").textContent = logged ? "What you choose is written to the operator\u2019s log, with the mail it answers." : "Mails go to the model of this server; what you choose is not stored.";
  const before = at("model").value || params.get("model");
  at("model").replaceChildren(...models.map(modelOption));
  const first = models.find(one => one.name === before) || models.find(one => one.view?.kind === "replies");
  if (first) at("model").value = first.name;
  if (!mails.length) {
    mails = EXAMPLES.map(mail => ({...mail, example: true}));
    if (params.get("text")) mails = [{from: "You", to: "", subject: params.get("subject") || "", date: "", text: params.get("text"), recipients: 1, isReply: false, fromList: false}];
    at("listnote").textContent = params.get("text") ? "" : "Example mails. Add one of yours, or open a mailbox.";
  }
  pick();
}

function pick() {
  if (model() && model().view?.kind !== "replies") return location.assign("/#" + new URLSearchParams({model: model().name}));
  for (const mail of mails) delete mail.done;
  choose(chosen || mails[0]);
}

at("model").addEventListener("change", pick);
at("back").addEventListener("click", () => { at("main").classList.remove("reading"); at("mails").querySelector("[aria-current]")?.focus(); });
at("anyway").addEventListener("click", () => suggest(true));
at("dismiss").addEventListener("click", () => finish(null));
at("send").addEventListener("click", () => { const text = at("reply").value.trim(); if (text) finish(text === original.trim() ? original : text); else at("reply").focus(); });
at("cancel").addEventListener("click", () => { at("editor").hidden = true; at("dismiss").hidden = false; at("replies").querySelector("button")?.focus(); });
at("file").addEventListener("change", () => { if (at("file").files.length) openFiles([...at("file").files]); at("file").value = ""; });
at("add").addEventListener("click", () => at("dialog").showModal());
at("close").addEventListener("click", () => at("dialog").close());
at("keep").addEventListener("click", () => { if (at("newtext").value.trim()) written(); else at("newtext").focus(); });
guarded(begin);
begin();
