"use strict";

const at = (id) => document.getElementById(id);
const make = (tag, text = "", attributes = {}) => {
  const element = document.createElement(tag);
  element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};
const base = location.href.replace(/[?#].*$/, "").replace(/\/$/, "");
const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

// Requests

function headers() {
  const key = at("key").value;
  return { "Content-Type": "application/json", ...(key && { Authorization: `Bearer ${key}` }) };
}

async function ask(path, body) {
  const began = performance.now();
  const reply = await fetch(base + path, {
    method: body ? "POST" : "GET", headers: headers(), body: body && JSON.stringify(body),
  });
  const value = await reply.json();
  if (reply.status === 401) at("keyed").hidden = false;
  if (!reply.ok) throw new Error(value.message ?? `status ${reply.status}`);
  return { value, milliseconds: performance.now() - began };
}

function request(model) {
  const top = at("top").valueAsNumber;
  return {
    model, query: at("query").value, documents: documents(), raw_scores: true,
    ...(top >= 1 && { top_n: top }),
    ...(at("spans").checked && { relevant_spans: { mode: "enabled" } }),
  };
}

async function loadModels() {
  const chosen = at("model").value;
  const { value } = await ask("/v1/models");
  const names = value.data.map((model) => model.id);
  at("model").replaceChildren(...names.map((name) => new Option(name, name, false, name === chosen)));
  at("other").replaceChildren(new Option("nothing", ""), ...names.map((name) => new Option(name, name)));
  at("comparing").hidden = names.length < 2;
}

// Documents

const documents = () => at("documents").value.split("\n").filter((line) => line.trim());

const textOf = (value) => (typeof value === "string" ? value : String(value?.text ?? JSON.stringify(value)));

function parse(name, text) {
  if (/\.json$/i.test(name)) return [JSON.parse(text)].flat().map(textOf);
  const lines = text.split(/\r?\n/).filter((line) => line.trim());
  return /\.(jsonl|ndjson)$/i.test(name) ? lines.map((line) => textOf(JSON.parse(line))) : lines;
}

async function read(file) {
  try {
    const found = parse(file.name, await file.text());
    at("documents").value = found.map((text) => text.replace(/\s*\n\s*/g, " ")).join("\n");
    at("status").textContent = `${file.name}: ${plural(found.length, "document")}`;
    at("error").textContent = "";
  } catch {
    at("error").textContent = `${file.name} cannot be read: it must be text, a JSON list, or JSON lines.`;
  }
}

// Results

function highlighted(text, spans) {
  const points = Array.from(text); // spans count code points
  const paragraph = make("p");
  let end = 0;
  for (const span of [...spans].sort((one, other) => one.start - other.start)) {
    paragraph.append(points.slice(end, span.start).join(""));
    const score = `Relevance of this sentence: ${span.score.toFixed(2)}`;
    paragraph.append(make("mark", points.slice(span.start, span.end).join(""), { title: score }));
    end = span.end;
  }
  paragraph.append(points.slice(end).join(""));
  return paragraph;
}

function moved(index, rank) {
  if (index === rank) return "same place";
  return index > rank ? `up ${index - rank}` : `down ${rank - index}`;
}

function item(result, rank, texts) {
  const probability = 1 / (1 + Math.exp(-result.relevance_score));
  const row = make("li");
  const line = make("p", `${rank + 1}. `);
  const meter = make("meter", "", { min: 0, max: 1, value: probability, "aria-label": "Probability" });
  const numbers = `probability ${probability.toFixed(4)}, score ${result.relevance_score.toFixed(3)}, `;
  line.append(meter, make("span", ` ${numbers}${moved(result.index, rank)}`, { class: "quiet" }));
  row.append(line, highlighted(texts[result.index], result.relevant_spans ?? []));
  return row;
}

function column({ value, milliseconds }, texts) {
  const part = make("section", "", { "aria-label": `Results of ${value.model}` });
  const count = `${plural(value.results.length, "result")}, ${plural(value.usage.total_tokens, "token")}`;
  const list = make("ol");
  list.append(...value.results.map((result, rank) => item(result, rank, texts)));
  part.append(make("h2", value.model), make("p", `${count}, ${milliseconds.toFixed(0)} ms`, { class: "quiet" }), list);
  return part;
}

// Snippets

const SNIPPETS = {
  curl: (url, body, key) => {
    const quoted = JSON.stringify(body).replaceAll("'", "'\\''");
    const bearer = key ? " \\\n  -H \"Authorization: Bearer $PLACKETT_API_KEY\"" : "";
    return `curl ${url} \\\n  -H 'Content-Type: application/json'${bearer} \\\n  -d '${quoted}'`;
  },
  Python: (url, body, key) => {
    const headers = key ? "headers = {\"Authorization\": f\"Bearer {os.environ['PLACKETT_API_KEY']}\"}\n" : "headers = {}\n";
    return `import json\n${key ? "import os\n" : ""}import urllib.request\n\n${headers}`
      + `headers["Content-Type"] = "application/json"\nbody = json.loads(${JSON.stringify(JSON.stringify(body))})\n`
      + `request = urllib.request.Request("${url}", json.dumps(body).encode(), headers)\n`
      + `for result in json.load(urllib.request.urlopen(request))["results"]:\n`
      + `    print(result["relevance_score"], body["documents"][result["index"]])`;
  },
  JavaScript: (url, body, key) => {
    const bearer = key ? ", Authorization: `Bearer ${process.env.PLACKETT_API_KEY}`" : "";
    return `const body = ${JSON.stringify(body, null, 2)};\nconst reply = await fetch("${url}", {\n  method: "POST",\n`
      + `  headers: { "Content-Type": "application/json"${bearer} },\n  body: JSON.stringify(body),\n});\n`
      + `for (const result of (await reply.json()).results)\n`
      + `  console.log(result.relevance_score, body.documents[result.index]);`;
  },
};

function snippet(name, code) {
  const part = make("details");
  const shown = make("pre", code, { tabindex: "0", "aria-label": `${name} snippet` });
  const copy = make("button", "Copy", { type: "button", "aria-label": `Copy the ${name} snippet` });
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code);
      at("status").textContent = `Copied the ${name} snippet.`;
    } catch { // browsers have no clipboard for pages without https, unless they are of this machine
      getSelection().selectAllChildren(shown);
      at("status").textContent = `Selected the ${name} snippet: press Ctrl+C to copy it.`;
    }
  });
  part.append(make("summary", name), shown, copy);
  return part;
}

