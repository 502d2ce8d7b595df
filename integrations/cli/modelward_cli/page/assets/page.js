// Asks for the page again every few seconds, and puts what it says in place of what is shown.
// Only the server writes HTML, which escapes it; here nothing is made of text. XMLHttpRequest and not fetch: it gives a
// document that runs no script, which needs no exception from the page's own Trusted Types.
"use strict";

const main = document.getElementById("main");
const silent = document.getElementById("silent");
const pause = document.getElementById("pause");
const every = Math.max(1000, Number(main.dataset.every));
const PATIENCE = 90000; // ms: kubectl itself gives up after 60 s

let paused = false;
let timer = 0;

function later() {
  clearTimeout(timer);
  if (!paused && !document.hidden) timer = setTimeout(look, every);
}

function look() {
  const asked = new XMLHttpRequest();
  asked.open("GET", location.href);
  asked.responseType = "document";
  asked.timeout = PATIENCE;
  asked.onload = () => {
    const told = asked.status === 200 && asked.response && asked.response.getElementById("main");
    if (told) {
      silent.hidden = true;
      show(asked.response, told);
    } else {
      say("The program behind this page answered with " + asked.status + ". Start kubectl modelward ui again.");
    }
    later();
  };
  asked.onerror = () => {
    say("The program behind this page has ended; what is shown is old. Start kubectl modelward ui again.");
    later();
  };
  asked.ontimeout = () => {
    say("No answer for " + PATIENCE / 1000 + " s; what is shown is old.");
    later();
  };
  asked.send();
}

function say(text) {
  silent.textContent = text;
  silent.hidden = false;
  document.title = "! Modelward";
}

// A text that is being selected or written is left alone until the next look.
function busy() {
  const field = document.activeElement;
  const writes = main.contains(field) && (field.tagName === "INPUT" || field.tagName === "SELECT");
  return writes || !getSelection().isCollapsed;
}

function show(page, told) {
  if (busy() || paused) return;
  document.title = page.title;
  document.getElementById("asof").textContent = page.getElementById("asof").textContent;
  const open = new Set([...main.querySelectorAll("details[open]")].map((each) => each.id));
  const scrolled = [...main.querySelectorAll(".scroll")].map((each) => [keyOf(each), each.scrollLeft]);
  const focus = main.contains(document.activeElement) ? pathOf(document.activeElement) : null;
  main.replaceChildren(...[...told.childNodes].map((each) => document.importNode(each, true)));
  for (const each of main.querySelectorAll("details")) each.open = open.has(each.id);
  const places = new Map(scrolled);
  for (const each of main.querySelectorAll(".scroll")) each.scrollLeft = places.get(keyOf(each)) || 0;
  if (focus) at(focus)?.focus({ preventScroll: true });
}

const keyOf = (each) => (each.closest("details")?.id || "") + " " + each.getAttribute("aria-label");

// Where an element is: the model it belongs to, and its place among what can have the focus there.
const FOCUS = "summary, a, button, input, select, .scroll, [tabindex]";
function pathOf(element) {
  const model = element.closest("details");
  const around = model || main;
  return { model: model && model.id, place: [...around.querySelectorAll(FOCUS)].indexOf(element) };
}
function at({ model, place }) {
  const around = model ? document.getElementById(model) : main;
  return around && around.querySelectorAll(FOCUS)[place];
}

pause.hidden = false;
pause.addEventListener("click", () => {
  paused = !paused;
  pause.setAttribute("aria-pressed", String(paused));
  if (paused) later();
  else look();
});
document.addEventListener("visibilitychange", () => (document.hidden || paused ? clearTimeout(timer) : look()));
later();
