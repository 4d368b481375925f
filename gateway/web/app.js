import "./chat-log.js";
import "./citation-panel.js";
import "./composer.js";
import "./settings-dialog.js";
import { Conversation, freshId } from "./conversation.js";
import { resolveLanguage, setLanguage, t } from "./i18n.js";
import { isDemo, visitKey } from "./key.js";
import { stateText } from "./chat-message.js";
import { preferences, tab } from "./storage.js";
import { bindThemeToggle } from "./theme-toggle.js";
import { fail, isOver, newTurn, reduce, stop } from "./turn.js";

const EXAMPLES = [
  { text: "How do I reset my password?", lang: "en" },
  { text: "如何重置密码？", lang: "zh-CN" },
];

const byId = (testid) => document.querySelector(`[data-testid="${testid}"]`);
const log = document.querySelector("chat-log");
const composer = document.querySelector("chat-composer");
const panel = document.querySelector("citation-panel");
const settings = document.querySelector("settings-dialog");
const languageSelect = byId("lang-select");
const conversation = new Conversation(document.baseURI);

/** Aborts the answer that is being written, if any. */
let running = null;

function announce(key, params) {
  document.getElementById("announcer").textContent = t(key, params);
}

function applyLanguage(choice) {
  languageSelect.value = choice;
  setLanguage(resolveLanguage(choice, navigator.languages));
}

/** The language to answer in; undefined leaves it to the server. */
function answerLanguage() {
  return languageSelect.value === "auto" ? undefined : languageSelect.value;
}

function update(answer, turn) {
  const before = answer.turn;
  answer.turn = turn;
  if (turn.phase === before.phase || turn.phase === "failed") return;
  announce(...(turn.phase === "stopped" ? ["note.stopped"] : stateText(turn.phase, turn.citations.length)));
}

/** Draws the answer as it arrives; what it returns is why the answer is incomplete, if it is. */
async function follow(answer, signal) {
  for await (const event of conversation.ask(answer.turn, answerLanguage(), signal)) {
    if (signal.aborted) break;
    update(answer, reduce(answer.turn, event));
    if (isOver(answer.turn)) break;
  }
  return { code: "stream_ended" };
}

async function run(answer) {
  const controller = new AbortController();
  running = controller;
  composer.busy = true;
  announce("state.searching");
  const failure = await follow(answer, controller.signal).catch((error) => error);
  if (running !== controller) return;
  update(answer, controller.signal.aborted ? stop(answer.turn) : fail(answer.turn, failure));
  if (answer.turn.phase !== "failed") conversation.settle();
  running = null;
  composer.busy = false;
}

function ask(question) {
  if (running) return;
  run(log.show(newTurn(question, freshId())));
}

function retry(answer) {
  if (running) return;
  const { question, id } = answer.turn;
  answer.turn = newTurn(question, id);
  composer.focusGently();
  run(answer);
}

function stopAnswer() {
  if (!running) return;
  running.abort();
  conversation.stop();
}

async function showHistory() {
  const session = tab.get("session");
  try {
    const turns = await conversation.load();
    if (running || tab.get("session") !== session) return;
    const last = turns.map((turn) => log.show(turn)).at(-1);
    // Asked before the page was left: the server knows the question's id and goes on with its answer, or has it.
    if (last?.turn.failure?.code === "interrupted") retry(last);
  } catch (error) {
    log.show(fail(newTurn(null, freshId()), error));
  }
}

function leave() {
  stopAnswer();
  running = null;
  composer.busy = false;
  log.clear();
}

function showExamples() {
  log.examples = isDemo(tab.get("key")) ? EXAMPLES : [];
}

function restart() {
  leave();
  conversation.restart();
  composer.clear();
  composer.focusGently();
}

function changeKey(key) {
  if (!conversation.changeKey(key)) return;
  leave();
  showExamples();
}

document.addEventListener("ask", ({ detail }) => ask(detail));
document.addEventListener("example", ({ detail }) => ask(detail));
document.addEventListener("stop", stopAnswer);
document.addEventListener("turn-retry", ({ target }) => retry(target));
document.addEventListener("turn-again", ({ target }) => ask(target.turn.question));
document.addEventListener("citation-open", ({ detail }) => panel.open(detail));
document.addEventListener("announce", ({ detail }) => announce(detail));
document.addEventListener("key", ({ detail }) => changeKey(detail));
byId("new-conversation").addEventListener("click", restart);
byId("settings").addEventListener("click", () => settings.open(tab.get("key")));
languageSelect.addEventListener("change", () => {
  preferences.set("lang", languageSelect.value);
  applyLanguage(languageSelect.value);
});

const { key, address } = visitKey(location.href, tab.get("key"));
if (address) history.replaceState(null, "", address);
const chosen = preferences.get("lang");
applyLanguage(chosen === "zh" || chosen === "en" ? chosen : "auto");
bindThemeToggle(byId("theme-toggle"));
if (key) changeKey(key);
else settings.open("");
showExamples();
showHistory();
composer.focusGently();