function share(body) {
  const key = at("key").value !== "";
  const parts = Object.entries(SNIPPETS).map(([name, write]) => snippet(name, write(`${base}/v2/rerank`, body, key)));
  at("share").replaceChildren(at("share-title"), ...parts);
  at("share").hidden = false;
}

// Events

async function rank() {
  at("go").disabled = true;
  at("error").textContent = "";
  at("status").textContent = "Ranking…";
  try {
    if (!at("model").value) await loadModels();
    const models = [...new Set([at("model").value, at("other").value].filter(Boolean))];
    const bodies = models.map(request);
    const replies = [];
    for (const body of bodies) replies.push(await ask("/v2/rerank", body)); // one by one, for their timing
    at("results").replaceChildren(...replies.map((reply) => column(reply, bodies[0].documents)));
    at("status").textContent = `Ranked ${plural(bodies[0].documents.length, "document")}.`;
    share(bodies[0]);
  } catch (error) {
    at("status").textContent = "";
    at("error").textContent = error.message;
  } finally {
    at("go").disabled = false;
  }
}

at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  rank();
});
at("form").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    at("form").requestSubmit();
  }
});
at("file").addEventListener("change", () => at("file").files[0] && read(at("file").files[0]));
at("drop").addEventListener("dragover", (event) => {
  event.preventDefault();
  at("drop").classList.add("over");
});
at("drop").addEventListener("dragleave", () => at("drop").classList.remove("over"));
at("drop").addEventListener("drop", (event) => {
  at("drop").classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (!file) return;
  event.preventDefault();
  read(file);
});
loadModels().catch((error) => { at("error").textContent = error.message; });
